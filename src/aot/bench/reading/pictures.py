"""The image files that rows name: where published benchmarks keep them, beside their questions or further up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aot.data.images.reading import from_folder, read_image_file

NAME_COLUMNS = ("image", "Image", "image_path", "filename", "images")
"""Where JSON has the name of an image file."""
IMAGE_FOLDERS = (
    "",
    "images",
    "image",
    "imgs",
    "val2014",
    "train2017",
    "val2017",
    "trainval2017",
    "images/val2014",
    "images/gqa",
    "gqa/images",
    "hallusion_bench",
    "MMVP Images",
)
"""Where such a file is looked for, from the folder of the questions."""
LEVELS_UP = 3
"""A clone may have its images above its questions, as VSR has data/images for data/splits/zeroshot/test.jsonl."""


def named_images(cells: Mapping[str, Any], folder: Path) -> tuple[bytes, ...]:
    """The images that a JSON object names; none where it names none."""
    value = next((cells[name] for name in NAME_COLUMNS if cells.get(name)), None)
    names = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(found_image(folder, str(name)) for name in names)


def found_image(folder: Path, name: str) -> bytes:
    """The file of that name in the folder of the questions or in a folder of images there, else in one of the folders
    of images up to three levels above. Nowhere: `BadRow`."""
    plain = from_folder(name, folder).removeprefix("./")
    above = folder.resolve().parents[:LEVELS_UP]
    places = [folder / sub for sub in IMAGE_FOLDERS] + [up / sub for up in above for sub in IMAGE_FOLDERS if sub]
    return read_image_file(next((place for place in places if _exists(place / plain)), folder), plain)


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or a NUL in the name
        return False
