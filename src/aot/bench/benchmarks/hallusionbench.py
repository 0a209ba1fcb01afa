"""HallusionBench (Guan et al. 2023, arXiv 2310.14566): 951 yes/no questions with an image, in figures and pairs.

The original is a clone: HallusionBench.json beside the folder `hallusion_bench` of its images. Its 178 questions
without an image are left out: the official figures of image models are over the 951. Every id, also in the TSV, reads
category_subcategory_visual-input_set_figure_question; what is grouped by follows from it.
"""

from __future__ import annotations

from pathlib import Path

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import yes_no
from aot.bench.reading.rows import Needs, NotAsked, Row, Rows, files_below, open_rows
from aot.data.images.reading import BadRow
from aot.scores.official import hallusionbench

QUESTIONS = "HallusionBench.json"
PARTS = ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")


def rows(path: Path, needs: Needs) -> Rows:
    """The original's file of questions, also in a clone that has others (samples of results, older versions)."""
    found = files_below(path, QUESTIONS) if path.is_dir() else []
    return open_rows(found[0] if found else path, needs)


def member(row: Row) -> tuple[str, dict[str, str]]:
    """The id of a row, and what it is grouped by. Raises as `item`."""
    parts = [row.text(name) for name in PARTS]
    if not all(parts):
        parts = row.text("index", "id").split("_")
    if len(parts) != len(PARTS):
        raise BadRow("the row does not say its " + ", ".join(PARTS), "bad_index")
    category, sub, visual, number, figure, question = parts
    if visual == "0":
        raise NotAsked("no image")
    kind = f"{category}_{sub}"
    return "_".join(parts), {"figure": f"{kind}_{number}_{figure}", "pair": f"{kind}_{number}_{question}"}


def item(row: Row) -> Item:
    id, groups = member(row)
    category = groups["figure"].rsplit("_", 2)[0]
    return yes_no(
        row, row.text("question"), row.text("answer", "gt_answer"), id=id, category=category, groups=groups
    )


HALLUSIONBENCH = Benchmark(
    "HallusionBench",
    "https://github.com/tianyi-lab/HallusionBench",
    hallusionbench,
    item,
    items=951,
    needs=Needs((("question",), ("answer", "gt_answer")), split="image"),
    rows=rows,
    member=member,
)
