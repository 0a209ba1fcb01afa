"""A COCO-format folder (`instances.json` and `images/`) as scenes: questions written from the boxes (*ours*).

Only what the boxes decide is asked: about labels that occur once, never a crowd, with a margin.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from aot.data.images import BadRow, Refusal, read_image_file, scaled_box, square_image
from aot.errors import AotError
from aot.types import Box, Question, Scene
from aot.world.questions import Name, with_article

APART = 1 / 32
"""Two boxes are in order on an axis if this share of the side lies between them (*ours*)."""
LEAST_SIDE = 1 / 16
"""Nothing is asked about an object smaller than this share of the side, either way (*ours*)."""

_T = TypeVar("_T")
_Entry = dict[str, Any]
_Draft = tuple[str, str, tuple[str, ...], str, tuple[Box, ...]]
"""Question type, text, options, right option, boxes it is about."""


@dataclass
class _Photo:
    """One image's annotations before the image is opened. `labels` counts every annotation; of the
    `doubtful` labels one is a crowd or was refused."""

    entry: _Entry
    boxes: list[tuple[str, _Entry]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    doubtful: set[str] = field(default_factory=set)


def read_coco(folder: Path, side_px: int, questions_per_image: int, seed: int) -> Iterator[Scene | Refusal]:
    """Scenes and refused rows (images or annotations), image by image in the order of the file.

    Unreadable JSON or a missing list: `AotError`. A label with any refused annotation is not asked about.
    """
    file = folder / "instances.json"
    lists = _open(file)
    names: dict[int, str] = {}
    for number, entry in enumerate(lists["categories"]):
        if reason := _fault(entry, {"id": int, "name": str}, names):
            yield Refusal(str(file), f"category {number} (id {entry.get('id')})", reason)
        else:
            names[entry["id"]] = entry["name"]
    photos: dict[int, _Photo] = {}
    for number, entry in enumerate(lists["images"]):
        if reason := _fault(entry, {"id": int, "file_name": str, "width": int, "height": int}, photos):
            yield Refusal(str(file), f"image {number} (id {entry.get('id')})", reason)
        else:
            photos[entry["id"]] = _Photo(entry)
    seen: set[int] = set()
    for number, note in enumerate(lists["annotations"]):
        photo, label = _find(photos, note.get("image_id")), _find(names, note.get("category_id"))
        reason = _fault(note, {"id": int}, seen)
        if photo is None or label is None:
            reason = f"unknown image {note.get('image_id')!r} or category {note.get('category_id')!r}"
        else:
            photo.labels[label] += 1
            if reason or note.get("iscrowd"):
                photo.doubtful.add(label)
            else:
                photo.boxes.append((label, note))
        if reason:
            yield Refusal(str(file), f"annotation {number} (id {note.get('id')})", reason)
        else:
            seen.add(note["id"])
    for photo in photos.values():
        yield from _scenes(photo, sorted(set(names.values())), folder, side_px, questions_per_image, seed)


def _open(file: Path) -> dict[str, list[_Entry]]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        hint = "a COCO-format folder holds instances.json and images/"
        raise AotError(f"cannot be read ({error.strerror})", where=str(file), hint=hint) from error
    except ValueError as error:
        raise AotError(
            f"is not JSON ({error})", where=str(file), hint="export the annotations again"
        ) from error
    for key in ("images", "annotations", "categories"):
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            hint = "COCO's instances.json has the lists images, annotations and categories"
            raise AotError(f"no list {key!r}", where=str(file), hint=hint)
    return content


def _find(table: dict[int, _T], key: object) -> _T | None:
    return table.get(key) if isinstance(key, int) else None


def _fault(entry: _Entry, needs: dict[str, type], taken: Any) -> str:
    for key, kind in needs.items():
        if type(entry.get(key)) is not kind:
            return f"{key} is {entry.get(key)!r}, not {kind.__name__}"
    return f"the id {entry['id']} occurs twice" if entry["id"] in taken else ""


def _scenes(
    photo: _Photo, labels: list[str], folder: Path, side_px: int, most: int, seed: int
) -> Iterator[Scene | Refusal]:
    entry, file = photo.entry, str(folder / "instances.json")
    try:
        content = read_image_file(folder / "images", entry["file_name"])
        image, size = square_image(content, side_px, declared=(entry["width"], entry["height"]))
    except BadRow as error:
        yield Refusal(file, f"image {entry['id']} ({entry['file_name']})", str(error))
        return
    boxes: list[Box] = []
    doubtful = set(photo.doubtful)
    for label, note in photo.boxes:
        try:
            boxes.append(scaled_box(note.get("bbox"), size, side_px, label))
        except BadRow as error:
            doubtful.add(label)
            yield Refusal(file, f"annotation of image {entry['id']} (id {note['id']})", str(error))
    rng = np.random.default_rng([seed, zlib.crc32(entry["file_name"].encode())])
    clear = [b for b in boxes if photo.labels[b.label] == 1 and b.label not in doubtful]
    single = [b for b in clear if min(b.x1 - b.x0, b.y1 - b.y0) >= LEAST_SIDE * side_px]
    absent = [label for label in labels if label not in photo.labels]
    for number, draft in enumerate(_drafts(single, absent, side_px, most, rng)):
        kind, text, options, right, about = draft
        options = tuple(options[i] for i in rng.permutation(len(options)))
        question = Question(text, options, options.index(right), kind)
        yield Scene(f"{entry['id']}-{number}-{kind}", image, question, about, tuple(boxes), folder.name)


def _drafts(
    single: list[Box], absent: list[str], side_px: int, most: int, rng: np.random.Generator
) -> list[_Draft]:
    """At most `most` questions, the types in rotation while they last; every order is drawn."""
    existence = [_existence(b.label, "yes", (b,)) for b in single]
    some = rng.permutation(len(absent))[: max(1, len(existence))].tolist()
    existence += [_existence(absent[i], "no", ()) for i in some]
    side = [draft for b in single for draft in _sides(b, side_px)]
    relation = [draft for a in single for b in single if a is not b for draft in _relations(a, b, side_px)]
    stacks = [[kind[i] for i in rng.permutation(len(kind))] for kind in (relation, side, existence)]
    drafts: list[_Draft] = []
    while len(drafts) < most and any(stacks):
        drafts += [stack.pop() for stack in stacks if stack]
    return drafts[:most]


def _existence(label: str, answer: str, about: tuple[Box, ...]) -> _Draft:
    return "existence", f"Is there {with_article(Name(label))}?", ("yes", "no"), answer, about


def _sides(box: Box, side_px: int) -> Iterator[_Draft]:
    middle = side_px / 2
    for low, high, words in ((box.x0, box.x1, ("left", "right")), (box.y0, box.y1, ("upper", "lower"))):
        if high <= middle or low >= middle:
            text = f"Is the {box.label} in the {' or '.join(words)} half?"
            yield "side", text, words, words[low >= middle], (box,)


def _relations(a: Box, b: Box, side_px: int) -> Iterator[_Draft]:
    gap = APART * side_px
    for ends, words in (
        ((a.x0, a.x1, b.x0, b.x1), ("left", "right")),
        ((a.y0, a.y1, b.y0, b.y1), ("above", "below")),
    ):
        first_before, second_before = ends[1] + gap <= ends[2], ends[3] + gap <= ends[0]
        if first_before or second_before:
            of = " of" if words[0] == "left" else ""
            text = f"Is the {a.label} {' or '.join(words)}{of} the {b.label}?"
            yield "relation", text, words, words[second_before], (a, b)
