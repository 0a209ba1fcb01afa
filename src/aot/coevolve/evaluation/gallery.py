"""Pictures to look at: for every attacker, attacks that worked and attacks that the referee refused.

They show what no number does: whether edits fit into the image, and whether the question can still be answered.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from aot.answers import parse_answer
from aot.coevolve.evaluation.evaluator import Evaluator, Origin
from aot.runs.files import replacing
from aot.types import Image

WORKED, REFUSED = 8, 2
"""Examples an attacker: attacks that fooled the defender it trained against, attacks that were refused."""


def write_gallery(evaluator: Evaluator, folder: Path) -> int:
    """`gallery.json` and its PNG files in `folder`, made anew; returns the number of examples."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    entries: list[dict[str, Any]] = []
    for name, origin in evaluator.attackers.items():
        for index in _chosen(evaluator, name, origin):
            entries.append(_entry(evaluator, name, origin, index, folder, len(entries) + 1))
    with replacing(folder / "gallery.json") as temporary:
        temporary.write_text(json.dumps(entries, indent=1), encoding="utf-8")
    return len(entries)


def _chosen(evaluator: Evaluator, name: str, origin: Origin) -> list[int]:
    """Successes in turn from each question type, then refused attacks by frequency of their reason."""
    worked = np.flatnonzero(evaluator.evaluation.successes(origin.against, name)).tolist()
    attacks = evaluator.columns[name]
    refused = np.flatnonzero(~attacks.valid).tolist()
    types = evaluator.evaluation.question_types
    reasons = [attacks.verdicts[i].refused_by[0] for i in refused]
    return _in_turn(worked, [types[i] for i in worked], WORKED) + _in_turn(refused, reasons, REFUSED)


def _in_turn(indices: Sequence[int], groups: Sequence[str], most: int) -> list[int]:
    """The first of each group, then the second of each, up to `most`."""
    rank: dict[str, int] = {}
    order = []
    for index, group in zip(indices, groups, strict=True):
        rank[group] = rank.get(group, 0) + 1
        order.append((rank[group], group, index))
    return [index for _, _, index in sorted(order)[:most]]


def _entry(
    evaluator: Evaluator, name: str, origin: Origin, index: int, folder: Path, number: int
) -> dict[str, Any]:
    scene = evaluator.game.held_out[index]
    attack, verdict = evaluator.columns[name].attacks[index], evaluator.columns[name].verdicts[index]
    question = scene.question
    # Before and after its own training against these attacks, where that defender was made.
    shown = [origin.against] + [name] * (name in evaluator.defenders)
    said = {
        column: [_answer(d, evaluator.texts[d][column][index], question.options) for d in shown]
        for column in ("clean", name)
    }
    for image, side in ((scene.image, "clean"), (attack.image, "attacked")):
        _save(image, folder / f"{number:04d}_{side}.png")
    return {
        "scene_id": scene.id,
        "attacker": name,
        "defender": origin.against,
        "question": question.text,
        "options": list(question.options),
        "answer": question.answer,
        "question_type": question.kind,
        "kind": attack.kind,
        "instruction": attack.instruction,
        "protected": [[b.x0, b.y0, b.x1, b.y1] for b in scene.protected],
        "valid": verdict.valid,
        "findings": [asdict(f) for f in verdict.findings],
        "answers_before": said["clean"],
        "answers_after": said[name] if verdict.valid else [],
        "clean": f"{number:04d}_clean.png",
        "attacked": f"{number:04d}_attacked.png",
    }


def _answer(defender: str, text: str, options: Sequence[str]) -> dict[str, Any]:
    answer = parse_answer(text, options)
    return {"defender": defender, "text": text, "choice": answer.choice, "status": answer.status}


def _save(image: Image, path: Path) -> None:
    PillowImage.fromarray(image).save(path)
