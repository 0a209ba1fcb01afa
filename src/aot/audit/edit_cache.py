"""A cache on disk for the expensive edits of an audit: a trained attacker's, and those found by gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PilImage

from aot.runs.files import canonical_hash, read_whole, replacing
from aot.types import Image, Scene


def cached_edit(folder: Path, scene: Scene, key: Any, make: Callable[[], Image], *, same_size: bool) -> Image:
    """The cached edit of the scene's image for `key` (JSON: all else that it depends on), or the one made now and
    cached. A damaged one is made again, as is one of another size than the scene's where `same_size`."""
    path = _path(folder, scene, key)
    image = _read(path)
    if image is None or (same_size and image.shape != scene.image.shape):
        image = make()
        _keep(path, image)
    return image


def cached_edits(
    folder: Path, scenes: Sequence[Scene], keys: Sequence[Any], make: Callable[[], list[Image]]
) -> list[Image]:
    """As `cached_edit` for several scenes, of any size. Where one is missing all are made again together, so that no
    image depends on what was cached."""
    paths = [_path(folder, scene, key) for scene, key in zip(scenes, keys, strict=True)]
    known = [_read(path) for path in paths]
    found = [image for image in known if image is not None]
    if len(found) < len(paths):
        found = make()
        for path, image in zip(paths, found, strict=True):
            _keep(path, image)
    return found


def _path(folder: Path, scene: Scene, key: Any) -> Path:
    pixels = hashlib.sha256(scene.image.tobytes()).hexdigest()
    name = canonical_hash([pixels, scene.image.shape, key])
    return folder / name[:2] / f"{name}.png"


def _keep(path: Path, image: Image) -> None:
    with replacing(path) as temporary:
        PilImage.fromarray(image).save(temporary, "PNG", compress_level=1)


def _read(path: Path) -> Image | None:
    """None where there is none, or it is damaged."""
    try:
        with PilImage.open(BytesIO(read_whole(path)), formats=["PNG"]) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError):
        return None
