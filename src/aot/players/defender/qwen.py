"""The defender: a Qwen2.5-VL (7 B or the miniature, same code) that answers multiple-choice questions.

Departures from `generate` (same tokens, a test holds that): the prompt is computed once whatever k is, the k
answers grow side by side behind it under a block mask, and each answer has its own stream of random numbers,
so that a result does not depend on how a call is cut into batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedTokenizerBase, Qwen2_5_VLForConditionalGeneration

from aot.players.defender.architecture import DefenderShape, build_model
from aot.players.defender.shared_prefix import (
    completion_logprobs,
    embed_prompts,
    packed_hidden,
    packed_mask,
    text_states,
)
from aot.players.defender.trained import TrainedDefender, parsed
from aot.players.load_errors import REMAKE
from aot.players.model_folder import read_model, read_processor
from aot.players.processor import PromptBatch, PromptEncoder, build_processor
from aot.prompts import gold_answer
from aot.runs.progress import ANSWERS, advance
from aot.types import Answer, Image, Question


@dataclasses.dataclass(frozen=True, slots=True)
class SampledCompletions:
    """k sampled completions of B prompts, right-padded to T tokens."""

    ids: Tensor
    """`int64 [B, k, T]`."""
    mask: Tensor
    """`bool [B, k, T]`, True up to and with the end-of-turn token."""
    truncated: Tensor
    """`bool [B, k]`: hit the length limit before the end-of-turn token."""


class QwenDefender(TrainedDefender):
    """A `Defender` around `Qwen2_5_VLForConditionalGeneration` and its processor."""

    def __init__(self, model: Qwen2_5_VLForConditionalGeneration, processor: Any, *, batch: int = 64, **others: Any):
        super().__init__(model, processor, batch=batch, **others)
        self.encoder = PromptEncoder(processor, self.prompt)
        self._texts: dict[tuple[int, ...], str] = {}

    @classmethod
    def new(cls, shape: DefenderShape, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> QwenDefender:
        """An untrained miniature."""
        side = shape.image_px
        processor = build_processor(
            tokenizer,
            patch_size=shape.patch_px,
            merge_size=shape.merge,
            min_pixels=(shape.patch_px * shape.merge) ** 2,
            max_pixels=side * side,
        )
        return cls(build_model(shape, tokenizer, seed=seed), processor)

    @classmethod
    def load(cls, folder: str | Path, **others: Any) -> QwenDefender:
        """A miniature from its folder, with float32 weights on the CPU; `others` as the constructor takes them. What a
        recipe names is opened by `opening.open_defender`. Raises AotError for a missing or damaged one."""
        model = read_model(Path(folder), attention="sdpa", what="defender", hint=REMAKE)
        return cls(model, read_processor(Path(folder), model.config.model_type), **others)

    def encode(self, images: Sequence[Image], questions: Sequence[Question]) -> PromptBatch:
        """The prompts of (image, question) pairs on the model's device."""
        return self.encoder.encode(images, questions).to(self.device)

    def answer(
        self,
        images: Sequence[Image],
        questions: Sequence[Question],
        *,
        k: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
        streams: Sequence[int] | None = None,
    ) -> list[tuple[Answer, ...]]:
        """`k` answers a pair, parsed. Temperature 0 is greedy; above it answers are drawn with `seed`."""
        samples = 1 if temperature == 0 else k
        draws = self.draws(len(images), samples, seed, streams)
        answers: list[tuple[Answer, ...]] = [()] * len(images)

        def said(part: list[int]) -> list[tuple[Answer, ...]]:
            prompts = self.encode([images[i] for i in part], [questions[i] for i in part])
            done = self.sample(prompts, draws[part].to(self.device), temperature=temperature)
            return [self.read(done, row, questions[i]) * (k // samples) for row, i in enumerate(part)]

        for part in self._batches(questions):
            for i, given in zip(part, self.split_on_oom(part, said), strict=True):
                answers[i] = given
            advance(ANSWERS, len(part) * samples)
        return answers

    def complete(
        self, images: Sequence[Image], prompts: Sequence[str], draws: Tensor, *, temperature: float
    ) -> list[tuple[tuple[str, bool], ...]]:
        """As `TrainedDefender.complete`, in one batch."""
        encoded = self.encoder.encode_texts(images, [self.encoder.chat(prompt) for prompt in prompts])
        done = self.sample(encoded.to(self.device), draws.to(self.device), temperature=temperature)
        cut = done.truncated.tolist()
        return [tuple(zip(self.texts(done, row), cut[row], strict=True)) for row in range(len(prompts))]

    def _batches(self, questions: Sequence[Question]) -> Iterator[list[int]]:
        """Indices of each batch: prompts of about one length together, so that little is padded."""
        length = [self.prompt_length(question) for question in questions]
        order = sorted(range(len(questions)), key=length.__getitem__)
        for start in range(0, len(order), self.batch):
            yield order[start : start + self.batch]

    def read(self, completions: SampledCompletions, row: int, question: Question) -> tuple[Answer, ...]:
        """The k parsed answers of one prompt."""
        return tuple(
            parsed(text, question.options, truncated=truncated)
            for text, truncated in zip(
                self.texts(completions, row), completions.truncated[row].tolist(), strict=True
            )
        )

    def texts(self, completions: SampledCompletions, row: int) -> list[str]:
        """The k texts of one prompt, without special tokens."""
        texts = []
        for ids, length in zip(
            completions.ids[row].tolist(), completions.mask[row].sum(-1).tolist(), strict=True
        ):
            key = tuple(ids[:length])
            if key not in self._texts:
                if len(self._texts) >= 65536:
                    self._texts.clear()
                self._texts[key] = self.tokenizer.decode(key, skip_special_tokens=True)
            texts.append(self._texts[key])
        return texts

    @torch.no_grad()
    def sample(self, prompts: PromptBatch, draws: Tensor, *, temperature: float) -> SampledCompletions:
        """Completions of at most T tokens.

        draws: `float [B, k, T]` uniform in [0, 1): answer j of prompt i picks its token t by inverting the
        cumulative distribution at `draws[i, j, t]`. Unused at temperature 0.
        """
        batch, k, limit = draws.shape
        embed, device = self.model.model.language_model.embed_tokens, draws.device
        eos = self.eos_ids.to(device)
        padded = not bool(prompts.attention_mask.all())
        cache = DynamicCache(config=self.model.config.text_config)
        hidden = text_states(
            self.model,
            embed_prompts(self.model, prompts),
            prompts.position_ids,
            packed_mask(prompts.attention_mask, 0, 1) if padded else None,
            first=prompts.input_ids.shape[1] - 1,
            cache=cache,
        )
        token = self._pick(hidden.expand(-1, k, -1), draws[:, :, 0], temperature)
        ids, open_ = [token], ~torch.isin(token, eos)
        real = [torch.ones_like(open_)]
        allowed = prompts.attention_mask[:, None].expand(-1, k, -1)
        own = torch.eye(k, dtype=torch.bool, device=device).expand(batch, k, k)
        for step in range(1, limit):
            if not bool(open_.any()):
                break
            allowed = torch.cat([allowed, own], dim=-1)
            hidden = text_states(
                self.model,
                embed(token),
                (prompts.next_position + step - 1).view(1, -1, 1).expand(3, -1, k),
                allowed if padded or k > 1 else None,
                cache=cache,
            )
            token = self._pick(hidden, draws[:, :, step], temperature)
            ids.append(token)
            real.append(open_)
            open_ = open_ & ~torch.isin(token, eos)
        mask = torch.stack(real, dim=-1)
        padding = torch.full((), self.tokenizer.pad_token_id, device=device)
        return SampledCompletions(torch.where(mask, torch.stack(ids, dim=-1), padding), mask, open_)

    def _pick(self, hidden: Tensor, draws: Tensor, temperature: float) -> Tensor:
        """Next tokens `[B, k]` from states `[B, k, hidden]`."""
        logits = self.model.lm_head(hidden).float()
        logits[..., self.suppressed_ids] = -torch.inf
        if temperature == 0:
            return logits.argmax(-1)
        cumulative = (logits / temperature).softmax(-1).cumsum(-1)
        wanted = draws[..., None] * cumulative[..., -1:]
        return torch.searchsorted(cumulative, wanted, right=True)[..., 0].clamp(max=logits.shape[-1] - 1)

    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, npt.NDArray[np.float64]]]:
        """Per pair the greedy answer and `option_logprobs`. Greedy decoding mostly says an option's canonical answer,
        which is seen while these are scored; only where it does not, it is run."""
        weighed: dict[int, tuple[Answer, npt.NDArray[np.float64]]] = {}

        def scored(part: list[int]) -> list[tuple[Tensor, int]]:
            asked = [questions[i] for i in part]
            scores, said = self.option_scores(self.encode([images[i] for i in part], asked), asked)
            return list(zip(scores.double().log_softmax(-1).cpu(), said.tolist(), strict=True))

        for part in self._batches(questions):
            found = self.split_on_oom(part, scored)
            for (row, choice), i in zip(found, part, strict=True):
                text = gold_answer(questions[i], choice) if choice >= 0 else ""
                answer = parsed(text, questions[i].options, truncated=False)
                weighed[i] = answer, row[: len(questions[i].options)].numpy()
            open_ = [i for i, (_, choice) in zip(part, found, strict=True) if choice < 0]
            given = self.answer([images[i] for i in open_], [questions[i] for i in open_])
            advance(ANSWERS, len(part) - len(open_))
            weighed |= {i: (answers[0], weighed[i][1]) for i, answers in zip(open_, given, strict=True)}
        return [weighed[i] for i in range(len(images))]

    @torch.no_grad()
    def option_scores(self, prompts: PromptBatch, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        """`float [B, most options]`: unnormalised log-probability of each option's answer, -inf where none is; and
        `int64 [B]`: the option whose answer greedy decoding says to the letter, -1 where it says something else."""
        return self.score_options(prompts, self.option_tokens(questions))

    def option_tokens(self, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        """`pad_answers` of every option's canonical answer, on the model's device."""
        texts = [[gold_answer(q, choice) for choice in range(len(q.options))] for q in questions]
        ids, mask = self.pad_answers(texts)
        return ids.to(self.device), mask.to(self.device)

    def score_options(self, prompts: PromptBatch, options: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """As `option_scores`, of options' tokens and mask, the scores with gradients."""
        ids, mask = options
        logits = self.model.lm_head(packed_hidden(self.model, prompts, ids)[mask]).float()
        tokens = ids[mask]
        logprobs = logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
        scores = torch.zeros(ids.shape, device=self.device).masked_scatter(mask, logprobs).sum(-1)
        logits = logits.detach()
        logits[..., self.suppressed_ids] = -torch.inf
        said = (~mask).masked_scatter(mask, logits.argmax(-1) == tokens).all(-1)
        said &= mask.any(-1) & (mask.sum(-1) <= self.max_new_tokens)
        choice = torch.where(said.any(-1), said.int().argmax(-1), -1)
        return scores.masked_fill(~mask.any(-1), -torch.inf), choice

    def pad_answers(self, texts: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Token ids and mask `[B, n, T]` of several completions a prompt, each closed by end-of-turn."""
        rows = [[[*self.encoder.tokens(text), int(self.eos_ids[0])] for text in row] for row in texts]
        n, length = max(map(len, rows)), max(len(ids) for row in rows for ids in row)
        ids = torch.full((len(rows), n, length), self.tokenizer.pad_token_id)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for i, row in enumerate(rows):
            for j, tokens in enumerate(row):
                ids[i, j, : len(tokens)] = torch.tensor(tokens)
                mask[i, j, : len(tokens)] = True
        return ids, mask

    def answer_losses(
        self, images: Sequence[Image], questions: Sequence[Question], answers: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `TrainedDefender.answer_losses`."""
        prompts = self.encode(images, questions)
        texts = [gold_answer(q) for q in questions] if answers is None else answers
        ids, mask = (x.to(self.device) for x in self.pad_answers([[text] for text in texts]))
        logprobs, _ = completion_logprobs(self.model, prompts, ids, mask)
        return -logprobs.sum((1, 2)), mask.sum((1, 2))

    def prompt_length(self, question: Question) -> int:
        return self.encoder.length(question)

    def answer_tokens(self, question: Question, answer: str | None = None) -> int:
        return len(self.encoder.tokens(gold_answer(question) if answer is None else answer)) + 1
