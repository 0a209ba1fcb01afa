"""What `aot eval` leaves behind: answers.parquet, scores.json, refused.json; written at once, read again to compare."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from aot.backends.base.backend import Reply
from aot.data.images.reading import Refusal
from aot.errors import AotError
from aot.runs.files import read_json, replacing, write_json
from aot.scores.result import Result

SCORES, ANSWERS, REFUSED, STORE = "scores.json", "answers.parquet", "refused.json", "replies.sqlite"
SCHEMA = pa.schema(
    {
        "benchmark": pa.string(),
        "id": pa.string(),
        "trial": pa.int32(),
        "prompt_digest": pa.string(),
        "text": pa.string(),
        "status": pa.string(),
        "given": pa.string(),
        "gold": pa.string(),
        "right": pa.bool_(),
        "confidence": pa.float64(),
        "category": pa.string(),
        "groups": pa.string(),
        "error": pa.string(),
        "faults": pa.list_(pa.string()),
        "attempts": pa.int32(),
        "seconds": pa.float64(),
        "prompt_tokens": pa.int64(),
        "completion_tokens": pa.int64(),
        "visual_tokens": pa.int64(),
    }
)
"""One row an item and trial. `groups`: JSON; `confidence` and token counts are null where the backend gives none."""


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A graded reply."""

    prompt_digest: str
    reply: Reply
    result: Result


def write_answers(path: Path, answered: Mapping[str, Sequence[Answered]]) -> None:
    """Rows in the order of the benchmarks and of their items."""
    rows = [_row(name, each) for name, answers in answered.items() for each in answers]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")


def _row(benchmark: str, answered: Answered) -> dict[str, Any]:
    result, reply = answered.result, answered.reply
    shared = {name: getattr(reply, name) for name in SCHEMA.names if hasattr(reply, name)}
    graded = {name: getattr(result, name) for name in SCHEMA.names if hasattr(result, name)}
    own = {
        "benchmark": benchmark,
        "prompt_digest": answered.prompt_digest,
        "text": reply.text.encode("utf-8", "replace").decode(),
        "groups": json.dumps(dict(result.groups), sort_keys=True),
        "faults": list(reply.faults),
    }
    return shared | graded | own


def write_refused(path: Path, refused: Mapping[str, Iterable[Refusal]]) -> None:
    write_json(path, {name: [asdict(refusal) for refusal in refusals] for name, refusals in refused.items()})


def read_scores(folder: Path) -> dict[str, dict[str, Any]]:
    """scores.json of a run's folder. None there: `AotError`."""
    value = read_json(folder / SCORES, hint="give the --out folder of an aot eval that has ended")
    entries = value.values() if isinstance(value, dict) else [None]
    if not all(isinstance(each, dict) and isinstance(each.get("protocol", {}), dict) for each in entries):
        raise AotError("not the scores of an aot eval", where=str(folder / SCORES), hint="give another folder")
    return value


def read_results(folder: Path) -> tuple[dict[str, list[Result]], dict[str, dict[str, str]]]:
    """By benchmark: results, and the prompt digest of each item. Damaged or missing: `AotError`."""
    path = folder / ANSWERS
    try:
        if not path.is_file():
            raise OSError("no such file, or no ordinary one")
        rows = pyarrow.parquet.read_table(path, schema=SCHEMA).to_pylist()
        results: dict[str, list[Result]] = {}
        digests: dict[str, dict[str, str]] = {}
        for row in rows:
            graded = {name: row[name] for name in Result.__dataclass_fields__}
            result = Result(**graded | {"groups": json.loads(row["groups"])})
            results.setdefault(row["benchmark"], []).append(result)
            digests.setdefault(row["benchmark"], {})[row["id"]] = row["prompt_digest"]
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        hint = "give the --out folder of an aot eval that has ended"
        raise AotError(f"cannot be read ({error})", where=str(path), hint=hint) from error
    return results, digests
