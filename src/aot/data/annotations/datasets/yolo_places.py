"""Where a YOLO dataset has its images: below its folder, or where data.yaml says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aot.data.photos.pictures import is_picture

SPLITS = ("train", "val", "valid", "test")
_MOST_LINES = 2**22


def images_below(place: Path, folder: Path) -> list[str]:
    """The images below a place, by their names from the folder, in order; `labels` may hold masks, which are none."""
    found = (image.relative_to(folder) for image in place.rglob("*") if is_picture(image))
    return sorted(image.as_posix() for image in found if "labels" not in image.parts[:-1])


def placed_elsewhere(file: Path, settings: Mapping[Any, Any]) -> tuple[Path, list[str]] | None:
    """The images that data.yaml names outside its own folder: their common folder, which holds `labels` too, and their
    names from it. None where there are none."""
    images = sorted({image for place in _places(file, settings) for image in _images(place)})
    if not images:
        return None
    common = Path(os.path.commonpath([image.parent for image in images]))
    if "images" in common.parts:
        last = len(common.parts) - 1 - common.parts[::-1].index("images")
        common = Path(*common.parts[:last])
    return common, [image.relative_to(common).as_posix() for image in images]


def _places(file: Path, settings: Mapping[Any, Any]) -> Iterator[Path]:
    """Folders of images and lists of them. `path` is taken from data.yaml, and the splits are from `path`."""
    root = settings.get("path")
    base = file.parent / root if isinstance(root, str) else file.parent
    for split in SPLITS:
        given = settings.get(split)
        for name in given if isinstance(given, list) else [given]:
            if isinstance(name, str) and (place := _resolved(base / name)) is not None:
                yield place


def _resolved(place: Path) -> Path | None:
    try:
        return place.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # not there, a circle of links, a NUL
        return None


def _images(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from (place / image for image in images_below(place, place))
    elif place.suffix.lower() == ".txt" and place.is_file():
        with place.open(encoding="utf-8-sig", errors="replace") as lines:
            for line, _ in zip(lines, range(_MOST_LINES), strict=False):
                image = _resolved(place.parent / line.strip()) if line.strip() else None
                if image is not None and is_picture(image):
                    yield image
