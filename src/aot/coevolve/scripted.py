"""The scripted attacks of a run: distractors, or families drawn by weight, and the referee that judges them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, field_validator

from aot.attacks.base import Family, FamilyAttacker, referees
from aot.attacks.families import families, needs_objects
from aot.attacks.judging import FamilyReferee
from aot.coevolve.scenes import Game
from aot.game.referee import Judging, RefereeSettings
from aot.miniature.scripted import RandomDistractor
from aot.players.base import Attacker
from aot.players.mixture import AttackerMixture

EDITS_A_QUESTION = 4
"""Different attacks of a family on one question about an own photo: an edit of a photo takes a hundred times as long as
one of the world's, and the questions come again; *ours*."""


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

    def chosen(self, game: Game) -> list[Family]:
        """The families, able to attack the scenes of the game."""
        needed = not game.is_world and any(needs_objects(name) for name in self.families)
        return families(self.families, objects=game.objects if needed else None)

    def mixed(self, game: Game, weights: Mapping[str, float] | None = None) -> Attacker:
        """All of them as one attacker; `weights` by name."""
        members = self.players(game)
        if len(members) == 1:
            return members[0]
        shares = [weights.get(one.name, 0.0) for one in members] if weights else None
        return AttackerMixture(members, shares if shares and sum(shares) > 0 else None, name="families")

    def players(self, game: Game) -> list[Attacker]:
        """Each of them alone; without families a distractor, which pastes a sprite into own images. The same stands for
        families that put objects in or out where own images came without any."""
        chosen = self.chosen(game)
        if game.is_world:
            players: list[Attacker] = [FamilyAttacker(family) for family in chosen]
        else:
            able = [one for one in chosen if not (needs_objects(one.name) and self._bare(game))]
            few = [EDITS_A_QUESTION if needs_objects(one.name) else None for one in able]
            players = [FamilyAttacker(one, most=most) for one, most in zip(able, few, strict=True)]
        return players if chosen and len(players) == len(chosen) else [*players, RandomDistractor(related=self.related)]

    def _bare(self, game: Game) -> bool:
        return game.objects is None or game.objects.bare


def judging(game: Game, settings: RefereeSettings, scripted: ScriptedAttackSettings) -> Judging:
    """Who judges attacks of all players of the run: families each by its own rule."""
    if not scripted.families:
        return game.referee
    rules = referees(settings, photos=not game.is_world)
    return FamilyReferee(scripted.chosen(game), rules, game.referee)
