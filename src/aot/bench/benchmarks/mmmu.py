"""MMMU, validation (Yue et al. 2023, arXiv 2311.16502): 900 questions of 30 subjects, 53 of them without options.

On the hub a folder of parquet for each subject; up to seven images a question, which stand where text or options say
`<image n>`. Options are the text of a Python list, several accepted answers likewise. The test split has no answers.
"""

from __future__ import annotations

import re

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import choice, lettered, listed, short_answer
from aot.bench.reading.rows import Needs, NotAsked, Row
from aot.data.images.reading import BadRow
from aot.scores.official import mmmu

SPLIT = "validation"
NAME = re.compile(r"(dev|validation|test)_(.+)_\d+")


def item(row: Row) -> Item:
    name = NAME.fullmatch(row.text("id"))
    split = name[1] if name else row.text("split") or SPLIT
    if split != SPLIT:
        raise NotAsked(f"split {split}")
    subject, answer = name[2] if name else row.text("category"), row.text("answer")
    options = listed(row.cells["options"]) if row.cells.get("options") else lettered(row)
    question = row.text("question")
    named = {"id": row.text("id"), "category": subject}
    if options:
        return choice(row, question, options, answer, groups={"kind": "choice"}, **named)
    return short_answer(row, question, _accepted(answer), groups={"kind": "open"}, **named)


def _accepted(answer: str) -> list[str]:
    """The answer, or those of a list."""
    if not answer.startswith("["):
        return [answer] if answer else []
    try:
        return listed(answer)
    except BadRow:
        return [answer]  # an interval is a text, too: "[0, 1)"


MMMU = Benchmark(
    "MMMU",
    "https://huggingface.co/datasets/MMMU/MMMU",
    mmmu,
    item,
    items=900,
    needs=Needs((("question",), ("answer",)), split=SPLIT),
)
