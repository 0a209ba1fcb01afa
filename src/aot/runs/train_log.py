"""The log of a training: what each step measured, in a file, on the terminal and, where the run is tracked, with a
tracker (`aot.runs.tracking`). *Ours.*

Nothing in it depends on when or how often the training was stopped: it returns to the step of the checkpoint.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PilImage
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from aot.errors import AotError
from aot.runs.files import disk_errors, read_whole, replacing
from aot.runs.heartbeat import beat
from aot.runs.manifest import SAMPLES
from aot.runs.progress import Part, duration, told_to
from aot.runs.ranks import is_main
from aot.runs.terminal import Terminal, warn
from aot.runs.tracking import PictureSettings, Tracker, tracker_of
from aot.types import Image

QUIET_SECONDS = 10.0


class TrainLog:
    """Metrics of one training: a JSON line per step in `path`, a progress bar on a terminal.

    Off a terminal the bar is one line every ten seconds; both tell how far the step under way is (`progress.part`),
    too. `path=None` writes no file, `quiet` shows nothing:
    `TrainLog()` is the log of a training that nobody watches. Metrics are numbers, short texts or None; what
    is not finite is written as null. Wall times do not belong here: equal runs have equal logs. Of several ranks only
    the first writes and shows anything.
    """

    def __init__(
        self,
        path: Path | None = None,
        total: int = 0,
        title: str = "",
        *,
        quiet: bool | None = None,
        pictures: PictureSettings | None = None,
    ):
        self.path, self.total, self.title = path, total, title
        self.quiet = (path is None and not title) if quiet is None else quiet
        if not is_main():
            self.path, self.quiet = None, True
        self.reason, self.pictures = "", pictures or PictureSettings()
        self._progress: Progress | None = None
        self._started = self._spoke = time.monotonic()
        self._first_step = self._step = 0
        self._shown = ""
        self._tracker: Tracker | None = None
        self._untracked = self.path is None
        self._open = ExitStack()

    def resume(self, step: int) -> None:
        """Drops the lines after `step`, and a half-written last one: what a killed training had ahead."""
        self._first_step = self._step = step
        if self.path is None or not self.path.exists():
            return
        kept: list[str] = []
        try:
            lines = read_whole(self.path).decode(errors="replace").splitlines()
        except OSError as error:
            what = f"the training's log cannot be read ({error.strerror})"
            raise AotError(what, where=str(self.path), hint=f"move {self.path} away: the log begins anew") from error
        for line in lines:
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
            numbers = {name: float(value) for name, value in plain.items() if isinstance(value, int | float)}
            if tracker := self._tracked(step):
                tracker.log(numbers, step)
        self._show(step, plain)

    def wants_pictures(self, step: int) -> bool:
        return self.pictures.every > 0 and step % self.pictures.every == 0

    def show(self, name: str, images: Sequence[Image], step: int) -> None:
        """Keeps pictures of the training's state after a step: side by side as a PNG in `samples/`, and with the
        tracker. They explain, as the log does; nothing that is made depends on them."""
        if self.path is None or not images:
            return
        file = self.path.parent / SAMPLES / f"{step:06d}_{name}.png"
        with replacing(file) as temporary:
            PilImage.fromarray(np.concatenate(_of_one_height(images), axis=1)).save(temporary, "PNG")
        if tracker := self._tracked(step):
            tracker.show(name, list(images), step)

    def _tracked(self, step: int) -> Tracker | None:
        """The tracker, opened when there is something to tell."""
        if not self._untracked and self._tracker is None and self.path is not None:
            self._tracker = tracker_of(self.path, step)
            self._untracked = self._tracker is None
        return self._tracker

    def stop(self, reason: str) -> None:
        """Says why a training ended before its last step; the trainer puts it into its figures."""
        self.reason = reason
        self._close_bar()
        if not self.quiet:
            warn(f"  {self.title}: ended early: {reason}")

    def __enter__(self) -> TrainLog:
        self._open.enter_context(told_to(self._under_way))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._close_bar()
        if self._tracker is not None:
            self._tracker.finish()
            self._tracker = None

    def _show(self, step: int, metrics: Mapping[str, Any]) -> None:
        self._step = step
        if self.quiet:
            return
        told = list(metrics.items())[:4]
        self._shown = shown = "  ".join(f"{k} {v:.4g}" for k, v in told if isinstance(v, int | float))
        if not sys.stderr.isatty():
            now = time.monotonic()
            if now - self._spoke >= QUIET_SECONDS:
                self._spoke = now
                left = (now - self._started) / max(1, step - self._first_step) * max(0, self.total - step)
                warn(f"  {self.title}: {step}/{self.total}, {duration(left)} left  {shown}")
            return
        self._move_bar(step, shown)

    def _under_way(self, part: Part) -> None:
        """Tells how far the step under way is."""
        now = time.monotonic()
        if self.quiet or now - self._spoke < (0.2 if sys.stderr.isatty() else QUIET_SECONDS):
            return
        self._spoke = now
        if sys.stderr.isatty():
            self._move_bar(self._step, f"{part}  {self._shown}")
        else:
            warn(f"  {self.title}: {self._step}/{self.total}; {part}")

    def _move_bar(self, step: int, shown: str) -> None:
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


def _of_one_height(images: Sequence[Image]) -> list[Image]:
    """With black below what is lower than the others, and a black line between them."""
    height = max(len(image) for image in images)
    framed = [np.pad(image, ((0, height - len(image)), (0, 2), (0, 0))) for image in images]
    return [*framed[:-1], framed[-1][:, :-2]]


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
