"""POPE (Li et al. 2023, arXiv 2305.10355): is there such an object in the image?

The original is three files of 3000 JSON lines, random, popular and adversarial, which share questions: read together
they are 5127 different ones on COCO, each asked once and counted in every split that has it. The sets on GQA and
A-OKVQA have the same lines (gqa_pope_seem_random.json, or without "seem") and are scores of their own: one set a run.
The images are COCO's val2014 or GQA's, beside the files or in a folder `images`, `val2014` or `gqa/images`.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.pictures import named_images
from aot.bench.reading.questions import image_group, yes_no
from aot.bench.reading.rows import Needs, Row, Rows, files_below, json_values, open_rows, row_with
from aot.data.images.reading import BadRow
from aot.errors import AotError
from aot.scores.official import pope

SPLITS = ("random", "popular", "adversarial")
ORIGINAL = re.compile(rf"(?P<set>.*?)_?pope_(?:seem_)?(?P<split>{'|'.join(SPLITS)})\.jsonl?")


def rows(path: Path, needs: Needs) -> Rows:
    """The original's files (one, a folder of them, or a clone), else a table. Several sets of POPE: `AotError`."""
    found = files_below(path, "*pope_*.json", "*pope_*.jsonl") if path.is_dir() else [path]
    originals = [file for file in found if ORIGINAL.fullmatch(file.name)]
    originals = [file for file in originals if file.parent == path] or originals
    if not originals:
        return open_rows(path, needs)
    sets = {(file.parent, _named(file, "set")) for file in originals}
    if len(sets) > 1:
        folders = sorted({str(folder) for folder, _ in sets})
        one = folders if len(folders) == len(sets) else [str(file) for file in originals]
        what = f"several sets of POPE: {', '.join(sorted({name or 'without a name' for _, name in sets}))}"
        raise AotError(what, where=str(path), hint=f"give one of them: POPE={', or POPE='.join(one)}")
    return _originals(originals)


def _originals(files: list[Path]) -> Rows:
    """Each different question once. The texts of all splits are held, the images one at a time."""
    merged: dict[tuple[str, str], tuple[Path, str, dict[str, Any]]] = {}
    number = 0
    for file in sorted(files, key=lambda file: SPLITS.index(_named(file, "split"))):
        for place, cells in json_values(file):
            if isinstance(cells, BadRow):
                yield Row(str(file), place, (number := number + 1), {}, (), cells)
                continue
            if place in ("line 1", "entry 1") and not {"image", "text", "label"} <= set(cells):
                hint = f"it has {', '.join(cells)}"
                raise AotError("no columns image, text and label: not POPE's format", where=str(file), hint=hint)
            image, text, split = str(cells.get("image", "")), str(cells.get("text", "")), _named(file, "split")
            if not text or (image, text) not in merged:
                own = {**cells, "id": f"{split}-{cells.get('question_id', place)}", "category": split}
                merged[image, text or place] = (file, place, own)
                continue
            known = merged[image, text][2]
            if str(known.get("label")).casefold() != str(cells.get("label")).casefold():
                known["label"] = f"{known.get('label')} and {cells.get('label')}"
            known["category"] += "" if split in known["category"].split(",") else f",{split}"
    for file, place, cells in merged.values():
        number += 1
        yield row_with(file, place, number, cells, partial(named_images, cells, file.parent))


def _named(file: Path, part: str) -> str:
    """The set (coco, gqa, aokvqa) or the split that an original's name says."""
    found = ORIGINAL.fullmatch(file.name)
    return found[part] if found else ""


def item(row: Row) -> Item:
    """Tables of the hub may number each split from 0, and have one question in several."""
    question, answer, category = row.text("question", "text"), row.text("answer", "label"), row.text("category")
    own = row.text("id", "question_id")
    id = f"{category}-{own}" if own and category in SPLITS and not own.startswith(category) else ""
    return yes_no(row, question, answer, id="" if row.text("index") else id, category=category, groups=image_group(row))


POPE = Benchmark(
    "POPE",
    "https://github.com/AoiDragon/POPE",
    pope,
    item,
    items=5127,
    needs=Needs((("question", "text"), ("answer", "label")), split="test"),
    rows=rows,
)
