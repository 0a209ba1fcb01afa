"""Callbacks of TRL's trainer: skip empty updates, average weights, log, mark complete checkpoints.

`trainer` is a `DapoTrainer` throughout.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from aot.rl.rewards import UNPARSED
from aot.runs import ranks
from aot.runs.checkpoints import flush_logs
from aot.runs.files import flush_to_disk, write_json
from aot.runs.progress import advance, part
from aot.train.defender.dapo.guards import FiniteGuard
from aot.train.defender.dapo.trl.checkpoints import WHOLE
from aot.train.weight_average import WeightAverage

if TYPE_CHECKING:
    from aot.runs.train_log import TrainLog

LEARNED = "answers learned"
AVERAGE_FILE = "weight_average.safetensors"


class SkipBadUpdate(TrainerCallback):
    """Without gradients an optimizer leaves the weights alone; with zeros it would follow its momentum, with what is
    not finite destroy them."""

    def __init__(self, trainer: Any):
        self.trainer, self.finite = trainer, FiniteGuard()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        model = self.trainer.model
        assert model is not None
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients)) if gradients else 0.0
        if self.trainer.stopped or not self.finite.check(state.global_step + 1, norm):
            model.zero_grad(set_to_none=True)


class MarkWhole(TrainerCallback):
    """Marks a checkpoint as whole once everything in it is written."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        ranks.barrier()  # each rank has written its own part
        if args.should_save:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            for path in folder.rglob("*"):
                flush_to_disk(path)
            flush_logs(Path(args.output_dir).parent)
            write_json(folder / WHOLE, {"step": state.global_step})


class AverageCallback(TrainerCallback):
    """`DapoSettings.ema`: the mean of the trained weights, kept beside TRL's checkpoints."""

    def __init__(self, trainer: Any):
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


class ProgressCallback(TrainerCallback):
    """How many answers of an update were learned from; at full size an update takes long."""

    def __init__(self) -> None:
        self._update = ExitStack()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        mine = args.per_device_train_batch_size * args.gradient_accumulation_steps
        self._update.enter_context(part(LEARNED, mine, "answers learned from"))

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        advance(LEARNED, args.per_device_train_batch_size)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        advance(LEARNED, args.per_device_train_batch_size)
        self._update.close()

    def close(self) -> None:
        """After the training, however it ended."""
        self._update.close()


class LogCallback(TrainerCallback):
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
                "completions/clipped_ratio": "truncated",
            }
            named = {ours: logs.get(theirs) for theirs, ours in best.items()}
            same = {
                name: logs.get(name) for name in ("reward", "informative", "draws", "loss", "learning_rate")
            }
            same |= {UNPARSED: logs[UNPARSED]} if UNPARSED in logs else {}
            self.log.write(state.global_step, **same, **named)
