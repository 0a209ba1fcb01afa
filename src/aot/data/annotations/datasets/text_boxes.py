"""Boxes in text files of forms of their own: KITTI's, DOTA's and VisDrone's, a file an image, and WIDER FACE's list.

The format of a folder is told by the first line of one of its files that are named like pictures; its empty files are
of images without objects, then. Of turned boxes the upright box around them is read.

Sources of the formats: the devkits of KITTI (cvlibs.net), DOTA, VisDrone and WIDER FACE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from aot.data.annotations.base.image_record import Annotation, ImageRecord, source_of
from aot.data.annotations.base.named_images import files_below, folder_of, near_file, placed
from aot.data.images.reading import Fit, Refusal
from aot.data.photos.outlines import numbers_in, surrounding
from aot.data.photos.photo import Source
from aot.data.photos.pictures import is_picture
from aot.data.records.values import Spellings
from aot.runs.files import bounded_lines, encoding_of

_NUMBER = r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:e-?\d+)?"
_VISDRONE = (
    *("ignored regions", "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle"),
    *("awning tricycle", "bus", "motor", "others"),
)
_SKIPPED = re.compile(r"(imagesource|gsd)\s*:", re.IGNORECASE)
_PICTURE = re.compile(r"\S.*\.(jpe?g|png)", re.IGNORECASE)
_FOLDERS = ("image_2", "images", "JPEGImages")
"""Where the pictures are, beside the folder of the text files."""
Drawn = tuple[str, Sequence[float], bool]
"""Label, [x, y, width, height] in px or none where a number is too large, and whether it is one object for sure."""


@dataclass(frozen=True)
class _Form:
    name: str
    line: re.Pattern[str]
    drawn: Callable[[list[str]], Drawn]


def _kitti(words: list[str]) -> Drawn:
    box = numbers_in(words[4:8])
    return words[0], (*box[:2], box[2] - box[0], box[3] - box[1]) if box else (), True


def _dota(words: list[str]) -> Drawn:
    corners = numbers_in(words[:8])
    return words[8], surrounding(corners) if corners else (), words[9:] in ([], ["0"])


def _visdrone(words: list[str]) -> Drawn:
    number = int(words[5][:3])
    return _VISDRONE[number] if number < len(_VISDRONE) else "", numbers_in(words[:4]), words[4] != "0"


FORMS = (
    _Form("KITTI", re.compile(rf"[A-Za-z_]\w*(?:\s+{_NUMBER}){{14,15}}"), _kitti),
    _Form("DOTA", re.compile(rf"(?:{_NUMBER}\s+){{8}}[A-Za-z][\w-]*(?:\s+\d)?"), _dota),
    _Form("VisDrone", re.compile(r"(?:-?\d+,){5}\d+,-?\d+,-?\d+,?"), _visdrone),
)
_COUNT = re.compile(r"[0-9]{1,6}")
_WIDER = re.compile(r"(?:-?\d+\s+){9}-?\d+")


def text_box_files(path: Path) -> list[Path]:
    """The text files below a folder that are read here, or the one given itself; none where there is none."""
    files = files_below(path, ".txt")
    lists = [file for file in files if _is_list(_head(file))]
    if lists or not files:
        return lists
    stems = {picture.stem for picture in folder_of(path).rglob("*") if is_picture(picture)}
    heads = {file: _head(file) for file in files}
    known = {file.parent for file in files if file.stem in stems and _form_of(heads[file])}
    beside = (file for file in files if file.parent in known)
    return [file for file in beside if file.stem in stems or not heads[file] or _form_of(heads[file])]


def read_text_boxes(path: Path, fit: Fit) -> Source:
    """Photos and refused files or lines, in their order. No image at all: `AotError`."""
    folder, spelled, files = folder_of(path), Spellings(), text_box_files(path)
    if _is_list(_head(files[0])):
        records = [record for file in files for record in _listed(file, folder)]
    else:
        forms = {file.parent: form for file in files if (form := _form_of(_head(file)))}
        names = {str(file): [file.stem + end for end in (".png", ".jpg", ".jpeg", ".JPG")] for file in files}
        records = []
        for parent, form in forms.items():
            own = [file for file in files if file.parent == parent]
            near = [parent.parent / name for name in _FOLDERS] + [parent, folder]
            guesses = {str(file): [file.relative_to(folder).with_suffix("").as_posix()] for file in own}
            near = [place for place in near if place.is_relative_to(folder)]
            places = placed({key: names[key] for key in guesses}, folder, near, guesses)
            records += [_record(file, places.get(str(file), file.stem), form, spelled) for file in own]
    hint = "put the images below the same folder, or write a table (.csv) with filename, class, xmin, ymin, xmax, ymax"
    return source_of(records, (folder,), fit, path, hint)


def _head(file: Path) -> list[str]:
    """The first lines that say something."""
    try:
        return list(islice((line for _, line in _lines(file) if not _SKIPPED.match(line)), 3))
    except OSError:
        return []


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with file.open(encoding=encoding_of(file), errors="replace") as opened:
        for number, line in enumerate(bounded_lines(opened), 1):
            if line.strip():
                yield number, line.strip()


def _form_of(head: list[str]) -> _Form | None:
    return next((form for form in FORMS if head and form.line.fullmatch(head[0])), None)


def _is_list(head: list[str]) -> bool:
    patterns = (_PICTURE, _COUNT, _WIDER)
    return len(head) == 3 and all(one.fullmatch(line) for one, line in zip(patterns, head, strict=True))


def _record(file: Path, image: str, form: _Form, spelled: Spellings) -> ImageRecord | Refusal:
    record = ImageRecord(file, image)
    try:
        for number, line in _lines(file):
            where = f"line {number}"
            if _SKIPPED.match(line):
                continue
            label, box, sure = form.drawn(re.split(r"[\s,]+", line)) if form.line.fullmatch(line) else ("", (), False)
            if label:
                record.annotations.append(Annotation(spelled(label), box, (), where, sure))
            else:
                record.refuse(where, f"is no line of {form.name}'s labels", "unknown_label_or_image")
    except OSError as error:
        return Refusal(str(file), "the file", f"cannot be read ({error})", "bad_entry")
    return record


def _listed(file: Path, folder: Path) -> Iterator[ImageRecord | Refusal]:
    """WIDER FACE's: a picture's name, how many boxes follow (a line of zeros where none does), and these."""
    records: dict[str, ImageRecord] = {}
    try:
        for number, line in _lines(file):
            where = f"line {number}"
            if _PICTURE.fullmatch(line):
                records[where] = ImageRecord(file, line)
                left = None
            elif not records:
                yield Refusal(str(file), where, "names no image", "bad_entry")
            elif (last := next(reversed(records.values()))) and left is None and _COUNT.fullmatch(line):
                left = int(line)
            elif _WIDER.fullmatch(line) and left is not None:
                box, words = numbers_in(line.split()[:4]), line.split()
                if left or any(box):
                    last.annotations.append(Annotation("face", box, (), where, words[7] == "0"))
                left = max(left - 1, 0)
            else:
                last.refuse(where, "is no line of WIDER FACE's boxes", "bad_entry")
    except OSError as error:
        yield Refusal(str(file), "the file", f"cannot be read ({error})", "bad_entry")
    places = placed({where: [record.image] for where, record in records.items()}, folder, near_file(file, folder))
    for where, record in records.items():
        record.image = places.get(where, record.image)
        yield record
