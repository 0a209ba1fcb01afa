"""The attacker's cold start: SFT on the pairs of a forged dataset (AOT-SFT, method section 1.2 and phase 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import BaseModel, Field

from aot.data.images.reading import Fit
from aot.forge.split import SPLITS
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.sft.edit_sets import EditPair, EditSets, write_edit_sets
from aot.train.attacker.sft.flow_matching import SftSettings, flow_matching_loss, train_sft
from aot.train.attacker.sft.pairs import forged_pairs
from aot.train.editor_trainer import OptimizerSettings

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker


class ColdStartSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the cold start; values *ours*."""

    named_kind: float = Field(0.25, ge=0, le=1)  # share of pairs whose instruction names the edit kind
    retention: float = Field(0.5, ge=0, lt=1)  # share of plain editing tasks among the examples, where there are some
    sft: SftSettings = SftSettings(
        steps=2500,
        batch=48,
        changed_weight=4.0,
        even_share=0.5,
        sigma_shift=2.0,
        optimizer=OptimizerSettings(muon_lr=0.01, adamw_lr=1.5e-3, warmup_steps=20, ema=0.98),
    )


@dataclass(frozen=True, slots=True)
class ColdStartPairs:
    """Training pairs, the last `plain` of them plain editing tasks, and the dataset's held-out pairs, if any."""

    train: list[EditPair]
    plain: int
    held_out: list[EditPair]

    @classmethod
    def of(
        cls,
        dataset: Path,
        settings: ColdStartSettings,
        *,
        seed: int,
        fit: Fit = lambda size: size,
        plain: Sequence[EditPair] = (),
    ) -> ColdStartPairs:
        """The dataset's, with `plain` editing tasks among them. `fit` resizes the images. Raises `AotError` where the
        dataset has no pairs."""
        pairs = forged_pairs(dataset, named_kind=settings.named_kind, seed=seed, fit=fit)
        kept, held_out = _share_of(plain, len(pairs), settings.retention, seed), []
        if any((dataset / "data").glob(f"{SPLITS[1]}-*.parquet")):
            held_out = forged_pairs(dataset, SPLITS[1], named_kind=0, seed=seed, fit=fit)
        return cls(pairs + kept, len(kept), held_out)

    def write(self, folder: Path, attacker: EditAttacker, *, dtype: torch.dtype) -> None:
        """Encodes the pairs onto disk, for a `cold_start` without a text encoder in memory."""
        write_edit_sets(folder / "train", attacker, self.train, dtype=dtype)
        if self.held_out:
            write_edit_sets(folder / "held_out", attacker, self.held_out, dtype=dtype)


def cold_start(
    attacker: EditAttacker,
    pairs: ColdStartPairs,
    settings: ColdStartSettings,
    *,
    seed: int,
    stored: Path | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `attacker` in place on pairs; returns metrics, with the loss of held-out pairs before and after where
    there are some. `stored`: the folder in which `pairs.write` has encoded them."""

    def sets(name: str, of: list[EditPair]) -> EditSets:
        return EditSets.of(attacker, of) if stored is None else EditSets.read(stored / name, of, attacker.device)

    s, examples = settings, sets("train", pairs.train)
    held_out = sets("held_out", pairs.held_out) if pairs.held_out else None
    metrics: dict[str, Any] = {"pairs": len(pairs.train) - pairs.plain, "plain": pairs.plain}
    if held_out is not None:
        metrics |= {"held_out": len(held_out), "held_out_loss_before": held_out_loss(attacker, held_out, s.sft)}
    metrics |= train_sft(attacker, examples, s.sft, seed=seed + 1, checkpoint=checkpoint, log=log)
    if held_out is not None:
        metrics["held_out_loss"] = held_out_loss(attacker, held_out, s.sft)
    return metrics


@torch.no_grad()
def held_out_loss(attacker: EditAttacker, examples: EditSets, settings: SftSettings) -> float:
    """Mean loss over the examples, at noise levels and noise that are the same in every call."""
    generator, total = torch.Generator().manual_seed(0), 0.0
    for batch in examples.batches(settings.micro_batch or settings.batch):
        total += len(batch) * float(flow_matching_loss(attacker, batch, settings, generator))
    return total / len(examples)


def _share_of(plain: Sequence[EditPair], pairs: int, share: float, seed: int) -> list[EditPair]:
    """As many of the plain tasks as make them this share of all examples; all of them where they are fewer."""
    n = min(len(plain), round(pairs * share / (1 - share)))
    return [plain[i] for i in np.random.default_rng(seed).permutation(len(plain))[:n]]
