"""The defender's pieces of work, each measured by running it: answers, SFT, DAPO by either engine.

Everything here takes a defender, with or without data: a test holds that both measure the same.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from aot.attacks.white_box.pgd import value_and_gradient
from aot.data.episodes.curriculum import CurriculumRow
from aot.plan.inexact import measured
from aot.plan.live_memory import KINDS, Kind, LiveMemory, Measured
from aot.plan.stock_answers import Answering, stock_answering
from aot.plan.without_data import META, autocast
from aot.players.defender.differentiable import attacked_weights
from aot.players.defender.group_sampling import SampledGroup
from aot.players.defender.pixel_gradients import pixel_gradients
from aot.players.defender.probed_pixels import ProbedProcessor
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.train.defender.dapo.dynamic_sampling import ScoredGroup
from aot.train.defender.dapo.packed import update_once
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.train import for_packed
from aot.train.defender.dapo.trl.forward import as_on_a_gpu, completion_loss, with_trls_head
from aot.train.defender.optimizer import adamw
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.weight_average import WeightAverage
from aot.types import Image, Question

QUESTION = Question("Is the red cup on the left of the blue bottle?", ("yes", "no"), 0, "relation")
VLLM_OWN = 3 << 29
"""Bytes that a vLLM takes for its graphs and its largest forward pass; *ours*, not measured."""
Size = tuple[int, int]
"""Height and width of an image in pixels."""


def answering(live: LiveMemory, defender: TrainedDefender, size: Size, prompts: int, k: int, tokens: int) -> Answering:
    """k answers of so many tokens to each of the prompts at once; of any other than Qwen2.5-VL one to each. Their keys
    and values are counted when all are written."""
    if not isinstance(defender, QwenDefender):
        return generated(live, defender, size, prompts, tokens)
    images, questions = _asked(size, prompts)
    batch = defender.encode(images, questions)
    draws = torch.zeros(prompts, k, 2).to(defender.device)
    read = live.measure(lambda: defender.sample(batch, draws[:, :, :1], temperature=1.0))
    both = live.measure(lambda: defender.sample(batch, draws, temperature=1.0))
    text, a_token = defender.model.config.get_text_config(), token_bytes(defender)
    before, cache = (prompts * a_token * (batch.input_ids.shape[1] + k * n) for n in (1, tokens))
    # A layer's keys and values are joined anew: for a moment they are there twice.
    twice = cache // text.num_hidden_layers
    other = max(0, both.peak["activations"] - before - before // text.num_hidden_layers)
    peak = {**both.peak, "cache": cache, "activations": other + twice}
    return Answering(read, Measured(peak, both.flops - read.flops), cache, prompts * k)


def token_bytes(defender: TrainedDefender, element: int = 0) -> int:
    """Of a token's keys and values, `element` bytes a number (0: as the weights)."""
    text = defender.model.config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    element = element or next(defender.model.parameters()).element_size()
    return int(2 * text.num_hidden_layers * heads * head * element)


def served(defender: TrainedDefender, longest: int, *, most: int, gpus: int = 1) -> Measured:
    """What a vLLM on so many GPUs cannot do without on each: its share of the weights, and of a request of `longest`
    tokens (0: as many as the model takes). A number has at most `most` bytes."""
    model = defender.model
    tokens = longest or model.config.get_text_config().max_position_embeddings
    weights = sum(t.numel() * min(most, t.element_size()) for t in (*model.parameters(), *model.buffers()))
    cache = tokens * token_bytes(defender, min(most, next(model.parameters()).element_size()))
    peak: dict[Kind, int] = dict.fromkeys(KINDS, 0)
    peak |= {"weights": weights // gpus, "cache": cache // gpus, "activations": VLLM_OWN}
    return Measured(peak, 0)


def generated(live: LiveMemory, defender: TrainedDefender, size: Size, answers: int, tokens: int) -> Answering:
    """So many answers at once, by stock `generate`."""
    images, questions = _asked(size, answers)
    stock = _stock(defender)
    rows = [(image, stock.prompt(question)) for image, question in zip(images, questions, strict=True)]
    return stock_answering(live, stock, rows, tokens)


def sft(live: LiveMemory, defender: TrainedDefender, settings: DefenderSftSettings, size: Size) -> Measured:
    """A pass over `per_forward` images, and the optimizer's step."""
    step = _Step(live, defender, settings, accumulates=settings.per_forward < settings.batch)
    images, questions = _asked(size, min(settings.per_forward, settings.batch))

    def work() -> None:
        defender.answer_losses(images, questions)[0].sum().backward()
        step()

    return measured(live, defender.model, work)


def losses(live: LiveMemory, defender: TrainedDefender, settings: DefenderSftSettings, size: Size, n: int) -> Measured:
    """A look at n images within SFT: the losses among which hardest-of-k chooses."""
    _Step(live, defender, settings, accumulates=False)
    images, questions = _asked(size, n)

    def work() -> None:
        with torch.no_grad():
            defender.answer_losses(images, questions)

    return measured(live, defender.model, work)


def pixels(live: LiveMemory, defender: TrainedDefender, settings: DefenderSftSettings, size: Size, n: int) -> Measured:
    """A step of PGD on n images within SFT, whose weights wait meanwhile."""
    _Step(live, defender, settings, accumulates=False)
    gradients = pixel_gradients(defender)
    image = gradients.fitted(np.zeros((*size, 3), np.uint8))
    images, questions = _asked((image.shape[0], image.shape[1]), n)
    seen = torch.zeros(n, 3, *image.shape[:2], device=defender.device)
    if isinstance(gradients.processor, ProbedProcessor):  # which stays on the device between steps
        live.mark(gradients.processor.map_of(*image.shape[:2]).on(defender.device), "data")

    def work() -> None:
        with attacked_weights(defender.model):
            value_and_gradient(gradients.losses(images, questions).untargeted, seen)

    return measured(live, defender.model, work)


def dapo(live: LiveMemory, defender: TrainedDefender, settings: DapoSettings, size: Size) -> Measured:
    """A pass over the answers that go through the network at once, all of the longest length, and the optimizer's
    step."""
    return (_packed if settings.engine == "packed" else _trl)(live, defender, settings, size)


def _packed(live: LiveMemory, defender: TrainedDefender, settings: DapoSettings, size: Size) -> Measured:
    defender = for_packed(defender)
    images, questions = _asked(size, settings.groups)
    rows = [CurriculumRow(str(i), image, q) for i, (image, q) in enumerate(zip(images, questions, strict=True))]
    # All answers differ from the first token on: the most that an update can hold.
    answers = tuple((i + 1, *[0] * (settings.limit - 1)) for i in range(settings.group_size))
    ones, cut = (1,) * len(answers), (False,) * len(answers)
    rewards = tuple(float(i % 2) for i in range(len(answers)))
    groups = [ScoredGroup(i, SampledGroup(answers, ones, cut), rewards, rewards) for i in range(len(rows))]
    step = _Step(live, defender, settings, accumulates=False)
    return live.measure(lambda: update_once(defender, rows, groups, settings, step.optimizer))


def _trl(live: LiveMemory, defender: TrainedDefender, settings: DapoSettings, size: Size) -> Measured:
    with_trls_head(defender.model, settings.temperature)
    at_once = settings.trls_forward()
    step = _Step(live, defender, settings, accumulates=at_once < settings.groups * settings.group_size)
    images, questions = _asked(size, at_once)
    stock = _stock(defender)
    inputs = stock.inputs([(image, stock.prompt(q)) for image, q in zip(images, questions, strict=True)])
    model = defender.adapters.peft if defender.adapters else defender.model

    def work() -> None:
        on_gpu = as_on_a_gpu() if defender.device.type == META else nullcontext()
        with autocast(defender.device.type, settings.trl.bf16), on_gpu:
            completion_loss(model, inputs, settings.limit).backward()
        step()

    return measured(live, defender.model, work)


class _Step:
    """The optimizer's step of one of the defender's trainings, as they all make it."""

    def __init__(
        self,
        live: LiveMemory,
        defender: TrainedDefender,
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


def _stock(defender: TrainedDefender) -> StockDefender:
    """The defender as `generate` and TRL ask it, whichever paths of ours it has."""
    if isinstance(defender, StockDefender):
        return defender
    how: dict[str, Any] = {"max_new_tokens": defender.max_new_tokens, "batch": defender.batch, "area": defender.area}
    return StockDefender(defender.model, defender.processor, abstain=defender.abstain, **how)


def _asked(size: Size, prompts: int) -> tuple[list[Image], list[Question]]:
    return [np.zeros((*size, 3), np.uint8)] * prompts, [QUESTION] * prompts
