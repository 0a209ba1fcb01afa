"""DAPO by TRL's GRPOTrainer, plus what TRL 1.16 lacks: dynamic sampling with a resumable prompt stream.

The subclass calls `super()` in a loop and never copies TRL's method (huggingface/trl#3708, #3973, #4764).
Works on one CPU, and through accelerate / torchrun on several GPUs; every rank needs whole groups.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from PIL import Image as PilImage
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback
from trl import GRPOTrainer
from trl.rewards import get_soft_overlong_punishment

from aot.data.curriculum import CurriculumRow
from aot.game.judge import Judge
from aot.prompts import question_prompt
from aot.rl.rewards import UNPARSED
from aot.train.defender.prompt_stream import PromptStream
from aot.train.defender.rewards import informative_groups
from aot.train.defender.settings import NO_SIGNAL, DapoResult, DapoSettings
from aot.train.defender.trl_batches import Batch, masked, members, merge, select
from aot.train.defender.trl_config import CompletionRewards, RewardPart, lora_config, trl_config
from aot.train.weight_average import WeightAverage

if TYPE_CHECKING:
    from aot.players.defender import QwenDefender
    from aot.runs.train_log import TrainLog

STREAM_FILE, AVERAGE_FILE = "prompt_stream.json", "weight_average.safetensors"


class DapoTrainer(GRPOTrainer):
    """GRPOTrainer that draws its prompts from a `PromptStream` and keeps only informative groups."""

    def __init__(
        self,
        rows: Sequence[CurriculumRow],
        settings: DapoSettings,
        stream: PromptStream,
        completion_rewards: CompletionRewards,
        **kwargs: Any,
    ):
        self.rows, self.settings, self.stream = rows, settings, stream
        self.completion_rewards = completion_rewards
        self.stopped, self.made = "", 0
        self._group_rewards: Tensor | None = None
        super().__init__(**kwargs)

    def _generate_and_score_completions(self, inputs: list[Batch]) -> Batch:
        """Draws until every rank has enough informative groups or `max_draws` is reached; then masked ones
        fill the places of the missing: the shape stays, loss and entropy do not see them."""
        needed = len(inputs) // self.settings.group_size
        parts: list[Batch] = []
        have, drawn, informative = 0, 0, 0
        for _ in range(self.settings.max_draws):
            batch = super()._generate_and_score_completions(self._draw(needed))
            kept = self._informative(needed)
            parts.append(select(batch, members(kept[: needed - have], self.settings.group_size)))
            have, drawn, informative = min(needed, have + len(kept)), drawn + needed, informative + len(kept)
            if self._everywhere(have, torch.amin) >= needed:
                break
        if self._everywhere(have, torch.amax) == 0:
            self.stopped, self.made = NO_SIGNAL, self.state.global_step
            self.control.should_training_stop = True
        if have < needed:
            spare = members(list(range(needed - have)), self.settings.group_size)
            parts.append(masked(select(batch, spare)))
        merged = merge(parts, int(self._tokenizer.pad_token_id))
        tokens = merged["completion_mask"].sum()
        merged["num_items_in_batch"] = self.accelerator.gather(tokens).sum()
        self._metrics["train"]["informative"].append(informative / drawn)
        self._metrics["train"]["draws"].append(len(parts))
        if self.completion_rewards.judge:
            self._metrics["train"][UNPARSED].append(self._everywhere(self.completion_rewards.unparsed, torch.sum))
            self.completion_rewards.unparsed = 0
        return merged

    def _draw(self, prompts: int) -> list[Batch]:
        """This rank's share of the next draw: `prompts` rows, each `num_generations` times in a row."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        mine = self.stream.take(prompts * world)[rank * prompts : (rank + 1) * prompts]
        inputs = []
        for index in mine:
            row = self.rows[index]
            prompt = [{"role": "user", "content": question_prompt(row.question)}]
            image = PilImage.fromarray(row.image)
            one = {"prompt": prompt, "image": image, "question": row.question, "row": index}
            inputs += [one] * self.settings.group_size
        return inputs

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        per_function: Tensor = super()._calculate_rewards(*args, **kwargs)
        weights = self.reward_weights.to(per_function.device)
        self._group_rewards = (per_function * weights).nansum(1).view(-1, self.settings.group_size)
        return per_function

    def _informative(self, groups: int) -> list[int]:
        """This rank's informative groups of the last draw."""
        assert self._group_rewards is not None
        start = self.accelerator.process_index * groups
        keep = informative_groups(self._group_rewards[start : start + groups], self.settings)
        return [i for i, flag in enumerate(keep.tolist()) if flag]

    def _everywhere(self, value: int, reduce: Any) -> int:
        """`reduce` of a number over all ranks, so that they stop drawing together."""
        mine = torch.tensor([value], device=self.accelerator.device)
        return int(reduce(self.accelerator.gather(mine)))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            (folder / STREAM_FILE).write_text(json.dumps({"position": self.stream.position}))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Transformers 5 saves Qwen2.5-VL under its hub names, which the stock method does not recognise: it
        warns and goes on with the weights as they are. `from_pretrained` renames them back."""
        target = self.accelerator.unwrap_model(self.model) if model is None else model
        if self.is_fsdp_enabled or self.is_deepspeed_enabled or not isinstance(target, PreTrainedModel):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(target).from_pretrained(resume_from_checkpoint, dtype=target.dtype)
        target.load_state_dict(saved.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.stream.position = json.loads((Path(checkpoint) / STREAM_FILE).read_text())["position"]


def train_trl(
    defender: QwenDefender,
    rows: Sequence[CurriculumRow],
    settings: DapoSettings,
    *,
    seed: int,
    judge: Judge | None = None,
    folder: Path | None = None,
    log: TrainLog | None = None,
) -> DapoResult:
    """Trains in place. With a `folder`, TRL keeps its checkpoints there and a killed training resumes."""
    with tempfile.TemporaryDirectory() as scratch:
        where = folder or Path(scratch)
        trainer = build_trainer(
            defender, rows, settings, seed=seed, judge=judge, folder=where, keep=folder is not None, log=log
        )
        average = _AverageCallback(trainer) if settings.ema else None
        if average:
            trainer.add_callback(average)
        resume = folder is not None and any(folder.glob("checkpoint-*"))
        try:
            trainer.train(resume_from_checkpoint=resume or None)
            if average:
                average.weights.copy_to(average.parameters)
        finally:
            defender.model.__dict__.pop("forward", None)  # TRL's fused LM head patches the instance
            defender.model.eval()
        if settings.trl.lora_rank:
            defender.model = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
        if trainer.stopped and log:
            log.stop(trainer.stopped)
        # TRL counts the step that found nothing, unless it was broken off between two of its forward passes.
        return DapoResult(trainer.made if trainer.stopped else trainer.state.global_step, trainer.stopped)


def build_trainer(
    defender: QwenDefender,
    rows: Sequence[CurriculumRow],
    settings: DapoSettings,
    *,
    seed: int,
    folder: Path,
    judge: Judge | None = None,
    keep: bool = False,
    log: TrainLog | None = None,
) -> DapoTrainer:
    """The trainer, ready to run (`keep`: with checkpoints in `folder`); a law calls its loss."""
    processor, model = defender.processor, defender.model
    # huggingface/trl#5785: otherwise a VLM's gradients are silently wrong.
    processor.tokenizer.padding_side = "left"
    args = trl_config(defender, settings, seed=seed, folder=folder, keep=keep)
    end_ids = {*defender.eos_ids.tolist(), processor.tokenizer.pad_token_id}
    completion_rewards = CompletionRewards(rows, settings, judge, sorted(end_ids))
    rewards: list[Any] = [RewardPart(part, completion_rewards) for part in ("accuracy", "format")]
    weights = [1.0, 1.0]
    if settings.reward.overlong_cache_tokens:
        cache = settings.reward.overlong_cache_tokens
        rewards.append(get_soft_overlong_punishment(settings.max_completion_tokens, cache))
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
        model=model,
        reward_funcs=rewards,
        args=args,
        train_dataset=placeholder,
        processing_class=processor,
        peft_config=lora_config(settings),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_SkipEmptyUpdate(trainer))
    if log:
        trainer.add_callback(_LogCallback(log))
    return trainer


class _SkipEmptyUpdate(TrainerCallback):
    """Without gradients an optimizer leaves the weights alone; with zeros it would follow its momentum."""

    def __init__(self, trainer: DapoTrainer):
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.stopped:
            assert self.trainer.model is not None
            self.trainer.model.zero_grad(set_to_none=True)


class _AverageCallback(TrainerCallback):
    """`DapoSettings.ema`: the mean of the trained weights, kept beside TRL's checkpoints."""

    def __init__(self, trainer: DapoTrainer):
        self.trainer = trainer
        model = trainer.accelerator.unwrap_model(trainer.model)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.weights = WeightAverage(self.parameters, trainer.settings.ema, warmup=2)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:
            saved = load_file(self._file(args, state))
            updates = int(saved.pop("updates"))
            values = [saved[str(i)] for i in range(len(saved))]
            self.weights.load_state_dict({"updates": updates, "values": values})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.trainer.stopped:
            self.weights.update(self.parameters)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.should_save:
            values = {str(i): value.contiguous() for i, value in enumerate(self.weights.values)}
            save_file(values | {"updates": torch.tensor(self.weights.updates)}, self._file(args, state))

    @staticmethod
    def _file(args: Any, state: Any) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}" / AVERAGE_FILE


class _LogCallback(TrainerCallback):
    """TRL's metrics to our log, a line an update, in the words that the packed engine uses."""

    def __init__(self, log: TrainLog):
        self.log = log

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.log.resume(state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if logs and logs.get("informative"):
            best = {
                "rewards/accuracy/mean": "accuracy_reward",
                "grad_norm": "grad_norm",
                "entropy": "entropy",
            }
            named = {ours: logs.get(theirs) for theirs, ours in best.items()}
            same = {
                name: logs.get(name) for name in ("reward", "informative", "draws", "loss", "learning_rate")
            }
            same |= {UNPARSED: logs[UNPARSED]} if UNPARSED in logs else {}
            self.log.write(state.global_step, **same, **named)
