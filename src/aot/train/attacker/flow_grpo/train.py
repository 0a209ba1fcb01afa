"""Flow-GRPO: reinforcement learning of the attacker against a frozen defender (Liu et al. 2025, arXiv
2505.05470).

The sampler's ODE becomes noisy inside a window of steps (the paper's *fast* variant; SDE or CPS), so that
these steps have a density; each scene gets a group of edits, their rewards are compared within the group,
and the window's steps are trained by the clipped policy gradient. A group is named by the scene's number,
never by its prompt's text. Departure: groups without reward variance are left out of the update, not only
given advantage 0 (the same gradient, less work); the transformer is trained whole in the miniature, by LoRA
at full size. Ranks share the groups of an update, whole ones each (`train.ranks`): the size of a group and the result
do not depend on how many there are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from aot.errors import AotError
from aot.rl.clipped import flow_loss
from aot.rl.flow import draw_window, mean_kl, velocity_kl
from aot.runs import progress, ranks
from aot.runs.checkpoints import Checkpoint
from aot.runs.progress import EDIT_STEPS
from aot.runs.train_log import TrainLog
from aot.train.attacker.flow_grpo.rollout import Rollout, passes, sample_rollout, step_again
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.reinforcement.advantages import batch_advantages
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment
from aot.train.attacker.reinforcement.loop import reinforce
from aot.train.attacker.reinforcement.outcomes import gather_outcomes
from aot.train.attacker.reinforcement.scene_choice import InformativeScenes, SceneStream
from aot.train.editor_trainer import EditorTrainer
from aot.train.ranks import Draws, RankShare, share_of_groups, totals

if TYPE_CHECKING:
    from aot.players.attacker.conditions import Conditions
    from aot.players.attacker.edit_attacker import EditAttacker
    from aot.players.attacker.frozen_policy import FrozenPolicy

RATIO_EDITS = 4
"""Edits whose ratio is recomputed where the graph was kept: a fault would show in any of them."""


def train_flow_grpo(
    environment: AttackEnvironment,
    settings: FlowGrpoSettings,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `environment.attacker` in place (the averaged weights at the end); returns the last metrics.

    Ends early, with the reason in the metrics, where the edits' validity collapses: the attacker is then left as it
    was; or where there is nothing to learn. Raises AotError where a loss is not finite or the ratio check fails.
    """
    return reinforce(
        FlowGrpo(environment.attacker, environment, settings, seed),
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
            self.stream = SceneStream(len(environment), self.generator, environment.sizes)
        else:
            types = [scene.question.kind for scene in environment.scenes]
            self.stream = InformativeScenes(types, self.generator, environment.sizes)
        self.trainer = EditorTrainer(attacker.transformer, settings.optimizer, settings.updates)
        self.kl_weight = settings.kl_weight if settings.kl != "none" else 0.0
        from aot.players.attacker.frozen_policy import FrozenPolicy, is_new_adapter  # seconds, by peft

        self.reference: FrozenPolicy | None = None
        if self.kl_weight or is_new_adapter(attacker.transformer):  # a new adapter's reference takes no memory
            self.reference = FrozenPolicy(attacker)
        checkpointing = attacker.transformer.gradient_checkpointing
        self.keeps_graph = settings.keep_graph and not (self.kl_weight or settings.micro_batch or checkpointing)

    @property
    def state(self) -> dict[str, Any]:
        state = dict(self.trainer.state)
        state["modules"] = {**state["modules"], "stream": self.stream}
        return {**state, "generators": {"draws": self.generator, "windows": self.rng}}

    def update(self, number: int, seed: int) -> dict[str, Any]:
        """One rollout of groups and the optimizer steps on it; metrics for the log."""
        s, environment = self.settings, self.environment
        groups = self.stream.draw(min(s.groups, len(environment)))
        index = groups.repeat_interleave(s.group_size)
        mine = share_of_groups(len(groups), s.group_size)
        conditions, rollout = self.sample(index, number, mine)
        met = environment.episodes(
            index[mine.rows], rollout.final, seed=seed * 100_003 + number, streams=mine.rows.tolist()
        )
        met = [] if mine.idle else met
        outcomes = gather_outcomes(met)  # of all ranks, in the order of `index`
        limits: dict[str, Any] = {"std": s.advantage_std, "clip": s.advantage_clip}
        rewards, advantages, metrics = batch_advantages(environment, outcomes, met, index, **limits)
        if isinstance(self.stream, InformativeScenes):
            self.stream.learn(groups, rewards.view(-1, s.group_size))
        chosen = advantages.informative.nonzero()[:, 0]
        if len(chosen) == 0:
            return metrics | {"skipped": 1.0}
        shuffled = [chosen[torch.randperm(len(chosen), generator=self.generator)] for _ in range(s.passes)]
        parts = [part for order in shuffled for part in order.split(s.minibatch)]
        with progress.part(EDIT_STEPS, s.passes * len(chosen) * len(rollout.window), "edit steps trained"):
            for i, part in enumerate(parts):
                # A backward pass is twice a forward's work: through all edits it is less than both through these few.
                if i > 0 or 3 * len(part) < 2 * len(index):
                    rollout = replace(rollout, with_graph=())
                own, values = mine.among(part), advantages.values[mine.rows]
                metrics |= self._step(conditions, rollout, own, values, number, check_ratio=i == 0, of=len(part))
        if self.reference is not None:
            few = self._reference_distance(conditions, rollout, self.reference)
            metrics["reference_distance"] = ranks.share(few)
        return metrics

    def sample(self, index: Tensor, number: int, mine: RankShare | None = None) -> tuple[Conditions, Rollout]:
        """Edits of the scenes with these numbers, groups in a row, whose images are of one size; those of this rank."""
        s, mine = self.settings, mine or RankShare(torch.arange(len(index)))
        conditions, copies = self.environment.take(index[mine.rows]), s.group_size if s.share_noise else 1
        starts = Draws(self.generator, len(index) // copies, mine.rows[::copies] // copies)
        noise = starts.randn(*conditions.source.shape[1:]).to(self.attacker.device)
        window = draw_window(self.rng, s.window, s.window_first, min(s.window_last, s.steps - 2))
        how: dict[str, Any] = {"copies": copies, "keep_graph": self.keeps_graph}
        first = window[0] + 1  # steps that copies have in common
        steps = len(noise) * first + len(mine.rows) * (s.steps - first)
        with progress.part(EDIT_STEPS, steps, "edit steps sampled"):
            draws = Draws(self.generator, len(index), mine.rows)
            rollout = sample_rollout(self.attacker, conditions, noise, window, s, draws, **how)
        if not bool(rollout.final.isfinite().all()):
            what = f"the editor's samples are not finite at update {number}"
            hint = "lower the learning rate; where it is the first update, try players.attacker.dtype=float32"
            raise AotError(what, where="Flow-GRPO", hint=hint)
        return conditions, rollout

    def pictured(self, conditions: Conditions, generator: torch.Generator) -> dict[str, Tensor]:
        """As `Pictured`; both kinds with the training's number of steps."""
        s, noise = self.settings, self.attacker.noise(conditions, generator)
        window = range(s.window_first, min(s.window_first + s.window, s.steps - 1))
        plain = self.attacker.sample(conditions, noise, steps=s.steps)
        noisy = sample_rollout(self.attacker, conditions, noise, window, s, generator)
        return {"ode": plain, "sde": noisy.final}

    def _step(
        self,
        conditions: Conditions,
        rollout: Rollout,
        mine: Tensor,
        advantages: Tensor,
        number: int,
        *,
        check_ratio: bool,
        of: int | None = None,
    ) -> dict[str, float]:
        """One optimizer step on the edits `mine` of this rank and those of the others, `of` edits in all (None: there
        are no others): gradients are summed over ranks, passes and the window's steps."""
        deviation, figures, shares = 0.0, [], []
        if check_ratio and rollout.with_graph and len(mine):
            deviation = self._ratio_deviation(conditions, rollout, mine[:RATIO_EDITS])
            self._check_ratio(deviation, number)
        for own in passes(conditions, mine, self.settings.micro_batch):
            share = len(own) / (of or len(mine))
            of_steps = self.accumulate(conditions, rollout, own, advantages[own], share)
            figures += of_steps
            shares += [share / len(of_steps)] * len(of_steps)
        figured = torch.stack(figures).cpu() if figures else torch.zeros(1, 4)
        shares = shares or [0.0]
        deviation = max(ranks.gather(max(deviation, float(figured[:, 0].max()))))
        if check_ratio:
            self._check_ratio(deviation, number)
        _, clipped, approx_kl, distance = totals((torch.tensor(shares) @ figured).tolist())
        told = {"clip_fraction": clipped, "approx_kl": approx_kl, "ratio_deviation": deviation, "kl": distance}
        return told | {"grad_norm": float(self.trainer.update(number))}

    def accumulate(
        self, conditions: Conditions, rollout: Rollout, own: Tensor, advantages: Tensor, share: float
    ) -> list[Tensor]:
        """Adds the gradients of the edits `own [b]`, which are this share of the optimizer step's, a backward pass for
        each step of the window. For each, without waiting for the device: ratio deviation, clip fraction, approximate
        KL to the policy that sampled, distance to the reference `[4]`."""
        s, figures = self.settings, []
        for w in range(len(rollout.window)):
            if rollout.with_graph:
                log_probs = rollout.with_graph[w][own]
            else:
                step, v = step_again(self.attacker, conditions, rollout, w, own, s)
                log_probs = step.log_prob(rollout.latents[w + 1, own])
            clipped = flow_loss(log_probs, rollout.log_probs[w, own], advantages.to(log_probs.device), s.clip)
            loss, distance = clipped.loss, log_probs.new_zeros(())
            if self.kl_weight and self.reference is not None:
                with self.reference.active() as reference:
                    other, v_reference = step_again(reference, conditions, rollout, w, own, s)
                distance = (mean_kl(step, other) if s.kl == "mean" else velocity_kl(v, v_reference)).mean()
                loss = loss + self.kl_weight * distance
            self.trainer.backward(loss * share / len(rollout.window))
            figures.append(torch.cat([clipped.figures, distance.detach().float()[None]]))
        return figures

    @torch.no_grad()
    def _ratio_deviation(self, conditions: Conditions, rollout: Rollout, own: Tensor) -> float:
        """max |ratio - 1| of the edits `own`, with their steps recomputed: with the kept graph it is 1 by
        construction."""
        deviation = 0.0
        for w in range(len(rollout.window)):
            step, _ = step_again(self.attacker, conditions, rollout, w, own, self.settings)
            log_ratio = step.log_prob(rollout.latents[w + 1, own]) - rollout.log_probs[w, own]
            deviation = max(deviation, float(log_ratio.expm1().abs().max()))
        return deviation

    @torch.no_grad()
    def _reference_distance(self, conditions: Conditions, rollout: Rollout, reference: FrozenPolicy) -> float:
        """Mean square of the difference between the trained and the reference's velocities, on a few edits."""
        few = torch.arange(min(RATIO_EDITS, len(conditions)))
        _, v = step_again(self.attacker, conditions, rollout, 0, few, self.settings)
        with reference.active() as policy:
            _, before = step_again(policy, conditions, rollout, 0, few, self.settings)
        return float(velocity_kl(v, before).mean())

    def _check_ratio(self, ratio_deviation: float, number: int) -> None:
        if ratio_deviation > self.settings.max_ratio_error:
            raise AotError(
                f"ratio check failed at update {number}: before any step the policy that is trained differs "
                f"by {ratio_deviation:.2e} from the one that sampled",
                where="Flow-GRPO",
                hint="look for dropout, other kernels than in sampling, or a stale cache of conditions",
            )
