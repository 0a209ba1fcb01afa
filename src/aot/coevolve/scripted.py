"""The scripted attacks of a run: distractors, or families drawn by weight, and the referee that judges them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, field_validator

from aot.attacks.base import Family, FamilyAttacker, referees
from aot.attacks.families import families
from aot.attacks.judging import FamilyReferee
from aot.coevolve.scenes import Game
from aot.game.referee import Judging, RefereeSettings
from aot.miniature.scripted import RandomDistractor
from aot.players.base import Attacker
from aot.players.mixture import AttackerMixture


class ScriptedAttackSettings(BaseModel, frozen=True, extra="forbid"):
    """Scripted attacks for the defender's SFT, in place of an AOT-SFT dataset; all *ours*."""

    draws: int = Field(4, gt=0)  # attacks a scene: what `candidates` chooses from
    related: float = Field(0.7, ge=0, le=1)  # distractors: share of them that resembles what is asked about
    families: tuple[str, ...] = ()  # of `aot.attacks`, each as likely, or by the meta-strategy; (): distractors alone

    @field_validator("families")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        families(names, where="scripted_attacks.families")
        return names

    @property
    def key(self) -> dict[str, Any]:
        """What stages depend on."""
        return self.model_dump(exclude=None if self.families else {"families"})

    @property
    def chosen(self) -> list[Family]:
        return families(self.families)

    def mixed(self, weights: Mapping[str, float] | None = None) -> Attacker:
        """All of them as one attacker; `weights` by family."""
        if not self.families:
            return RandomDistractor(related=self.related)
        shares = [weights.get(family.name, 0.0) for family in self.chosen] if weights else None
        return AttackerMixture(self.players(), shares if shares and sum(shares) > 0 else None, name="families")

    def players(self) -> list[Attacker]:
        """Each of them alone."""
        return [FamilyAttacker(family) for family in self.chosen] or [RandomDistractor(related=self.related)]


def judging(game: Game, settings: RefereeSettings, scripted: ScriptedAttackSettings) -> Judging:
    """Who judges attacks of all players of the run: families each by its own rule."""
    if not scripted.families:
        return game.referee
    rules = referees(settings, photos=not game.is_world)
    return FamilyReferee(scripted.chosen, rules, game.referee)
