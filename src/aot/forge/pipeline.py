"""The AOT-SFT pipeline on one page (AOT, arXiv 2602.22227, phase 1).

    the source's photos are stored, and what is wrong with them refused
    for each photo:
        the scene is extended, and looked at      (stage 1: composition, duplication, realism)
        questions are asked that its boxes decide, where none came with it
        distractors are put in, objects taken out (stage 2: never on what the question is about)
        the referee judges the pair               (local SSIM, overlap, area, the answer kept)
        and, where a defender is given, it must be deceived
    the pairs become a dataset with a card, a funnel and a contact sheet

Photos are worked on a few at a time; each such chunk is a stage of the output folder, so that a killed call goes on
where it was and a second one changes nothing. Departures: without an MLLM, composition and realism are measured, and
the answer is worked out again from the boxes (*ours*; `checks`).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from aot.data.images import at_most
from aot.data.sources import open_source
from aot.errors import AotError
from aot.files import replacing, write_json
from aot.forge.card import write_card, write_contact_sheet
from aot.forge.dataset import SPLITS, row, split_of, write_rows, write_tsv
from aot.forge.funnel import Funnel
from aot.forge.pairs import EffectSettings, PairSettings, make_pairs
from aot.forge.store import PhotoStore, fill
from aot.forge.workshop import PhotoSettings, PhotoWorkshop, Workshop
from aot.forge.world import WorldSettings, WorldWorkshop
from aot.players.base import Defender
from aot.referee import RefereeSettings
from aot.runs import Run, Stage

REFUSED = "refused.json"


class ForgeSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that a dataset depends on, besides its data; values *ours* unless said."""

    name: str = "forge"
    seed: int = Field(0, ge=0)
    side_px: int = Field(512, ge=32)  # longer sides are reduced to this
    held_out_share: float = Field(0.2, ge=0, lt=1)  # share of the source images
    chunk: int | None = Field(None, gt=0)  # source images a stage; none: 8 photos, 200 scenes of the world
    photos: PhotoSettings = PhotoSettings()
    world: WorldSettings = WorldSettings()
    pairs: PairSettings = PairSettings()
    effect: EffectSettings = EffectSettings()
    referee: RefereeSettings = RefereeSettings()


def forge(
    data: Path | None,
    out: Path,
    settings: ForgeSettings,
    *,
    defender: Defender | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Makes the dataset folder `out` from a COCO-format folder, an LMUData TSV or (`None`) the miniature world; returns
    its funnel.

    With a `defender` only pairs that deceive it are kept. Raises `AotError` where no photo can be used at all.
    """
    key = settings.model_dump(mode="json")
    key |= {"data": str(data) if data else None, "effective_against": defender and defender.name}
    with Run(out, key, say=say) as run:
        s = settings
        workshop, funnel, parents = _opened(run, data, s, say)
        numbers = range(len(workshop))
        size = s.chunk or workshop.at_once
        chunks = [numbers[i : i + size] for i in range(0, len(numbers), size)]

        def build(numbers: Sequence[int], folder: Path) -> dict[str, Any]:
            pairs, funnel = make_pairs(
                workshop, numbers, s.pairs, seed=s.seed, defender=defender, effect=s.effect
            )
            rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
            edits: Counter[str] = Counter()
            for pair in pairs:
                source_id, scene_id = workshop.source_id(pair.source), pair.bout.scene.id
                edits[scene_id] += 1
                split = split_of(source_id, s.held_out_share, s.seed)
                rows[split].append(row(pair, edits[scene_id], source_id))
            for split, each in rows.items():
                if each:  # `datasets` cannot read a file without rows
                    write_rows(folder / f"{split}.parquet", each)
            return {"pairs": len(pairs), "funnel": funnel.as_json()}

        made = []
        for i, chunk in enumerate(chunks):
            stage = run.stage(
                f"work/pairs/{i:05d}", partial(build, chunk), key=key, seed=s.seed, parents=parents, quiet=True
            )
            made.append(stage)
            say(f"  images {chunk[-1] + 1} of {len(workshop)}: {sum(m.figures['pairs'] for m in made)} pairs")
        funnel.merge(Funnel.sum(Funnel.from_json(stage.figures["funnel"]) for stage in made))
        publish(out, made, funnel.as_json(), key)
        return funnel.as_json()


def _opened(
    run: Run, data: Path | None, s: ForgeSettings, say: Callable[[str], None]
) -> tuple[Workshop, Funnel, list[Stage]]:
    """Where scenes and distractors come from; what was counted, and the stages made, on the way there."""
    if data is None:
        return WorldWorkshop(s.world, s.referee, seed=s.seed), Funnel(), []
    photos = _stored(run, data, s)
    store = PhotoStore(photos.folder)
    if not len(store):
        raise AotError("no usable photo", where=str(data), hint=f"see {photos.folder / REFUSED}")
    workshop = PhotoWorkshop(store, s.photos, s.referee, seed=s.seed)
    say(f"{len(store)} photos, {len(workshop.bank.cutouts)} objects to cut out of them")
    return workshop, Funnel.from_json(photos.figures["funnel"]), [photos]


def _stored(run: Run, data: Path, settings: ForgeSettings) -> Stage:
    """Stage 0: every photo of the source in the output folder, and the refused rows beside them."""

    def build(folder: Path) -> dict[str, Any]:
        funnel, refused = fill(folder, open_source(data, at_most(settings.side_px)))
        write_json(folder / REFUSED, [{"file": r.file, "row": r.row, "reason": r.reason} for r in refused])
        return {"funnel": funnel.as_json()}

    return run.stage("work/photos", build, key={"data": str(data), "side_px": settings.side_px}, quiet=True)


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
    for side in ("clean", "attacked"):
        write_tsv(out / f"{side}.tsv", shards, side)
    write_card(out / "README.md", shards, funnel, settings)
    write_contact_sheet(out / "contact_sheet.html", shards, funnel)


def summary_lines(funnel: Mapping[str, Any]) -> list[str]:
    """The funnel as lines for a terminal."""
    return [
        f"{stage}: {counts['kept']} of {counts['in']}"
        + (f"  ({json.dumps(counts['refused'])[1:-1]})" if counts["refused"] else "")
        for stage, counts in funnel.items()
    ]
