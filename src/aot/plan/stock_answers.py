"""Answers that stock `generate` writes, measured by running it: as any defender but Qwen2.5-VL answers, and as TRL
writes completions where no vLLM does. Every answer is a row of its own with its prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from aot.plan.inexact import measured
from aot.plan.live_memory import LiveMemory, Measured
from aot.plan.without_data import META
from aot.players.cache_argument import cache_argument
from aot.players.defender.stock import Row, StockDefender
from aot.players.defender.token_sampling import InverseTransformSampling


@dataclasses.dataclass(frozen=True, slots=True)
class Answering:
    """So many `answers` at once. `read`: their prompts; `write`: one token of every answer, when nearly all tokens are
    written. `cache`: bytes of keys and values at the end."""

    read: Measured
    write: Measured
    cache: int
    answers: int


def stock_answering(live: LiveMemory, defender: StockDefender, rows: Sequence[Row], tokens: int) -> Answering:
    """Answers of so many tokens, at least two, to rows at once. The last token is measured behind prompts that are as
    long as prompt and answer together: sliding windows, shared heads and masks are then the model's own."""
    read = _Generation(live, defender)
    first = measured(live, defender.model, lambda: read.run(rows, 1))
    if read.pieces:
        first = dataclasses.replace(read.pieces[0], inexact=first.inexact)
    write = _Generation(live, defender)
    last = measured(live, defender.model, lambda: write.run(rows, 2, behind=max(0, tokens - 2)))
    if len(write.pieces) == 2:
        peak = dict(write.pieces[1].peak)
        # New keys and values stand beside the old ones, a layer at a time: all that is kept is cache.
        both = peak["activations"] + peak["cache"]
        peak["cache"] = min(write.cache, both)
        peak["activations"] = both - peak["cache"]
        last = Measured(peak, write.pieces[1].flops, last.inexact)
    return Answering(first, last, write.cache, len(rows))


class _Generation:
    """One call of `generate`. `pieces`: what each of its tokens took; `cache`: bytes that it keeps at the end."""

    def __init__(self, live: LiveMemory, defender: StockDefender):
        self.live, self.defender = live, defender
        self.pieces: list[Measured] = []
        self.cache = 0

    def run(self, rows: Sequence[Row], tokens: int, *, behind: int = 0) -> None:
        """So many tokens of rows with others `behind` their prompts."""
        defender = self.defender
        inputs = defender.inputs(rows)
        if behind:
            inputs, _ = defender.followed(inputs, [[int(defender.eos_ids[0])] * behind for _ in rows])
        if len(rows) > 1:
            inputs["attention_mask"][0, 0] = 0  # as where prompts differ in length: masks are made
        self.live.mark(inputs, "data")
        before = inputs["input_ids"].shape[1]
        draws = torch.zeros(len(rows), tokens).to(defender.device)
        sampler = InverseTransformSampling(1.0, 1.0, draws, before, defender.suppressed_ids)
        padding = defender.tokenizer.pad_token_id
        endless = GenerationConfig(max_new_tokens=tokens, eos_token_id=None, pad_token_id=padding)
        cache = DynamicCache(config=defender.model.config.get_text_config(decoder=True))
        defender.forget_positions()
        with torch.no_grad():
            defender.model.generate(
                **inputs,
                generation_config=endless,
                **{cache_argument(defender.model): cache},
                logits_processor=LogitsProcessorList([_Watched(sampler, self, cache)]),
            )
        kept = [value for layer in cache.layers for value in vars(layer).values() if isinstance(value, Tensor)]
        self.cache = sum(t.untyped_storage().nbytes() for t in kept if t.device == defender.device)


class _Watched(LogitsProcessor):
    """The sampler, and a piece of the measurement for every token. Tokens have data: `generate` ends at once where it
    sees none."""

    def __init__(self, sampler: LogitsProcessor, generation: _Generation, cache: DynamicCache):
        self.sampler, self.generation, self.cache = sampler, generation, cache

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        live, device = self.generation.live, self.generation.defender.device
        left: Tensor = self.sampler(input_ids, scores.to(device))  # `generate` puts them where the tokens are
        self.generation.pieces.append(live.piece())
        live.mark([vars(layer) for layer in self.cache.layers], "cache")
        live.piece()
        return torch.zeros(len(left), 1) if left.device.type == META else left
