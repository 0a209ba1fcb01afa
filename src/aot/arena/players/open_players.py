"""The players in memory: the last attacker, with its referee, and the last defender that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from aot.arena.players.pool import PoolAttacker, PoolDefender, RunFolder
from aot.arena.players.scripted import open_scripted
from aot.arena.players.white_box import open_white_box
from aot.attacks.judging.referees import referees
from aot.attacks.strengths import Strengths
from aot.coevolve.scenes.game import Game
from aot.game.referee import Referee
from aot.players.attacker.opening import open_attacker
from aot.players.base import Attacker
from aot.players.defender.opening import open_defender
from aot.players.defender.trained import TrainedDefender
from aot.runs.files import canonical_hash


@dataclass(frozen=True)
class Meeting:
    """One cell of attacks that defenders are asked about: draw `draw` (from 0) of the attacker; `against`: the defender
    whose gradients a white-box attacker has."""

    attacker: PoolAttacker
    draw: int = 0
    against: PoolDefender | None = None


@dataclass
class OpenPlayers:
    """Opens players on demand and keeps the last of each role. `first`: the run whose referee settings apply."""

    first: RunFolder
    game: Game
    strengths: Strengths
    _open: dict[str, tuple[str, Any]] = field(default_factory=dict)

    def attacker(self, meeting: Meeting) -> tuple[Attacker, Referee]:
        """The attacker, and the referee of its attacks."""
        attacker = meeting.attacker
        if meeting.against is not None:
            return open_white_box(attacker, self.defender(meeting.against))
        referee = self.game.referee if attacker.rule is None else self._referees[attacker.rule]
        if attacker.folder is None or attacker.run is None:
            return open_scripted(attacker, self.strengths, self.game), referee
        load = partial(open_attacker, attacker.folder, attacker.run.recipe.players.attacker, name=attacker.name)
        return self._cached("attacker", canonical_hash(attacker.identity), load), referee

    def defender(self, defender: PoolDefender) -> TrainedDefender:
        load = partial(open_defender, defender.folder, defender.run.recipe.players.defender, name=defender.name)
        player: TrainedDefender = self._cached("defender", defender.digest, load)
        return player

    def clear(self) -> None:
        self._open.clear()

    def _cached(self, role: str, digest: str, load: Callable[[], Any]) -> Any:
        if role not in self._open or self._open[role][0] != digest:
            self._open.pop(role, None)  # its memory is free before the next one comes
            self._open[role] = digest, load()
        return self._open[role][1]

    @cached_property
    def _referees(self) -> Mapping[Any, Referee]:
        return referees(self.first.recipe.referee, photos=not self.game.is_world)
