"""The scripted attacks of a run: distractors, or families drawn by weight, and the referee that judges them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, field_validator

from aot.attacks.base import Family, FamilyAttacker, referees
from aot.attacks.families import PIXEL, WITHOUT_OBJECTS, families
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

    def mixed(self, weights: Mapping[str, float] | None = None, *, world: bool) -> Attacker:
        """All of them as one attacker; `weights` by name."""
        members = self.players(world=world)
        if len(members) == 1:
            return members[0]
        shares = [weights.get(one.name, 0.0) for one in members] if weights else None
        return AttackerMixture(members, shares if shares and sum(shares) > 0 else None, name="families")

    def players(self, *, world: bool) -> list[Attacker]:
        """Each of them alone. On own images (not `world`) no family has objects to put in or out: one distractor, which
        pastes a sprite, stands for all that would."""
        here = (*WITHOUT_OBJECTS, *PIXEL)
        able = [one for one in self.chosen if world or set(one.name.split("+")) <= set(here)]
        players: list[Attacker] = [FamilyAttacker(family) for family in able]
        if not able or len(able) < len(self.chosen):
            players.append(RandomDistractor(related=self.related))
        return players


def judging(game: Game, settings: RefereeSettings, scripted: ScriptedAttackSettings) -> Judging:
    """Who judges attacks of all players of the run: families each by its own rule."""
    if not scripted.families:
        return game.referee
    rules = referees(settings, photos=not game.is_world)
    return FamilyReferee(scripted.chosen, rules, game.referee)
