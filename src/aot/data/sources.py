"""Photos and scenes from the user's own files, whichever format they have."""

from __future__ import annotations

from pathlib import Path

from aot.data.coco import read_coco
from aot.data.images import Fit, Refusal, square
from aot.data.photos import Source, scenes_of
from aot.data.pictures import holds_pictures, read_pictures
from aot.data.rows import read_jsonl, read_table
from aot.data.tsv import read_tsv
from aot.errors import AotError
from aot.types import Scene

__all__ = ["Refusal", "load_scenes"]

QUESTIONS_PER_IMAGE = 6
"""At most this many questions are written from the boxes of one COCO image (*ours*)."""


DATASET_MARKS = ("*.parquet", "data/*.parquet", "state.json", "dataset_dict.json")
"""What a folder of `datasets` holds."""


def load_scenes(
    path: Path | str,
    *,
    side_px: int = 64,
    questions_per_image: int = QUESTIONS_PER_IMAGE,
    seed: int = 0,
    free_text: bool = False,
) -> tuple[list[Scene], list[Refusal]]:
    """All usable scenes of the folder or file, and every refused row with its reason.

    Images become `uint8 [side_px, side_px, 3]`, boxes are scaled with them. A bad row costs only itself;
    a path that is neither format raises `AotError`. `seed` draws the questions of a COCO folder. `free_text`: see
    `open_source`.
    """
    source = open_source(path, square(side_px), free_text=free_text)
    scenes: list[Scene] = []
    refused: list[Refusal] = []
    for item in source.items:
        if isinstance(item, Refusal):
            refused.append(item)
        else:
            scenes += scenes_of(item, source.labels, questions_per_image, seed)
    return scenes, refused


def open_source(path: Path | str, fit: Fit, *, free_text: bool = False) -> Source:
    """The photos of a COCO-format folder, an LMUData TSV, a JSON-lines file, a parquet file, a `datasets` folder or a
    plain folder of images, one by one. Another kind of path raises `AotError`. `free_text`: JSON lines and tables may
    ask without options."""
    path = Path(path)
    if not path.exists():
        raise AotError(
            "there is no such file or folder", where=str(path), hint="check the path given as --data"
        )
    suffix = path.suffix.lower()
    if suffix == ".tsv":
        return read_tsv(path, fit)
    if suffix in (".jsonl", ".ndjson"):
        return read_jsonl(path, fit, free_text=free_text)
    if suffix == ".parquet" or (path.is_dir() and any(found for mark in DATASET_MARKS for found in path.glob(mark))):
        return read_table(path, fit, free_text=free_text)
    if path.is_dir() and not (path / "instances.json").exists() and holds_pictures(path):
        return read_pictures(path, fit)
    if path.is_dir():
        return read_coco(path, fit)
    hint = (
        "give a COCO-format folder (instances.json and images/), an LMUData .tsv, a .jsonl or .parquet file, or a "
        "folder that datasets.load_dataset opens"
    )
    raise AotError("unknown data format", where=str(path), hint=hint)
