"""The defender's pieces of work, each measured by running it: answers, SFT, DAPO by either engine.

Everything here takes a `QwenDefender`, with or without data: a test holds that both measure the same.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from aot.attacks.pgd import value_and_gradient
from aot.data.curriculum import CurriculumRow
from aot.plan.live_memory import LiveMemory, Measured
from aot.plan.without_data import META, autocast
from aot.players.defender.differentiable import DifferentiableProcessor, QwenPixelLosses, attacked_weights
from aot.players.defender.group_sampling import SampledGroup
from aot.players.defender.qwen import QwenDefender
from aot.train.defender.dapo.dynamic_sampling import ScoredGroup
from aot.train.defender.dapo.packed import update_once
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.trl.forward import as_on_a_gpu, completion_loss, with_trls_head
from aot.train.defender.optimizer import adamw
from aot.train.defender.sft import DefenderSftSettings
from aot.train.weight_average import WeightAverage
from aot.types import Image, Question

QUESTION = Question("Is the red cup on the left of the blue bottle?", ("yes", "no"), 0, "relation")
Size = tuple[int, int]
"""Height and width of an image in pixels."""


@dataclass(frozen=True, slots=True)
class Answering:
    """So many prompts with k answers each at once. `read`: the prompts; `write`: one token of every answer, when
    nearly all tokens are written. `cache`: bytes of keys and values at the end."""

    read: Measured
    write: Measured
    cache: int


def answering(live: LiveMemory, defender: QwenDefender, size: Size, prompts: int, k: int, tokens: int) -> Answering:
    """Answers of so many tokens. Their keys and values are counted when all are written."""
    images, questions = _asked(size, prompts)
    batch = defender.encode(images, questions)
    draws = torch.zeros(prompts, k, 2).to(defender.device)
    read = live.measure(lambda: defender.sample(batch, draws[:, :, :1], temperature=1.0))
    both = live.measure(lambda: defender.sample(batch, draws, temperature=1.0))
    text = defender.model.config.get_text_config()
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    element = next(defender.model.parameters()).element_size()
    a_token = 2 * text.num_hidden_layers * text.num_key_value_heads * head * element
    before, cache = (prompts * a_token * (batch.input_ids.shape[1] + k * n) for n in (1, tokens))
    # A layer's keys and values are joined anew: for a moment they are there twice.
    twice = cache // text.num_hidden_layers
    other = max(0, both.peak["activations"] - before - before // text.num_hidden_layers)
    peak = {**both.peak, "cache": cache, "activations": other + twice}
    return Answering(read, Measured(peak, both.flops - read.flops), cache)


def sft(live: LiveMemory, defender: QwenDefender, settings: DefenderSftSettings, size: Size) -> Measured:
    """A pass over `per_forward` images, and the optimizer's step."""
    step = _Step(live, defender, settings, accumulates=settings.per_forward < settings.batch)
    images, questions = _asked(size, min(settings.per_forward, settings.batch))

    def work() -> None:
        defender.answer_losses(images, questions)[0].sum().backward()
        step()

    return live.measure(work)


def losses(live: LiveMemory, defender: QwenDefender, settings: DefenderSftSettings, size: Size, n: int) -> Measured:
    """A look at n images within SFT: the losses among which hardest-of-k chooses."""
    _Step(live, defender, settings, accumulates=False)
    images, questions = _asked(size, n)

    def work() -> None:
        with torch.no_grad():
            defender.answer_losses(images, questions)

    return live.measure(work)


def pixels(live: LiveMemory, defender: QwenDefender, settings: DefenderSftSettings, size: Size, n: int) -> Measured:
    """A step of PGD on n images within SFT, whose weights wait meanwhile."""
    _Step(live, defender, settings, accumulates=False)
    image = DifferentiableProcessor(defender.processor).fitted(np.zeros((*size, 3), np.uint8))
    images, questions = _asked((image.shape[0], image.shape[1]), n)
    seen = torch.zeros(n, 3, *image.shape[:2], device=defender.device)

    def work() -> None:
        with attacked_weights(defender.model):
            value_and_gradient(QwenPixelLosses(defender, images, questions).untargeted, seen)

    return live.measure(work)


def dapo(live: LiveMemory, defender: QwenDefender, settings: DapoSettings, size: Size) -> Measured:
    """A pass over the answers that go through the network at once, all of the longest length, and the optimizer's
    step."""
    return (_packed if settings.engine == "packed" else _trl)(live, defender, settings, size)


def _packed(live: LiveMemory, defender: QwenDefender, settings: DapoSettings, size: Size) -> Measured:
    images, questions = _asked(size, settings.groups)
    rows = [CurriculumRow(str(i), image, q) for i, (image, q) in enumerate(zip(images, questions, strict=True))]
    # All answers differ from the first token on: the most that an update can hold.
    answers = tuple((i + 1, *[0] * (settings.limit - 1)) for i in range(settings.group_size))
    ones, cut = (1,) * len(answers), (False,) * len(answers)
    rewards = tuple(float(i % 2) for i in range(len(answers)))
    groups = [ScoredGroup(i, SampledGroup(answers, ones, cut), rewards, rewards) for i in range(len(rows))]
    step = _Step(live, defender, settings, accumulates=False)
    return live.measure(lambda: update_once(defender, rows, groups, settings, step.optimizer))


def _trl(live: LiveMemory, defender: QwenDefender, settings: DapoSettings, size: Size) -> Measured:
    with_trls_head(defender.model, settings.temperature)
    at_once = settings.trl.completions_per_forward
    step = _Step(live, defender, settings, accumulates=at_once < settings.groups * settings.group_size)
    images, questions = _asked(size, at_once)
    prompts = defender.encode(images, questions)
    model = defender.adapters.peft if defender.adapters else defender.model

    def work() -> None:
        on_gpu = as_on_a_gpu() if defender.device.type == META else nullcontext()
        with autocast(defender.device.type, settings.trl.bf16), on_gpu:
            completion_loss(model, prompts, settings.limit).backward()
        step()

    return live.measure(work)


class _Step:
    """The optimizer's step of one of the defender's trainings, as they all make it."""

    def __init__(
        self,
        live: LiveMemory,
        defender: QwenDefender,
        settings: DefenderSftSettings | DapoSettings,
        *,
        accumulates: bool,
    ):
        self.parameters, self.most = defender.begin_training(seed=0), settings.max_grad_norm
        live.watch(defender.model)  # with the adapters
        with live, live.making("optimizer"):
            self.average = WeightAverage(self.parameters, settings.ema) if settings.ema else None
        self.optimizer = adamw(
            self.parameters,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            schedule="constant",
            warmup=0,
            steps=1,
        )[0]
        live.watch_steps([self.optimizer])
        live.in_the_middle(self.parameters, [self.optimizer], accumulates=accumulates)
        defender.model.train()

    def __call__(self) -> None:
        nn.utils.clip_grad_norm_(self.parameters, self.most)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def _asked(size: Size, prompts: int) -> tuple[list[Image], list[Question]]:
    return [np.zeros((*size, 3), np.uint8)] * prompts, [QUESTION] * prompts
