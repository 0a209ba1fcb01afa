"""A YOLO dataset as photos: `data.yaml` (or `classes.txt`) with the labels, `images/`, and a text file for each image.

A line is `class x y width height`, the centre and the sides in shares of the image, or `class x y x y x y ...`, the
corners of a polygon; of a pose (`kpt_shape`) the box alone is read. An image whose text file is empty has none of the
objects; one without a text file is incomplete.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from aot.data.annotations.base.image_record import Annotation, ImageRecord, photos_of
from aot.data.annotations.datasets.yolo_lines import LineForms, class_of, numbers_of, words_of
from aot.data.annotations.datasets.yolo_places import images_below, placed_elsewhere
from aot.data.images.reading import Fit, Refusal, found_in
from aot.data.photos.outlines import surrounding
from aot.data.photos.photo import Source
from aot.data.records.values import Spellings, entry_id, label_of
from aot.errors import AotError, shown
from aot.runs.files import read_whole

NAMES = ("classes.txt", "labels/classes.txt", "obj.names", "labels/obj.names")
"""Files with a label a line, where there is no data.yaml."""
LINE = "a line is `class x y width height`, the centre and the sides in shares of the image; classes count from 0"
_DARKNET = ("*.names", "*/*.names", "_darknet.labels", "*/_darknet.labels", "*/classes.txt", "*/*/classes.txt")
"""Where Darknet's and others' have them: no part may have other names than the others."""
_NUMBERED = re.compile(r"(\d{1,5})\s*[:.,;\s]\s*(\S.*)")
_MOST_NESTED = 64
_MOST_LOOKED_AT = 5000
"""Label files that are read before the first photo (*ours*)."""
HINT = "a YOLO dataset has data.yaml with `names`, images/ and labels/ with a .txt for each image"

_RAISED = (OSError, ValueError, yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError)
"""What PyYAML raises on damaged files; the last three for a tag whose value is none of its kind ("!!int ''")."""


def is_yolo(path: Path) -> bool:
    """Whether the folder, or the .yaml file given itself, is one: by its labels, or by text files in `labels`."""
    if path.is_file():
        return path.suffix.lower() in (".yaml", ".yml")
    return names_file(path) is not None or any(
        next(folder.rglob("*.txt"), None) is not None
        for pattern in ("labels", "*/labels")
        for folder in path.glob(pattern)
        if folder.is_dir()
    )


def read_yolo(path: Path, fit: Fit) -> Source:
    """Photos and refused lines, in the order of the images' names. No labels' names or no images: `AotError`."""
    folder = path.parent if path.is_file() else path
    file = path if path.is_file() else names_file(folder)
    if file is None:
        raise AotError(
            "labels/ is there, but no data.yaml with the labels' names", where=str(folder), hint=HINT
        )
    names, keypoints = _names(file), _keypoints(file)
    images, name = images_below(folder, folder), folder.name
    labels = _label_files(folder, images)
    if not labels and (placed := placed_elsewhere(file, _settings(file))):  # data.yaml names another folder
        folder, images = placed
        labels = _label_files(folder, images)
    if not images:
        what = "no images below this folder, nor where data.yaml says (path, train, val, test)"
        raise AotError(what, where=str(folder), hint=HINT)
    if not labels:
        what = f"none of the {len(images)} images has a label file (first: {images[0]})"
        raise AotError(what, where=str(folder), hint=HINT)
    labelled = Counter(labels.values())
    _check_lines(file, list(labelled), names, keypoints)
    records = (
        _record(label, image, names, keypoints, labelled[label])
        if (label := labels.get(image))
        else ImageRecord(file, image, complete=False)
        for image in images
    )
    found = chain(_without_images(list(labelled), names), photos_of(records, (folder,), fit, name))
    return Source(found, sorted(set(names.values())))


def _without_images(labels: list[Path], names: dict[int, str]) -> Iterator[Refusal]:
    """Label files beside those of the images, whose own image is not there."""
    known = {*labels}
    for parent in sorted({label.parent for label in labels}):
        for file in sorted(file for file in parent.iterdir() if file.suffix == ".txt" and file not in known):
            with suppress(OSError):
                words = next((words_of(line) for line in _lines(file) if line.strip()), [])
                is_box = len(words) > 4 and class_of(words, names)[0] is not None and numbers_of(words[-4:])
                if is_box or not words:
                    yield Refusal(str(file), "the file", "the image of these labels is not there", "missing_image")


def _check_lines(file: Path, labels: list[Path], names: dict[int, str], keypoints: int) -> None:
    """Where the lines give other boxes or labels than YOLO's would: `AotError`."""
    forms = LineForms()
    for label in labels[:_MOST_LOOKED_AT]:
        with suppress(OSError):
            forms.see(_lines(label), names, keypoints)
    if fault := forms.fault(names):
        raise AotError(fault, where=str(labels[0].parent), hint=f"export the labels again: {LINE}")


def _keypoints(file: Path) -> int:
    """How many numbers follow the box of a line, where the labels are poses; 0 where they are not."""
    shape = _settings(file).get("kpt_shape")
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or not all(type(n) is int and 0 < n < 1000 for n in shape)
    ):
        return 0
    return int(shape[0] * shape[1])


def _settings(file: Path) -> dict[Any, Any]:
    content = _content(file) if file.suffix.lower() in (".yaml", ".yml") else None
    return content if isinstance(content, dict) else {}


def names_file(folder: Path) -> Path | None:
    """The file with the names of the classes."""
    tables = sorted(file for pattern in ("*.yaml", "*.yml") for file in folder.glob(pattern) if file.is_file())
    for file in sorted(tables, key=lambda file: file.stem not in ("data", "dataset")):
        try:
            content = _content(file)
        except AotError:  # another program's settings, unless it has the name of the labels' file
            if file.stem == "data":
                raise
            continue
        if isinstance(content, dict) and isinstance(content.get("names"), list | dict):
            return file
    named = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    others = sorted(file for pattern in _DARKNET for file in folder.glob(pattern) if file.is_file())
    if named is None and len({tuple(_names(file).items()) for file in others}) > 1:
        places = ", ".join(str(file.relative_to(folder)) for file in others[:4])
        hint = "write the names of all classes into classes.txt in this folder"
        raise AotError(f"{places} name other classes", where=str(folder), hint=hint)
    return named or next(iter(others), None)


def _content(file: Path) -> Any:
    try:
        text = read_whole(file).decode("utf-8-sig")
        if max(accumulate((sign in "[{") - (sign in "]}") for sign in text), default=0) > _MOST_NESTED:
            raise ValueError("nested too deep")  # PyYAML takes the square of it in time
        return yaml.safe_load(text)
    except _RAISED as error:
        raise AotError(f"cannot be read as YAML ({shown(error, 200)})", where=str(file), hint=HINT) from error


def _lines(file: Path) -> list[str]:
    content = read_whole(file)
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_wide else "utf-8-sig", errors="replace").splitlines()


def _names(file: Path) -> dict[int, str]:
    """The label of each class number."""
    if file.suffix.lower() in (".yaml", ".yml"):
        content = _content(file)
        names = content.get("names") if isinstance(content, dict) else None
    else:
        names = _listed(file)
    pairs = names.items() if isinstance(names, dict) else enumerate(names) if isinstance(names, list) else ()
    spelled, found = Spellings(), {}
    for key, name in pairs:
        number, label = entry_id(key), _label(name)
        if number is not None and number.isdigit() and label:
            found[int(number)] = spelled(label)
    if not found:
        raise AotError("no list or table `names` of labels", where=str(file), hint=HINT)
    return found


def _listed(file: Path) -> dict[int, str] | list[str]:
    """Of a file with a name a line: numbers before all of them ("0 cat", "1: dog") are theirs, commas on the only line
    part them. Empty lines before and after the names are none; one between them: `AotError`."""
    lines = [line.strip() for line in "\n".join(_lines(file)).strip().split("\n")]
    if len(lines) == 1 and "," in lines[0]:
        return lines[0].split(",")
    if "" in lines:
        what = f"the {lines.index('') + 1}. name is empty, so that the numbers of those after it are not sure"
        raise AotError(what, where=str(file), hint="write the names one a line, by their numbers, from 0 on")
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if all(numbered) and len(lines) > 1:
        return {int(one[1]): one[2] for one in numbered if one}
    return lines


def _label(name: object) -> str:
    """A label may look like a number or a flag to YAML. Lists are none: one that refers to itself has no end."""
    return label_of(str(name)) if isinstance(name, str | float | bool) else entry_id(name) or ""


def _label_files(folder: Path, images: Sequence[str]) -> dict[str, Path]:
    """By image, those that have one: beside the image, in `labels` where it is in `images`, or below `labels`; else in
    `labels` itself, by its name alone, what is no other image's."""
    found = {image: label for image in images if (label := _there(folder, _mirrored(Path(image).with_suffix(".txt"))))}
    taken = set(found.values())
    for image in images:
        label = None if image in found else _there(folder, [Path("labels", Path(image).stem + ".txt")])
        if label is not None and label not in taken:
            found[image] = label
    return found


def _mirrored(path: Path) -> list[Path]:
    parts, places = path.parts, [path, Path("labels", path)]
    for n, part in enumerate(parts[:-1]):
        if part.casefold() in ("images", "jpegimages"):
            places.insert(0, Path(*parts[:n], "Labels", *parts[n + 1 :]))
            places.insert(0, Path(*parts[:n], "labels", *parts[n + 1 :]))
    return places


def _there(folder: Path, places: Sequence[Path]) -> Path | None:
    found = (found_in((folder,), place.as_posix()) for place in places)
    return next((folder / name for _, name, is_there in found if is_there), None)


def _record(file: Path, image: str, names: dict[int, str], keypoints: int, shared: int) -> ImageRecord | Refusal:
    """`shared`: how many images have this label file."""
    if shared > 1:  # a.jpg beside a.png
        told = "other images have the same label file: whose boxes these are is not known"
        return Refusal(str(file), f"image {shown(image)}", told, "same_label_file")
    record = ImageRecord(file, image, shares=True)
    try:
        lines = _lines(file)
    except OSError as error:
        record.refuse("the file", f"cannot be read ({error.strerror})")
        return record
    for each in _annotations(lines, names, record, keypoints):
        record.annotations.append(each)
    return record


def _annotations(lines: list[str], names: dict[int, str], record: ImageRecord, keypoints: int) -> Iterator[Annotation]:
    for row, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where, words = f"line {row}", words_of(line)
        label, rest = class_of(words, names) if words else (None, [])
        if label is None:
            record.refuse(where, f"unknown class {shown(line.strip(), 60)!r}", "unknown_label_or_image")
            continue
        numbers = numbers_of(rest)
        if keypoints and len(numbers) >= 4 + keypoints:  # of a pose only the box is read
            numbers = numbers[:4]
        if len(numbers) == 4 or (len(numbers) == 5 and 0 <= numbers[4] <= 1):  # a fifth is a detector's confidence
            x, y, wide, high = numbers[:4]
            yield Annotation(label, (x - wide / 2, y - high / 2, wide, high), (), where)
        elif len(numbers) >= 6 and len(numbers) % 2 == 0:
            yield Annotation(label, surrounding(numbers), numbers, where)
        else:
            yield Annotation(label, (), (), where)  # refused as a box; its label is doubtful
