"""The miniature's editor before its cold start: autoencoder, condition encoder, painting by plain editing tasks.

*Ours.* The paper starts from Qwen-Image-Edit, for which these three steps stand; its SFT on AOT-SFT is
`aot.train.attacker.sft.cold_start`.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from aot.errors import AotError
from aot.game.episodes import play
from aot.game.referee import Referee
from aot.miniature.autoencoder import ResidualAutoencoder
from aot.miniature.cell_heads import CLASSES, WIDE_CLASSES, CellHeads
from aot.miniature.pairs import distractor_pairs, instruction_pairs
from aot.miniature.pretrain.instruction_following import attacks_as_instructed, edits_as_instructed
from aot.miniature.pretrain.reader import ReaderSettings, is_wide, pretrain_reader
from aot.miniature.pretrain.widen import widened
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor import EditorSettings, EditorShape
from aot.players.base_players import SHIPPED
from aot.players.defender.qwen import QwenDefender
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.reinforcement.outcomes import summarise
from aot.train.attacker.sft.edit_sets import EditSet
from aot.train.attacker.sft.flow_matching import SftSettings, train_sft
from aot.train.editor_trainer import OptimizerSettings
from aot.types import EditKind
from aot.world.edits import WIDE_KINDS, Kinds
from aot.world.scenes import draw_scenes

TOLD = 200
"""*Ours*: held-out scenes that are attacked by every kind of edit."""


class AutoencoderSettings(BaseModel, frozen=True, extra="forbid"):
    """The linear autoencoder; values *ours*."""

    scenes: int = Field(1000, ge=50)
    whitening: float = Field(0.5, ge=0, le=1)
    dead_zone: float = Field(0.25, ge=0)  # a real edit's blocks have a root mean square of 0.5 and more


class PretrainEditorSettings(BaseModel, frozen=True, extra="forbid"):
    """Recipe of the editor; all values *ours*."""

    shape: EditorShape = EditorShape()
    editor: EditorSettings = EditorSettings()
    # Which edits it learns, in which shares; {}: without the wider kinds, which the referee must know (`wide_edits`).
    kinds: Kinds = {}
    # An editor's folder, or "shipped": its weights are trained on, instead of new ones; it gets what wider kinds need.
    start: str = Field("", exclude_if=operator.not_)
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    reader: ReaderSettings = ReaderSettings()
    painting_scenes: int = Field(20_000, gt=0)
    distractor_share: float = Field(0.35, ge=0, lt=1)  # of the painting scenes: random valid attacks
    painting: SftSettings = SftSettings(
        steps=5500,
        batch=48,
        heads_weight=0.5,
        changed_weight=8.0,
        even_share=0.5,
        sigma_shift=2.0,
        optimizer=OptimizerSettings(muon_lr=0.015, adamw_lr=2e-3, warmup_steps=50, ema=0.98),
    )


class AttackerGate(BaseModel, frozen=True, extra="forbid"):
    """What a base attacker must reach on held-out scenes (the project's own bar); of the wider kinds those that it
    learns."""

    add: float = Field(0.9, ge=0, le=1)
    remove: float = Field(0.9, ge=0, le=1)
    replace: float = Field(0.6, ge=0, le=1)
    scale: float = Field(0.6, ge=0, le=1)
    texture: float = Field(0.6, ge=0, le=1)
    occlude: float = Field(0.6, ge=0, le=1)
    integrity: float = Field(0.95, ge=0, le=1)
    valid_success: float = Field(0.2, ge=0, le=1)

    def failures(self, metrics: dict[str, Any]) -> list[str]:
        """The metrics below the bar, in words."""
        bars = {k: bar for k, bar in self.model_dump().items() if k not in WIDE_KINDS or k in metrics}
        return [f"{k} {metrics[k]:.3f} < {bar}" for k, bar in bars.items() if metrics[k] < bar]


def pretrain_editor(
    defender: QwenDefender,
    settings: PretrainEditorSettings,
    *,
    seed: int,
    folder: Path | None = None,
    quiet: bool = True,
) -> tuple[EditAttacker, dict[str, Any]]:
    """An editor whose condition encoder began as the base `defender`, and its trainings' figures.

    `folder` keeps the trainings' checkpoints and logs, from which a killed call goes on.
    """
    s = settings
    scenes = draw_scenes(s.painting_scenes, seed, "train")
    share = round(len(scenes) * s.distractor_share)
    plain, told = scenes[share:], scenes[:share]
    pairs = instruction_pairs(plain, seed=seed, kinds=s.kinds) + distractor_pairs(told, seed=seed, kinds=s.kinds)
    before = _to_train_on(s.start) if s.start else None
    if before is not None and is_wide(s.kinds):
        before = widened(before, seed=seed)
    metrics: dict[str, Any] = {}
    with _log(folder, "reader", s.reader.steps, quiet) as log:
        keep: dict[str, Any] = {"checkpoint": _kept(folder, "reader"), "log": log}
        keep["kinds"] = s.kinds
        reads = QwenDefender(before.text_encoder, before.processor) if before else defender
        reader, metrics["reader"] = pretrain_reader(reads, s.editor.template, s.reader, seed=seed, **keep)
    if before is None:
        sample = pairs[-s.autoencoder.scenes :]
        vae = ResidualAutoencoder.fit(
            np.stack([p.source for p in sample]),
            np.stack([p.target for p in sample]),
            whitening=s.autoencoder.whitening,
            dead_zone=s.autoencoder.dead_zone,
        )
        attacker = EditAttacker.new(reader, defender.processor, vae, s.shape, s.editor, seed=seed)
    else:
        attacker = EditAttacker(before.transformer, before.vae, before.scheduler, reader, before.processor, s.editor)
    painting = EditSet.of(attacker, pairs)
    classes = WIDE_CLASSES if is_wide(s.kinds) else CLASSES
    with (
        CellHeads(attacker.transformer, s.shape.heads * s.shape.head_dim, seed=seed, classes=classes) as heads,
        _log(folder, "painting", s.painting.steps, quiet) as log,
    ):
        keep = {"checkpoint": _kept(folder, "painting"), "log": log}
        metrics["painting"] = train_sft(attacker, painting, s.painting, seed=seed, heads=heads, **keep)
    return attacker, metrics


def _to_train_on(start: str) -> EditAttacker:
    """Raises AotError where it is no editor of the miniature world."""
    attacker = EditAttacker.load(SHIPPED / "attacker" if start == "shipped" else start)
    if not isinstance(attacker.vae, ResidualAutoencoder):
        hint = "a player that aot pretrain made, or shipped"
        raise AotError("not an editor of the miniature world", where=f"editor.start={start}", hint=hint)
    return attacker


def attacker_metrics(
    attacker: EditAttacker,
    defender: QwenDefender,
    referee: Referee,
    *,
    n: int,
    seed: int,
    kinds: Mapping[EditKind, float] | None = None,
) -> dict[str, Any]:
    """Held-out metrics: share of plain tasks done exactly as told, by kind; integrity, validity and success
    of the generic attack against `defender`, overall and by question type."""
    scenes = draw_scenes(n, seed, "validation")
    metrics: dict[str, Any] = dict(edits_as_instructed(attacker, scenes, seed=seed, kinds=kinds))
    episodes = play(scenes, attacker, referee, defender, seed=seed)
    found = summarise(episodes)
    metrics["valid"], metrics["valid_success"] = found["integrity"], found["valid_success"]
    metrics["integrity"] = float(
        np.mean([all(f.passed for f in b.verdict.findings if "ssim" in f.check) for b in episodes])
    )
    metrics["any_success"] = float(np.mean([b.fooled_fraction == 1 for b in episodes]))
    by_type: dict[str, list[bool]] = defaultdict(list)
    refused: dict[str, int] = defaultdict(int)
    for episode in episodes:
        by_type[episode.scene.question.kind].append(episode.success)
        for reason in episode.verdict.refused_by:
            refused[reason] += 1
    if is_wide(kinds):
        metrics["attacked_as_told"] = attacks_as_instructed(attacker, scenes[:TOLD], referee, kinds or (), seed=seed)
    metrics["success_by_type"] = {kind: float(np.mean(hits)) for kind, hits in by_type.items()}
    metrics["refused"] = dict(refused)
    return metrics


def _kept(folder: Path | None, name: str) -> Checkpoint:
    return Checkpoint(folder / name / "checkpoint" if folder else None, every_steps=200)


def _log(folder: Path | None, name: str, steps: int, quiet: bool) -> TrainLog:
    return TrainLog(
        folder / name / "log.jsonl" if folder else None, steps, name.replace("_", " "), quiet=quiet
    )
