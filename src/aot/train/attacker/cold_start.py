"""The attacker's cold start: SFT on the pairs of a forged dataset (AOT-SFT, method section 1.2 and phase 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field

from aot.data.images import Fit
from aot.forge.split import SPLITS
from aot.players.attacker import EditAttacker
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.edit_sets import EditSets
from aot.train.attacker.sft import (
    EditPair,
    OptimizerSettings,
    SftSettings,
    flow_matching_loss,
    train_sft,
)
from aot.train.attacker.sft_pairs import forged_pairs


class ColdStartSettings(BaseModel, frozen=True, extra="forbid"):
    """How an editor learns from a dataset what an attack is; values *ours*."""

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


def cold_start(
    attacker: EditAttacker,
    dataset: Path,
    settings: ColdStartSettings,
    *,
    seed: int,
    fit: Fit = lambda size: size,
    plain: Sequence[EditPair] = (),
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `attacker` in place on the dataset's train split, `plain` editing tasks mixed in; returns figures.

    `fit` resizes the images. Where the dataset has a held-out split, its loss before and after is
    among the figures. Raises `AotError` where the dataset has no pairs.
    """
    s = settings
    pairs = forged_pairs(dataset, named_kind=s.named_kind, seed=seed, fit=fit)
    kept = _share_of(plain, len(pairs), s.retention, seed)
    examples = EditSets.of(attacker, pairs + kept)
    held_out = None
    if any((dataset / "data").glob(f"{SPLITS[1]}-*.parquet")):
        held_out = EditSets.of(attacker, forged_pairs(dataset, SPLITS[1], named_kind=0, seed=seed, fit=fit))
    metrics: dict[str, Any] = {"pairs": len(pairs), "plain": len(kept)}
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
    for batch in examples.batches(settings.batch):
        total += len(batch) * float(flow_matching_loss(attacker, batch, settings, generator))
    return total / len(examples)


def _share_of(plain: Sequence[EditPair], pairs: int, share: float, seed: int) -> list[EditPair]:
    """So many of the plain tasks that they are this share of all; all where there are fewer."""
    n = min(len(plain), round(pairs * share / (1 - share)))
    return [plain[i] for i in np.random.default_rng(seed).permutation(len(plain))[:n]]
