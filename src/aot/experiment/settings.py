"""What an experiment compares, and how every defender is measured. All sizes *ours*.

A seed is several *units*, each a run folder that one process makes: the game once for each variant (by default its
meta-strategies), and the baselines that need no game. Whatever is equal between two units is made once (`sharing`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, model_validator

from aot.attacks.base.titles import JOINT
from aot.attacks.families import FAMILIES, PIXEL, SEMANTIC
from aot.coevolve.recipes.miniature import miniature, smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import BASE, CLEAN_RL, SFT_SCRIPTED
from aot.coevolve.recipes.threats import PIXEL_SHARE

BASELINES = "baselines"
"""The unit of the defenders that need no game."""
SAME_ATTACKS = "sft_attacks"
"""The baseline that learns from the first variant's attacks."""


Given = TypeVar("Given")


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in names if name not in FAMILIES]:
        raise ValueError(f"no such families: {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    return _different(names)


def _different(given: tuple[Given, ...]) -> tuple[Given, ...]:
    if len(set(given)) < len(given):
        raise ValueError("one is named twice")
    return given


Seen = Literal["trained", "in_part", "left_out"]
Levels = Annotated[tuple[Annotated[int, Field(gt=0, le=255)], ...], AfterValidator(_different)]
Families = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_known)]


PLAYED = ("distractor", "related", "unrelated", "removal", "replacement")
"""Scripted distractors, and the kinds of edits that the attacker makes."""
META: dict[str, dict[str, Any]] = {rule: {"meta": {"rule": rule}} for rule in ("newest", "uniform", "nash")}
"""The game with each meta-strategy."""
PIXEL_VARIANT = "pixel"
"""The game against the newest opponents, where SFT's clean images are attacked by PGD, as `--threats pixel` does."""
COUNTERFACTUAL = "sft_counterfactual"
"""The baseline of SFT on scripted attacks that has the method's share of counterfactual pairs, too."""
NOT_IN_BASELINES = {"pixel", "final_rate", "counterfactual_share", "counterfactual_pool"}
"""Of the warm-up's SFT, what a baseline does without."""
WITH_PIXELS = {"pixel": {"share": PIXEL_SHARE}}
CHANGES = META | {PIXEL_VARIANT: META["newest"] | {"warm_up": WITH_PIXELS, "hits": WITH_PIXELS}}


class MeasureSettings(BaseModel, frozen=True, extra="forbid"):
    """What every defender meets, on the same held-out scenes. All *ours*."""

    families: Families = FAMILIES
    draws: int = Field(2, gt=0, le=1024)  # attacks of each family on each scene; the worst valid one counts
    eps: Levels = (2, 4, 8)  # of 255, of PGD in L-infinity on the whole image
    pgd_steps: int = Field(20, gt=0)
    pgd_scenes: int = Field(120, gt=0)  # the first scenes: each costs as many passes as there are steps


class BaselineSteps(BaseModel, frozen=True, extra="forbid"):
    """Steps of SFT, such that each takes about the method's CPU seconds, and no fewer; 0 leaves the baseline out. The
    table has what each one took. All *ours*."""

    augment: int = Field(0, ge=0)  # each of the static augmentations
    pgd: int = Field(0, ge=0)  # adversarial training, for each eps
    counterfactual: int = Field(0, ge=0)  # SFT on scripted attacks and counterfactual pairs
    same_attacks: int = Field(0, ge=0)  # SFT on the attacks that the first variant made


class ExperimentSettings(BaseModel, frozen=True, extra="forbid"):
    """One experiment; what it depends on besides the seeds."""

    name: str = Field(pattern=r"^[\w.-]+$")
    recipe: Recipe  # the game, and sizes of `clean_rl` and `sft_scripted`; its own seed is not used
    # Those of the game that are played; with the first one baselines are compared.
    variants: tuple[str, ...] = Field((*META, PIXEL_VARIANT), min_length=1)
    changes: dict[str, dict[str, Any]] = CHANGES  # what each variant changes in the recipe
    augmentations: dict[str, Families] = {}  # a baseline's name -> the families that attack its scenes
    pgd_eps: Levels = (4, 8)  # of adversarial training
    steps: BaselineSteps = BaselineSteps()
    measure: MeasureSettings = MeasureSettings()

    @model_validator(mode="after")
    def _playable(self) -> ExperimentSettings:
        for name in self.variants:
            if name not in self.changes or name == BASELINES or not re.fullmatch(r"[\w-][\w.-]*", name):  # a folder
                raise ValueError(f"no such variant: {name!r}; `changes` has {', '.join(self.changes)}")
        if len(set(self.variants)) < len(self.variants):
            raise ValueError("a variant is named twice")
        for unit in self.units():
            self.recipe_of(unit, 0)
        return self

    def seen(self, family: str) -> Seen:
        """What the game's players see of a family in training: it was `trained` as it is; `in_part`, where a trained
        composition is made of it, or it is a composition of which a part was trained; or it was `left_out`."""
        scripted = self.recipe.scripted_attacks
        if family in PLAYED or scripted.trains(family):
            return "trained"
        parts = {part for name in (*PLAYED, *scripted.families) for part in name.split(JOINT)}
        return "in_part" if parts & set(family.split(JOINT)) else "left_out"

    def units(self) -> list[str]:
        """Units of a seed, the first variant first: others share its stages."""
        return [self.variants[0], BASELINES, *self.variants[1:]]

    def recipe_of(self, unit: str, seed: int) -> Recipe:
        """The recipe of a unit's run folder."""
        changes: dict[str, Any] = {"name": f"{self.name}_{unit}", "seed": seed, "processes": 1}
        if unit == BASELINES:
            return self.recipe.changed(**changes, baselines=self._without_game())
        learns = unit == self.variants[0] and self.steps.same_attacks
        listed = [self._sft(SAME_ATTACKS, self.steps.same_attacks, same_attacks=True)] if learns else []
        changes |= {"clean_rl": False, "sft_scripted_steps": 0, "baselines": listed}
        return self.recipe.changed(**self.changes[unit]).changed(**changes)

    def defenders_of(self, unit: str) -> list[str]:
        """Defenders that are measured in the unit, by their names there."""
        recipe = self.recipe_of(unit, 0)
        if unit == BASELINES:
            listed = [baseline.name for baseline in recipe.baselines]
            return [BASE, *[CLEAN_RL] * recipe.clean_rl, *listed, *[SFT_SCRIPTED] * bool(recipe.sft_scripted_steps)]
        iterations = [f"iteration_{i}" for i in range(1, recipe.iterations + 1)]
        return [*iterations, *(baseline.name for baseline in recipe.baselines)]

    def names(self) -> list[str]:
        """All defenders of a seed in the table's order: base, baselines, then the variants of the method."""
        own = {unit: self.defenders_of(unit) for unit in self.units()}
        same = [name for name in own[self.variants[0]] if not name.startswith("iteration_")]
        games = [name_in_table(unit, n) for unit in self.variants for n in own[unit] if n.startswith("iteration_")]
        return [*own[BASELINES], *same, *games]

    @property
    def methods(self) -> list[str]:
        """The last defender of each variant, by its name in the table."""
        return [name_in_table(unit, f"iteration_{self.recipe.iterations}") for unit in self.variants]

    @property
    def semantic(self) -> list[str]:
        """Measured families that leave what is asked about as it is: of these the worst case is taken."""
        return [name for name in self.measure.families if name in SEMANTIC]

    @property
    def left_out(self) -> list[str]:
        """Of these, families of which training saw nothing, neither alone nor in a composition."""
        return [name for name in self.semantic if self.seen(name) == "left_out"]

    def _without_game(self) -> list[dict[str, Any]]:
        augmented = self.augmentations.items() if self.steps.augment else ()
        listed = [self._sft(name, self.steps.augment, attacks={"families": names}) for name, names in augmented]
        for eps in self.pgd_eps if self.steps.pgd else ():
            one = self._sft(f"pgd_at_{eps}", self.steps.pgd)
            one["sft"] |= {"pixel": {"share": self.recipe.warm_up.attacked_share, "eps": eps}}
            listed.append(one)
        if self.steps.counterfactual:
            attacks = self.recipe.scripted_attacks.model_dump()
            one = self._sft(COUNTERFACTUAL, self.steps.counterfactual, attacks=attacks)
            one["sft"] |= self.recipe.warm_up.model_dump(include={"counterfactual_share", "counterfactual_pool"})
            listed.append(one)
        return listed

    def _sft(self, name: str, steps: int, **settings: Any) -> dict[str, Any]:
        """The warm-up's training, for longer and from the base defender, without `NOT_IN_BASELINES`."""
        sft = self.recipe.warm_up.model_dump(exclude=NOT_IN_BASELINES) | {"steps": steps}
        return {"name": name, "sft": sft, **settings}


def name_in_table(unit: str, defender: str) -> str:
    """Defenders of the game carry their variant: "newest/iteration_3"."""
    return f"{unit}/{defender}" if defender.startswith("iteration_") else defender


def headline() -> ExperimentSettings:
    """The miniature with longer SFT than in the demo, the method's and every baseline's. The plan counts 2.5 hours of
    one core a seed; only the units of docs/results.md have been run."""
    augmentations = {
        "augment_add": ("distractor",),
        "augment_replace": ("replacement",),
        "augment_corruptions": PIXEL,
        "augment_all": (*SEMANTIC, *PIXEL),
    }
    return ExperimentSettings(
        name="headline",
        recipe=miniature().changed(
            game={"held_out_scenes": 400}, hits={"steps": 225}, sft_scripted_steps=960, clean_rl_updates=150
        ),
        augmentations=augmentations,
        steps=BaselineSteps(augment=960, pgd=600, counterfactual=1075, same_attacks=960),
    )


def smoke_sized() -> ExperimentSettings:
    """Every part once, in seconds, for tests: it says nothing."""
    return ExperimentSettings(
        name="smoke",
        recipe=smoke().changed(game={"train_scenes": 16, "held_out_scenes": 16}),
        augmentations={"augment_all": ("distractor", "jpeg")},
        pgd_eps=(8,),
        steps=BaselineSteps(augment=1, pgd=1, counterfactual=1, same_attacks=1),
        measure=MeasureSettings(
            families=("distractor", "removal", "scale", "noise"), draws=2, eps=(8,), pgd_steps=2, pgd_scenes=8
        ),
    )


EXPERIMENTS = {"headline": headline, "smoke": smoke_sized}
