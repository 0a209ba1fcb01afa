"""Scenes from the user's own images: a COCO-format folder or an LMUData TSV."""

from __future__ import annotations

from pathlib import Path

from aot.data.coco import read_coco
from aot.data.images import Refusal
from aot.data.tsv import read_tsv
from aot.errors import AotError
from aot.types import Scene

__all__ = ["Refusal", "load_scenes"]

QUESTIONS_PER_IMAGE = 6
"""At most this many questions are written from the boxes of one COCO image (*ours*)."""


def load_scenes(
    path: Path | str,
    *,
    side_px: int = 64,
    questions_per_image: int = QUESTIONS_PER_IMAGE,
    seed: int = 0,
) -> tuple[list[Scene], list[Refusal]]:
    """All usable scenes of the folder or file, and every refused row with its reason.

    Images become `uint8 [side_px, side_px, 3]`, boxes are scaled with them. A bad row costs only itself;
    a path that is neither format raises `AotError`. `seed` draws the questions of a COCO folder.
    """
    path = Path(path)
    if not path.exists():
        raise AotError(
            "there is no such file or folder", where=str(path), hint="check the path given as --data"
        )
    if path.is_dir():
        items = read_coco(path, side_px, questions_per_image, seed)
    elif path.suffix.lower() == ".tsv":
        items = read_tsv(path, side_px)
    else:
        hint = "give a COCO-format folder (instances.json and images/) or an LMUData .tsv file"
        raise AotError("unknown data format", where=str(path), hint=hint)
    scenes: list[Scene] = []
    refused: list[Refusal] = []
    for item in items:
        if isinstance(item, Refusal):
            refused.append(item)
        else:
            scenes.append(item)
    return scenes, refused
