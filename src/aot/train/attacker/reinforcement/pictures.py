"""Sample images of an attacker in training: always the same scenes, from the same starting noise.

Flow-GRPO's training samples (sde: noise in its window) look worse than the attacks that the game will see (ode: plain
steps), so both are kept, to tell that noise from a fault of the policy. They use random numbers of their own: a
training ends with the same weights whether samples are kept or not. *Ours.*
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from aot.runs.train_log import TrainLog
from aot.train.attacker.reinforcement.attack_environment import AttackEnvironment

if TYPE_CHECKING:
    from aot.players.attacker.conditions import Conditions


class Pictured(Protocol):
    """A training whose samples can be looked at."""

    environment: AttackEnvironment

    def pictured(self, conditions: Conditions, generator: torch.Generator) -> Mapping[str, Tensor]:
        """By kind, denoised latents `[N, L, C]` of one starting noise."""


def show_pictures(learner: Pictured, log: TrainLog, update: int) -> None:
    """Where the log wants pictures after this update: the first scenes of one size, and their edits of each kind. Every
    rank samples them, as weights may be spread over ranks; the first one keeps them."""
    if not log.wants_pictures(update):
        return
    environment = learner.environment
    numbers = torch.arange(len(environment))
    if (sizes := environment.sizes) is not None:
        numbers = numbers[sizes == sizes[0]]
    index = numbers[: log.pictures.scenes]
    scenes, sources = [environment.scenes[i] for i in index.tolist()], environment.conditions.images(index)
    if update == log.pictures.every:
        log.show("source", [scene.image for scene in scenes], update)
    kinds = learner.pictured(environment.take(index), torch.Generator().manual_seed(0))
    for kind, latents in kinds.items():
        log.show(kind, environment.attacker.edited_images(scenes, sources, latents), update)
