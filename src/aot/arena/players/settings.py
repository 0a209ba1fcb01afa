"""What the arena plays beyond its runs: scripted attacks, query budgets, fresh best responses. All *ours*."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from aot.attacks.strengths import Strengths
from aot.attacks.white_box.settings import PixelAttackSettings
from aot.runs.limits import Threads
from aot.runs.overrides import overridden


class ArenaSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of one arena."""

    threads: Threads = 1  # CPU threads: part of what makes figures bit-reproducible
    scenes: int = Field(0, ge=0)  # of the held-out scenes, only the first; 0: all
    draws: int = Field(16, ge=1, le=1024)  # tries of an attacker on a scene; success is reported against 1, 2, 4, ...
    budget_scenes: int = Field(64, gt=0)  # the first scenes, which are attacked more than once
    best_response_updates: int = Field(0, ge=0)  # of a fresh attacker, trained against each defender alone; 0: none
    confidence: bool = False  # of each answer in the matrix, too: a pass an option more
    bootstrap: int = Field(1000, ge=100, le=100_000)  # resamples of a paired difference
    game_bootstrap: int = Field(200, ge=0, le=100_000)  # resamples of the scenes for the game's value; 0: no interval
    strengths: Strengths = Strengths()  # of the families of attacks without a model
    pixels: PixelAttackSettings = PixelAttackSettings()  # of white-box attacks, where --attacks names some
    gallery: int = Field(3, ge=0, le=48)  # pairs shown of each attacker

    @property
    def budgets(self) -> list[int]:
        """1, 2, 4, ... up to `draws`, which is always the last."""
        powers = [2**n for n in range(self.draws.bit_length()) if 2**n < self.draws]
        return [*powers, self.draws]


def arena_settings(overrides: Sequence[str]) -> ArenaSettings:
    """The settings with overrides like "draws=8". Raises `AotError` that names a bad one."""
    return overridden(ArenaSettings, ArenaSettings().model_dump(), overrides, where="arena")
