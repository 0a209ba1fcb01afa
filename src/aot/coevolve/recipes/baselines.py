"""Baselines of SFT that a recipe may list beside `clean_rl` and `sft_scripted`: what they learn from, and for how long.

Each trains the base defender without a game: on fresh scenes under scripted attacks (static augmentation), on clean
ones, or on the attacks that the game's own rounds made. The recipe fixes steps, not seconds, so that a run keeps its
bits; every stage records the CPU seconds that it took, and the comparison puts them beside the method's. All *ours*.
"""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator, model_validator

from aot.coevolve.scenes.scripted import ScriptedAttackSettings
from aot.train.defender.sft.settings import DefenderSftSettings


class BaselineSettings(BaseModel, frozen=True, extra="forbid"):
    """One defender that the method is compared with. All *ours*."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")  # stages and columns carry it
    sft: DefenderSftSettings  # its whole training, from the base defender
    attacks: ScriptedAttackSettings | None = None  # on its fresh scenes; none: they are seen clean
    same_attacks: bool = False  # instead: the scenes and attacks of all rounds of the game

    @field_validator("name")
    @classmethod
    def _free(cls, name: str) -> str:
        taken = ("base", "warm_up", "clean_rl", "sft_scripted", "clean", "scripted")
        if name in taken or name.startswith(("iteration_", "best_response")):
            raise ValueError("a player of every run has this name")
        return name

    @model_validator(mode="after")
    def _one_source(self) -> BaselineSettings:
        if self.attacks and self.same_attacks:
            raise ValueError("`attacks` are on fresh scenes, and `same_attacks` has none")
        return self


