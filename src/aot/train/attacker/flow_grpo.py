"""Flow-GRPO: reinforcement learning of the attacker against a frozen defender (Liu et al. 2025, arXiv
2505.05470).

The sampler's ODE becomes noisy inside a window of steps (the paper's *fast* variant; SDE or CPS), so that
these steps have a density; each scene gets a group of edits, their rewards are compared within the group,
and the window's steps are trained by the clipped policy gradient. A group is named by the scene's number,
never by its prompt's text. Departure: groups without reward variance are left out of the update, not only
given advantage 0 (the same gradient, less work); the transformer is trained whole in the miniature, by LoRA
at full size.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from aot.errors import AotError
from aot.game.judge import Judge
from aot.game.referee import Referee
from aot.players.attacker import EditAttacker
from aot.players.base import Defender
from aot.players.editor import Conditions
from aot.rl.advantage import group_advantages
from aot.rl.clipped import flow_loss
from aot.rl.flow import StepKind, draw_window, euler_step, mean_kl, transition, velocity_kl
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.environment import (
    GRADED,
    AttackEnvironment,
    EnvironmentSettings,
    InformativeScenes,
    SceneStream,
    reinforce,
    summarise,
)
from aot.train.attacker.sft import EditorTrainer, OptimizerSettings
from aot.types import Scene


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
        optimizer=OptimizerSettings(muon_lr=0, adamw_lr=3e-4, weight_decay=1e-4, max_grad_norm=1.0, ema=0.0),
        environment=EnvironmentSettings(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """B sampled edits. `latents [W + 1, B, L, C]` around the W noisy steps `window`, `log_probs [W, B]` of
    these steps, `final [B, L, C]` the denoised latents. Each `copies` edits in a row are one in `latents[0]`."""

    window: range
    latents: Tensor
    log_probs: Tensor
    final: Tensor
    copies: int = 1


@torch.no_grad()
def sample_rollout(
    attacker: EditAttacker,
    conditions: Conditions,
    noise: Tensor,
    window: range,
    settings: FlowGrpoSettings,
    generator: torch.Generator,
    *,
    copies: int = 1,
) -> Rollout:
    """Edits from starting `noise [B / copies, L, C]`: Euler steps, and noisy ones in `window`. Latents are stored
    as float32, in which their log-probabilities are taken. Each `copies` edits in a row have one condition and one
    noise: they are one up to the window's first noise."""
    sigmas = attacker.sigmas(noise.shape[1], settings.steps)
    x, path, log_probs = noise.float(), [], []
    batch = conditions.take(torch.arange(0, len(conditions), copies))
    for i in range(settings.steps):
        now, after = float(sigmas[i]), float(sigmas[i + 1])
        v = attacker.velocity(batch, x, sigmas[i].expand(len(x)).to(x.device))
        if i not in window:
            x = euler_step(x, v, now, after)
            continue
        if i == window[0]:
            x, v, batch = x.repeat_interleave(copies, 0), v.repeat_interleave(copies, 0), conditions
        step = transition(settings.step_kind, x, v, now, after, settings.noise_level)
        path.append(x)
        x = step.sample(torch.randn(x.shape, generator=generator).to(x.device))
        log_probs.append(step.log_prob(x))
        if i == window[-1]:
            path.append(x)
    return Rollout(window, torch.stack(path), torch.stack(log_probs), x, copies)


def train_flow_grpo(
    attacker: EditAttacker,
    scenes: Sequence[Scene],
    referee: Referee,
    defender: Defender,
    settings: FlowGrpoSettings,
    *,
    seed: int,
    judge: Judge | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `attacker.transformer` in place (the averaged weights at the end); returns the figures.

    Ends early, with the reason in the metrics, where the edits' validity collapses: the attacker is then left as it
    was. `judge`: whose word `settings.environment.reward.judge` weighs; frozen. Raises AotError where no scene is
    answered rightly, a loss is not finite or the ratio check fails.
    """
    environment = AttackEnvironment(attacker, scenes, referee, defender, settings.environment, judge=judge)
    return reinforce(
        FlowGrpo(attacker, environment, settings, seed),
        updates=settings.updates,
        min_integrity=settings.min_integrity,
        seed=seed,
        checkpoint=checkpoint,
        log=log,
    )


class FlowGrpo:
    """The state of one training and its update."""

    def __init__(self, attacker: EditAttacker, environment: AttackEnvironment, settings: FlowGrpoSettings, seed: int):
        self.attacker, self.environment, self.settings = attacker, environment, settings
        self.generator = torch.Generator().manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.stream: SceneStream | InformativeScenes
        if settings.scene_choice == "even":
            self.stream = SceneStream(len(environment), self.generator)
        else:
            types = [scene.question.kind for scene in environment.scenes]
            self.stream = InformativeScenes(types, self.generator)
        self.trainer = EditorTrainer(attacker.transformer, settings.optimizer, settings.updates)
        self.reference: EditAttacker | None = None
        if settings.kl != "none" and settings.kl_weight:
            self.reference = copy.copy(attacker)
            self.reference.transformer = copy.deepcopy(attacker.transformer).requires_grad_(False)

    @property
    def state(self) -> dict[str, Any]:
        state = dict(self.trainer.state)
        state["modules"] = {**state["modules"], "stream": self.stream}
        return {**state, "generators": {"draws": self.generator, "windows": self.rng}}

    def update(self, number: int, seed: int) -> dict[str, Any]:
        """One rollout of groups and the optimizer steps on it; metrics for the log."""
        s = self.settings
        groups = self.stream.draw(min(s.groups, len(self.environment)))
        index = groups.repeat_interleave(s.group_size)
        conditions = self.environment.take(index)
        copies = s.group_size if s.share_noise else 1
        noise = self.attacker.noise(self.environment.take(index[::copies]), self.generator)
        window = draw_window(self.rng, s.window, s.window_first, min(s.window_last, s.steps - 2))
        rollout = sample_rollout(self.attacker, conditions, noise, window, s, self.generator, copies=copies)
        episodes = self.environment.episodes(index, rollout.final, seed=seed * 100_003 + number)
        rewards = torch.tensor([b.rewards["reward"] for b in episodes])
        if isinstance(self.stream, InformativeScenes):
            self.stream.learn(groups, rewards.view(-1, s.group_size))
        advantages = group_advantages(rewards, index, std=s.advantage_std, clip=s.advantage_clip)
        metrics: dict[str, Any] = summarise(episodes)
        metrics["informative"] = 1 - advantages.zero_variance_groups / advantages.groups
        chosen = advantages.informative.nonzero()[:, 0]
        if len(chosen) == 0:
            return metrics | {"skipped": 1.0}
        shuffled = [chosen[torch.randperm(len(chosen), generator=self.generator)] for _ in range(s.passes)]
        parts = [part for order in shuffled for part in order.split(s.minibatch)]
        for i, part in enumerate(parts):
            metrics |= self._step(conditions, rollout, part, advantages.values, number, check_ratio=i == 0)
        return metrics

    def _step(
        self,
        conditions: Conditions,
        rollout: Rollout,
        part: Tensor,
        advantages: Tensor,
        number: int,
        *,
        check_ratio: bool,
    ) -> dict[str, float]:
        """One optimizer step on the edits `part`: gradients are summed over the window's steps."""
        s = self.settings
        sigmas = self.attacker.sigmas(rollout.final.shape[1], s.steps)
        sums: dict[str, float] = {"clip_fraction": 0.0, "approx_kl": 0.0, "ratio_deviation": 0.0, "kl": 0.0}
        for w, i in enumerate(rollout.window):
            asked, back = part, torch.arange(len(part))
            if w == 0 and rollout.copies > 1:  # edits that are still one have one velocity, and share its gradient
                asked, back = torch.unique(part // rollout.copies * rollout.copies, return_inverse=True)
            batch, x = conditions.take(asked), rollout.latents[w, asked]
            level = sigmas[i].expand(len(asked)).to(self.attacker.device)
            now, after = float(sigmas[i]), float(sigmas[i + 1])
            v = self.attacker.velocity(batch, x, level)
            step = transition(s.step_kind, x[back], v[back], now, after, s.noise_level)
            clipped = flow_loss(
                step.log_prob(rollout.latents[w + 1, part]),
                rollout.log_probs[w, part],
                advantages[part],
                s.clip,
            )
            loss = clipped.loss / len(rollout.window)
            if self.reference is not None:
                with torch.no_grad():
                    v_reference = self.reference.velocity(batch, x, level)
                if s.kl == "mean":
                    other = transition(s.step_kind, x[back], v_reference[back], now, after, s.noise_level)
                    distance = mean_kl(step, other).mean()
                else:
                    distance = velocity_kl(v, v_reference)[back].mean()
                loss = loss + s.kl_weight * distance / len(rollout.window)
                sums["kl"] += float(distance.detach()) / len(rollout.window)
            self.trainer.backward(loss, number)
            sums["clip_fraction"] += clipped.clip_fraction / len(rollout.window)
            sums["approx_kl"] += clipped.approx_kl / len(rollout.window)
            sums["ratio_deviation"] = max(sums["ratio_deviation"], clipped.ratio_deviation)
        if check_ratio and sums["ratio_deviation"] > s.max_ratio_error:
            raise AotError(
                f"ratio check failed at update {number}: before any step the policy that is trained differs "
                f"by {sums['ratio_deviation']:.2e} from the one that sampled",
                where="Flow-GRPO",
                hint="look for dropout, other kernels than in sampling, or a stale cache of conditions",
            )
        return sums | {"grad_norm": float(self.trainer.update(number))}
