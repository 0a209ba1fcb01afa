"""`aot sft`: the cold start of any attacker on any dataset that `aot forge` made (AOT, phase 1)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from aot.data.images.fitting import FitSettings
from aot.errors import AotError
from aot.players.attacker.opening import open_attacker, open_attacker_to_train
from aot.players.base_players import player_folder
from aot.players.digests import player_digests
from aot.players.settings import AttackerSettings
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import digests_of
from aot.runs.limits import Threads
from aot.runs.ranks import is_main
from aot.runs.run import CHECKPOINT, LOG, Run, Stage
from aot.runs.terminal import echo
from aot.runs.threads import use_threads
from aot.runs.tracking import Track, tracked
from aot.runs.train_log import TrainLog
from aot.train.attacker.sft.cold_start import ColdStartPairs, ColdStartSettings, cold_start
from aot.train.trackers import opening_of

FREE = {"track"}
"""Settings that may change while the run lasts: nothing that is learned depends on them."""


class SftRunSettings(FitSettings, frozen=True, extra="forbid"):
    """Everything that the attacker depends on, besides the dataset. Its images are resized as `aot coevolve` does."""

    name: str = "sft"
    seed: int = Field(0, ge=0)
    track: Track = "none"  # ours: a tracker that gets the training's metrics
    threads: Threads = 1  # ours: CPU threads; part of what makes the attacker bit-reproducible
    attacker: AttackerSettings = AttackerSettings()  # what it starts from, how it is loaded, what of it learns
    checkpoint_every: int = Field(50, gt=0)  # steps
    cold_start: ColdStartSettings = ColdStartSettings()


def sft(dataset: Path, out: Path, settings: SftRunSettings, *, say: Callable[[str], None] = echo) -> Stage:
    """Trains the attacker on the dataset's train split in the run folder `out`; the stage that holds it.

    Raises `AotError` where there is no dataset, no attacker, or no pair.
    """
    s = settings
    if not (dataset / "funnel.json").is_file():
        raise AotError("no dataset here (funnel.json is missing)", where=str(dataset), hint="`aot forge` makes one")
    base = s.attacker
    start = player_folder(
        base.model, "attacker", option="--attacker FOLDER", revision=base.revision, offline=base.offline
    )
    use_threads(s.threads)
    learned = s.model_dump(mode="json", exclude=FREE)
    key = {"settings": learned, "start": player_digests(start), "data": digests_of(dataset / "data")}

    pairs = ColdStartPairs.of(dataset, s.cold_start, seed=s.seed, fit=s.fit)
    on_disk = base.conditions == "disk"

    def encode(folder: Path) -> dict[str, Any]:
        attacker = open_attacker(start, base, name="attacker", without=("transformer",))
        pairs.write(folder, attacker, dtype=base.torch_dtype)
        return {"edits": len(pairs.train) + len(pairs.held_out)}

    def train(folder: Path, stored: Path | None = None) -> dict[str, Any]:
        without = ("text_encoder",) if on_disk else ()
        attacker = open_attacker_to_train(start, base, name="attacker", seed=s.seed, without=without)
        checkpoint = Checkpoint(folder / CHECKPOINT, s.checkpoint_every)
        with TrainLog(folder / LOG, s.cold_start.sft.steps, "attacker, SFT") as log:
            keep: dict[str, Any] = {"stored": stored, "checkpoint": checkpoint, "log": log}
            metrics = cold_start(attacker, pairs, s.cold_start, seed=s.seed, **keep)
        if is_main():
            attacker.save(folder)
        return metrics

    opening = opening_of(s.track, s.name)
    kept = s.model_dump(mode="json") | {"dataset": str(dataset)}
    with tracked(out, opening), Run(out, kept, say=say, free=FREE) as run:
        if not on_disk:
            return run.stage("attacker", train, key=key, seed=s.seed, together=True)
        encoded = run.stage("conditions", encode, key=key, seed=s.seed)
        train_on = partial(train, stored=encoded.folder)
        return run.stage("attacker", train_on, key=key, seed=s.seed, parents=[encoded], together=True)
