"""One COCO annotation file, read entry by entry: what it says of each image, before any image is opened.

What cannot be placed makes questions unsafe, and these are not asked: a box refused or drawn twice makes its label
doubtful in its photo, one of an unknown category the photo incomplete, one of an unknown image its label doubtful in
every photo. Where whole images were taken out of the list and their annotations left, these concern no other photo. A
category that others name as their supercategory is one of their kind: where one of the two is present, the other is
doubtful, and without any annotation it is no object at all. Grass and sky never are (`coco_stuff`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from aot.data.annotations.base.named_images import unquoted
from aot.data.annotations.datasets.coco_boxes import with_plain_boxes
from aot.data.annotations.datasets.coco_layout import CocoLayout, by_last_part
from aot.data.annotations.datasets.coco_stuff import stuff_among
from aot.data.images.reading import BadRow, Refusal, Size, found_in, image_size, read_image_file
from aot.data.photos.box_form import Evidence
from aot.data.records.values import Spellings, entry_id, is_set, label_of, text_of, whole
from aot.errors import AotError, shown
from aot.runs.files import read_json

HINT = (
    "a COCO-format folder holds instances.json and images/, or annotations/instances_*.json and their folders"
)
_MOST_OPENED = 32
"""Images whose size is looked up to learn what the boxes are, where the file does not say it."""
_MOST_OUTSIDE = 0.25
"""Where more boxes are outside, the others cannot be trusted; where fewer, these alone are refused (*ours*)."""
_Entry = dict[str, Any]


@dataclass
class ImageNotes:
    """One image's annotations before the image is opened. `doubtful`, `complete`: see
    `aot.data.photos.questions.Contents`. `merged`: the file has the image more than once. `size`: None where the file
    does not say it."""

    id: str
    name: str
    size: Size | None
    licence: str
    boxes: list[tuple[str, _Entry]] = field(default_factory=list)
    doubtful: set[str] = field(default_factory=set)
    complete: bool = True
    merged: bool = False


@dataclass
class CocoFile:
    """One annotation file, read entry by entry. `stuff`: ids of categories that are no objects. `lost`: labels of boxes
    whose image is unknown. `resized`: entries that give another size for an image that is there already. `kinds`: the
    labels above and below a label."""

    layout: CocoLayout
    names: dict[str, str] = field(default_factory=dict)
    stuff: set[str] = field(default_factory=set)
    images: dict[str, ImageNotes] = field(default_factory=dict)
    resized: dict[str, ImageNotes] = field(default_factory=dict)
    refused_images: set[str] = field(default_factory=set)
    kinds: dict[str, set[str]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    all_incomplete: bool = False
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, where: str, reason: str, word: str, what: str = "photo") -> None:
        self.refused.append(Refusal(str(self.layout.file), where, reason, word, what))


def read_coco_file(layout: CocoLayout, spelled: Spellings) -> CocoFile:
    """Everything that the file says. Unreadable JSON, a missing list or no image entry: `AotError`."""
    lists, file = _lists(layout.file), CocoFile(layout)
    used = {entry_id(note.get("category_id")) for note in lists["annotations"] if isinstance(note, dict)}
    _categories(file, lists["categories"], used, spelled)
    licences = {
        entry_id(entry.get("id")): text_of(entry.get("name")) or text_of(entry.get("url"))
        for entry in lists["licenses"]
        if isinstance(entry, dict)
    }
    _images(file, lists["images"], licences)
    _annotations(file, lists["annotations"])
    notes = {id(one): one for one in file.images.values()}.values()
    if not notes and not file.refused_images:
        raise AotError(
            "the list of images is empty", where=str(layout.file), hint="export the annotations again"
        )
    for one, name in zip(notes, by_last_part([one.name for one in notes], layout.images, layout.part), strict=True):
        one.name = name
    return file


def _lists(path: Path) -> dict[str, list[Any]]:
    content = read_json(path, hint=HINT)
    lists: dict[str, list[Any]] = {"licenses": []}
    for key in ("images", "annotations", "categories", "licenses"):
        rows = content.get(key) if isinstance(content, dict) else None
        if isinstance(rows, list):
            lists[key] = rows
        elif key not in lists:
            hint = "COCO's instances.json has the lists images, annotations and categories"
            raise AotError(f"no list {key!r}", where=str(path), hint=hint)
    lists["annotations"] = with_plain_boxes(lists["annotations"])
    return lists


def _categories(file: CocoFile, entries: list[Any], used: set[str | None], spelled: Spellings) -> None:
    stuff = stuff_among([entry for entry in entries if isinstance(entry, dict)])
    above = {}  # the supercategory of each label
    for entry in (entry for entry in entries if isinstance(entry, dict)):
        label, kind = label_of(entry.get("name")), label_of(entry.get("supercategory"))
        if label and kind and label.casefold() != kind.casefold():
            above[label.casefold()] = kind.casefold()
    for number, entry in enumerate(entries):
        known = entry if isinstance(entry, dict) else {}
        own, label = entry_id(known.get("id")), label_of(known.get("name"))
        where = f"category {number} (id {own})"
        if own is None or not label:
            file.refuse(where, f"the category {str(entry)[:80]} has no id or no name", "bad_label", "label")
        elif label in stuff:
            file.stuff.add(own)
            told = f"{shown(label)} is no object: nothing is asked about it"
            file.refuse(where, told, "no_object", "label")
        elif own in file.names and file.names[own].casefold() != label.casefold():
            file.refuse(where, f"the id {own} occurs twice", "bad_label", "label")
            file.lost |= {file.names[own], spelled(label)}  # which of the two is meant is not known
        elif own in used or label.casefold() not in above.values():
            file.names[own] = spelled(label)
    by_case = {label.casefold(): label for label in file.names.values()}
    for case, label in by_case.items():
        passed, upper = {case}, above.get(case, "")
        while upper and upper not in passed:
            if upper in by_case:
                file.kinds.setdefault(label, set()).add(by_case[upper])
                file.kinds.setdefault(by_case[upper], set()).add(label)
            passed.add(upper)
            upper = above.get(upper, "")


def _images(file: CocoFile, entries: list[Any], licences: dict[str | None, str]) -> None:
    by_name: dict[str, ImageNotes] = {}
    for number, item in enumerate(entries):
        entry = item if isinstance(item, dict) else {}
        own, name = entry_id(entry.get("id")), entry.get("file_name")
        if name is None and isinstance(entry.get("coco_url"), str):  # LVIS
            name = "/".join(entry["coco_url"].split("/")[-2:])
        size = _size(entry)
        where = f"image {number} (id {own})"
        earlier = file.images.get(own or "")
        if isinstance(name, str) and "://" in name:
            name = unquoted(name)[-1]
        path = str(PurePosixPath(name)) if isinstance(name, str) else ""
        if own is None or not path or size == ():
            values = ", ".join(
                f"{key} {str(entry.get(key))[:60]!r}" for key in ("id", "file_name", "width", "height")
            )
            file.refuse(where, f"the entry has no usable {values}", "bad_entry")
            file.refused_images |= {own} if own is not None else set()
        elif earlier is not None and earlier.name != path:
            what = f"the id {own} occurs twice, for {shown(earlier.name)} and for {shown(path)}"
            file.refuse(where, what, "bad_entry")
            earlier.complete, earlier.doubtful = (
                False,
                set(file.names.values()),
            )  # whose boxes these are is not known
        elif path in by_name and by_name[path].size != (size or None):
            here, there = ("x".join(map(str, one or ("?", "?"))) for one in (size, by_name[path].size))
            what = f"{shown(path)} is {here} px here and {there} px in another entry"
            file.refuse(where, what, "bad_entry")
            file.resized[own] = by_name[path]
        elif path in by_name:
            by_name[path].merged = True
            file.images[own] = by_name[path]
        else:
            licence = licences.get(entry_id(entry.get("license")), "")
            file.images[own] = by_name[path] = ImageNotes(own, path, size or None, licence)
            _federated(file, by_name[path], entry)


def _size(entry: _Entry) -> Size | tuple[()] | None:
    """(width, height); None where the entry has neither, or zeros, and () where it has something else."""
    sides = [entry.get(key) for key in ("width", "height")]
    if all(side is None or entry_id(side) in ("0", "-1") for side in sides):
        return None
    width, height = map(whole, sides)
    return (width, height) if width and height else ()


def check_form(file: CocoFile) -> None:
    """COCO's boxes are [x, y, width, height]. Where all together can only be something else: `AotError`."""
    evidence, opened = Evidence(wrong=_MOST_OUTSIDE), 0
    for notes in {id(one): one for one in file.images.values()}.values():
        size = notes.size
        if size is None and notes.boxes and opened < _MOST_OPENED:
            opened += 1
            with suppress(BadRow):
                folder, name, _ = found_in(file.layout.images, notes.name)
                size = image_size(read_image_file(folder, name))
        for _, note in notes.boxes:
            evidence.see(note.get("bbox"), size, note.get("area"))
    what = {
        "corners": f"{evidence.corners} of {evidence.seen} boxes can only be two corners, [x0, y0, x1, y1]",
        "shares": f"all of the {evidence.seen} boxes are in shares or percents of the image's sides",
        "neither": f"{evidence.neither} of {evidence.seen} boxes are outside their images, or empty",
    }
    if told := what.get(evidence.verdict):
        hint = "COCO's bbox is [x, y, width, height] in pixels of the image: write them so"
        raise AotError(told, where=str(file.layout.file), hint=hint)


def _federated(file: CocoFile, notes: ImageNotes, entry: _Entry) -> None:
    """LVIS looks for a few categories in each photo: what has no box may be there, and some boxes may be missing."""
    notes.complete = "neg_category_ids" not in entry
    partly = entry.get("not_exhaustive_category_ids")
    known = map(entry_id, partly if isinstance(partly, list) else [])
    notes.doubtful |= {file.names[category] for category in known if category in file.names}


def _annotations(file: CocoFile, entries: list[Any]) -> None:
    seen: set[str] = set()
    numbered = all(image.isdigit() for image in file.images)
    unusable = file.refused_images | file.resized.keys()
    unlisted: dict[str, list[tuple[str, _Entry]]] = {}
    for number, item in enumerate(entries):
        note = item if isinstance(item, dict) else {}
        own, image = entry_id(note.get("id")), entry_id(note.get("image_id"))
        category = entry_id(note.get("category_id")) or ""
        notes, label = file.images.get(image or ""), file.names.get(category)
        where = f"annotation {number} (id {own})"
        if category in file.stuff:
            continue
        if notes is None and image and image not in unusable and (image.isdigit() or not numbered):
            unlisted.setdefault(image, []).append((where, note))
            continue
        if notes is None or label is None:
            _unplaced(file, where, note)
            continue
        reason = f"the id {own} occurs twice" if own in seen else ""
        if own is None and note.get("id") is not None:
            reason = f"id is {note.get('id')!r:.80}"
        if reason:
            file.refuse(where, reason, "bad_entry", "box")
        elif own is not None:
            seen.add(own)
        if reason or is_set(note.get("iscrowd")) or is_set(note.get("ignore")):
            notes.doubtful.add(label)
        else:
            notes.boxes.append((label, note))
    _unlisted(file, unlisted)


def _unlisted(file: CocoFile, found: dict[str, list[tuple[str, _Entry]]]) -> None:
    """Annotations by an image that is not in the list. Mostly several of one image: it was taken out, and they tell
    nothing of others (but of a listed one without any annotation: the ids may be wrong). Mostly one: a mistyped id."""
    several = sum(len(notes) > 1 for notes in found.values())
    if not several or 2 * several < len(found):
        for where, note in (each for notes in found.values() for each in notes):
            _unplaced(file, where, note)
        return
    for image, notes in found.items():
        told = f"it is not in the list of images: {len(notes)} annotations left out"
        file.refuse(f"image {image}", told, "unlisted_image", "box")
    for one in file.images.values():
        one.complete &= bool(one.boxes or one.doubtful)


def _unplaced(file: CocoFile, where: str, note: _Entry) -> None:
    """Questions that the lost box might have answered otherwise are not asked."""
    image = entry_id(note.get("image_id"))
    notes, label = file.images.get(image or ""), file.names.get(entry_id(note.get("category_id")) or "")
    what = f"unknown image {note.get('image_id')!r:.80} or category {note.get('category_id')!r:.80}"
    file.refuse(where, what, "unknown_label_or_image", "box")
    if notes is None and image in file.resized:
        file.resized[image].complete = False
        file.resized[image].doubtful |= set() if label is None else {label}
    elif notes is not None:
        notes.complete = False
    elif image in file.refused_images:
        return  # its photo is not asked about at all
    elif label is not None:
        file.lost.add(label)
    else:
        file.all_incomplete = True
