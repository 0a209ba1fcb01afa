"""DAPO for the defender: settings, prompt stream, rewards of a group. Two engines share them.

Source: Yu et al. 2025, arXiv 2503.14476 (decoupled clip, no KL and no reference model, token-level loss,
dynamic sampling, soft overlong punishment); rewards and sizes as in the AOT release.

`packed` (`dapo_packed`) is *ours* for models that fit on one device: every prompt is read once, answers that
are equal within a group are computed once. `trl` (`dapo_trl`) is TRL's GRPOTrainer with dynamic sampling, for
full-size models, several GPUs and vLLM. On the same completions both give the same loss and gradients.

Departures: the release filters groups by mean accuracy in (0.01, 0.99), which keeps groups whose rewards are
all 0.8; here groups are filtered by variance, and the mean rule is a named compatibility mode.

Questions with options are verified, with or without a judge. To those without (*ours*; the release asks only questions
that can be verified) a judge's probability that an answer says the same as the reference stands for being right: the
accuracy term is that probability times `reward.accuracy`. So there is no weight of its own to set, and rows of both
kinds mix.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, model_validator

from aot.answers import final_answer, parse_answer
from aot.data.curriculum import CurriculumRow
from aot.errors import AotError
from aot.judge import Judge, without_judge
from aot.rl.rewards import UNREAD, DefenderReward, defender_reward
from aot.types import Question

if TYPE_CHECKING:
    from aot.checkpoints import Checkpoint
    from aot.players.defender import QwenDefender
    from aot.train_log import TrainLog

MEAN_RANGE = (0.01, 0.99)
"""Bounds of the release's group filter, on the mean reward over its maximum."""


class TrlOptions(BaseModel, frozen=True, extra="forbid"):
    """What only the TRL engine needs: how a batch is split and what carries it. All *ours*."""

    completions_per_forward: int = Field(32, gt=0)  # per device; a divisor of groups x group_size
    bf16: bool = False
    gradient_checkpointing: bool = False
    vllm: Literal["off", "colocate", "server"] = "off"
    lora_rank: int = Field(0, ge=0)  # 0 trains all weights
    checkpoint_every: int = Field(50, gt=0)  # updates


class DapoSettings(BaseModel, frozen=True, extra="forbid"):
    """The defender's RL. Values tagged *ours* are the miniature's; `paper_dapo()` has the published ones."""

    engine: Literal["packed", "trl"] = "packed"
    updates: int = Field(200, gt=0)  # ours
    groups: int = Field(32, gt=0)  # ours: informative groups an update
    group_size: int = Field(16, gt=1)  # ours: answers to a prompt (AOT release: 5)
    max_draws: int = Field(8, gt=0)  # ours: draws of `groups` prompts before an update goes on with fewer
    group_filter: Literal["variance", "mean_range"] = "variance"  # DAPO 3.2; AOT release: mean_range
    temperature: float = Field(1.0, gt=0)  # AOT release
    max_completion_tokens: int = Field(16, gt=0)  # ours (AOT release: 4096)
    mask_truncated: bool = True  # DAPO 3.4, overlong filtering
    learning_rate: float = Field(1e-3, gt=0)  # ours (AOT release: 1e-6)
    warmup_updates: int = Field(10, ge=0)  # ours
    schedule: Literal["linear", "constant"] = "linear"  # ours: after the warm-up
    weight_decay: float = Field(0.0, ge=0)  # ours
    max_grad_norm: float = Field(1.0, gt=0)  # ours
    clip_low: float = Field(0.2, gt=0, lt=1)  # DAPO 4.1: "eps_low to 0.2"
    clip_high: float = Field(0.28, gt=0)  # DAPO 4.1: "eps_high to 0.28"
    entropy_coef: float = Field(0.02, ge=0)  # ours: keeps informative groups coming
    advantage_std: Literal["group", "batch"] = "group"  # GRPO
    ema: float = Field(0.0, ge=0, lt=1)  # ours: the weights kept at the end are averaged; 0 keeps the last ones
    reward: DefenderReward = DefenderReward()
    trl: TrlOptions = TrlOptions()

    @model_validator(mode="after")
    def _fits(self) -> DapoSettings:
        if self.reward.overlong_cache_tokens >= self.max_completion_tokens:
            raise ValueError("reward.overlong_cache_tokens must be below max_completion_tokens")
        return self


def paper_dapo() -> DapoSettings:
    """The AOT release's values for Qwen2.5-VL-7B (method section 3)."""
    trl = TrlOptions(completions_per_forward=1, bf16=True, gradient_checkpointing=True, vllm="colocate")
    return DapoSettings(
        engine="trl",
        groups=128,  # AOT release: rollout batch 128
        group_size=5,  # AOT release: n = 5
        max_completion_tokens=4096,  # AOT release
        learning_rate=1e-6,  # AOT release
        entropy_coef=0.0,
        weight_decay=0.01,  # EasyR1's default, which the release builds on
        trl=trl,
    )


@dataclass(frozen=True, slots=True)
class DapoResult:
    """`updates` made; `stopped` says why it ended before `settings.updates` ("" where it did not)."""

    updates: int
    stopped: str = ""


NO_SIGNAL = "no informative group left: all answers to every drawn prompt were rewarded alike"


def train_dapo(
    defender: QwenDefender,
    rows: Sequence[CurriculumRow],
    settings: DapoSettings,
    *,
    seed: int,
    judge: Judge | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> DapoResult:
    """Trains `defender` in place on `rows` with the engine that the settings name.

    Ends early, with a reason, where no prompt gives a learning signal any more: that is a normal end. `judge` says
    whether answers to questions without options are right; it must be another player. Raises `AotError` where it is
    needed and missing, or the one that learns.
    """
    assert rows, "DAPO needs at least one row"
    if judge is None and (free := next((row for row in rows if not row.question.options), None)):
        raise without_judge(f"the question of {free.scene_id!r} has no options, so a judge has to mark its answers")
    if judge is not None and judge.reader is defender:
        raise AotError("a defender that learns cannot be its own judge", where="DAPO", hint="load it a second time")
    if settings.engine == "packed":
        from aot.train.dapo_packed import train_packed

        return train_packed(defender, rows, settings, seed=seed, judge=judge, checkpoint=checkpoint, log=log)
    from aot.train.dapo_trl import train_trl

    folder: Path | None = checkpoint.folder if checkpoint else None
    return train_trl(defender, rows, settings, seed=seed, judge=judge, folder=folder, log=log)


class PromptStream:
    """Endless row numbers: every epoch a new permutation. Its whole state is `position`."""

    def __init__(self, rows: int, seed: int, position: int = 0):
        assert rows > 0
        self.rows, self.seed, self.position = rows, seed, position

    def take(self, count: int) -> list[int]:
        """The next `count` row numbers."""
        taken: list[int] = []
        while len(taken) < count:
            epoch, start = divmod(self.position, self.rows)
            order = np.random.default_rng([self.seed, 0xDA, epoch]).permutation(self.rows)
            part = order[start : start + count - len(taken)].tolist()
            taken += part
            self.position += len(part)
        return taken


def completion_reward(
    text: str,
    question: Question,
    settings: DapoSettings,
    *,
    length_tokens: int,
    truncated: bool,
    judged: float = math.nan,
) -> dict[str, float]:
    """Breakdown {reward, accuracy, format, overlong} of one completion (its text without special tokens). To a question
    without options also "judge/unread": 1 where it was finished and `judged` is nan."""
    answer = parse_answer(text, question.options, truncated=truncated)
    limit = settings.max_completion_tokens
    parts = defender_reward(
        answer, question, settings.reward, length_tokens=length_tokens, max_tokens=limit, judged=judged
    )
    return parts if question.options else parts | {UNREAD: float(math.isnan(judged) and not truncated)}


def judge_answers(
    judge: Judge | None, rows: Sequence[CurriculumRow], given: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], float]:
    """Of each (row number, completion's text) that answers a question without options the judge's probability that it
    says the same as the reference, nan where that could not be read.

    One batch; equal answers to a row are asked about once, and nothing is 0 without asking. Nothing is remembered from
    one call to the next: a training that resumes asks exactly what it would have asked.
    """
    free = list(dict.fromkeys((row, text) for row, text in given if not rows[row].question.options))
    said = {(row, text): (row, final_answer(text)) for row, text in free}
    asked = list(dict.fromkeys(key for key in said.values() if key[1]))
    scores = dict.fromkeys(said.values(), 0.0)
    if asked:
        assert judge is not None, "checked before the training"
        fields = [
            {"question": rows[row].question.text, "answer": rows[row].question.reference, "given": answer}
            for row, answer in asked
        ]
        marks = judge.score("answer_correct", [rows[row].image for row, _ in asked], fields)
        scores |= dict(zip(asked, marks.tolist(), strict=True))
    return {key: scores[answer] for key, answer in said.items()}


def informative_groups(rewards: Any, settings: DapoSettings) -> Any:
    """Which groups dynamic sampling keeps: tensor or array `[groups, group_size]` -> bool `[groups]`.

    By the rewards themselves, never by the advantages: rounding can leave equal rewards an advantage of 1e-3.
    """
    if settings.group_filter == "variance":
        spread: Any = rewards.max(-1) if isinstance(rewards, np.ndarray) else rewards.amax(-1)
        least: Any = rewards.min(-1) if isinstance(rewards, np.ndarray) else rewards.amin(-1)
        return spread - least > 1e-6
    best = settings.reward.accuracy + settings.reward.format
    mean = rewards.mean(-1) / best
    return (mean > MEAN_RANGE[0]) & (mean < MEAN_RANGE[1])
