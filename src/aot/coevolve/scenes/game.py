"""What is played on: training scenes, held-out scenes and the referee, from the miniature world or from own data."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from pydantic import Field

from aot.data.images.fitting import FitSettings
from aot.data.photos.photo import AnnotatedScene
from aot.data.sources import Refusal, load_scenes
from aot.errors import AotError
from aot.forge.objects import ObjectSource, open_objects
from aot.game.referee import Referee, RefereeSettings, build_referee
from aot.runs.files import canonical_hash
from aot.types import Scene
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

PHOTOS = "photos"
"""Folder of a run, or of an arena, for the photos that families of attacks work on."""


class GameSettings(FitSettings, frozen=True, extra="forbid"):
    """How many scenes are played on, and the size of own pictures. All *ours*."""

    train_scenes: int = Field(1600, gt=0)  # the world: drawn anew each iteration; own data: at most this many
    held_out_scenes: int = Field(1000, gt=0)  # evaluation; never seen in training
    held_out_share: float = Field(0.3, gt=0, lt=1)  # own data: share of the *images* that is held out


@dataclass(frozen=True)
class Game:
    """`train_scenes(stage_seed)` gives the training scenes of one stage; `refused` the rows of own data left out."""

    train_scenes: Callable[[int], Sequence[Scene]]
    held_out: Sequence[Scene]
    referee: Referee
    is_world: bool
    key: str
    """Identifies the scenes: a stage made on other ones is made anew."""
    refused: Sequence[Refusal] = ()
    free_text: bool = False
    """Some training questions have no options: a judge marks the answers to them."""
    open_objects: Callable[[], ObjectSource] | None = None

    @cached_property
    def objects(self) -> ObjectSource | None:
        """The objects that families of attacks add to own images and remove from them, opened on first use; None on the
        miniature world, which has its own, and where the game was opened without a folder for photos."""
        return self.open_objects() if self.open_objects else None


def stage_seed(seed: int, stage: str) -> int:
    """A seed for each stage that does not depend on what ran before it, as resuming and reordering need."""
    return int(np.random.SeedSequence([seed, zlib.crc32(stage.encode())]).generate_state(1)[0])


def open_game(
    settings: GameSettings,
    referee: RefereeSettings,
    *,
    seed: int,
    data: Path | None = None,
    free_text: bool = False,
    photos: Path | None = None,
) -> Game:
    """The miniature world, or the images and questions at `data` (`aot.data.sources`). `free_text`: own data may ask
    without options; such questions are trained on and not held out, as nothing there scores them. `photos`: a folder
    for the photos whose objects are put in and out, where a family of attacks asks for that."""
    if data is None:
        return Game(
            train_scenes=lru_cache(8)(lambda drawn: draw_scenes(settings.train_scenes, drawn, "train")),
            held_out=draw_scenes(settings.held_out_scenes, stage_seed(seed, "held out"), "test"),
            referee=world_referee(referee),
            is_world=True,
            key=canonical_hash(settings.model_dump()),
        )
    scenes, refused = load_scenes(data, fit=settings.fit, free_text=free_text)
    train, held_out = split_by_image(scenes, settings.held_out_share, seed=seed)
    held_out = [scene for scene in held_out if scene.question.options]
    if not train or not held_out:
        raise AotError(
            f"{len(scenes)} usable questions on too few images to hold some out ({len(refused)} rows refused)",
            where=str(data),
            hint="give at least two images with questions, or see the refused rows above",
        )
    return Game(
        train_scenes=lambda drawn: _sample(train, settings.train_scenes, drawn),
        held_out=_sample(held_out, settings.held_out_scenes, stage_seed(seed, "held out")),
        referee=build_referee(referee),
        is_world=False,
        key=canonical_hash([settings.model_dump(), sorted({scene.id for scene in scenes})]),
        refused=refused,
        free_text=any(not scene.question.options for scene in train),
        open_objects=(
            partial(open_objects, data, photos, settings.fit, referee, seed=seed, splits=_sides(train, held_out))
            if photos
            else None
        ),
    )


def _sides(train: Sequence[Scene], held_out: Sequence[Scene]) -> dict[str, str]:
    """The split of each photo: objects added to held-out images come from no training photo."""
    sides = {scene.photo: "train" for scene in train if isinstance(scene, AnnotatedScene)}
    return sides | {scene.photo: "held_out" for scene in held_out if isinstance(scene, AnnotatedScene)}


def split_by_image(
    scenes: Sequence[Scene], held_out_share: float, *, seed: int
) -> tuple[list[Scene], list[Scene]]:
    """(train, held out), split by the image's content, so that no image is on both sides."""
    digests = [zlib.crc32(scene.image.tobytes()) for scene in scenes]
    images = sorted(set(digests))
    order = np.random.default_rng([seed, 0x5917]).permutation(len(images))
    held = (
        {images[i] for i in order[: max(1, round(len(images) * held_out_share))]}
        if len(images) > 1
        else set()
    )
    return (
        [s for s, d in zip(scenes, digests, strict=True) if d not in held],
        [s for s, d in zip(scenes, digests, strict=True) if d in held],
    )


def _sample(scenes: Sequence[Scene], most: int, seed: int) -> list[Scene]:
    order = np.random.default_rng(seed).permutation(len(scenes))[:most]
    return [scenes[i] for i in sorted(order)]
