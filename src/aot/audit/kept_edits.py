"""Edits of an audit that are dear, and so kept on disk: a trained attacker's, and those found by gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PilImage

from aot.runs.files import canonical_hash, replacing
from aot.types import Image, Scene


def kept(folder: Path, scene: Scene, key: Any, make: Callable[[], Image], *, same_size: bool) -> Image:
    """The edit of the scene's image that was kept for `key` (JSON: all else that it depends on), or made now and kept.
    A damaged one is made again; so is one of another size than the scene's, where all have its size."""
    pixels = hashlib.sha256(scene.image.tobytes()).hexdigest()
    name = canonical_hash([pixels, scene.image.shape, key])
    path = folder / name[:2] / f"{name}.png"
    image = _read(path)
    if image is None or (same_size and image.shape != scene.image.shape):
        image = make()
        with replacing(path) as temporary:
            PilImage.fromarray(image).save(temporary, "PNG", compress_level=1)
    return image


def _read(path: Path) -> Image | None:
    """None where there is none, or it is damaged."""
    try:
        with PilImage.open(path, formats=["PNG"]) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError):
        return None
