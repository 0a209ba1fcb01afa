"""VSR, zero-shot test (Liu et al. 2022, arXiv 2205.00363): is a sentence about where things are true of the image?

The original is JSON lines (image, caption, label 1 or 0, relation), one file a split: in a clone
data/splits/zeroshot/test.jsonl with COCO's images in data/images, on the hub test.jsonl. Its other splits are left out.
"""

from __future__ import annotations

from pathlib import Path

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import yes_no
from aot.bench.reading.rows import LeftOut, Needs, Row, Rows, files_below, json_values, open_rows
from aot.errors import AotError
from aot.scores.official import vsr

QUESTION = "Is the following statement about the image true? {}"


SPLITS = ("train", "dev", "test")


def rows(path: Path, needs: Needs) -> Rows:
    """The test split of a clone or of a folder of splits, zero-shot rather than random; else a file or a table."""
    found = files_below(path, "*.jsonl") if path.is_dir() else []
    tests = [file for file in found if _split(file) == "test"]
    tests = [file for file in tests if "zeroshot" in str(file.relative_to(path))] or tests
    if not tests:
        yield from open_rows(path, needs)
        return
    if len(tests) > 1:
        hint = f"name one of them: VSR={', or VSR='.join(map(str, tests))}"
        raise AotError("several files of the test split might be meant", where=str(path), hint=hint)
    for other in found:
        if other.parent == tests[0].parent and _split(other) in ("train", "dev"):
            yield LeftOut(f"split {_split(other)}", sum(1 for _ in json_values(other)))
    yield from open_rows(tests[0], needs)


def _split(file: Path) -> str:
    """ "test" of test.jsonl and of zeroshot_test.jsonl; "" for other files."""
    name = file.stem.rpartition("_")[2]
    return name if name in SPLITS else ""


def item(row: Row) -> Item:
    caption = row.text("caption")
    question = row.text("question") or (QUESTION.format(caption) if caption else "")
    return yes_no(row, question, row.text("answer", "label"), category=row.text("category", "relation"))


VSR = Benchmark(
    "VSR",
    "https://github.com/cambridgeltl/visual-spatial-reasoning",
    vsr,
    item,
    items=1222,
    needs=Needs((("question", "caption"), ("answer", "label")), split="test"),
    rows=rows,
)
