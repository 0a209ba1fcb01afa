"""Bouts on disk: `bouts.jsonl` (one a line) beside `images.safetensors` (the attacked images, any sizes).

Scenes are not stored: they are drawn or read again, and each record names its scene, so a mismatch is found.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from aot.errors import AotError
from aot.types import Answer, Attack, Bout, Finding, Scene, Verdict


def save_bouts(folder: Path, bouts: Sequence[Bout]) -> None:
    images = {f"{i:06d}": np.ascontiguousarray(bout.attack.image) for i, bout in enumerate(bouts)}
    save_file(images, folder / "images.safetensors")
    with (folder / "bouts.jsonl").open("w", encoding="utf-8") as lines:
        for bout in bouts:
            lines.write(json.dumps(_record(bout)) + "\n")


def load_bouts(folder: Path, scenes: Sequence[Scene]) -> list[Bout]:
    """The bouts saved for these `scenes`, in their order. `AotError` where the scenes are other ones."""
    by_id = {scene.id: scene for scene in scenes}
    images = load_file(folder / "images.safetensors")
    bouts = []
    path = folder / "bouts.jsonl"
    for row, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        record = json.loads(line)
        if record["scene_id"] not in by_id:
            raise AotError(
                f"attacks scene {record['scene_id']!r}, which is not among the scenes of this run",
                where=f"{path}:{row + 1}",
                hint="the data behind --data changed since this stage ran: use a new --out folder",
            )
        bouts.append(_bout(record, by_id[record["scene_id"]], images[f"{row:06d}"]))
    return bouts


def _record(bout: Bout) -> dict[str, object]:
    return {
        "scene_id": bout.scene.id,
        "attacker": bout.attack.attacker,
        "kind": bout.attack.kind,
        "instruction": bout.attack.instruction,
        "seed": bout.attack.seed,
        "findings": [asdict(f) for f in bout.verdict.findings],
        "clean_answers": [asdict(a) for a in bout.clean_answers],
        "answers": [asdict(a) for a in bout.answers],
        "rewards": bout.rewards,
    }


def _bout(record: dict, scene: Scene, image: np.ndarray) -> Bout:
    attack = Attack(
        scene_id=scene.id,
        attacker=record["attacker"],
        kind=record["kind"],
        image=image,
        instruction=record["instruction"],
        seed=record["seed"],
    )
    return Bout(
        scene=scene,
        attack=attack,
        verdict=Verdict(tuple(Finding(**f) for f in record["findings"])),
        clean_answers=tuple(Answer(**a) for a in record["clean_answers"]),
        answers=tuple(Answer(**a) for a in record["answers"]),
        rewards=record["rewards"],
    )
