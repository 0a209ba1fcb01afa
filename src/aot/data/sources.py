"""Photos and scenes from the user's own files, whichever format they have."""

from __future__ import annotations

from pathlib import Path

from aot.data.coco import read_coco
from aot.data.images import Fit, Refusal, square
from aot.data.photos import Source, scenes_of
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
    source = open_source(path, square(side_px))
    scenes: list[Scene] = []
    refused: list[Refusal] = []
    for item in source.items:
        if isinstance(item, Refusal):
            refused.append(item)
        else:
            scenes += scenes_of(item, source.labels, questions_per_image, seed)
    return scenes, refused


def open_source(path: Path | str, fit: Fit) -> Source:
    """The photos of a COCO-format folder or an LMUData TSV, one by one. Another kind of path raises `AotError`."""
    path = Path(path)
    if not path.exists():
        raise AotError(
            "there is no such file or folder", where=str(path), hint="check the path given as --data"
        )
    if path.is_dir():
        return read_coco(path, fit)
    if path.suffix.lower() == ".tsv":
        return read_tsv(path, fit)
    hint = "give a COCO-format folder (instances.json and images/) or an LMUData .tsv file"
    raise AotError("unknown data format", where=str(path), hint=hint)
