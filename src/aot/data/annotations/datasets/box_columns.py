"""The columns of a table of boxes: a picture, a label and four numbers, by their names, or by a first row of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import PurePosixPath
from typing import Literal

from aot.data.photos.outlines import numbers_in
from aot.data.photos.pictures import PICTURES

_IMAGES = (
    *("filename", "imagefilename", "imagename", "imagepath", "imagefile", "filepath", "path", "image", "imageid"),
    *("img", "imgname", "imgpath", "imgid", "file", "frame", "picture"),
)
_LABELS = (
    *("labelname", "classname", "categoryname", "label", "class", "category", "objectclass", "object", "name"),
    *("labels", "classes", "classid", "labelid", "categoryid"),
)
_BOX = ("bbox", "box", "boundingbox", "bboxes")
_SIZES = (("imagewidth", "imageheight"), ("imgwidth", "imgheight"), ("imagew", "imageh"), ("width", "height"))
_CORNERS = (
    *(("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1")),
    *(("left", "top", "right", "bottom"), ("xtl", "ytl", "xbr", "ybr")),
)
_SIDES = tuple(
    (*start, *sides)
    for start, sides in product(
        (("x", "y"), ("left", "top"), ("xmin", "ymin")), (("w", "h"), ("boxwidth", "boxheight"), ("width", "height"))
    )
)
_CENTRES = tuple(
    (*start, *sides)
    for start, sides in product(
        (("xcenter", "ycenter"), ("xcentre", "ycentre"), ("centerx", "centery"), ("cx", "cy")),
        (("w", "h"), ("boxwidth", "boxheight"), ("width", "height")),
    )
)
BoxForm = Literal["corners", "sides", "centre", "cell"]
_NO_HEADER = (  # keras-retinanet; SKU-110K; makesense.ai
    ("filename", "x1", "y1", "x2", "y2", "label"),
    ("filename", "x1", "y1", "x2", "y2", "label", "imagewidth", "imageheight"),
    ("label", "x", "y", "width", "height", "filename", "imagewidth", "imageheight"),
)


@dataclass(frozen=True)
class Columns:
    """Where a row has what, by number of column. `form`: what the numbers in `box` are; a "cell" holds all four."""

    image: int
    box: tuple[int, ...]
    form: BoxForm
    label: int | None = None
    size: tuple[int, int] | None = None
    flags: tuple[int, ...] = ()
    header: bool = True


def columns_of(cells: Sequence[str]) -> Columns | None:
    """Of a table by its first row; None where it is no table of boxes."""
    for names in (names for names in _NO_HEADER if len(names) == len(cells)):
        picture, label = names.index("filename"), names.index("label")
        numbers = [cell for n, cell in enumerate(cells) if n not in (picture, label) and cell.strip()]
        is_image = PurePosixPath(cells[picture].strip()).suffix.lower() in PICTURES
        if is_image and (numbers_in(numbers) or (not numbers and len(cells) == 6)):
            return _named(names, header=False)
    return _named([re.sub(r"[\W_]", "", cell).casefold() for cell in cells])


def _named(names: Sequence[str], header: bool = True) -> Columns | None:
    at = {name: n for n, name in reversed(list(enumerate(names)))}
    at |= {name.removeprefix("bbox"): n for name, n in at.items() if name.startswith("bbox") and name != "bboxes"}
    image, found = next((at[name] for name in _IMAGES if name in at), None), _box(at)
    if image is None or found is None or {"x3", "question"} & at.keys():  # of a quadrilateral two corners are no box
        return None
    box, form = found
    sizes = ((at[wide], at[high]) for wide, high in _SIZES if wide in at and high in at)
    return Columns(
        image,
        box,
        form,
        next((at[name] for name in _LABELS if name in at), None),
        next((size for size in sizes if not set(size) & set(box)), None),
        tuple(at[name] for name in ("isgroupof", "isdepiction", "isinside", "difficult") if name in at),
        header,
    )


def _box(at: Mapping[str, int]) -> tuple[tuple[int, ...], BoxForm] | None:
    forms: Iterator[tuple[BoxForm, tuple[tuple[str, ...], ...]]] = iter(
        (("corners", _CORNERS), ("centre", _CENTRES), ("sides", _SIDES), ("cell", tuple((name,) for name in _BOX)))
    )
    for form, spellings in forms:
        for names in spellings:
            if all(name in at for name in names):
                return tuple(at[name] for name in names), form
    return None
