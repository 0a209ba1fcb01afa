"""Who else is told what a training measures, beside its own log: TensorBoard, trackio, wandb. *Ours.*

    Track, PictureSettings                                  a recipe's `track` and `pictures`
    with tracked(folder, name, open_tracker): ...           the trainings of the run in `folder`
    tracker_of(log, step) -> Tracker | None                 asked by `TrainLog` alone, when it has something to say

How a tracker is opened is given from above (`aot.train.trackers`): nothing here knows a library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, Field

from aot.types import Image

Track = Literal["none", "tensorboard", "trackio", "wandb"]


class PictureSettings(BaseModel, frozen=True, extra="forbid"):
    """Pictures of what a training of the attacker makes while it lasts. All *ours*."""

    every: int = Field(0, ge=0)  # updates; 0: none
    scenes: int = Field(4, gt=0)  # always the same


class Tracker(Protocol):
    """One training's series of figures and pictures. What is told twice, after a resume, may be dropped."""

    def log(self, figures: Mapping[str, float], step: int) -> None: ...

    def show(self, name: str, images: list[Image], step: int) -> None:
        """Images of one size."""
        ...

    def finish(self) -> None: ...


Opening = Callable[[str, Path, int], Tracker]
"""Of a training: its name in the run ("iteration_1/attacker"), the run's folder, the first step that it will tell."""


@dataclass(frozen=True)
class _Tracked:
    folder: Path
    opening: Opening


_tracked: _Tracked | None = None


@contextmanager
def tracked(folder: Path, opening: Opening | None) -> Iterator[None]:
    """Trainings that keep their log below `folder` are tracked, where there is an `opening`."""
    global _tracked
    before, _tracked = _tracked, _Tracked(folder.absolute(), opening) if opening else None
    try:
        yield
    finally:
        _tracked = before


def tracker_of(log: Path, step: int) -> Tracker | None:
    """A tracker for the training whose log this is, from `step` on."""
    if _tracked is None or not log.absolute().is_relative_to(_tracked.folder):
        return None
    name = log.absolute().parent.relative_to(_tracked.folder).as_posix()
    return _tracked.opening(name, _tracked.folder, step)
