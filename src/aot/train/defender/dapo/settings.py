"""DAPO's settings and its result, shared by both engines; the published values are `paper_dapo()`."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from aot.errors import AotError
from aot.rl.rewards import DefenderReward
from aot.runs.limits import Warm


class TrlOptions(BaseModel, frozen=True, extra="forbid"):
    """What only the TRL engine needs: how a batch is split and what carries it. All *ours*."""

    completions_per_forward: int = Field(32, gt=0)  # per device; of other numbers their common divisor with what it has
    bf16: bool = False
    vllm: Literal["off", "colocate", "server"] = "off"
    vllm_memory: float = Field(0.3, gt=0, lt=1)  # of colocate: share of a GPU's memory; TRL's default
    vllm_max_model_len: int = Field(0, ge=0)  # of colocate: tokens of prompt and answer; 0: the model's own limit
    checkpoint_every: int = Field(50, gt=0)  # updates


class DapoSettings(BaseModel, frozen=True, extra="forbid"):
    """The defender's RL. Values tagged *ours* are the miniature's; `paper_dapo()` has the published ones."""

    engine: Literal["packed", "trl"] = "packed"
    updates: int = Field(200, gt=0)  # ours
    groups: int = Field(32, gt=0)  # ours: informative groups an update
    group_size: int = Field(16, gt=1)  # ours: answers to a prompt (AOT release: 5)
    max_draws: int = Field(8, gt=0)  # ours: draws of `groups` prompts before an update goes on with fewer
    group_filter: Literal["variance", "mean_range"] = "variance"  # DAPO 3.2; AOT release: mean_range
    temperature: Warm = 1.0  # AOT release
    max_completion_tokens: int | None = Field(None, gt=0)  # none: as many as the defender may say elsewhere
    mask_truncated: bool = True  # DAPO 3.4, overlong filtering
    learning_rate: float = Field(1e-3, gt=0, le=10)  # ours (AOT release: 1e-6)
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
        if self.max_completion_tokens and self.reward.overlong_cache_tokens >= self.max_completion_tokens:
            raise ValueError("reward.overlong_cache_tokens must be below max_completion_tokens")
        return self

    @property
    def key(self) -> dict[str, Any]:
        """What a trained defender depends on; without the reward of abstaining where that is off."""
        places = {"trl": {"vllm_memory", "vllm_max_model_len"}}
        return self.model_dump(exclude=places) | {"reward": self.reward.key}

    @property
    def limit(self) -> int:
        """Tokens of a completion, once that is known (`limited`)."""
        assert self.max_completion_tokens is not None
        return self.max_completion_tokens

    def trls_forward(self, ranks: int = 1) -> int:
        """Completions that TRL's engine puts through the network at once on each rank: a divisor of what it has."""
        return gcd(self.trl.completions_per_forward, self.groups * self.group_size // ranks)

    def limited(self, most: int) -> DapoSettings:
        """With a limit of completions: its own, or `most`, the defender's. Raises `AotError` where the cache of the
        overlong punishment does not fit below it."""
        if self.max_completion_tokens is None and self.reward.overlong_cache_tokens >= most:
            what = f"must be below the length of an answer, which is {most} tokens"
            hint = "raise players.defender.max_new_tokens"
            raise AotError(what, where="dapo.reward.overlong_cache_tokens", hint=hint)
        return self.model_copy(update={"max_completion_tokens": self.max_completion_tokens or most})


def paper_dapo() -> DapoSettings:
    """The AOT release's values for Qwen2.5-VL-7B (method section 3)."""
    # ours; a limit, since the model's own of 128,000 tokens would have to fit into vLLM's share
    trl = TrlOptions(completions_per_forward=1, bf16=True, vllm="colocate", vllm_max_model_len=8192)
    return DapoSettings(
        engine="trl",
        groups=128,  # AOT release: rollout batch 128
        group_size=5,  # AOT release: n = 5
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
