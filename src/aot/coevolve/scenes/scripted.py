"""The scripted attacks of a run, distractors or families drawn by weight, and the referee for the attacks of all
players."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from aot.attacks.base.composition import Composition
from aot.attacks.base.family import Family, FamilyAttacker
from aot.attacks.base.titles import JOINT
from aot.attacks.families import families, needs_objects
from aot.attacks.judging.referees import FamilyReferee, referees
from aot.attacks.strengths import Strengths
from aot.coevolve.scenes.game import Game
from aot.game.referee import RefereeLike, RefereeSettings
from aot.miniature.scripted import RandomDistractor
from aot.players.base import Attacker
from aot.players.mixture import AttackerMixture

EDITS_A_QUESTION = 4
"""Different attacks of a family on one question about an own photo: an edit of a photo takes a hundred times as long as
one of the world's, and the questions come again; *ours*."""

Weight = Annotated[float, Field(gt=0, le=1000)]

OBJECT_EDITS = ("distractor", "removal", "replacement")
"""Families of which counterfactual pairs of own photos are made."""


class ScriptedAttackSettings(BaseModel, frozen=True, extra="forbid"):
    """Scripted attacks for the defender's SFT, in place of an AOT-SFT dataset; all *ours*."""

    draws: int = Field(4, gt=0)  # attacks a scene: what `candidates` chooses from
    related: float = Field(0.7, ge=0, le=1)  # distractors: share of them that resembles what is asked about
    families: tuple[str, ...] = ()  # of `aot.attacks`, by `weights` or the meta-strategy; (): distractors alone
    # (family, weight): how often it is drawn, 1 where it is not named. Pairs: a recipe replaces all those of another.
    weights: tuple[tuple[str, Weight], ...] = ()
    strengths: Strengths = Strengths()  # of the families; those that measure a defender have their own
    composed_share: float = Field(0.0, ge=0, le=1)  # in SFT and rounds: a semantic one, then one of the whole image

    @field_validator("families")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        families(names, where="scripted_attacks.families")
        return names

    @field_validator("weights")
    @classmethod
    def _weights_of_known(cls, weights: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
        families([name for name, _ in weights], where="scripted_attacks.weights")
        return weights

    @property
    def key(self) -> dict[str, Any]:
        """What stages depend on."""
        weights = {name: weight for name, weight in self.weights if name in self.families and weight != 1}
        used = dict.fromkeys(("families", "strengths"), bool(self.families)) | {"composed_share": self.composed_share}
        plain = self.model_dump(exclude={"weights", *(name for name, value in used.items() if not value)})
        return plain | ({"weights": weights} if weights else {})

    def trains(self, name: str) -> bool:
        """Whether the defender is trained on the family or composition of this name as it is."""
        parts = set(name.split(JOINT))
        return name in self.families or (self.composed_share > 0 and parts <= set(self.families))

    def chosen(self, game: Game) -> list[Family]:
        """The families, able to attack the scenes of the game."""
        needed = not game.is_world and any(needs_objects(name) for name in self.families)
        return families(self.families, self.strengths, game.objects if needed else None)

    def compositions(self, game: Game) -> list[Composition]:
        """Every semantic family followed by every family of pixels; none without a `composed_share`."""
        chosen = self.chosen(game) if self.composed_share else []
        after = [family for family in chosen if family.threat == "pixel"]
        made = [Composition(first, second) for first in chosen if first.threat == "semantic" for second in after]
        return [one for one in made if one.name not in self.families]

    def on_edited(self, game: Game) -> Attacker | None:
        """The attacker for images whose objects were edited already: all families in the world; on own photos only
        those that change the whole image, since objects are pasted into the original photo; None where there are
        none."""
        if game.is_world:
            return self.mixed(game)
        members = [self._player(game, family) for family in self.chosen(game) if family.threat == "pixel"]
        return AttackerMixture(members, name="corruptions") if members else None

    def object_edits(self, game: Game) -> Attacker | None:
        """Adds, removes and replaces objects of own photos; None where the photos have no labelled objects."""
        if game.is_world or game.objects is None or game.objects.bare:
            return None
        members = [self._player(game, family) for family in families(OBJECT_EDITS, self.strengths, game.objects)]
        return AttackerMixture(members, name="object edits")

    def mixed(self, game: Game, weights: Mapping[str, float] | None = None) -> Attacker:
        """All families as one attacker, `composed_share` of whose attacks are compositions; `weights` by name, in place
        of those of the settings."""
        members = self.players(game)
        given, unnamed = (weights, 0.0) if weights else (dict(self.weights), 1.0)
        shares = {one.name: given.get(one.name, unnamed) for one in members}
        if not any(shares.values()):
            shares = dict.fromkeys(shares, 1.0)
        made = [one for one in self.compositions(game) if shares.get(one.first.name, 0) * shares[one.second.name] > 0]
        composed = {one.name: shares[one.first.name] * shares[one.second.name] for one in made}
        members += [self._player(game, one) for one in made]
        alone = 1 - self.composed_share if made else 1.0
        shares = _scaled(shares, alone) | _scaled(composed, 1 - alone)
        return members[0] if len(members) == 1 else AttackerMixture(members, list(shares.values()), name="families")

    def players(self, game: Game) -> list[Attacker]:
        """One attacker a family; without families a distractor, which pastes a sprite into own images. That also stands
        in for families that add or remove objects where own images have no labelled ones."""
        chosen = self.chosen(game)
        able = [one for one in chosen if game.is_world or not (needs_objects(one.name) and self._bare(game))]
        players: list[Attacker] = [self._player(game, one) for one in able]
        return players if chosen and len(players) == len(chosen) else [*players, RandomDistractor(related=self.related)]

    def _player(self, game: Game, family: Family) -> Attacker:
        few = not game.is_world and needs_objects(family.name)
        return FamilyAttacker(family, most=EDITS_A_QUESTION if few else None)

    def _bare(self, game: Game) -> bool:
        return game.objects is None or game.objects.bare


def _scaled(shares: dict[str, float], total: float) -> dict[str, float]:
    """The shares, scaled to this sum."""
    return {name: total * share / sum(shares.values()) for name, share in shares.items()}


def referee_of_run(game: Game, settings: RefereeSettings, scripted: ScriptedAttackSettings) -> RefereeLike:
    """The referee for the attacks of all players of the run, which judges each family by its own rule."""
    if not scripted.families:
        return game.referee
    rules = referees(settings, photos=not game.is_world)
    return FamilyReferee([*scripted.chosen(game), *scripted.compositions(game)], rules, game.referee)
