"""The log of a training: what each step measured, in a file and on the terminal. *Ours.*

Nothing in it depends on when or how often the training was stopped: it returns to the step of the checkpoint.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aot.runs.files import disk_errors, replacing
from aot.runs.heartbeat import beat
from aot.runs.ranks import is_main
from aot.runs.terminal import Terminal, warn

QUIET_SECONDS = 10.0


class TrainLog:
    """Metrics of one training: a JSON line per step in `path`, a progress bar on a terminal.

    Off a terminal the bar is one line every ten seconds. `path=None` writes no file, `quiet` shows nothing:
    `TrainLog()` is the log of a training that nobody watches. Metrics are numbers, short texts or None; what
    is not finite is written as null. Wall times do not belong here: equal runs have equal logs. Of several ranks only
    the first writes and shows anything.
    """

    def __init__(
        self, path: Path | None = None, total: int = 0, title: str = "", *, quiet: bool | None = None
    ):
        self.path, self.total, self.title = path, total, title
        self.quiet = (path is None and not title) if quiet is None else quiet
        if not is_main():
            self.path, self.quiet = None, True
        self.reason = ""
        self._progress: Progress | None = None
        self._started = self._spoke = time.monotonic()
        self._first_step = 0

    def resume(self, step: int) -> None:
        """Drops the lines after `step`, and a half-written last one: what a killed training had ahead."""
        self._first_step = step
        if self.path is None or not self.path.exists():
            return
        kept: list[str] = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError, RecursionError):
                break
        with replacing(self.path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def write(self, step: int, **metrics: Any) -> None:
        """Logs the metrics of a finished step (with none given: only moves the bar)."""
        beat()
        plain = plain_metrics(metrics)
        if self.path is not None and metrics:
            with disk_errors(self.path, "the lines before are kept"):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": step, **plain}) + "\n")
        self._show(step, plain)

    def stop(self, reason: str) -> None:
        """Says why a training ended before its last step; the trainer puts it into its figures."""
        self.reason = reason
        self._close_bar()
        if not self.quiet:
            warn(f"  {self.title}: ended early: {reason}")

    def __enter__(self) -> TrainLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

    def _show(self, step: int, metrics: Mapping[str, Any]) -> None:
        if self.quiet:
            return
        shown = "  ".join(f"{k} {v:.4g}" for k, v in list(metrics.items())[:4] if isinstance(v, int | float))
        if not sys.stderr.isatty():
            now = time.monotonic()
            if now - self._spoke >= QUIET_SECONDS:
                self._spoke = now
                left = (now - self._started) / max(1, step - self._first_step) * max(0, self.total - step)
                told = f"  {self.title}: {step}/{self.total}, {left:.0f} s left  {shown}"
                warn(told)
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("  {task.description}"),
                BarColumn(30),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[shown]}"),
                console=Terminal(stderr=True),
                transient=True,
            )
            self._progress.add_task(self.title, total=self.total or None, shown="")
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=step, shown=shown)
        if self.total and step >= self.total:
            self._close_bar()

    def _close_bar(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def plain_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics as JSON scalars; None for what is not finite."""
    return {name: _plain(value) for name, value in metrics.items()}


def _plain(value: Any) -> Any:
    """A JSON scalar from a Python, numpy or torch one; None for what is not finite."""
    if isinstance(value, torch.Tensor | np.generic | np.ndarray):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
