"""Trackers of trainings by accelerate's classes for TensorBoard, trackio and wandb (`track` of a recipe).

    check_tracker(track)                              raises `AotError` where its library is not installed
    opening_of(track, project) -> Opening | None      what `aot.runs.tracking` opens a training's tracker with

A training that goes on after a kill goes on in the same series: its tracker's run has an id made of project, folder and
stage; TensorBoard drops what a killed process had told beyond the checkpoint. *Ours.*
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aot.errors import AotError
from aot.runs import ranks
from aot.runs.files import canonical_hash
from aot.runs.tracking import Opening, Track, Tracker
from aot.types import Image

LIBRARIES: dict[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
"""By tracker the modules of which one must be there."""
FOLDER = "logs/tensorboard"
"""Of a run, for `tensorboard --logdir`."""


def check_tracker(track: Track) -> None:
    """Raises `AotError`, with the command that installs it, where the tracker's library is missing."""
    if track != "none" and not any(map(importlib.util.find_spec, LIBRARIES[track])):
        hint = f"pip install {LIBRARIES[track][0]}, or --set track=none"
        raise AotError(f"{track} is not installed", where=f"track={track}", hint=hint)


def opening_of(track: Track, project: str) -> Opening | None:
    """How a training's tracker is opened; None for "none". Raises as `check_tracker`."""
    check_tracker(track)
    return None if track == "none" else partial(_opened, track, project)


def _opened(track: Track, project: str, name: str, folder: Path, step: int) -> Tracker:
    from accelerate import PartialState, tracking  # takes seconds to import

    ranks.join()  # of several ranks, which accelerate would otherwise start to look for
    PartialState()  # its trackers need it
    run = canonical_hash([project, str(folder), name])[:16]
    if track == "tensorboard":
        made = tracking.TensorBoardTracker(name, folder / FOLDER, purge_step=step)
    elif track == "wandb":
        # Its steps only grow: it drops a step that it has already.
        made = tracking.WandBTracker(project, name=name, id=run, resume="allow", dir=str(folder))
    else:
        made = tracking.TrackioTracker(project, name=f"{name} {run[:6]}", resume="allow")
    made.main_process_only = False  # only the first rank has a log at all, and the others do not wait for it
    made.start()
    return AccelerateTracker(made, track)


class AccelerateTracker:
    """As `aot.runs.tracking.Tracker`."""

    def __init__(self, tracker: Any, track: Track):
        self.tracker, self.track = tracker, track

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self.tracker.log(dict(figures), step=step)

    def show(self, name: str, images: list[Image], step: int) -> None:
        if self.track == "tensorboard":
            self.tracker.log_images({name: np.stack(images)}, step=step, dataformats="NHWC")
        elif self.track == "wandb":
            self.tracker.log_images({name: images}, step=step)
        else:  # accelerate's class for trackio has no pictures
            import trackio

            self.tracker.log({f"{name}/{i}": trackio.Image(image) for i, image in enumerate(images)}, step=step)

    def finish(self) -> None:
        self.tracker.finish()
