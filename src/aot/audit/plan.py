"""The plan of an audit: what it will ask, in which order, and how much that is, decided before the first question.

The clean question of every scene comes first, then a draw of every attack on one scene after the other, then the next
draw. A budget is spent on as many scenes as it can pay the clean question and one draw of each attack for; what is left
goes into further draws on them, and at last into further scenes. The order depends on the seed and the data only, never
on answers: an audit that was cut short has asked the beginning of the same list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from aot.attacks.base.family import Family
from aot.attacks.strengths import Strengths
from aot.attacks.white_box.settings import PixelAttackSettings
from aot.backends.base.backend import Sampling
from aot.backends.openai.pauses import LONGEST_WAIT_S
from aot.forge.objects import FOR_ATTACKS
from aot.forge.photo_source import PhotoSettings
from aot.game.referee import RefereeSettings
from aot.report.words import duration
from aot.runs.limits import Threads

CLEAN = ""
"""In place of an attack's name: the image as it is."""
Turn = tuple[int, Family | None, int]
"""(scene, attack or None for the clean image, draw)."""


class Connection(BaseModel, frozen=True, extra="forbid"):
    """How the model is reached: changes no answer. `batch`, `device`: in this process; the rest: behind a URL."""

    batch: int | None = Field(None, gt=0)
    device: str | None = None
    concurrency: int = Field(8, gt=0, le=1024)
    requests_per_minute: float | None = Field(None, ge=0.001)
    timeout: float = Field(60, gt=0, le=86_400)  # seconds
    attempts: int = Field(6, gt=0)
    longest_wait_s: float = Field(LONGEST_WAIT_S, ge=0, le=604_800)  # that the server may ask for
    api_key_env: str = "OPENAI_API_KEY"


class AuditSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that an audit depends on besides the model and the data; values *ours*."""

    seed: int = Field(0, ge=0)
    threads: Threads = 1  # CPU threads; part of what makes an audit bit-reproducible
    draws: int = Field(4, ge=1, le=32)  # of each attack on each scene: the largest query budget
    side_px: int = Field(1024, ge=32, le=8192)  # longer sides of photos are reduced to this
    world_scenes: int = Field(200, gt=0)  # drawn where the data is the miniature world
    corruption_ssim_min: float = Field(0.4, ge=-1, le=1)  # below it a corrupted image cannot be asked about
    gallery: int = Field(24, ge=0, le=48)  # pairs on the page
    confidence: bool = False  # probabilities are asked for, too: a pass an option more for a model in this process
    abstain: bool = False  # the prompt offers not to answer: what a defender that was trained so is used to
    strengths: Strengths = Strengths()
    pixels: PixelAttackSettings = PixelAttackSettings()  # of the white-box attacks, where some are chosen
    photos: PhotoSettings = FOR_ATTACKS
    referee: RefereeSettings = RefereeSettings()
    sampling: Sampling = Sampling()
    connection: Connection = Connection()


@dataclass(frozen=True, slots=True)
class Plan:
    """`requests`: at most so many questions, stored ones included; attacks that are impossible or unfair are not asked.
    `stored`: replies that the folder already has. `seconds_each`: what one took so far, None where nothing is known."""

    images: int
    questions: int
    attacks: int
    draws: int
    requests: int
    budget: int | None = None
    stored: int = 0
    seconds_each: float | None = None

    def lines(self) -> list[str]:
        full = self.questions * (1 + self.attacks * self.draws)
        told = [
            f"{self.images} images, {self.questions} questions, {self.attacks} attacks x {self.draws} draws",
            f"at most {self.requests} requests"
            + (f" (--budget; all would be {full})" if self.requests < full else "")
            + (f", {self.stored} replies stored already" if self.stored else ""),
        ]
        if self.seconds_each:
            left = max(0, self.requests - self.stored)
            told.append(f"at {self.seconds_each:.2g} s an answer so far: about {duration(left * self.seconds_each)}")
        return told


def plan_of(
    images: int,
    questions: int,
    panel: Sequence[Family],
    draws: int,
    budget: int | None,
    *,
    stored: int = 0,
    seconds_each: float | None = None,
) -> Plan:
    full = questions * (1 + len(panel) * draws)
    requests = full if budget is None else min(budget, full)
    return Plan(images, questions, len(panel), draws, requests, budget, stored, seconds_each)


def turns(questions: int, panel: Sequence[Family], draws: int, budget: int | None) -> Iterator[Turn]:
    """Every question that may be asked, in order. The caller counts, and stops at the budget."""
    at_once = questions if budget is None else min(questions, max(1, budget // (1 + len(panel))))
    for start in range(0, questions, max(1, at_once)):
        block = range(start, min(start + at_once, questions))
        yield from ((scene, None, 0) for scene in block)
        for draw in range(draws):
            for scene in block:
                yield from ((scene, attack, draw) for attack in panel)
