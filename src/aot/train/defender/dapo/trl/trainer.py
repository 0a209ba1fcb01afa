"""TRL's GRPOTrainer, plus what TRL 1.16 lacks: dynamic sampling with a resumable prompt stream, and checkpoints without
pickles.

The subclass calls `super()` in a loop and never copies TRL's method (huggingface/trl#3708, #3973, #4764).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PilImage
from torch import Tensor
from transformers import PreTrainedModel
from trl import GRPOTrainer

from aot.data.episodes.curriculum import CurriculumRow
from aot.rl.rewards import UNPARSED
from aot.runs.files import write_json
from aot.runs.shapes import read_shaped
from aot.train.defender.dapo.guards import no_signal
from aot.train.defender.dapo.prompt_stream import PromptStream
from aot.train.defender.dapo.rewards import informative_groups
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.trl.batches import Batch, masked, members, merge, select
from aot.train.defender.dapo.trl.checkpoints import (
    STREAM_FILE,
    RandomStates,
    StreamState,
    optimizer_file,
    random_file,
)
from aot.train.defender.dapo.trl.config import CompletionRewards
from aot.types import Image, Question


class DapoTrainer(GRPOTrainer):
    """GRPOTrainer that draws its prompts from a `PromptStream` and keeps only informative groups."""

    def __init__(
        self,
        rows: Sequence[CurriculumRow],
        settings: DapoSettings,
        stream: PromptStream,
        completion_rewards: CompletionRewards,
        picture: Callable[[Image], PilImage.Image],
        prompt: Callable[[Question], str],
        **kwargs: Any,
    ):
        self.rows, self.settings, self.stream = rows, settings, stream
        self.completion_rewards, self.picture, self.prompt = completion_rewards, picture, prompt
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
            assert self._group_rewards is not None
            cut = self._metrics["train"]["completions/clipped_ratio"][-1]
            why = no_signal(float(self._group_rewards.mean()), float(cut), self.settings.limit)
            self.stopped, self.made = why, self.state.global_step
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
            prompt = [{"role": "user", "content": self.prompt(row.question)}]
            one = {"prompt": prompt, "image": self.picture(row.image), "question": row.question, "row": index}
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
            write_json(folder / STREAM_FILE, {"position": self.stream.position})
            for pickled in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")):
                pickled.unlink()  # TRL's own arguments, which are not read

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        """As safetensors and JSON, where the stock method pickles; sharded states stay with the stock method."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._save_optimizer_and_scheduler(output_dir)
        elif self.args.should_save:
            optimizers = {"optimizer": self.optimizer, "schedule": self.lr_scheduler}
            optimizer_file(output_dir).save(self.state.global_step, optimizers=optimizers, force=True)

    def _save_rng_state(self, output_dir: str) -> None:
        mine = random_file(output_dir, self.accelerator.process_index)
        mine.save(self.state.global_step, {"random": RandomStates()}, force=True)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            random_file(checkpoint, self.accelerator.process_index).restore({"random": RandomStates()})

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
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
        elif checkpoint is not None:
            optimizers = {"optimizer": self.optimizer, "schedule": self.lr_scheduler}
            optimizer_file(checkpoint).restore(optimizers=optimizers)
        if checkpoint is not None:
            path, hint = Path(checkpoint) / STREAM_FILE, f"delete {checkpoint} and run the same command again"
            self.stream.position = read_shaped(path, StreamState, hint=hint).position
