"""What a layout of files is, with what is to be read of it; `layouts_*.py` have them by program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aot.data.sources import open_source
from aot.errors import AotError
from test_data_layouts import boxes, picture, read, write

Region = dict[str, Any]
CUP, BUS = ("cup", 10, 10, 30, 30), ("bus", 50, 20, 90, 60)
BOTH = (CUP, BUS)


@dataclass(frozen=True)
class Layout:
    """`files` by name, texts or JSON; images are 100 x 80 where no `size` says. Of the first image its `boxes`, the
    labels that are `doubtful`, and whether it is `complete`. `refused`: the words of what is refused; `labels`: those
    of the dataset. `error`: what the reader stops with. `given`: the file that it is given in place of the folder."""

    name: str
    files: Mapping[str, Any]
    boxes: tuple[tuple[str, int, int, int, int], ...] = ()
    doubtful: frozenset[str] = frozenset()
    complete: bool = True
    refused: tuple[str, ...] = ()
    images: tuple[str, ...] = ("a.png",)
    error: str = ""
    given: str = ""
    labels: tuple[str, ...] | None = None
    encoding: str = "utf-8"
    size: tuple[int, int] = (100, 80)


def made(layout: Layout, folder: Path) -> Path:
    for image in layout.images:
        picture(folder / image, *layout.size)
    for name, content in layout.files.items():
        write(folder / name, "")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, layout.encoding)
    return folder / layout.given


def differences(layout: Layout, path: Path) -> list[str]:
    """What of a layout is not as it should be, in words."""
    try:
        photos, refused = read(path)
    except AotError as error:
        told = error.render()
        return [] if layout.error and layout.error in told else [f"stopped: {told[:200]}"]
    if layout.error:
        return ["did not stop"]
    found = []
    words = sorted(refusal.word for refusal in refused)
    if words != sorted(layout.refused):
        found.append(f"refused {[(one.word, one.row, one.reason) for one in refused]}")
    photo = photos.get(layout.images[0])
    if photo is None:
        return found if "other_size" in layout.refused or "missing_image" in layout.refused else [*found, "no photo"]
    if sorted(boxes(photo)) != sorted(layout.boxes):
        found.append(f"boxes {boxes(photo)}")
    if photo.doubtful != layout.doubtful:
        found.append(f"doubtful {sorted(photo.doubtful)}")
    if photo.complete != layout.complete:
        found.append(f"complete {photo.complete}")
    if layout.labels is not None and tuple(open_source(path, lambda size: size).labels) != layout.labels:
        found.append(f"labels {open_source(path, lambda size: size).labels}")
    return found
