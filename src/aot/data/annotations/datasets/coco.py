"""A COCO-format dataset as photos with labelled, outlined objects.

Where its files are: `aot.data.annotations.datasets.coco_layout`; what an annotation file says, and what of it is
doubtful: `aot.data.annotations.datasets.coco_file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aot.data.annotations.datasets.coco_file import HINT, CocoFile, ImageNotes, check_form, read_coco_file
from aot.data.annotations.datasets.coco_layout import coco_layouts
from aot.data.images.reading import (
    BadRow,
    Fit,
    Refusal,
    Size,
    found_in,
    read_image,
    read_image_file,
    scaled_box,
)
from aot.data.photos.box_form import is_four
from aot.data.photos.outlines import around, around_turned, inside, numbers_in, outline
from aot.data.photos.photo import Photo, Source, Thing, same_twice
from aot.data.records.values import Spellings, entry_id, label_of
from aot.errors import AotError, shown


def read_coco(folder: Path, fit: Fit) -> Source:
    """Photos and refused rows (images or annotations), image by image in the order of the file; of several annotation
    files, one after the other, their photos' ids then begin with the part's name ("val2017-12").

    Unreadable JSON, a missing list, no image entry or none of the image files: `AotError`.
    """
    layouts = coco_layouts(folder)
    if not layouts:
        raise AotError("no instances.json and no other annotation file", where=str(folder), hint=HINT)
    spelled = Spellings()
    files = [read_coco_file(layout, spelled) for layout in layouts]
    there = [
        file for file in files if any(_exists(file.layout.images, one.name) for one in file.images.values())
    ]
    if not there and all(file.images for file in files):
        raise AotError(_missing(files[0]), where=str(files[0].layout.file), hint=HINT)
    for file in there:
        check_form(file)
    for file in files:
        if there and file not in there and file.images:  # one part of the dataset was fetched, not the other
            file.refused = [Refusal(str(file.layout.file), "the file", _missing(file), "missing_images")]
            file.images = {}
    labels = {label for file in files for label in file.names.values()}
    return Source((item for file in files for item in _items(file, fit)), sorted(labels))


def _missing(file: CocoFile) -> str:
    notes = {id(one): one for one in file.images.values()}.values()
    first, where = shown(next(iter(notes)).name), ", ".join(map(str, file.layout.images))
    return f"none of the {len(notes)} image files is there (first: {first}; looked in {where})"


def _items(file: CocoFile, fit: Fit) -> Iterator[Photo | Refusal]:
    yield from file.refused
    for notes in {id(one): one for one in file.images.values()}.values():
        yield from _photo(file, notes, fit)


def _upright(note: dict[str, Any], size: Size) -> Any:
    """The box; where the object was turned, what is around it: CVAT has the box of before, and the angle beside it."""
    box, about = note.get("bbox"), note.get("attributes")
    turn = numbers_in([about.get("rotation") or 0]) if isinstance(about, dict) else [0]
    if turn == [0] or not is_four(box):
        return box
    if not turn:
        raise BadRow("the object is turned by what is no number", "rotated")
    centre = box[0] + box[2] / 2, box[1] + box[3] / 2
    return inside(around_turned(box, turn[0], centre), size)


def _exists(folders: tuple[Path, ...], name: str) -> bool:
    return found_in(folders, name)[2]


def _photo(file: CocoFile, notes: ImageNotes, fit: Fit) -> Iterator[Photo | Refusal]:
    source = str(file.layout.file)
    try:
        folder, name, _ = found_in(file.layout.images, notes.name)
        image, size = read_image(read_image_file(folder, name), fit, declared=notes.size)
    except BadRow as error:
        yield Refusal(source, f"image {notes.id} ({shown(notes.name)})", str(error), error.word)
        return
    things: list[Thing] = []
    doubtful = notes.doubtful | file.lost
    drawn: set[tuple[str, str]] = set()
    for label, note in notes.boxes:
        placed = note.get("bbox") if note.get("bbox") is not None else note.get("segmentation")
        if (mark := (label, str(placed))) in drawn:
            continue  # entered twice, and one object
        drawn.add(mark)
        try:
            parts = outline(note.get("segmentation"), size, size)
            bbox = around(parts) if note.get("bbox") is None and parts else _upright(note, size)
            box = scaled_box(bbox, size, fit(size), label, label_of(note.get("attribute")))
            things.append(Thing(box, outline(note.get("segmentation"), size, fit(size))))
        except BadRow as error:
            doubtful.add(label)
            where = f"annotation of image {notes.id} (id {entry_id(note.get('id'))})"
            yield Refusal(source, where, str(error), error.word, "box")
    if notes.merged:
        doubtful |= same_twice(things)
    here = {thing.box.label for thing in things} | doubtful
    yield Photo(
        id=f"{file.layout.split}-{notes.id}" if file.layout.split else notes.id,
        image=image,
        things=tuple(things),
        doubtful=frozenset(doubtful.union(*(file.kinds.get(label, set()) - here for label in here))),
        complete=notes.complete and not file.all_incomplete,
        licence=notes.licence,
        source=file.layout.source,
    )
