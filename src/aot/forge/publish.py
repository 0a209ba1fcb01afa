"""The dataset's own files, from the finished chunks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aot.forge.card import write_card, write_contact_sheet
from aot.forge.dataset import write_tsv
from aot.forge.similarity import Similarity
from aot.forge.split import SPLITS
from aot.forge.store import PhotoStore
from aot.runs.files import replacing, write_json
from aot.runs.run import Stage

REFUSED, GROWN = "refused.json", "grown.jsonl"


def publish(out: Path, made: Sequence[Stage], funnel: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """The dataset's own files, from the finished chunks."""
    if (out / "work/photos" / REFUSED).exists():
        shutil.copyfile(out / "work/photos" / REFUSED, out / REFUSED)
    write_json(out / "funnel.json", dict(funnel))
    parts = {split: [p for stage in made if (p := stage.folder / f"{split}.parquet").exists()] for split in SPLITS}
    shards: dict[str, list[Path]] = {}
    for split, files in parts.items():
        for n, file in enumerate(files):
            target = out / "data" / f"{split}-{n:05d}-of-{len(files):05d}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                shutil.copyfile(file, temporary)
            shards.setdefault(split, []).append(target)
    for old in set((out / "data").glob("*.parquet")) - {path for paths in shards.values() for path in paths}:
        old.unlink()  # of an earlier call with other data: `load_dataset` would read it, too
    for side in ("clean", "attacked"):
        write_tsv(out / f"{side}.tsv", shards, side)
    grown = sum(stage.metrics.get("grown", 0) for stage in made)
    if any("grown" in stage.metrics for stage in made):
        with replacing(out / GROWN) as temporary, temporary.open("w", encoding="utf-8") as lines:
            for stage in made:
                for line in (stage.folder / GROWN).read_text(encoding="utf-8").splitlines():
                    each = json.loads(line)
                    each["image"] = f"work/photos/{each['image']}"
                    lines.write(json.dumps(each, ensure_ascii=False) + "\n")
    similarity = Similarity.sum(stage.metrics["local_ssim"] for stage in made)
    write_card(out / "README.md", shards, funnel, settings, similarity, grown)
    photos = PhotoStore(out / "work/photos") if (out / "work/photos").exists() else None
    write_contact_sheet(out / "contact_sheet.html", shards, funnel, similarity, photos)
