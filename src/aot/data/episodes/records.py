"""Episodes on disk: `episodes.jsonl` (one a line) beside `images.safetensors` (the attacked images, any sizes).

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
from aot.types import Answer, Attack, Episode, Finding, Scene, Verdict

EPISODES, EARLIER_NAME = "episodes.jsonl", "bouts.jsonl"


def save_episodes(folder: Path, episodes: Sequence[Episode]) -> None:
    images = {f"{i:06d}": np.ascontiguousarray(episode.attack.image) for i, episode in enumerate(episodes)}
    save_file(images, folder / "images.safetensors")
    with (folder / EPISODES).open("w", encoding="utf-8") as lines:
        for episode in episodes:
            lines.write(json.dumps(_record(episode)) + "\n")


def load_episodes(folder: Path, scenes: Sequence[Scene]) -> list[Episode]:
    """The episodes saved for these `scenes`, in their order. `AotError` where the scenes are other ones."""
    by_id = {scene.id: scene for scene in scenes}
    images = load_file(folder / "images.safetensors")
    episodes = []
    path = next((p for p in (folder / EPISODES, folder / EARLIER_NAME) if p.is_file()), folder / EPISODES)
    for row, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        record = json.loads(line)
        if record["scene_id"] not in by_id:
            raise AotError(
                f"attacks scene {record['scene_id']!r}, which is not among the scenes of this run",
                where=f"{path}:{row + 1}",
                hint="the data behind --data changed since this stage ran: use a new --out folder",
            )
        episodes.append(_episode(record, by_id[record["scene_id"]], images[f"{row:06d}"]))
    return episodes


def _record(episode: Episode) -> dict[str, object]:
    return {
        "scene_id": episode.scene.id,
        "attacker": episode.attack.attacker,
        "kind": episode.attack.kind,
        "instruction": episode.attack.instruction,
        "seed": episode.attack.seed,
        "findings": [asdict(f) for f in episode.verdict.findings],
        "clean_answers": [asdict(a) for a in episode.clean_answers],
        "answers": [asdict(a) for a in episode.answers],
        "rewards": episode.rewards,
    }


def _episode(record: dict, scene: Scene, image: np.ndarray) -> Episode:
    attack = Attack(
        scene_id=scene.id,
        attacker=record["attacker"],
        kind=record["kind"],
        image=image,
        instruction=record["instruction"],
        seed=record["seed"],
    )
    return Episode(
        scene=scene,
        attack=attack,
        verdict=Verdict(tuple(Finding(**f) for f in record["findings"])),
        clean_answers=tuple(Answer(**a) for a in record["clean_answers"]),
        answers=tuple(Answer(**a) for a in record["answers"]),
        rewards=record["rewards"],
    )
