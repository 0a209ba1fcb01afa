"""DAPO by TRL's GRPOTrainer.

Works on one CPU, and through accelerate / torchrun on several GPUs; every rank needs whole groups.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import PrinterCallback
from trl.rewards import get_soft_overlong_punishment

from aot.data.episodes.curriculum import CurriculumRow
from aot.game.judge import Judge
from aot.players.load_errors import no_future_warnings
from aot.rl.rewards import ABSTAIN
from aot.runs import ranks
from aot.train.defender.dapo.prompt_stream import PromptStream
from aot.train.defender.dapo.settings import DapoResult, DapoSettings
from aot.train.defender.dapo.trl.callbacks import (
    AverageCallback,
    LogCallback,
    MarkWhole,
    ProgressCallback,
    SkipBadUpdate,
)
from aot.train.defender.dapo.trl.checkpoints import newest_whole
from aot.train.defender.dapo.trl.config import CompletionRewards, RewardPart, trl_config
from aot.train.defender.dapo.trl.sharded import check_shardable, gather_weights, is_sharded
from aot.train.defender.dapo.trl.trainer import DapoTrainer

if TYPE_CHECKING:
    from aot.players.defender.trained import TrainedDefender
    from aot.runs.train_log import TrainLog


def train_trl(
    defender: TrainedDefender,
    rows: Sequence[CurriculumRow],
    settings: DapoSettings,
    *,
    seed: int,
    judge: Judge | None = None,
    folder: Path | None = None,
    log: TrainLog | None = None,
) -> DapoResult:
    """Trains in place. With a `folder`, TRL keeps its checkpoints there and a killed training resumes."""
    with tempfile.TemporaryDirectory() as scratch, no_future_warnings():
        where = folder or Path(scratch)
        trainer = build_trainer(
            defender, rows, settings, seed=seed, judge=judge, folder=where, keep=folder is not None, log=log
        )
        if sharded := is_sharded(trainer):
            check_shardable(defender, settings)
        average = AverageCallback(trainer) if settings.ema else None
        if average:
            trainer.add_callback(average)
        progress = ProgressCallback()
        trainer.add_callback(progress)
        trainer.add_callback(MarkWhole())  # the last to be told, so that all is there when it writes
        found = newest_whole(folder) if folder and ranks.is_main() else None
        resume = ranks.share(str(found) if found else None)
        try:
            trainer.train(resume_from_checkpoint=resume)
            if average:
                average.weights.copy_to(average.parameters)
        finally:
            progress.close()
            defender.model.__dict__.pop("forward", None)  # TRL's fused LM head patches the instance
            defender.model.eval()
        if sharded:
            gather_weights(trainer, defender, where)
        if trainer.stopped and log:
            log.stop(trainer.stopped)
        # TRL counts the step that found nothing, unless it was broken off between two of its forward passes.
        return DapoResult(trainer.made if trainer.stopped else trainer.state.global_step, trainer.stopped)


def build_trainer(
    defender: TrainedDefender,
    rows: Sequence[CurriculumRow],
    settings: DapoSettings,
    *,
    seed: int,
    folder: Path,
    judge: Judge | None = None,
    keep: bool = False,
    log: TrainLog | None = None,
) -> DapoTrainer:
    """The trainer, ready to run (`keep`: with checkpoints in `folder`); a test calls its loss."""
    processor = defender.processor
    defender.begin_training(seed=seed)
    # huggingface/trl#5785: otherwise a VLM's gradients are silently wrong.
    processor.tokenizer.padding_side = "left"
    args = trl_config(defender, settings, seed=seed, folder=folder, keep=keep)
    end_ids = {*defender.eos_ids.tolist(), processor.tokenizer.pad_token_id}
    completion_rewards = CompletionRewards(rows, settings, judge, sorted(end_ids))
    rewards: list[Any] = [RewardPart(part, completion_rewards) for part in ("accuracy", "format")]
    weights = [1.0, 1.0]
    if settings.reward.abstain:
        rewards.append(RewardPart(ABSTAIN, completion_rewards))
        weights.append(1.0)
    if settings.reward.overlong_cache_tokens:
        cache = settings.reward.overlong_cache_tokens
        rewards.append(get_soft_overlong_punishment(settings.limit, cache))
        weights.append(settings.reward.overlong_weight)
    args.reward_weights = weights
    # The prompts come from the stream; TRL's sampler only has to deliver batches of the right length.
    batch = settings.groups * settings.group_size
    placeholder = Dataset.from_dict({"prompt": [[{"role": "user", "content": ""}]] * batch})
    trainer = DapoTrainer(
        rows,
        settings,
        PromptStream(len(rows), seed),
        completion_rewards,
        defender.picture,
        defender.prompt,
        model=defender.adapters.peft if defender.adapters else defender.model,
        reward_funcs=rewards,
        args=args,
        train_dataset=placeholder,
        processing_class=processor,
    )
    if defender.adapters:  # TRL rounds those over quantised weights to bfloat16, where small updates are lost
        for parameter in defender.adapters.parameters.values():
            parameter.data = parameter.data.float()
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(SkipBadUpdate(trainer))
    if log:
        trainer.add_callback(LogCallback(log))
    return trainer
