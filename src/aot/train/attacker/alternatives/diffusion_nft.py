"""Reinforcement learning of the attacker by DiffusionNFT (Zheng et al. 2025, arXiv 2509.16117).

No density of sampling steps is needed: edits are sampled by the plain ODE, noised again, and the velocity
is regressed towards good samples and away from bad ones. With the sampling policy v_old, v+ = (1 - b) v_old
+ b v and v- = (1 + b) v_old - b v:  loss = r |v+ - u|^2 + (1 - r) |v- - u|^2, u = noise - x0, r in [0, 1]
the reward relative to its group. Departure: v_old follows the trained weights as a moving average from the
start (*ours*: rate fixed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from aot.players.attacker.latents import pad_to_blocks
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.reinforcement.advantages import batch_advantages
from aot.train.attacker.reinforcement.attack_environment import GRADED, AttackEnvironment, EnvironmentSettings
from aot.train.attacker.reinforcement.loop import reinforce
from aot.train.attacker.reinforcement.scene_choice import SceneStream
from aot.train.attacker.sft.flow_matching import shifted
from aot.train.editor_trainer import EditorTrainer, OptimizerSettings

if TYPE_CHECKING:
    from aot.players.attacker.conditions import Conditions
    from aot.players.attacker.edit_attacker import EditAttacker


class DiffusionNftSettings(BaseModel, frozen=True, extra="forbid"):
    """DiffusionNFT; values *ours* unless said."""

    updates: int = Field(40, gt=0)
    groups: int = Field(24, gt=0)
    group_size: int = Field(8, gt=1)
    sampling_steps: int = Field(6, gt=0)
    guidance_strength: float = Field(1.0, gt=0)  # DiffusionNFT's beta: 1 (0.1 .. 1)
    advantage_std: Literal["group", "batch"] = "group"
    advantage_clip: float = Field(
        2.0, gt=0
    )  # r = 1/2 + clip(A, +-this) / (2 this); DiffusionNFT: 5 with global std
    passes: int = Field(2, gt=0)  # optimizer steps' passes over the informative samples
    minibatch: int = Field(96, gt=0)
    micro_batch: int = Field(0, ge=0)  # edits a forward and backward pass, gradients are summed; 0: the minibatch
    sigma_shift: float = Field(2.0, gt=0)
    old_decay: float = Field(0.9, ge=0, lt=1)  # the sampling policy keeps this share of itself at each update
    min_integrity: float = Field(0.5, ge=0, le=1)
    optimizer: OptimizerSettings = OptimizerSettings(
        muon_lr=4e-4, adamw_lr=1e-4, warmup_steps=2, final_lr=0.3, ema=0.9
    )
    environment: EnvironmentSettings = GRADED


def train_diffusion_nft(
    environment: AttackEnvironment,
    settings: DiffusionNftSettings,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `environment.attacker` in place (the averaged weights at the end); returns the last metrics.

    Ends early, with the reason in the metrics, where the edits' validity collapses: the attacker is then left as it
    was; or where there is nothing to learn.
    """
    return reinforce(
        DiffusionNft(environment.attacker, environment, settings, seed),
        updates=settings.updates,
        min_integrity=settings.min_integrity,
        seed=seed,
        checkpoint=checkpoint,
        log=log,
    )


class DiffusionNft:
    """The state of one training and its update. `old` is the sampling policy."""

    def __init__(
        self, attacker: EditAttacker, environment: AttackEnvironment, settings: DiffusionNftSettings, seed: int
    ):
        self.attacker, self.environment, self.settings = attacker, environment, settings
        self.generator = torch.Generator().manual_seed(seed)
        self.stream = SceneStream(len(environment), self.generator, environment.sizes)
        self.trainer = EditorTrainer(attacker.transformer, settings.optimizer, settings.updates)
        from aot.players.attacker.frozen_policy import FrozenPolicy  # takes seconds to import, by peft

        self.old = FrozenPolicy(attacker, moves=True)

    @property
    def state(self) -> dict[str, Any]:
        state = dict(self.trainer.state)
        state["modules"] = {**state["modules"], "stream": self.stream, "old": self.old}
        return {**state, "generators": {"draws": self.generator}}

    def update(self, number: int, seed: int) -> dict[str, Any]:
        """Samples groups with the old policy, trains on them, moves the old policy; metrics for the log."""
        s, environment = self.settings, self.environment
        groups = self.stream.draw(min(s.groups, len(environment)))
        index = groups.repeat_interleave(s.group_size)
        conditions = environment.take(index)
        noise = self.attacker.noise(conditions, self.generator)
        with self.old.active() as old:
            latents = old.sample(conditions, noise, steps=s.sampling_steps)
        episodes = environment.episodes(index, latents, seed=seed * 100_003 + number)
        limits: dict[str, Any] = {"std": s.advantage_std, "clip": s.advantage_clip}
        _, advantages, metrics = batch_advantages(environment, episodes, episodes, index, **limits)
        chosen = advantages.informative.nonzero()[:, 0]
        if len(chosen) == 0:
            return metrics | {"skipped": 1.0}
        goodness = 0.5 + advantages.values / (2 * s.advantage_clip)
        # Encoded from the edited image: blocks that the edit left alone are exactly zero again.
        painted = np.stack([pad_to_blocks(episodes[i].attack.image) for i in chosen.tolist()])
        x0 = torch.zeros_like(latents)
        x0[chosen] = self.attacker.encode_edits(conditions.images[chosen.numpy()], painted)
        for _ in range(s.passes):
            for part in chosen[torch.randperm(len(chosen), generator=self.generator)].split(s.minibatch):
                loss = self._accumulate(conditions.take(part), x0[part], goodness[part])
                metrics |= {"loss": float(loss), "grad_norm": float(self.trainer.update(number))}
        self.old.follow(1 - s.old_decay)
        return metrics

    def pictured(self, conditions: Conditions, generator: torch.Generator) -> dict[str, Tensor]:
        """As `Pictured`; it samples without noise in training, too."""
        noise = self.attacker.noise(conditions, generator)
        return {"ode": self.attacker.sample(conditions, noise, steps=self.settings.sampling_steps)}

    def _accumulate(self, batch: Conditions, x0: Tensor, goodness: Tensor) -> Tensor:
        """Adds the gradients of a minibatch's loss, pass by pass; the loss, without gradient."""
        noise = torch.randn(x0.shape, generator=self.generator).to(x0.device)
        drawn = shifted(torch.rand(len(x0), generator=self.generator), self.settings.sigma_shift).to(x0.device)
        total = torch.zeros((), device=x0.device)
        for part in torch.arange(len(x0)).split(self.settings.micro_batch or len(x0)):
            some = batch if len(part) == len(x0) else batch.take(part)
            loss = self._loss(some, x0[part], goodness[part], noise[part], drawn[part]) * (len(part) / len(x0))
            self.trainer.backward(loss)
            total += loss.detach()
        return total

    def _loss(self, batch: Conditions, x0: Tensor, goodness: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """The two regressions at noise levels `sigma [B]`, weighted by `goodness [B]` in [0, 1]; scalar."""
        s, level = self.settings, sigma[:, None, None]
        noisy, wanted = (1 - level) * x0 + level * noise, noise - x0
        with self.old.active() as before:
            old = before.velocity(batch, noisy, sigma).float()
        v, b = self.attacker.velocity(batch, noisy, sigma).float(), s.guidance_strength
        better = ((1 - b) * old + b * v - wanted).square().mean(-1)
        worse = ((1 + b) * old - b * v - wanted).square().mean(-1)
        r = goodness[:, None].to(x0.device)
        return (r * better + (1 - r) * worse).mean()
