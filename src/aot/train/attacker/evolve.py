"""Attacker evolution by a named method: one signature for all trainings of the attacker.

Flow-GRPO is the paper's. The others are *ours*: rejection-sampling fine-tuning, DiffusionNFT, and SFT on pairs
curated anew for effect on the current defender.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, model_validator

from aot.errors import AotError
from aot.game.judge import Judge
from aot.game.referee import Referee
from aot.players.base import Defender
from aot.runs.checkpoints import Checkpoint
from aot.runs.run import CHECKPOINT, LOG
from aot.runs.tracking import PictureSettings
from aot.runs.train_log import TrainLog
from aot.train.attacker.alternatives.curated_sft import CuratedSftSettings, train_curated_sft
from aot.train.attacker.alternatives.diffusion_nft import DiffusionNftSettings, train_diffusion_nft
from aot.train.attacker.alternatives.rejection_sampling import (
    RejectionSamplingSettings,
    train_rejection_sampling,
)
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import train_flow_grpo
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment, EnvironmentSettings
from aot.train.attacker.reinforcement.traits import Describe, pixel_traits
from aot.train.attacker.sft.edit_sets import EditSet
from aot.train.attacker.sft.pairs import ScriptedTasks
from aot.types import Scene

if TYPE_CHECKING:
    from aot.players.attacker.buckets import BucketedConditions
    from aot.players.attacker.edit_attacker import EditAttacker

Method = Literal["flow_grpo", "rejection_sampling", "diffusion_nft", "curated_sft"]


class AttackerTraining(BaseModel, frozen=True, extra="forbid"):
    """Which method trains the attacker in every iteration, with the settings of each."""

    method: Method = "flow_grpo"  # paper: Flow-GRPO
    flow_grpo: FlowGrpoSettings = FlowGrpoSettings()
    rejection_sampling: RejectionSamplingSettings = RejectionSamplingSettings()
    diffusion_nft: DiffusionNftSettings = DiffusionNftSettings()
    curated_sft: CuratedSftSettings = CuratedSftSettings()
    retention_scenes: int = Field(
        600, ge=0
    )  # ours: plain editing tasks mixed in where a method imitates (world only)
    checkpoint_every: int = Field(10, gt=0)  # steps of the method

    @property
    def chosen(self) -> BaseModel:
        """The settings of the method in force."""
        return getattr(self, self.method)

    @property
    def judged(self) -> list[str]:
        """Judge criteria that the reward of the method in force weighs."""
        environment = getattr(self.chosen, "environment", None)
        return list(environment.reward.judge.weights) if isinstance(environment, EnvironmentSettings) else []

    @model_validator(mode="after")
    def _weighs_no_judge(self) -> AttackerTraining:
        if self.method == "rejection_sampling" and self.judged:
            raise ValueError(
                "rejection_sampling imitates successful edits: it has no reward for environment.reward.judge to add to"
            )
        if self.method == "rejection_sampling" and self.rejection_sampling.environment.diversity.weight:
            raise ValueError(
                "rejection_sampling imitates successful edits: it has no reward for environment.diversity to weigh"
            )
        return self

    @property
    def steps(self) -> int:
        """Steps of the method in force, as its log counts them."""
        match self.method:
            case "flow_grpo":
                return self.flow_grpo.updates
            case "diffusion_nft":
                return self.diffusion_nft.updates
            case "rejection_sampling":
                return self.rejection_sampling.rounds * self.rejection_sampling.updates
            case "curated_sft":
                return self.curated_sft.sft.steps


def train_attacker(
    attacker: EditAttacker,
    scenes: Sequence[Scene],
    referee: Referee,
    defender: Defender,
    settings: AttackerTraining,
    *,
    seed: int,
    judge: Judge | None = None,
    scripted: ScriptedTasks | None = None,
    conditions: BucketedConditions | None = None,
    describe: Describe = pixel_traits,
    folder: Path | None = None,
    pictures: PictureSettings | None = None,
) -> dict[str, Any]:
    """Trains `attacker` in place against the frozen `defender`; returns the training's metrics.

    `scripted`: tasks and distractors of the miniature world; `conditions`, `describe`: see `AttackEnvironment`.
    `judge`, frozen too, is needed where the method's reward has terms for it (`AttackerTraining.judged`). `folder`
    keeps the log, sample images as `pictures` says and, until the stage is finished, the checkpoint. Raises `AotError`
    for a method that cannot work with these scenes.
    """
    checkpoint = Checkpoint(folder / CHECKPOINT if folder else None, settings.checkpoint_every)
    file, title = folder / LOG if folder else None, f"attacker, {settings.method}"
    with TrainLog(file, settings.steps, title, pictures=pictures) as log:
        keep: dict[str, Any] = {"seed": seed, "checkpoint": checkpoint, "log": log}
        rewarded: dict[str, Any] = {"judge": judge, "describe": describe}

        def environment(wanted: EnvironmentSettings, **more: Any) -> AttackEnvironment:
            return AttackEnvironment(attacker, scenes, referee, defender, wanted, conditions=conditions, **more)

        match settings.method:
            case "flow_grpo":
                flow = settings.flow_grpo
                metrics = train_flow_grpo(environment(flow.environment, **rewarded), flow, **keep)
            case "diffusion_nft":
                nft = settings.diffusion_nft
                metrics = train_diffusion_nft(environment(nft.environment, **rewarded), nft, **keep)
            case "rejection_sampling":
                plain = _retention(attacker, settings, scripted, seed) if scripted else None
                keep |= {"retention": plain, "scripted": scripted}
                sampling = settings.rejection_sampling
                metrics = train_rejection_sampling(environment(sampling.environment), sampling, **keep)
            case "curated_sft":
                if scripted is None:
                    raise AotError(
                        "curated_sft knows only the miniature world's distractors",
                        where="--set attacker.method=curated_sft",
                        hint="choose flow_grpo, rejection_sampling or diffusion_nft for own data",
                    )
                plain = _retention(attacker, settings, scripted, seed)
                metrics = train_curated_sft(
                    attacker, referee, defender, settings.curated_sft, retention=plain, **keep
                )
    return {"method": settings.method, **metrics}


def _retention(
    attacker: EditAttacker, settings: AttackerTraining, scripted: ScriptedTasks, seed: int
) -> EditSet | None:
    """Plain editing tasks, so that imitation training does not unlearn editing itself."""
    if not settings.retention_scenes:
        return None
    return EditSet.of(attacker, scripted.plain_edits(settings.retention_scenes, seed))
