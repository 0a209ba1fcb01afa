"""CVAT's own XML ("CVAT for images 1.1") as photos: one file for a task, which names its images.

Boxes, polygons, ellipses and masks have a place; of turned ones it is the upright box around them. Lines, points,
skeletons and cuboids have none that is read: their labels are doubtful in the photo, as are the labels of tags and of
what is `outside`. An image in which nothing is drawn may not have been annotated so far: it is incomplete. What is
`occluded` is there, and its box is its place. Tracks are those of a video, whose frames are no images here.

Source of the format: docs.cvat.ai, "XML annotation format".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from aot.data.annotations.base.image_record import Annotation, ImageRecord, declared_size, source_of
from aot.data.annotations.base.named_images import files_below, folder_of, near_file, placed, unquoted
from aot.data.images.reading import BadRow, Fit, Refusal, Size
from aot.data.photos.outlines import around_ellipse, around_turned, inside, numbers_in, surrounding
from aot.data.photos.photo import Source
from aot.data.records.values import Spellings, is_set, label_of
from aot.data.records.xml_file import begins_with, root_of

HINT = 'export as "CVAT for images 1.1" with the images, or as COCO 1.0; images may lie below the folder'
_MOST_BYTES = 2**28
_NO_SHAPES = ("tag", "attribute")


def cvat_files(path: Path) -> list[Path]:
    """The annotation files below a folder, or the one given itself; none where there is none."""
    return [file for file in files_below(path, ".xml") if begins_with(file, "annotations")]


def read_cvat(path: Path, fit: Fit) -> Source:
    """Photos and refused files, tracks or shapes, in the order of the files. No image at all: `AotError`."""
    folder, spelled = folder_of(path), Spellings()
    records = [record for file in cvat_files(path) for record in _records(file, folder, spelled)]
    return source_of(records, (folder,), fit, path, HINT)


def _records(file: Path, folder: Path, spelled: Spellings) -> list[ImageRecord | Refusal]:
    try:
        root = root_of(file, _MOST_BYTES)
        images, tracks = root.findall("image"), root.findall("track")
        if root.tag != "annotations" or not images:
            what = f"has {len(tracks)} tracks of a video and no image" if tracks else "names no image"
            raise BadRow(f"{what}: export as CVAT for images 1.1", "track" if tracks else "bad_entry")
    except BadRow as error:
        return [Refusal(str(file), "the file", str(error), error.word)]
    names = {_key(image): _names(image) for image in images}
    places = placed(names, folder, near_file(file, folder))
    records = [_record(image, places, file, spelled) for image in images]
    for number, track in enumerate(tracks, 1):
        if label := label_of(track.get("label")):
            records[0].refused.append(Refusal(str(file), f"track {number}", "its frames are no images", "track", "box"))
            for record in records:
                record.doubtful.add(spelled(label))
    return list(records)


def _key(image: ElementTree.Element) -> str:
    return f"{image.get('subset', '')}/{image.get('name', '')}"


def _names(image: ElementTree.Element) -> list[str]:
    names = unquoted(image.get("name", ""))
    return [*(f"{image.get('subset')}/{name}" for name in names if image.get("subset")), *names]


def _record(image: ElementTree.Element, places: dict[str, str], file: Path, spelled: Spellings) -> ImageRecord:
    record = ImageRecord(file, places.get(_key(image), image.get("name", "")))
    record.declared = declared_size(image.get("width"), image.get("height"))
    record.complete = any(child.tag != "attribute" for child in image)
    for number, shape in enumerate((child for child in image if child.tag not in _NO_SHAPES), 1):
        where, label = f"image {image.get('id')}, shape {number}", label_of(shape.get("label"))
        if not label:
            record.refuse(where, f"the {shape.tag} has no label", "unknown_label_or_image")
        else:
            record.annotations.append(_annotation(shape, spelled(label), where, record.declared))
        record.doubtful |= {spelled(part) for part in _parts(shape)}
    record.doubtful |= {spelled(label) for tag in image.findall("tag") if (label := label_of(tag.get("label")))}
    return record


def _parts(shape: ElementTree.Element) -> Iterator[str]:
    """The labels inside a skeleton."""
    return (label for part in shape if (label := label_of(part.get("label"))))


def _annotation(shape: ElementTree.Element, label: str, where: str, size: Size | None) -> Annotation:
    bbox, corners = _placed(shape, size)
    return Annotation(label, bbox, corners, where, not is_set(shape.get("outside")))


def _placed(shape: ElementTree.Element, size: Size | None) -> tuple[list[float], list[float]]:
    """[x, y, width, height] and the corners of a polygon; empty where the shape has no box, or is damaged."""

    def read(*names: str) -> list[float]:
        return numbers_in([shape.get(name, "") for name in names])

    turn = numbers_in([shape.get("rotation", "0")])
    match shape.tag:
        case "box" if (sides := read("xtl", "ytl", "xbr", "ybr")) and turn:
            box = [sides[0], sides[1], sides[2] - sides[0], sides[3] - sides[1]]
            centre = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
            return (_within(around_turned(box, turn[0], centre), size) if turn[0] else box), []
        case "ellipse" if (sides := read("cx", "cy", "rx", "ry")) and turn:
            return _within(around_ellipse(sides[0], sides[1], sides[2], sides[3], turn[0]), size), []
        case "mask":
            return read("left", "top", "width", "height"), []
        case "polygon":
            corners = numbers_in(shape.get("points", "").replace(";", ",").split(","))
            if len(corners) >= 6 and len(corners) % 2 == 0:
                return surrounding(corners), corners
    return [], []


def _within(box: list[float], size: Size | None) -> list[float]:
    return inside(box, size) if size else box
