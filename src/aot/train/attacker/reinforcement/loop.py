"""The loop that all reinforcement trainings of the attacker share: updates, checkpoints, guards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog, plain_metrics
from aot.train.attacker.reinforcement.guards import IntegrityGuard, SignalGuard
from aot.train.attacker.reinforcement.pictures import Pictured, show_pictures
from aot.train.editor_trainer import EditorTrainer

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker


class Learner(Pictured, Protocol):
    """One RL training of an attacker: Flow-GRPO, DiffusionNFT."""

    attacker: EditAttacker
    trainer: EditorTrainer

    @property
    def state(self) -> dict[str, Any]:
        """Arguments of `Checkpoint.save` and `restore`."""

    def update(self, number: int, seed: int) -> dict[str, Any]:
        """Samples edits, rewards them and trains on them; returns metrics for the log, with "skipped" where no reward
        differed."""


def reinforce(
    learner: Learner,
    *,
    updates: int,
    min_integrity: float,
    seed: int,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Makes the learner's updates, from its last checkpoint on, and averages the weights; returns the last metrics.

    Ends early, with the reason in the metrics, where the edits' validity collapses (`IntegrityGuard`): the attacker is
    then left as it was; and where there is nothing to learn (`SignalGuard`).
    """
    checkpoint, log = checkpoint or Checkpoint(None), log or TrainLog()
    before = learner.trainer.weights.snapshot()
    start = checkpoint.restore(**learner.state)
    log.resume(start)
    kept = checkpoint.extra or {"integrity": [], "skipped": [], "metrics": {}}
    metrics: dict[str, Any] = kept["metrics"]  # what the last update before a kill measured
    integrity, signal = IntegrityGuard(min_integrity, kept["integrity"]), SignalGuard(kept["skipped"])
    for update in range(start + 1, updates + 1):
        metrics = learner.update(update, seed)
        metrics["weight_distance"] = learner.trainer.weights.distance(before)
        log.write(update, **metrics)
        show_pictures(learner, log, update)
        collapsed = integrity.check(metrics["integrity"])
        if reason := collapsed or signal.check(metrics, is_last=update == updates):
            log.stop(reason)
            if collapsed:
                learner.trainer.weights.load_state_dict(before)
            else:
                learner.trainer.finish()
            return metrics | {"scenes": len(learner.environment), "updates": update, "stopped": reason}
        if checkpoint.due(update):
            extra = {"integrity": integrity.history, "skipped": signal.history, "metrics": plain_metrics(metrics)}
            checkpoint.save(update, **learner.state, extra=extra)
    learner.trainer.finish()
    return metrics | {"scenes": len(learner.environment), "updates": updates}
