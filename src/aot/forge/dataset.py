"""Pairs on disk: a folder that `datasets.load_dataset` opens, and LMUData TSVs of each side."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features, Image, List, Value

from aot.forge.pairs import Pair
from aot.forge.photo_source import PhotoScene
from aot.runs.files import replacing
from aot.types import LETTERS

FEATURES = Features(
    {
        "id": Value("string"),
        "source_id": Value("string"),
        "kind": Value("string"),
        "clean": Image(),
        "attacked": Image(),
        "question": Value("string"),
        "options": List(Value("string")),
        "answer": Value("string"),
        "question_kind": Value("string"),
        "boxes": List(List(Value("int32"))),
        "box_labels": List(Value("string")),
        "instruction": Value("string"),
        "distractor": Value("string"),
        "extended": Value("bool"),
        "ssim_local": Value("float64"),
        "fooled": Value("float64"),
        "licence": Value("string"),
        "source": Value("string"),
    }
)
"""Columns. `answer`: its letter; `boxes`: protected ones, [x, y, width, height] px; `fooled`: share of the given
defender's answers that were wrong, null where none was asked."""


def row(pair: Pair, number: int, source_id: str) -> dict[str, Any]:
    """One pair as a row; `number` tells the kept edits of one question apart."""
    scene, attack = pair.episode.scene, pair.episode.attack
    photo = scene if isinstance(scene, PhotoScene) else None
    return {
        "id": f"{scene.id}-{number}",
        "source_id": source_id,
        "kind": attack.kind,
        "clean": {"bytes": pair.clean, "path": None},
        "attacked": {"bytes": pair.attacked, "path": None},
        "question": scene.question.text,
        "options": list(scene.question.options),
        "answer": LETTERS[scene.question.answer],
        "question_kind": scene.question.kind,
        "boxes": [[b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0] for b in scene.protected],
        "box_labels": [f"{b.attribute} {b.label}".strip() for b in scene.protected],
        "instruction": attack.instruction,
        "distractor": attack.attacker.partition("/")[2] or attack.attacker,
        "extended": photo is not None and photo.extended,
        "ssim_local": pair.episode.verdict.measured("local_ssim"),
        "fooled": pair.episode.fooled_fraction if pair.episode.answers else None,
        "licence": photo.licence if photo else "",
        "source": scene.source,
    }


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A parquet file that `datasets` reads with its image columns decoded."""
    table = pa.Table.from_pylist(list(rows), FEATURES.arrow_schema)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=100)


def read_rows(paths: Sequence[Path], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of some files, one by one."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(50, columns=columns):
                yield from batch.to_pylist()


def write_tsv(path: Path, shards: Mapping[str, Sequence[Path]], side: str) -> None:
    """LMUData of one side ("clean", "attacked") of all splits: index, image, question, A .., answer, category, split,
    bbox. An image that an earlier row has is named by that row's index."""
    every = [shard for paths in shards.values() for shard in paths]
    letters = LETTERS[: max((len(each["options"]) for each in read_rows(every, ["options"])), default=2)]
    had: dict[bytes, int] = {}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["index", "id", "image", "question", *letters, "answer", "category", "split", "bbox"])
        index = 0
        for split, paths in shards.items():
            for each in read_rows(paths):
                content = each[side]["bytes"]
                first = had.setdefault(hashlib.sha256(content).digest(), index)
                image = base64.b64encode(content).decode() if first == index else str(first)
                options = [*each["options"], *[""] * (len(letters) - len(each["options"]))]
                tail = [each["answer"], each["question_kind"], split, json.dumps(each["boxes"])]
                table.writerow([index, each["id"], image, each["question"], *options, *tail])
                index += 1
