"""`aot sft --defender`: the warm-up of any defender on any dataset that `aot forge` made (AOT, phase 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from aot.data.images.reading import Fit, square
from aot.errors import AotError
from aot.forge.read_pairs import DatasetPair, dataset_pairs
from aot.forge.split import SPLITS
from aot.players.base import Defender
from aot.players.base_players import player_folder, player_identity
from aot.players.defender.opening import open_defender
from aot.players.settings import DefenderSettings
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import digests_of
from aot.runs.limits import Threads
from aot.runs.ranks import is_main
from aot.runs.run import CHECKPOINT, LOG, Run, Stage
from aot.runs.terminal import echo
from aot.runs.threads import use_threads
from aot.runs.tracking import Track, tracked
from aot.runs.train_log import TrainLog
from aot.train.defender.sft.examples import dataset_examples, in_epochs
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.train.trackers import opening_of

FREE = {"track"}
"""Settings that may change while the run lasts: nothing that is learned depends on them."""


class DefenderSftRunSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that the defender depends on, besides the dataset."""

    name: str = "sft_defender"
    seed: int = Field(0, ge=0)
    track: Track = "none"  # ours: a tracker that gets the training's metrics
    threads: Threads = 1  # ours: CPU threads; part of what makes the defender bit-reproducible
    defender: DefenderSettings = DefenderSettings()  # what it starts from, how it is loaded, what of it learns
    # Ours: images are stretched to this square side; none: as they are.
    image_px: int | None = Field(None, ge=16, le=8192)
    checkpoint_every: int = Field(50, gt=0)  # steps
    sft: DefenderSftSettings = DefenderSftSettings(steps=200)


def sft_defender(
    dataset: Path, out: Path, settings: DefenderSftRunSettings, *, say: Callable[[str], None] = echo
) -> Stage:
    """Trains the defender on the dataset's train split in the run folder `out`; the stage that holds it.

    Raises `AotError` where there is no dataset, no defender, or no pair.
    """
    s = settings
    if not (dataset / "funnel.json").is_file():
        raise AotError("no dataset here (funnel.json is missing)", where=str(dataset), hint="`aot forge` makes one")
    if s.sft.pairs:
        hint = "leave it out: `aot coevolve` makes counterfactual pairs, from the objects of its scenes"
        raise AotError("a dataset of attacks has no counterfactual pairs", where="sft.counterfactual_share", hint=hint)
    base = s.defender
    start = player_folder(
        base.model, "defender", option="--defender FOLDER", revision=base.revision, offline=base.offline
    )
    use_threads(s.threads)
    learned = s.model_dump(mode="json", exclude=FREE) | {"sft": s.sft.key}
    begins = player_identity(start, offline=base.offline)
    key = {"settings": learned, "start": begins, "data": digests_of(dataset / "data")}
    fit: Fit = square(s.image_px) if s.image_px else lambda size: size

    def train(folder: Path) -> dict[str, Any]:
        defender = open_defender(start, base, name="defender")
        pairs = dataset_pairs(dataset, fit=fit)
        examples = dataset_examples(pairs)
        metrics: dict[str, Any] = {"pairs": len(pairs), "scenes": len(examples)}
        held_out: Sequence[DatasetPair] = []
        if any((dataset / "data").glob(f"{SPLITS[1]}-*.parquet")):
            held_out = dataset_pairs(dataset, SPLITS[1], fit=fit)
            metrics |= _accuracies(defender, held_out, "held_out_before")
        checkpoint = Checkpoint(folder / CHECKPOINT, s.checkpoint_every)
        with TrainLog(folder / LOG, s.sft.steps, "defender, SFT") as log:
            batches = in_epochs(examples, sum(s.sft.drawn()), seed=s.seed)
            metrics |= train_defender_sft(defender, batches, s.sft, seed=s.seed, checkpoint=checkpoint, log=log)
        if held_out:
            metrics |= _accuracies(defender, held_out, "held_out")
        if is_main():
            defender.save(folder)
        return metrics

    opening = opening_of(s.track, s.name)
    kept = s.model_dump(mode="json") | {"dataset": str(dataset)}
    with tracked(out, opening), Run(out, kept, say=say, free=FREE) as run:
        return run.stage("defender", train, key=key, seed=s.seed, together=True)


def _accuracies(defender: Defender, pairs: Sequence[DatasetPair], name: str) -> dict[str, float]:
    """Share of right greedy answers to the clean and to the attacked images."""
    questions = [pair.scene.question for pair in pairs]
    sides = {"clean": [pair.scene.image for pair in pairs], "attacked": [pair.attacked for pair in pairs]}
    found = {}
    for side, images in sides.items():
        answers = defender.answer(images, questions)
        right = [given[0].choice == question.answer for given, question in zip(answers, questions, strict=True)]
        found[f"{name}_{side}"] = float(np.mean(right))
    return found
