"""DAPO for the defender, by the engine that the settings name.

Source: Yu et al. 2025, arXiv 2503.14476 (decoupled clip, no KL and no reference model, token-level loss,
dynamic sampling, soft overlong punishment); rewards and sizes as in the AOT release.

`packed` (`packed.py`) is *ours* for models that fit on one device: every prompt is read once, answers that
are equal within a group are computed once. `trl` (`trl/engine.py`) is TRL's GRPOTrainer with dynamic sampling, for
full-size models, several GPUs and vLLM. On the same completions both give the same loss and gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.game.judge import Judge, without_judge
from aot.train.defender.dapo.settings import DapoResult, DapoSettings

if TYPE_CHECKING:
    from aot.players.defender.qwen import QwenDefender
    from aot.players.defender.trained import TrainedDefender
    from aot.runs.checkpoints import Checkpoint
    from aot.runs.train_log import TrainLog


def train_dapo(
    defender: TrainedDefender,
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
        raise without_judge(f"the question of {free.scene_id!r} has no options, so a judge has to score its answers")
    if judge is not None and judge.reader is defender:
        raise AotError("a defender that learns cannot be its own judge", where="DAPO", hint="load it a second time")
    settings = settings.limited(defender.max_new_tokens)
    # Imported here, since TRL takes seconds and is not needed by the packed engine.
    if settings.engine == "packed":
        from aot.train.defender.dapo.packed import train_packed

        fast = for_packed(defender)
        return train_packed(fast, rows, settings, seed=seed, judge=judge, checkpoint=checkpoint, log=log)
    from aot.train.defender.dapo.trl.engine import train_trl

    folder: Path | None = checkpoint.folder if checkpoint else None
    return train_trl(defender, rows, settings, seed=seed, judge=judge, folder=folder, log=log)


def for_packed(defender: TrainedDefender) -> QwenDefender:
    """The defender, if the packed engine can train it. Raises `AotError` where it cannot."""
    from aot.players.defender.qwen import QwenDefender  # takes seconds to import

    if isinstance(defender, QwenDefender):
        return defender
    model = type(defender.model).__name__
    what = f"the packed engine is written for Qwen2.5-VL with attention sdpa or eager, not for this {model}"
    raise AotError(what, where="dapo.engine", hint="--set dapo.engine=trl")
