"""The attacker's pieces of work, each measured by running it: conditions, a step of sampling, painting, the update of
Flow-GRPO.

Everything here takes an `EditAttacker`, with or without data: a test holds that both measure the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from aot.plan.live_memory import LiveMemory, Measured
from aot.players.attacker.conditions import Conditions
from aot.players.attacker.edit_attacker import EditAttacker
from aot.train.attacker.flow_grpo.rollout import Rollout, sample_rollout
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import FlowGrpo

if TYPE_CHECKING:
    from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment

SENTENCE = "Put a small shiny red cup beside the blue bottle on the left of the table, and change nothing else."
Size = tuple[int, int]
"""Height and width of an image in pixels."""


def watched(live: LiveMemory, attacker: EditAttacker, *, without: Sequence[str] = ()) -> LiveMemory:
    """With all of the attacker's models in memory, but those of `without`."""
    parts = ("transformer", "vae", "text_encoder")
    live.watch(*(getattr(attacker, name) for name in parts if name not in without))
    return live


def conditions(live: LiveMemory, attacker: EditAttacker, size: Size) -> tuple[Measured, Conditions]:
    """As many images and sentences as the editor reads at once; and what it has read."""
    n, made = attacker.settings.encode_batch, []
    image = np.zeros((*size, 3), np.uint8)
    measured = live.measure(lambda: made.append(attacker.conditions([image] * n, [SENTENCE] * n)))
    return measured, made.pop()


def repeated(one: Conditions, edits: int) -> Conditions:
    """The first edit's conditions, so many times, without taking room: they wait in the host's memory or on disk."""
    n = edits, *[-1] * 2
    free = one.unconditional
    return Conditions(
        np.broadcast_to(one.images[:1], (edits, *one.images.shape[1:])),
        one.source[:1].expand(n),
        one.text[:1].expand(n),
        np.repeat(one.lengths[:1], edits),
        None if free is None else free[:1].expand(n),
    )


def sampling(live: LiveMemory, attacker: EditAttacker, asked: Conditions, at_once: int) -> Measured:
    """A step of so many edits at once; nothing is trained. Latents of all edits of `asked` are kept meanwhile."""
    latents = torch.zeros(asked.source.shape, device=attacker.device)
    live.mark(latents, "data")
    part = torch.arange(at_once)
    sigma = torch.ones(at_once, device=attacker.device)

    def work() -> None:
        with torch.no_grad():
            attacker.velocity(asked.take(part), latents[part], sigma, at_once=True)

    return live.measure(work)


def painting(live: LiveMemory, attacker: EditAttacker, asked: Conditions) -> Measured:
    """Images from denoised latents, as many as the autoencoder decodes at once."""
    n = attacker.settings.decode_batch
    latents = torch.zeros(n, *asked.source.shape[1:], device=attacker.device)
    live.mark(latents, "data")
    return live.measure(lambda: attacker.decode(repeated(asked, n).images, latents))


@dataclass(frozen=True, slots=True)
class UpdateMeasured:
    """`step`: forward and backward of one of the window's steps, of the edits that go through the network at once, and
    the optimizer's step; `edits`: how many those are; `trained`: parameters. `whole`: it is an update from its first
    noise on, all edits and steps at once, since their graph is kept."""

    step: Measured
    edits: int
    trained: int
    whole: bool


@dataclass(frozen=True, slots=True)
class _Scenes:
    """As much of an environment as an update's optimizer step asks."""

    scenes: range
    sizes: None = None

    def __len__(self) -> int:
        return len(self.scenes)


def update(live: LiveMemory, attacker: EditAttacker, settings: FlowGrpoSettings, asked: Conditions) -> UpdateMeasured:
    """Flow-GRPO's own optimizer step, of one pass and one of the window's steps. `asked`: conditions of all edits of
    an update, whose rollout is kept meanwhile."""
    s, n, device = settings.model_copy(update={"scene_choice": "even"}), len(asked), attacker.device
    with live, live.making("optimizer"):
        learner = FlowGrpo(attacker, cast("AttackEnvironment", _Scenes(range(n))), s, 0)
    trainer, advantages = learner.trainer, torch.zeros(n)
    live.watch_steps(trainer.optimizers.values())
    at_once = min(s.minibatch, s.micro_batch or s.minibatch, n)
    accumulates = not learner.keeps_graph and (s.window > 1 or at_once < min(s.minibatch, n))
    live.in_the_middle(trainer.parameters, trainer.optimizers.values(), accumulates=accumulates)
    trained = sum(p.numel() for p in trainer.parameters)
    if learner.keeps_graph:
        copies = s.group_size if s.share_noise else 1
        window, generator = range(s.window_first, s.window_first + s.window), torch.Generator()
        noise = torch.zeros(n // copies, *asked.source.shape[1:], device=device)

        def whole() -> None:
            rollout = sample_rollout(attacker, asked, noise, window, s, generator, copies=copies, keep_graph=True)
            learner._step(asked, rollout, torch.arange(n), advantages, 1, check_ratio=False)

        return UpdateMeasured(live.measure(whole), n, trained, True)
    part = torch.arange(at_once)
    latents, final = (torch.zeros(*more, *asked.source.shape, device=device) for more in ((s.window + 1,), ()))
    log_probs = torch.zeros(s.window, n, device=device)
    live.mark([latents, final, log_probs], "data")
    rollout = Rollout(range(s.window_first, s.window_first + 1), latents, log_probs, final)
    step = live.measure(lambda: learner._step(asked, rollout, part, advantages, 1, check_ratio=False))
    return UpdateMeasured(step, len(part), trained, False)
