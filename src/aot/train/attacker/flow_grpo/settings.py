"""Settings of Flow-GRPO (Liu et al. 2025, arXiv 2505.05470), and the published ones for Qwen-Image-Edit."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from aot.rl.flow import StepKind
from aot.train.attacker.reinforcement.attack_environment import GRADED, EnvironmentSettings
from aot.train.editor_trainer import OptimizerSettings


class FlowGrpoSettings(BaseModel, frozen=True, extra="forbid"):
    """Flow-GRPO; the published values for Qwen-Image-Edit stand in `paper_flow_grpo`."""

    updates: int = Field(40, gt=0)
    groups: int = Field(24, gt=0)  # scenes an update; paper's code: 32
    group_size: int = Field(8, gt=1)  # paper's code: 16
    # Ours: scenes whose edits differ in reward are drawn more often; paper: every prompt alike.
    scene_choice: Literal["even", "informative"] = "informative"
    steps: int = Field(6, gt=1)  # sampling steps in training; paper: 10
    step_kind: StepKind = "cps"  # ours: the cleanest rollouts; Flow-GRPO: sde
    noise_level: float = Field(0.8, gt=0)  # cps: in (0, 1]; Flow-GRPO's sde: 1.0, fast 1.5
    window: int = Field(2, gt=0)  # noisy steps; Flow-GRPO fast: 4; ours: each costs a forward and backward pass
    window_first: int = Field(1, ge=0)  # the window lies within these steps (both included): the noise
    window_last: int = Field(3, ge=0)  # of step 0 is mostly drawn anew by the next, late noise fails the SSIM check
    # One starting noise a group, so that only the window's noise, which is what is trained, tells its edits apart;
    # what comes before the window is computed once. Ours: measured better than a starting noise an edit.
    share_noise: bool = True
    clip: float = Field(1e-4, gt=0)  # Flow-GRPO: 1e-4
    # Ours; Flow-GRPO: group, which makes much of small differences where the defender is strong.
    advantage_std: Literal["group", "batch"] = "batch"
    advantage_clip: float = Field(5.0, gt=0)  # Flow-GRPO: 5
    passes: int = Field(1, gt=0)  # optimizer passes over a rollout
    minibatch: int = Field(192, gt=0)  # edits an optimizer step
    micro_batch: int = Field(0, ge=0)  # ours: edits a forward and backward pass, gradients are summed; 0: the minibatch
    # Ours: the window's steps keep their graph from the rollout to the first optimizer step, which is then a backward
    # pass alone. It has the activations of all edits and noisy steps in memory at once. Not with a KL, a micro-batch or
    # gradient checkpointing.
    keep_graph: bool = True
    kl: Literal["none", "mean", "velocity"] = "none"  # Flow-GRPO for editing: beta 0
    kl_weight: float = Field(0.0, ge=0)
    min_integrity: float = Field(0.5, ge=0, le=1)  # ours: see `IntegrityGuard`
    max_ratio_error: float = Field(1e-4, gt=0)  # ratio check before the first update of a rollout
    optimizer: OptimizerSettings = OptimizerSettings(
        muon_lr=0, adamw_lr=3e-4, warmup_steps=2, final_lr=0.3, ema=0.9
    )
    environment: EnvironmentSettings = GRADED


def paper_flow_grpo() -> FlowGrpoSettings:
    """Flow-GRPO's published settings for Qwen-Image-Edit, its *fast* variant (arXiv 2505.05470 and its code)."""
    return FlowGrpoSettings(
        groups=32,
        group_size=16,
        scene_choice="even",
        share_noise=False,
        steps=10,
        step_kind="sde",
        noise_level=1.5,
        window=4,
        window_first=0,
        window_last=5,
        clip=1e-4,
        advantage_std="group",
        keep_graph=False,
        minibatch=256,  # two optimizer steps an epoch, as in its code
        micro_batch=1,  # ours: one edit of 512 px fills a GPU, and equal passes keep the ratio at exactly 1
        # Its code has no warm-up and no decay.
        optimizer=OptimizerSettings(
            muon_lr=0, adamw_lr=3e-4, weight_decay=1e-4, warmup_steps=0, final_lr=1.0, max_grad_norm=1.0, ema=0.0
        ),
        environment=EnvironmentSettings(),
    )
