"""An image file with the boxes that another file draws on it, as a photo: what all formats but COCO share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

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
from aot.data.photos.box_form import Evidence
from aot.data.photos.outlines import outline
from aot.data.photos.photo import Photo, Source, Thing, same_twice
from aot.data.records.values import readable, whole
from aot.errors import AotError, shown


@dataclass(frozen=True, slots=True)
class Annotation:
    """An object before its image is opened: [x, y, width, height] and corners [x, y, x, y, ...] in px of the image, or
    in shares of its sides. `sure`: False makes its label doubtful. `where`: its place in its file."""

    label: str
    bbox: Sequence[float]
    corners: Sequence[float] = ()
    where: str = ""
    sure: bool = True


@dataclass
class ImageRecord:
    """All that a file says of one image. `refused`: what of it cannot be read, for which `complete` is then False.
    `shares`: the annotations are in shares of the image's sides. `doubtful`: labels of what may be there and is not
    annotated. `merged`: several files speak of the image. `embedded`: gives the image that is inside the file, else
    raises `BadRow`."""

    file: Path
    image: str
    annotations: list[Annotation] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    complete: bool = True
    declared: Size | None = None
    shares: bool = False
    doubtful: set[str] = field(default_factory=set)
    merged: bool = False
    embedded: Callable[[], bytes] | None = None

    def refuse(self, where: str, reason: str, word: str = "bad_box", what: str = "box") -> None:
        """Count something that cannot be placed: what has no box may be there, then."""
        self.complete = False
        self.refused.append(Refusal(str(self.file), where, reason, word, what))

    def doubt(self, label: str, where: str, reason: str, word: str) -> None:
        """Count an object that cannot be placed, but whose label is known."""
        self.doubtful.add(label)
        self.refused.append(Refusal(str(self.file), where, reason, word, "box"))

    def place(self, label: str, where: str, find: Callable[[], tuple[Sequence[float], Sequence[float]]]) -> None:
        """Add an object where `find` says (box, corners); where it raises `BadRow`, only the label is known."""
        try:
            bbox, corners = find()
        except BadRow as error:
            self.doubt(label, where, str(error), error.word)
        else:
            self.annotations.append(Annotation(label, bbox, corners, where))

    def _drawn(self) -> dict[str, set[tuple[float, ...]]]:
        found: dict[str, set[tuple[float, ...]]] = {}
        for each in self.annotations:
            found.setdefault(each.label, set()).add(tuple(each.bbox))
        return found

    def merge(self, other: ImageRecord) -> None:
        """Take over what another file says of the same image; of another size, that cannot be placed. Labels of which
        two files have other boxes are doubtful: the one may be a later state of the other."""
        if self.file != other.file:
            mine, theirs = self._drawn(), other._drawn()
            self.doubtful |= {label for label, boxes in mine.items() if theirs.get(label, boxes) != boxes}
        self.merged, self.complete = True, self.complete and other.complete
        self.refused += other.refused
        self.doubtful |= other.doubtful
        if self.declared == other.declared and self.shares == other.shares:
            self.annotations += other.annotations
            return
        self.annotations += [replace(each, sure=False) for each in other.annotations]
        self.refuse(f"image {shown(self.image)}", f"{other.file} gives it another size", "other_size", "photo")


def declared_size(width: object, height: object) -> Size | None:
    """What a file says of the size of its image, px; None where a side is missing, zero or no whole number."""
    wide, high = whole(width), whole(height)
    return (wide, high) if wide and high else None


def source_of(
    records: Sequence[ImageRecord | Refusal], folders: Sequence[Path], fit: Fit, path: Path, hint: str
) -> Source:
    """The photos of files that are all read, with the labels that these speak of. Nothing read, or none of the images
    there: `AotError` with this `hint`."""
    read = [record for record in records if isinstance(record, ImageRecord)]
    if not read:
        left = next((record for record in records if isinstance(record, Refusal)), None)
        what = f"nothing of it can be read; first: {left.row} {left.reason}" if left else "names no image"
        raise AotError(what, where=left.file if left else str(path), hint=hint)
    if read and not any(record.embedded or found_in(folders, record.image)[2] for record in read):
        what = f"none of the {len(read)} image files is there (first: {shown(read[0].image)})"
        raise AotError(what, where=str(path), hint=hint)
    if told := _no_pixels(read):
        raise AotError(told, where=str(path), hint=f"write the boxes in pixels of the image; {hint}")
    labels = sorted({each.label for record in read for each in record.annotations})
    first: dict[str, ImageRecord] = {}
    for record in read:
        if first.setdefault(record.image, record) is not record:
            first[record.image].merge(record)
    kept = [record for record in records if isinstance(record, Refusal) or first[record.image] is record]
    return Source(photos_of(kept, folders, fit, path.parent.name if path.is_file() else path.name), labels)


def _no_pixels(records: Sequence[ImageRecord]) -> str:
    """What is wrong with boxes that all together can only be shares or percents of the images' sides."""
    evidence, whole = Evidence(), True
    for record in records:
        for each in () if record.shares else record.annotations:
            evidence.see(list(each.bbox), record.declared)
            whole &= not any(number % 1 for number in each.bbox)
    if evidence.verdict != "shares" or (whole and evidence.shares == evidence.seen):  # objects of one pixel
        return ""
    return f"all {evidence.seen} boxes are in shares or percents of the image's sides"


def photos_of(
    records: Iterable[ImageRecord | Refusal], folders: Sequence[Path], fit: Fit, source: str
) -> Iterator[Photo | Refusal]:
    """A photo for each record whose image is in one of the folders. Its id is the image's name."""
    for record in records:
        if isinstance(record, Refusal):
            yield record
            continue
        yield from record.refused
        name = readable(record.image)
        try:
            if name != record.image:
                raise BadRow("the file's name is not UTF-8: rename it", "bad_name")
            folder, place, _ = found_in(folders, record.image)
            content = record.embedded() if record.embedded else read_image_file(folder, place)
            image, size = read_image(content, fit, declared=record.declared)
        except BadRow as error:
            yield Refusal(str(record.file), f"image {shown(name)}", str(error), error.word)
            continue
        yield from _photo(record, name, image, size, fit, source)


def _photo(
    record: ImageRecord, name: str, image: np.ndarray, size: Size, fit: Fit, source: str
) -> Iterator[Photo | Refusal]:
    things: list[Thing] = []
    doubtful = record.doubtful | {each.label for each in record.annotations if not each.sure}
    drawn: set[tuple[str, tuple[float, ...]]] = set()
    for each in record.annotations:
        key = (each.label, tuple(each.bbox))
        if not each.sure or key in drawn:
            continue
        drawn.add(key)
        try:
            bbox, corners = _pixels(each.bbox, size, record.shares), _pixels(each.corners, size, record.shares)
            box = scaled_box(bbox, size, fit(size), each.label)
            things.append(Thing(box, outline([corners], size, fit(size)) if corners else ()))
        except BadRow as error:
            doubtful.add(each.label)
            yield Refusal(str(record.file), each.where, str(error), error.word, "box")
    if record.merged:
        doubtful |= same_twice(things)
    yield Photo(name, image, tuple(things), (), frozenset(doubtful), record.complete, source=source)


def _pixels(numbers: Sequence[float], size: Size, shares: bool) -> list[float]:
    return [v * size[n % 2] for n, v in enumerate(numbers)] if shares else list(numbers)
