"""The pieces of work of one recipe, each measured when it is first asked for, with what is in memory meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cached_property
from math import isqrt
from typing import TypeVar

import torch

from aot.backends.vllm.settings import IN_PROCESS
from aot.coevolve.recipes.recipe import Recipe
from aot.plan import attacker_plan, defender_plan
from aot.plan.attacker_plan import UpdateMeasured
from aot.plan.defender_plan import Size
from aot.plan.full_size import attacker_without_data, defender_without_data
from aot.plan.live_memory import LiveMemory, Measured
from aot.plan.stock_answers import Answering
from aot.plan.without_data import META, without_data
from aot.players.attacker.conditions import Conditions
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.base_players import token_limit
from aot.players.defender.trained import TrainedDefender
from aot.train.defender.sft.settings import DefenderSftSettings

Made = TypeVar("Made")


class Measures:
    """Of one recipe. Pieces with the attacker are measured with the models that are in memory in their process: a
    training's, an attack's, or where conditions are computed; the defender's own trainings with the defender alone."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.flow_grpo, self.dapo_settings = recipe.attacker.flow_grpo, recipe.dapo.limited(self.most_tokens)
        self.edits = self.flow_grpo.groups * self.flow_grpo.group_size
        """Of an update of the attacker."""
        self._sft: dict[tuple[object, ...], tuple[Measured, int]] = {}

    @property
    def most_tokens(self) -> int:
        """Of an answer."""
        return token_limit(self.recipe.players.defender)

    @property
    def size(self) -> Size:
        """Of an image: a square of the most pixels that the recipe allows."""
        game = self.recipe.game
        if not game.max_pixels:
            return game.image_px, game.image_px
        side = isqrt(game.max_pixels) // game.multiple_of * game.multiple_of
        return side, side

    @property
    def answers_here(self) -> bool:
        """Whether frozen defenders answer in the process that asks."""
        return self.recipe.compute.answers == IN_PROCESS

    # --- processes with the attacker ----------------------------------------------------------------------

    @cached_property
    def _players(self) -> tuple[EditAttacker, TrainedDefender | None]:
        with without_data():
            players = self.recipe.players
            attacker = attacker_without_data(players.attacker, train=True)
            return attacker, defender_without_data(players.defender) if self.answers_here else None

    @property
    def attacker(self) -> EditAttacker:
        return self._players[0]

    @property
    def conditions_on_disk(self) -> bool:
        return self.recipe.players.attacker.conditions == "disk"

    @cached_property
    def _playing(self) -> LiveMemory:
        """Where frozen attackers attack: all models are in memory, the defender where it answers here."""
        attacker, defender = self._players
        live = attacker_plan.watched(LiveMemory(META), attacker)
        if defender:
            live.watch(defender.model)
        return live

    @cached_property
    def _training(self) -> LiveMemory:
        """Where the attacker is trained: without its text encoder where conditions come from disk."""
        if not self.conditions_on_disk:
            return self._playing
        attacker, defender = self._players
        live = attacker_plan.watched(LiveMemory(META), attacker, without=("text_encoder",))
        if defender:
            live.watch(defender.model)
        return live

    @cached_property
    def _encoding(self) -> LiveMemory:
        """Where a training's conditions are computed: in a process of its own where they go to disk."""
        if not self.conditions_on_disk:
            return self._training
        return attacker_plan.watched(LiveMemory(META), self.attacker, without=("transformer",))

    def _measured(self, live: LiveMemory, work: Callable[[LiveMemory, EditAttacker], Made]) -> Made:
        with without_data():
            made = work(live, self.attacker)
        gc.collect()  # graphs and hooks hold each other: what they held would count in the next piece
        return made

    @cached_property
    def _conditions(self) -> tuple[Measured, Conditions]:
        return self._measured(self._encoding, lambda live, a: attacker_plan.conditions(live, a, self.size))

    @property
    def conditions(self) -> Measured:
        """As many images and sentences as the text encoder reads at once, for a training."""
        return self._conditions[0]

    @property
    def stored_bytes(self) -> int:
        """Of one edit's conditions on disk."""
        one, element = self._conditions[1].take(torch.arange(1)), self.recipe.players.attacker.torch_dtype.itemsize
        tensors = [t for t in (one.source, one.text, one.unconditional) if t is not None]
        return one.images.nbytes + element * sum(t.numel() for t in tensors)

    @cached_property
    def asking(self) -> Measured:
        """As many images and sentences as the text encoder reads at once, in an attack."""
        if not self.conditions_on_disk:
            return self.conditions
        return self._measured(self._playing, lambda live, a: attacker_plan.conditions(live, a, self.size))[0]

    def _asked(self, edits: int) -> Conditions:
        return attacker_plan.repeated(self._conditions[1], edits)

    @property
    def edits_at_once(self) -> int:
        """That go through the network in an update's sampling."""
        s = self.flow_grpo
        return min(s.micro_batch or self.edits, self.edits)

    @cached_property
    def sampling(self) -> Measured:
        """A step of an update's edits, as many as go at once."""
        asked = self._asked(self.edits)
        return self._measured(
            self._training, lambda live, a: attacker_plan.sampling(live, a, asked, self.edits_at_once)
        )

    @cached_property
    def editing(self) -> Measured:
        """A step of the frozen attacker in rounds and evaluation, `batch` edits at once."""
        most = self.attacker.settings.batch
        return self._measured(
            self._playing, lambda live, a: attacker_plan.sampling(live, a, self._asked(most), most)
        )

    @cached_property
    def painting(self) -> Measured:
        """As many images as the autoencoder decodes at once, in a training."""
        return self._measured(self._training, lambda live, a: attacker_plan.painting(live, a, self._asked(1)))

    @cached_property
    def showing(self) -> Measured:
        """As many images as the autoencoder decodes at once, in an attack."""
        if not self.conditions_on_disk:
            return self.painting
        return self._measured(self._playing, lambda live, a: attacker_plan.painting(live, a, self._asked(1)))

    @cached_property
    def update(self) -> UpdateMeasured:
        asked = self._asked(self.edits)
        return self._measured(self._training, lambda live, a: attacker_plan.update(live, a, self.flow_grpo, asked))

    def answers_beside(self, k: int, *, training: bool) -> Answering | None:
        """k answers to a batch of images in the process that trains the attacker, or plays with it; None where they
        come from a server."""
        defender = self._players[1]
        if defender is None:
            return None
        live = self._training if training else self._playing
        with without_data():
            return defender_plan.answering(live, defender, self.size, defender.batch, k, self.most_tokens)

    # --- the defender's own processes ---------------------------------------------------------------------

    def _alone(self, work: Callable[[LiveMemory, TrainedDefender], Made]) -> tuple[Made, int]:
        """With a defender of its own: what was made, and how many of its parameters are trained."""
        with without_data():
            live = LiveMemory(META)
            defender = defender_without_data(self.recipe.players.defender)
            live.watch(defender.model)
            made = work(live, defender)
            trained = sum(p.numel() for p in defender.model.parameters() if p.requires_grad)
        gc.collect()
        return made, trained

    @cached_property
    def dapo(self) -> tuple[Measured, int]:
        return self._alone(lambda live, d: defender_plan.dapo(live, d, self.dapo_settings, self.size))

    @cached_property
    def dapo_answers(self) -> Answering:
        """All answers of an update that the trainer itself generates: by TRL each from a prompt of its own."""
        s = self.dapo_settings
        prompts, k, tokens = s.groups, s.group_size, s.limit
        if s.engine == "trl":
            return self._alone(lambda live, d: defender_plan.generated(live, d, self.size, prompts * k, tokens))[0]
        return self._alone(lambda live, d: defender_plan.answering(live, d, self.size, prompts, k, tokens))[0]

    def sft(self, settings: DefenderSftSettings) -> tuple[Measured, int]:
        """A pass of it, and the optimizer's step."""
        return self._of_sft(defender_plan.sft, settings)

    def losses(self, settings: DefenderSftSettings, n: int) -> Measured:
        """A look at n images."""
        return self._of_sft(defender_plan.losses, settings, n)[0]

    def pixels(self, settings: DefenderSftSettings, n: int) -> Measured:
        """A step of PGD on n images."""
        return self._of_sft(defender_plan.pixels, settings, n)[0]

    def _of_sft(self, work: Callable[..., Measured], s: DefenderSftSettings, *more: int) -> tuple[Measured, int]:
        """Measured once for all trainings that put as much through the model at once."""
        key = work, min(s.per_forward, s.batch), s.per_forward < s.batch, bool(s.ema), more
        if key not in self._sft:
            self._sft[key] = self._alone(lambda live, d: work(live, d, s, self.size, *more))
        return self._sft[key]

    def served(self, longest: int, *, most: int = 4, gpus: int = 1) -> Measured:
        """A vLLM with the defender: see `defender_plan.served`."""
        with without_data():
            return defender_plan.served(
                defender_without_data(self.recipe.players.defender), longest, most=most, gpus=gpus
            )

    @cached_property
    def reading(self) -> Answering:
        """A batch of held-out questions, greedily answered by the defender alone."""
        tokens = self.most_tokens
        return self._alone(lambda live, d: defender_plan.answering(live, d, self.size, d.batch, 1, tokens))[0]
