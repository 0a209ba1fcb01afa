"""The scenes of an audit: questions about the user's images, or about scenes of the miniature world, one at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from aot.attacks.base.family import Rule
from aot.attacks.judging.referees import referees
from aot.data.images.reading import Refusal, at_most
from aot.data.sources import open_source
from aot.data.tables.columns import columns_told
from aot.errors import AotError
from aot.forge.funnel import Funnel
from aot.forge.objects import ObjectSource
from aot.forge.photo_edits.outlines import find_outlines
from aot.forge.photo_source import PhotoPairSource, PhotoSettings
from aot.forge.store import PhotoStore, fill
from aot.game.referee import Check, Referee, RefereeSettings
from aot.runs.files import canonical_hash
from aot.types import Scene
from aot.world.scenes import draw_scenes

SCENES_IN_MEMORY = 16
"""Photos whose questions are held at a time."""


class Subjects:
    """All questions, by number. Scenes are read when they are wanted: only a few photos are in memory."""

    def __init__(
        self, pair_source: PhotoPairSource | None = None, *, world: int = 0, seed: int = 0, limit: int | None = None
    ):
        self.pair_source = pair_source
        self._of_photo = lru_cache(SCENES_IN_MEMORY)(self._read)
        self._seed = seed
        if pair_source is None:
            self._places = [(number, 0) for number in range(world)]
        else:
            found = [(number, n) for number in range(len(pair_source)) for n in range(len(self._of_photo(number)))]
            # The first question of every photo, then every second one: a limit cuts few photos out.
            self._places = sorted(found, key=lambda place: (place[1], place[0]))
        self._places = self._places[:limit]

    def _read(self, number: int) -> Sequence[Scene]:
        if self.pair_source is None:
            return draw_scenes(1, self._seed, "test", first=number)
        return self.pair_source.scenes(number, Funnel())

    @property
    def objects(self) -> ObjectSource | None:
        """What the photos' objects are attacked with; None on the miniature world."""
        return ObjectSource(self.pair_source) if self.pair_source else None

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Scene:
        photo, question = self._places[number]
        return self._of_photo(photo)[question]

    def image(self, number: int) -> str:
        """Names the image that a question is about."""
        return str(self._places[number][0])

    @property
    def images(self) -> int:
        return len({photo for photo, _ in self._places})

    def referees(
        self, settings: RefereeSettings, corruption_ssim_min: float, norm: Check | float = 8.0
    ) -> dict[Rule, Referee]:
        """Who judges which attack; `norm`: as `aot.attacks.judging.referees.referees`."""
        is_photos = self.pair_source is not None
        return referees(settings, photos=is_photos, corruption_ssim_min=corruption_ssim_min, norm=norm)


def open_subjects(
    data: Path | None,
    folder: Path,
    *,
    photos: PhotoSettings,
    referee: RefereeSettings,
    side_px: int,
    world_scenes: int,
    seed: int,
    limit: int | None,
) -> tuple[Subjects, list[Refusal]]:
    """The questions of `data` (none: the miniature world), and its refused rows. Photos are kept in `folder`, decoded,
    their longer sides reduced to `side_px`. Raises `AotError` for an unknown format, or where nothing can be asked."""
    if data is None:
        return Subjects(world=world_scenes, seed=seed, limit=limit), []
    refused = fill(folder, open_source(data, at_most(side_px)))[1]
    find_outlines(folder, photos.bank)
    pair_source = PhotoPairSource(PhotoStore(folder), photos, referee, seed=seed)
    subjects = Subjects(pair_source, seed=seed, limit=limit)
    if not len(subjects):
        why = f"; the first refused row: {refused[0]}" if refused else ""
        told = columns_told(data)
        hint = f"{told}{'; else ' if told else ''}give questions with the images, or boxes to ask about"
        shutil.rmtree(folder, ignore_errors=True)
        raise AotError(f"nothing can be asked about these {len(pair_source)} images{why}", where=str(data), hint=hint)
    return subjects, refused


def fingerprint(scene: Scene) -> str:
    """Changes where the image, the question or the boxes do."""
    pixels = hashlib.sha256(scene.image.tobytes()).hexdigest()
    boxes = [dataclasses.astuple(box) for box in scene.protected]
    return canonical_hash([scene.id, pixels, scene.image.shape, dataclasses.astuple(scene.question), boxes])
