"""Our settings and rewards in TRL's terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trl import GRPOConfig

from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.game.judge import Judge
from aot.rl.rewards import UNPARSED
from aot.train.defender.dapo.rewards import completion_reward, judge_answers
from aot.train.defender.dapo.settings import DapoSettings

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender


class CompletionRewards:
    """`completion_reward` of a batch of completions, worked out once for all its parts: a judge is asked once.
    `unparsed` counts the answers of which its word could not be read; who logs it sets it back."""

    def __init__(
        self, rows: Sequence[CurriculumRow], settings: DapoSettings, judge: Judge | None, end_ids: Sequence[int]
    ):
        self.rows, self.settings, self.judge, self.end_ids = rows, settings, judge, frozenset(end_ids)
        self.unparsed = 0
        self._batch: tuple[object, ...] = ()
        self._rewards: list[dict[str, float]] = []

    def of(self, texts: Sequence[str], ids: Sequence[Sequence[int]], rows: Sequence[int]) -> list[dict[str, float]]:
        """One breakdown a completion; `rows[i]` is the number of its row."""
        batch = (tuple(map(tuple, ids)), tuple(rows))
        if batch != self._batch:
            self._batch, self._rewards = batch, self._made(texts, ids, rows)
            self.unparsed += int(sum(parts.get(UNPARSED, 0.0) for parts in self._rewards))
        return self._rewards

    def _made(self, texts: Sequence[str], ids: Sequence[Sequence[int]], rows: Sequence[int]) -> list[dict[str, float]]:
        cut = [one[-1] not in self.end_ids for one in ids]
        finished = [(row, text) for row, text, truncated in zip(rows, texts, cut, strict=True) if not truncated]
        judged = judge_answers(self.judge, self.rows, finished)
        return [
            completion_reward(
                text,
                self.rows[row].question,
                self.settings,
                length_tokens=len(one),
                truncated=truncated,
                judged=judged.get((row, text), math.nan),
            )
            for text, one, row, truncated in zip(texts, ids, rows, cut, strict=True)
        ]


class RewardPart:
    """One part of the defender's reward ("accuracy", "format") as a TRL reward function; TRL logs each."""

    def __init__(self, part: str, completion_rewards: CompletionRewards):
        self.__name__ = part
        self.part, self.completion_rewards = part, completion_rewards

    def __call__(
        self, completions: list[Any], completion_ids: list[list[int]], row: list[int], **_: Any
    ) -> list[float]:
        """One number a completion. `row` is the column of the rows' numbers."""
        texts = [message[0]["content"] for message in completions]
        return [parts[self.part] for parts in self.completion_rewards.of(texts, completion_ids, row)]


def trl_config(
    defender: TrainedDefender, settings: DapoSettings, *, seed: int, folder: Path, keep: bool
) -> GRPOConfig:
    """TRL's settings for ours. One generation an update, so that checkpoints lie between generations."""
    options = settings.trl
    on_cpu = defender.device.type == "cpu"
    world = GRPOConfig(output_dir=str(folder), use_cpu=on_cpu, bf16=False, report_to="none").world_size
    completions = settings.groups * settings.group_size
    forward = settings.trls_forward(world)
    if completions % world or (completions // world) % settings.group_size:
        raise AotError(
            f"{settings.groups} groups cannot be shared by {world} processes in whole groups",
            where="dapo.groups",
            hint=f"choose a multiple of {world}",
        )
    return GRPOConfig(
        output_dir=str(folder),
        seed=seed,
        max_steps=settings.updates,
        per_device_train_batch_size=forward,
        gradient_accumulation_steps=completions // world // forward,
        num_generations=settings.group_size,
        max_completion_length=settings.limit,
        temperature=settings.temperature,
        generation_kwargs={"suppress_tokens": defender.suppressed_ids} if defender.suppressed_ids else None,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="linear" if settings.schedule == "linear" else "constant_with_warmup",
        warmup_steps=settings.warmup_updates,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        loss_type="dapo",
        epsilon=settings.clip_low,
        epsilon_high=settings.clip_high,
        beta=0.0,
        entropy_coef=settings.entropy_coef,
        scale_rewards=settings.advantage_std,
        mask_truncated_completions=settings.mask_truncated,
        use_cpu=on_cpu,
        bf16=options.bf16,
        gradient_checkpointing=defender.checkpointing,
        use_vllm=options.vllm != "off",
        vllm_mode=options.vllm if options.vllm != "off" else "colocate",
        vllm_gpu_memory_utilization=options.vllm_memory,
        vllm_max_model_length=options.vllm_max_model_len or None,
        save_strategy="steps" if keep else "no",
        save_steps=options.checkpoint_every,
        save_total_limit=2,  # the one before stands until the newest is whole
        logging_steps=1,
        logging_nan_inf_filter=False,  # which shows the mean of earlier losses in place of one that is not finite
        report_to="none",
        disable_tqdm=True,
    )
