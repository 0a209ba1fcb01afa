"""The models that the forge asks, by where they are: small enough to send, every process opens them for itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aot.backends.opening import open_defender
from aot.game.judge import Judge
from aot.players.base import Defender
from aot.players.base_players import player_identity

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender


@dataclass(frozen=True)
class DefenderFolder:
    """A defender, a judge or an author on disk, and what it is called."""

    folder: Path
    name: str

    def load(self) -> TrainedDefender:
        """Raises `AotError` for a missing or damaged folder."""
        from aot.players.defender.opening import open_defender as opened  # takes seconds to import
        from aot.players.settings import DefenderSettings

        return opened(self.folder, DefenderSettings(), name=self.name)

    def judge(self) -> Judge:
        return Judge(self.load())

    @property
    def identity(self) -> dict[str, Any]:
        """What it is, file by file: others under the same name make other pairs."""
        return player_identity(self.folder)


@dataclass(frozen=True)
class DefenderUrl:
    """A defender or a judge behind a URL that speaks the OpenAI protocol. Requests go out as the forge needs them."""

    url: str
    model: str

    @property
    def name(self) -> str:
        return self.model

    def load(self) -> Defender:
        """Raises `AotError` where no server answers there, or it has no such model."""
        return open_defender(self.url, self.model)

    def judge(self) -> Judge:
        """By sampled answers: not every server gives probabilities."""
        return Judge(self.load(), by="samples")

    @property
    def identity(self) -> dict[str, Any]:
        """Its name must do: what is behind it cannot be seen."""
        return {"url": self.url, "model": self.model}
