"""JSON lines as photos, and the rows of tables (`stored`): one image a row, with or without a question.

Columns, all but the image optional: `image` (JSON lines: a path from the file's folder; else the image), `id`,
`question`, `options`, `answer`, `boxes`, `licence`. A box is [x, y, width, height] in pixels of the image, or an
object with `bbox` and where known `label`, `attribute`, `segmentation` (COCO's polygons) and `protected`. The question
is about the protected boxes; where none says so, about all. A row without a question gets those that its boxes decide,
and `complete` (default false) says whether what has no box is not there. How other datasets have their objects:
`aot.data.tables.objects_column`. `free_text`: a question without options whose answer is neither yes nor no is taken,
too, for who has a judge.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from aot.data.images.reading import (
    BadRow,
    Fit,
    Refusal,
    Size,
    decoded,
    found_in,
    from_folder,
    image_size,
    read_image,
    read_image_file,
    scaled_box,
)
from aot.data.photos.box_form import Form, is_four
from aot.data.photos.given import answer_of, given_question
from aot.data.photos.in_text import lettered
from aot.data.photos.numbered import Numbered
from aot.data.photos.outlines import outline
from aot.data.photos.photo import Photo, Source, Thing, same_twice
from aot.data.records.values import Spellings, is_set, label_of, text_of, texts_of
from aot.data.tables.asked import IMAGES
from aot.data.tables.nlvr import as_row, is_nlvr
from aot.data.tables.objects_column import PER_MILLE, UNSURE, form_of, has_objects, is_one_object, named
from aot.data.tables.one_image import JOINED, OTHER, Joined
from aot.data.tables.tsv import POINTER_CHARS
from aot.errors import AotError
from aot.runs.files import bounded_lines, encoding_of, json_text, read_whole
from aot.types import Box

_MOST_CHARS = 4096
"""Of a path; what is longer is an image."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
Row = tuple[str, str, str | dict[str, Any] | BadRow]
"""Where a row is, its number, and its cells, the JSON that holds them, or why it is refused."""


def read_jsonl(path: Path, fit: Fit, *, free_text: bool = False) -> Source:
    """A photo for each line, and refused lines, as they are read."""

    def photos() -> Iterator[Photo | Refusal]:
        if next(json_lines(path), None) is None:
            yield Refusal(str(path), "the file", "has no rows", "bad_entry")
        form = form_of(((row, partial(size_in, row, path)) for row in rows_held(json_lines(path))), path)
        yield from photos_of_rows(partial(json_lines, path), path, fit, free_text, form)

    return Source(photos())


def json_lines(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines, or of one that is a list of them. Unreadable: `AotError`."""
    try:
        if path.suffix.lower() == ".json" and isinstance(listed := _listed(path), list):
            no_row = BadRow("the row is not a JSON object", "not_json")
            for number, one in enumerate(listed, 1):
                yield f"row {number}", str(number), one if isinstance(one, dict) else no_row
            return
        with path.open(encoding=encoding_of(path), errors="replace") as lines:
            for number, line in enumerate(bounded_lines(lines), 1):
                if line.strip():
                    yield f"line {number}", str(number), line
    except OSError as error:
        raise AotError(f"cannot be read ({error.strerror})", where=str(path), hint="check the file") from error


def _listed(path: Path) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(json_text(read_whole(path)))
    return None


def photos_of_rows(
    rows: Callable[[], Iterable[Row]], path: Path, fit: Fit, free_text: bool, form: Form, name: str = ""
) -> Iterator[Photo | Refusal]:
    """Photos of rows whose images are named from the file's folder. `rows` gives them as often as it is called. `form`:
    what the boxes of their objects are. `name` begins the ids of rows without one."""
    seen, numbered = set[str](), Numbered(path)
    joined = Joined(Counter(filter(None, (_key(held) for _, _, held in rows()))))
    for where, number, held in rows():
        key = _key(held)
        try:
            if isinstance(held, BadRow):
                raise held
            row = named(parsed(held) if isinstance(held, str) else held, form)
            if is_nlvr(row):
                row = as_row(row, path)
            numbered.note(text_of(row.get("answer")), texts_of(row.get("options")))
            content = _named_image(row, path)
            if whole := joined.add(key, f"{name or path.stem}-{number}", row):
                yield photo_of_row(whole[1], content, whole[0], path.name, fit, seen, free_text)
        except BadRow as error:
            if waited := joined.spoil(key):
                yield Refusal(str(path), f"photo {waited}", OTHER, "row_of_image")
            yield Refusal(str(path), where, str(error), error.word)


def _key(held: str | dict[str, Any] | BadRow) -> str:
    """Of a row with one object that asks nothing, the name of its image, which other rows may have; else empty."""
    with suppress(BadRow):
        row = parsed(held) if isinstance(held, str) else held
        if isinstance(row, BadRow) or not is_one_object(row):
            return ""
        image = named({name: row[name] for name in ("image", *IMAGES) if name in row}, "sides").get("image")
        return image if isinstance(image, str) and len(image) < _MOST_CHARS else ""
    return ""


def rows_held(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """The cells of those rows that have objects."""
    for _, _, held in rows:
        with suppress(BadRow):
            row = parsed(held) if isinstance(held, str) else held
            if not isinstance(row, BadRow) and has_objects(row):
                yield row


def _named_image(row: Mapping[str, Any], path: Path) -> bytes:
    image = row.get("image")
    if isinstance(image, list) and len(image) > 1:
        raise BadRow("the row has a list of images; one image a question is supported", "several_images")
    image = image[0] if isinstance(image, list) and image else image
    if not isinstance(image, str):
        raise BadRow("the row has no image path", "missing_image")
    if image.startswith(("http://", "https://")):
        raise BadRow(f"the image {image[:200]} is an address: download it, and write its path", "missing_image")
    folder, image, is_there = found_in((path.parent,), from_folder(image, path.parent))
    if not is_there and (image.startswith("data:image/") or (len(image) > POINTER_CHARS and _BASE64.fullmatch(image))):
        return decoded(image)
    return read_image_file(folder, image)


def size_in(row: dict[str, Any], path: Path) -> Size | None:
    """Of the image that a row names; None where it cannot be told."""
    with suppress(BadRow):
        return image_size(_named_image(named(row, "sides"), path))
    return None


def parsed(line: str) -> dict[str, Any]:
    """The object that a line holds. None: `BadRow`."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"the line is not JSON ({error})", "not_json") from error
    if not isinstance(row, dict):
        raise BadRow("the line is not a JSON object", "not_json")
    return row


def photo_of_row(
    row: Mapping[str, Any], content: bytes, name: str, source: str, fit: Fit, seen: set[str], free_text: bool
) -> Photo:
    own = row.get("id")
    name = (text_of(own) if isinstance(own, str | int) else "") or name
    if name in seen:
        raise BadRow(f"the id {name!r} occurs twice", "duplicate_id")
    image, size = read_image(content, fit)
    spelled = Spellings()
    entries = _list(row, "boxes")
    unsure = [entry for entry in entries if isinstance(entry, dict) and entry.get(UNSURE)]
    marked = [_thing(entry, size, fit(size), spelled) for entry in entries if entry not in unsure]
    things = tuple(thing for thing, _ in marked)
    doubtful = {spelled(label_of(entry.get("label"))) for entry in unsure}
    if row.get(JOINED):
        doubtful |= same_twice(things)
    about = tuple(thing.box for thing, protected in marked if protected) or tuple(thing.box for thing in things)
    given: tuple[Any, ...] = ()
    if row.get("question") is not None and not isinstance(row["question"], str | float):
        raise BadRow("the question is no text", "bad_question")
    if any(isinstance(option, Mapping | list) for option in _list(row, "options")):
        raise BadRow("an option is no text", "bad_options")
    text, options = text_of(row.get("question")), lettered([text_of(option) for option in _list(row, "options")])
    # Left blank beside options or an answer, it is a mistake; blank without any, the row just has no question.
    if text or (row.get("question") is not None and (options or text_of(row.get("answer")))):
        kind = text_of(row.get("question_kind")) or text_of(row.get("category"))
        answer = answer_of(row.get("answer"), _list(row, "options"))
        given = ((given_question(text, options, answer, kind=kind, free_text=free_text), about),)
    seen.add(name)
    licence = text_of(row.get("licence")) or text_of(row.get("license"))
    return Photo(name, image, things, given, frozenset(doubtful), is_set(row.get("complete")), licence, source)


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    if value is not None and not isinstance(value, list):
        raise BadRow(f"{key} is no list", "bad_box" if key == "boxes" else "bad_options")
    return value or []


def _thing(entry: Any, size: Size, fitted: Size, spelled: Spellings) -> tuple[Thing, bool]:
    """An object, and whether the row says that the question is about it."""
    if not isinstance(entry, dict):
        return Thing(scaled_box(entry, size, fitted, "")), False
    label, attribute = spelled(label_of(entry.get("label"))), label_of(entry.get("attribute"))
    placed = entry.get("bbox")
    if entry.get(PER_MILLE) and is_four(placed):
        placed = [number * side / 1000 for number, side in zip(placed, (*size, *size), strict=True)]
    box: Box = scaled_box(placed, size, fitted, label, attribute)
    return Thing(box, outline(entry.get("segmentation"), size, fitted)), bool(entry.get("protected"))
