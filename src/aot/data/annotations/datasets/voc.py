"""Pascal VOC annotations as photos: an XML file for each image, in `Annotations/` with `JPEGImages/`, or beside it.

`<object>` has `<name>` and `<bndbox>` with xmin, ymin, xmax, ymax in px counted from 1, the last one inside. Objects
marked `difficult` are there, but were not annotated with care: their label is doubtful in the photo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import SPLITS, files_below, placed
from aot.data.images.reading import BadRow, Fit, Refusal, Size, found_in
from aot.data.photos.outlines import around_turned, inside, numbers_in
from aot.data.photos.photo import Source
from aot.data.photos.pictures import PICTURES
from aot.data.records.values import Spellings, is_set, label_of
from aot.data.records.xml_file import begins_with, root_of

HINT = "Pascal VOC has Annotations/*.xml and JPEGImages/, or each .xml beside its image"
_MOST_BYTES = 2**24
_ROTATED = ("cx", "cy", "w", "h", "angle")


def voc_files(folder: Path) -> list[Path]:
    """The annotation files of the dataset; none where it is none."""
    files = files_below(folder, ".xml")
    files = [file for file in files if file.relative_to(folder).parts[0] == "Annotations"] or files
    return files if any(begins_with(file, "annotation") for file in files) else []


def read_voc(folder: Path, fit: Fit) -> Source:
    """Photos and refused files or objects, in the order of the files' names. No image at all: `AotError`."""
    files = voc_files(folder)
    spelled = Spellings()
    records = [_record(file, folder, spelled) for file in files]
    _look_further(records, folder)
    return source_of(_with_boxes(records), (folder,), fit, folder, HINT)


def _look_further(records: Sequence[ImageRecord | Refusal], folder: Path) -> None:
    """Images that are in none of VOC's own places (ImageNet, DIOR and the pets of Oxford have others): anywhere below
    the folder, where only one picture has that name. Several files may speak of it, but of one part (train, val)."""
    lost: dict[str, list[ImageRecord]] = {}
    for record in records:
        if isinstance(record, ImageRecord) and not found_in((folder,), record.image)[2]:
            above = record.file.parent.relative_to(folder).parts
            of_part = "/".join(part for part in above if part.casefold() in SPLITS)
            lost.setdefault(f"{of_part}/{record.file.stem}", []).append(record)
    named = {key: (f"{key.rpartition('/')[0]}/{those[0].image}", key) for key, those in lost.items()}
    places = placed(named, folder, ()) if lost else {}
    for key, those in lost.items():
        for record in those:
            record.image = places.get(key, record.image)


def _with_boxes(records: Sequence[ImageRecord | Refusal]) -> list[ImageRecord | Refusal]:
    """Without files that have no box of an image of which another file has some: DIOR's turned boxes beside its upright
    ones."""
    drawn = {r.image for r in records if isinstance(r, ImageRecord) and any(one.bbox for one in r.annotations)}
    told = "none of its objects has a box, and another file has boxes of the same image"
    return [
        Refusal(str(r.file), "the file", told, "other_format", "label")
        if isinstance(r, ImageRecord) and r.image in drawn and r.annotations and not any(a.bbox for a in r.annotations)
        else r
        for r in records
    ]


def _record(file: Path, folder: Path, spelled: Spellings) -> ImageRecord | Refusal:
    try:
        tree = root_of(file, _MOST_BYTES)
    except BadRow as error:
        return Refusal(str(file), "the file", str(error), error.word)
    if tree.tag != "annotation":
        return Refusal(str(file), "the file", f"is a <{tree.tag}>, not an <annotation>", "bad_entry")
    record = ImageRecord(file, _image(tree, file, folder))
    record.declared = declared_size(tree.findtext("size/width"), tree.findtext("size/height"))
    for number, item in enumerate(tree.iter("object"), 1):
        where, label = f"object {number}", label_of(item.findtext("name"))
        if not label:
            record.refuse(where, "the object has no name", "unknown_label_or_image")
            continue
        if is_set(item.findtext("deleted")):
            continue
        corners = _corners(item)
        if corners:  # of LabelMe on the web, where people draw what they like
            record.complete = False
        bbox = _around(corners) if corners else _bbox(item)
        bbox, sure = _turned(item, bbox, record.declared), not is_set(item.findtext("difficult"))
        record.annotations.append(Annotation(spelled(label), bbox, corners, where, sure))
    return record


def _image(tree: ElementTree.Element, file: Path, folder: Path) -> str:
    """From the dataset's folder: the image of the file's own name, else the one that it names. (A name inside often is
    that of before a renaming, or of another disk.)"""
    named = PureWindowsPath((tree.findtext("filename") or "").strip()).name
    suffixes = dict.fromkeys((Path(named).suffix, *PICTURES, *(suffix.upper() for suffix in PICTURES)))
    for name in (*(file.stem + suffix for suffix in suffixes if suffix), named):
        for place in _places(file, folder) if name else ():
            if found_in((place,), name)[2]:
                return (place / name).relative_to(folder).as_posix()
    return named or file.stem


def _places(file: Path, folder: Path) -> tuple[Path, ...]:
    """Where the image of an annotation file may be."""
    parts = file.parent.relative_to(folder).parts
    found = [file.parent]
    for name in ("JPEGImages", "images"):
        if "Annotations" in parts:
            found.append(folder.joinpath(*(name if part == "Annotations" else part for part in parts)))
        found += [file.parent / name, file.parent.parent / name] if parts else [folder / name]
    return tuple(dict.fromkeys((*found, folder)))


def _corners(item: ElementTree.Element) -> list[float]:
    """x, y, x, y, ... of LabelMe's polygon; empty where there is none, or one that cannot be read."""
    try:
        points = item.iterfind("polygon/pt")
        corners = [max(0.0, float(point.findtext(axis) or "")) for point in points for axis in ("x", "y")]
    except ValueError:
        return []
    return corners if len(corners) > 4 and all(map(math.isfinite, corners)) else []


def _around(corners: Sequence[float]) -> list[float]:
    """[x, y, width, height] of the upright box."""
    left, top = min(corners[::2]), min(corners[1::2])
    return [left, top, max(corners[::2]) - left, max(corners[1::2]) - top]


def _turned(item: ElementTree.Element, bbox: list[float], size: Size | None) -> list[float]:
    """The upright box around a turned one: of CVAT, which has the box of before and an attribute `rotation` in degrees,
    and of roLabelImg, whose `robndbox` has a centre, sides and an angle in radians. An angle that is none: empty."""
    about = {each.findtext("name"): each.findtext("value") for each in item.iterfind("attributes/attribute")}
    turn = numbers_in([about.get("rotation") or "0"])
    if not bbox and (own := numbers_in([item.findtext(f"robndbox/{name}") or "" for name in _ROTATED])):
        bbox, turn = [own[0] - own[2] / 2, own[1] - own[3] / 2, *own[2:4]], [math.degrees(own[4])]
    if not bbox or turn == [0]:
        return bbox
    centre = bbox[0] + bbox[2] / 2, bbox[1] + bbox[3] / 2
    box = around_turned(bbox, turn[0], centre) if turn else []
    return inside(box, size) if box and size else box


def _bbox(item: ElementTree.Element) -> list[float]:
    """[x, y, width, height]; empty where a side is missing or no number."""
    try:
        sides = [float(item.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")]
    except ValueError:
        return []
    if not all(math.isfinite(side) for side in sides) or sides[2] < sides[0] or sides[3] < sides[1]:
        return []
    left, top = (max(0.0, side - 1) for side in sides[:2])
    return [left, top, sides[2] - left, sides[3] - top]
