"""The source of objects for attacks on own photos: the same in runs, in the arena and in audits (*ours*).

Scenes may be small squares (a run of the miniature plays on 64 px), and at that size nothing can be cut out or healed.
So edits are made on the stored photo, in its own shape and as large as it is worth, and what they change is brought to
the scene's size.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from aot.data.images.reading import Fit, Size
from aot.data.photos.photo import AnnotatedScene
from aot.data.photos.questions import protected
from aot.data.sources import digest_of, open_source
from aot.forge.photo_edits.bank import BankSettings
from aot.forge.photo_edits.outlines import find_outlines
from aot.forge.photo_edits.paint import PaintSettings
from aot.forge.photo_edits.place import PlaceSettings
from aot.forge.photo_edits.propose import ProposeSettings
from aot.forge.photo_source import PhotoPairSource, PhotoScene, PhotoSettings
from aot.forge.store import PhotoStore, fill
from aot.game.referee import RefereeSettings
from aot.runs.files import canonical_hash
from aot.types import Attack, Box, Image, Scene

SIDE_PX = 512
"""Photos of small scenes are kept with a longer side of so much; *ours*."""
FOR_ATTACKS = PhotoSettings(
    extensions=0,
    bank=BankSettings(cut_off=True, doubtful=True, least_side_px=28, most_straight=1),
    propose=ProposeSettings(anywhere=True, tries=2, removable=0.06, beside=0.35, place=PlaceSettings(kin=False)),
    paint=PaintSettings(crossings=1000, doubt=70, sharp=(0, 100)),
)
"""A dataset keeps only pairs that look placed; an attack has to leave the question alone, and is made wherever one can
be. So more objects are cut out, and where nothing tells where one can stand it is put where there is room; *ours*."""


@dataclass(frozen=True)
class ObjectSource:
    """Edits of the objects of stored photos, for scenes of any size of the same photos."""

    pair_source: PhotoPairSource

    @cached_property
    def bare(self) -> bool:
        """No photo came with an object that has a name."""
        return not any(thing.box.label for record in self.pair_source.store for thing in record.things)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {record.id: record.number for record in self.pair_source.store}

    def photo_of(self, scene: Scene) -> PhotoScene | None:
        """The scene's question about the stored photo; itself where it is one; None where there is no such photo."""
        if isinstance(scene, PhotoScene):
            return scene
        if not isinstance(scene, AnnotatedScene) or scene.photo not in self._numbers or scene.contents is None:
            return None
        number = self._numbers[scene.photo]
        record, image = self.pair_source.store.record(number), self.pair_source.store.image(number)
        contents = replace(scene.contents, boxes=tuple(thing.box for thing in record.things), size=record.size)
        if scene.query:
            about = protected(scene.query, contents)
        else:
            about = tuple(_scaled(box, scene.contents.size, contents.size) for box in scene.protected)
        return PhotoScene(
            id=scene.id,
            image=image,
            question=scene.question,
            protected=about,
            objects=contents.boxes,
            source=scene.source,
            contents=contents,
            query=scene.query,
            photo=scene.photo,
            things=record.things,
            split=self.pair_source.splits[number],
        )

    def brought(self, scene: Scene, photo: PhotoScene, made: Attack) -> Attack:
        """What the attack on the stored photo is on the scene, whose pixels stay where nothing was changed."""
        if photo is scene:
            return made
        image = _brought(scene.image, photo.image, made.image)
        objects = made.objects
        if objects is not None:
            before, size = scene.objects, (scene.image.shape[1], scene.image.shape[0])
            own = dict(zip(photo.objects, before, strict=True)) if len(before) == len(photo.objects) else {}
            assert photo.contents is not None
            objects = tuple(own.get(box) or _scaled(box, photo.contents.size, size) for box in objects)
        return replace(made, image=image, objects=objects)


def open_objects(
    data: Path,
    folder: Path,
    fit: Fit,
    referee: RefereeSettings,
    *,
    seed: int,
    splits: Mapping[str, str],
    settings: PhotoSettings = FOR_ATTACKS,
) -> ObjectSource:
    """The objects of the photos at `data`, which are stored once in a folder within `folder`, at least as large as
    `fit` makes the scenes. Several processes may call it at once. `splits`: by photo its side, as `PhotoPairSource`.
    Raises `AotError` for an unknown format."""
    store = _stored(data, folder, at_least(fit), settings.bank)
    return ObjectSource(PhotoPairSource(store, settings, referee, seed=seed, splits=splits))


def at_least(fit: Fit) -> Fit:
    """In its own shape: as large as `fit` makes a picture in both directions, and `SIDE_PX`; never enlarged."""

    def fitted(size: Size) -> Size:
        wide, high = fit(size)
        scale = min(1.0, max(wide / size[0], high / size[1], SIDE_PX / max(size)))
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    return fitted


def _stored(data: Path, folder: Path, fit: Fit, bank: BankSettings) -> PhotoStore:
    """Made in a folder of its own and renamed, so that a second process takes what the first one made."""
    sizes = [fit((side, other)) for side in (64, 640, 4000) for other in (64, 480, 3000)]
    place = folder / f"photos-{canonical_hash([str(data), digest_of(data), sizes, bank.model_dump()])[:12]}"
    if not place.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="making-", dir=folder))
        try:
            fill(made, open_source(data, fit))
            find_outlines(made, bank)
            os.rename(made, place)
        except OSError:
            if not place.is_dir():
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return PhotoStore(place)


def _brought(scene: Image, before: Image, after: Image) -> Image:
    """The scene's pixels and the change from `before` to `after`, averaged over what each of them covers."""
    if before.shape == scene.shape and np.array_equal(before, scene):
        return after
    size = scene.shape[1], scene.shape[0]
    reduced = before.shape[0] >= scene.shape[0] and before.shape[1] >= scene.shape[1]
    change = after.astype(np.float32) - before
    change = cv2.resize(change, size, interpolation=cv2.INTER_AREA if reduced else cv2.INTER_LINEAR)
    return np.clip(np.rint(scene + change), 0, 255).astype(np.uint8)


def _scaled(box: Box, before: Size, after: Size) -> Box:
    """The pixels that it touches at another size."""
    across, down = after[0] / before[0], after[1] / before[1]
    x0, y0 = int(box.x0 * across), int(box.y0 * down)
    x1, y1 = int(np.ceil(box.x1 * across)), int(np.ceil(box.y1 * down))
    return replace(box, x0=x0, y0=y0, x1=max(x0 + 1, x1), y1=max(y0 + 1, y1))


