"""Pascal VOC annotations as photos: an XML file for each image, in `Annotations/` with `JPEGImages/`, or beside it.

`<object>` has `<name>` and `<bndbox>` with xmin, ymin, xmax, ymax in px counted from 1, the last one inside. Objects
marked `difficult` are there, but were not annotated with care: their label is doubtful in the photo.
"""

from __future__ import annotations

import math
import re
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

from aot.data.annotated import Mark, Sheet, source_of
from aot.data.entries import Spellings, is_set, label_of, whole
from aot.data.images import Fit, Refusal, found_in
from aot.data.photos import Source
from aot.data.pictures import PICTURES

HINT = "Pascal VOC has Annotations/*.xml and JPEGImages/, or each .xml beside its image"
_MOST_BYTES = 2**24
_ENCODING = re.compile(rb"""\s*<\?xml[^>]*encoding=["']([\w.-]+)["']""")
_EXPATS = (b"utf-8", b"utf8", b"utf-16", b"us-ascii", b"ascii", b"iso-8859-1")
_ROOT = re.compile(rb"<annotation[\s>]")


def voc_files(folder: Path) -> list[Path]:
    """The annotation files of the dataset; none where it is none."""
    files = sorted(folder.glob("Annotations/**/*.xml")) or sorted(folder.rglob("*.xml"))
    files = [file for file in files if file.is_file()]
    return files if any(_says_annotation(file) for file in files) else []


def _says_annotation(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return _ROOT.search(opened.read(4096).replace(b"\0", b"")) is not None  # UTF-16 has zero bytes
    except OSError:
        return False


def read_voc(folder: Path, fit: Fit) -> Source:
    """Photos and refused files or objects, in the order of the files' names. No image at all: `AotError`."""
    files = voc_files(folder)
    spelled = Spellings()
    sheets = [_sheet(file, folder, spelled) for file in files]
    return source_of(sheets, (folder,), fit, folder, HINT)


def _sheet(file: Path, folder: Path, spelled: Spellings) -> Sheet | Refusal:
    try:
        if file.stat().st_size > _MOST_BYTES:
            return Refusal(str(file), "the file", f"has more than {_MOST_BYTES} bytes", "bad_entry")
        content = file.read_bytes()
        tree = _parsed(content)
    except OSError as error:
        return Refusal(str(file), "the file", f"cannot be read ({error.strerror})", "bad_entry")
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        return Refusal(str(file), "the file", f"is not XML that is read ({error})", "bad_entry")
    if tree.tag != "annotation":
        return Refusal(str(file), "the file", f"is a <{tree.tag}>, not an <annotation>", "bad_entry")
    sheet = Sheet(file, _image(tree, file, folder))
    wide, high = whole(tree.findtext("size/width")), whole(tree.findtext("size/height"))
    sheet.declared = (wide, high) if wide and high else None
    for number, item in enumerate(tree.iter("object"), 1):
        where, label = f"object {number}", label_of(item.findtext("name"))
        if not label:
            sheet.refuse(where, "the object has no name", "unknown_label_or_image")
            continue
        sheet.marks.append(Mark(spelled(label), _bbox(item), (), where, not is_set(item.findtext("difficult"))))
    return sheet


def _parsed(content: bytes) -> ElementTree.Element:
    """The root. A file that defines entities may grow without end when it is read: `ValueError`."""
    plain = content.replace(b"\0", b"")  # UTF-16 has a zero byte in each letter
    if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
        raise ValueError("a document type or an entity is declared")
    named = _ENCODING.match(content)
    if named and named[1].lower() not in _EXPATS:  # expat knows few encodings, Python many
        return ElementTree.fromstring(content.decode(named[1].decode()))
    return ElementTree.fromstring(content)


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
