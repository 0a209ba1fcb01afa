"""The pairs of a dataset that `aot forge` made (AOT-SFT), read back to train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from aot.data.images.reading import BadRow, Fit, Refusal, read_image
from aot.data.sources import MOST_ELONGATED
from aot.data.tables.parquet import parquet_rows, shards
from aot.errors import AotError, shown
from aot.forge.split import SPLITS
from aot.runs.terminal import warn
from aot.types import LETTERS, Box, EditKind, Image, Question, Scene

SHOWN = 5


@dataclass(frozen=True, slots=True, eq=False)
class DatasetPair:
    """A clean scene and an attack on it that was kept. The scene's boxes have labels only."""

    scene: Scene
    attacked: Image
    kind: EditKind


def dataset_pairs(dataset: Path, split: str = SPLITS[0], *, fit: Fit = lambda size: size) -> list[DatasetPair]:
    """The pairs of one split in the order of the files, images resized as `fit` says.

    A row that lacks something is refused, and so is a file that cannot be read: told on stderr. Raises `AotError` where
    none of that split is left.
    """
    pairs, refused, seen = [], list[str](), set[str]()
    for file in sorted((dataset / "data").glob(f"{split}-*.parquet")):
        if not file.is_file():
            refused.append(f"  {file}: it is no ordinary file")
    for each in parquet_rows(dataset / "data") if shards(dataset / "data") else ():
        if isinstance(each, Refusal):
            refused.append(f"  {each}")
        elif each.split == split:
            try:
                pair = _pair(each.cells, fit)
                if pair.scene.id in seen:
                    raise BadRow(f"the id {shown(pair.scene.id, 80)!r} occurs twice", "duplicate_id")
                seen.add(pair.scene.id)
                pairs.append(pair)
            except BadRow as error:
                refused.append(f"  {split}, row {each.number}: {error}")
    if refused:
        warn("\n".join([f"refused rows of {dataset}: {len(refused)}", *refused[:SHOWN]]))
    if not pairs:
        hint = "make a dataset with `aot forge`, and see its funnel.json for what became of the pairs"
        told = f" ({len(refused)} rows refused)" if refused else ""
        raise AotError(f"no pairs of the split {split} here{told}", where=str(dataset / "data"), hint=hint)
    return pairs


def _pair(row: Mapping[str, Any], fit: Fit) -> DatasetPair:
    """Raises `BadRow` for what is missing or not possible."""
    texts: dict[str, type] = dict.fromkeys(("id", "question", "answer", "kind"), str)
    for name, kind in (texts | {"options": list, "box_labels": list}).items():
        value = row.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            raise BadRow(f"{name} is missing", "malformed")
        if not isinstance(value, kind):
            what = "text" if kind is str else "list"
            raise BadRow(f"{name} is no {what}: {shown(value, 40)}", "malformed")
    if row["kind"] not in get_args(EditKind):
        raise BadRow(f"kind {row['kind'][:40]!r} is no edit", "malformed")
    options, labels = row["options"], row["box_labels"]
    if not all(isinstance(text, str) for text in [*options, *labels]):
        raise BadRow("options or box_labels hold what is no text", "malformed")
    filled = [option for option in options if option.strip()]
    if not 2 <= len(filled) <= len(options) <= len(LETTERS) or len(set(filled)) < len(filled):
        raise BadRow(f"there are not 2 to {len(LETTERS)} different options", "bad_options")
    if row["answer"] not in tuple(LETTERS[: len(options)]):
        raise BadRow(f"the answer {row['answer'][:40]!r} is no letter of its options", "answer_not_among_options")
    if not options[LETTERS.index(row["answer"])].strip():
        raise BadRow(f"the answer {row['answer']} is an empty option", "answer_not_among_options")
    images = []
    for side in ("clean", "attacked"):
        picture = row.get(side)
        if not isinstance(picture, Mapping) or not isinstance(picture.get("bytes"), bytes):
            raise BadRow(f"the picture {side} is missing", "unreadable_image")
        images.append(read_image(picture["bytes"], fit)[0])
    if images[0].shape != images[1].shape:
        raise BadRow("the two pictures differ in size", "malformed")
    if max(sides := images[0].shape[:2]) > MOST_ELONGATED * min(sides):
        raise BadRow(f"{sides[1]}x{sides[0]} px: no model takes pictures so long and narrow", "elongated")
    question = Question(row["question"], tuple(options), LETTERS.index(row["answer"]))
    boxes = tuple(Box(0, 0, 0, 0, label) for label in labels)
    return DatasetPair(Scene(row["id"], images[0], question, boxes), images[1], row["kind"])
