"""Any vision-language model of transformers as a defender, by its stock processor, `generate` and forward pass.

What `AutoModelForImageTextToText` opens plays; none of the savings of `qwen.py` are used. *Ours* is only how
sampled tokens are drawn: each answer has its own random numbers, so that a result does not depend on how a call is cut
into batches (but for rounding), and of a folder's `generation_config.json` only the end-of-turn tokens count, no
repetition penalty or temperature.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import LogitsProcessorList

from aot.errors import AotError
from aot.players.defender.token_sampling import InverseTransformSampling
from aot.players.defender.trained import Made, TrainedDefender, parsed
from aot.prompts import gold_answer
from aot.runs.progress import ANSWERS, advance
from aot.types import Answer, Image, Question

Row = tuple[Image, str]
"""An image and the prompt about it."""


@dataclass(frozen=True)
class TeacherForcedBatch:
    """Prompts followed by given completions (teacher forcing): the model's inputs, the prompts' lengths in tokens, and
    the tokens of each completion."""

    inputs: dict[str, Tensor]
    lengths: list[int]
    ends: list[list[int]]


class StockDefender(TrainedDefender):
    """A `Defender` around any model and processor."""

    def __init__(self, model: Any, processor: Any, **others: Any):
        super().__init__(model, processor, **others)
        self.image_token = getattr(processor, "image_token", None)

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
        """As `Defender.answer`."""
        samples = 1 if temperature == 0 else k
        draws = self.draws(len(images), samples, seed, streams)
        said = self.complete(images, [self.prompt(q) for q in questions], draws, temperature=temperature)
        return [
            tuple(parsed(text, question.options, truncated=cut) for text, cut in row) * (k // samples)
            for row, question in zip(said, questions, strict=True)
        ]

    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, npt.NDArray[np.float64]]]:
        """As `Defender.answer_with_logprobs`: greedy answers, and each option's canonical answer by a forward pass."""
        rows = [(image, self.prompt(q)) for image, q in zip(images, questions, strict=True)]
        asked = [(i, choice) for i, q in enumerate(questions) for choice in range(len(q.options))]
        ends = [gold_answer(questions[i], choice) for i, choice in asked]
        scores: list[list[float]] = [[] for _ in questions]

        def scored(part: list[int]) -> list[float]:
            with torch.no_grad():
                sums, _ = self.completion_logprobs([rows[asked[j][0]] for j in part], [ends[j] for j in part])
            found: list[float] = sums.double().tolist()
            return found

        for (i, _), score in zip(asked, self._in_batches([rows[i] for i, _ in asked], scored), strict=True):
            scores[i].append(score)
        greedy = self.answer(images, questions)
        logprobs = [torch.tensor(each, dtype=torch.float64).log_softmax(-1).numpy() for each in scores]
        return [(answers[0], each) for answers, each in zip(greedy, logprobs, strict=True)]

    def complete(
        self, images: Sequence[Image], prompts: Sequence[str], draws: Tensor, *, temperature: float
    ) -> list[tuple[tuple[str, bool], ...]]:
        """As `TrainedDefender.complete`; the k answers are rows of a batch like any other."""
        k = draws.shape[1]
        rows = [(images[i], prompts[i]) for i in range(len(prompts)) for _ in range(k)]
        numbers = draws.flatten(0, 1)

        def said(part: list[int]) -> list[tuple[str, bool]]:
            made = self._generate([rows[j] for j in part], numbers[part].to(self.device), temperature)
            advance(ANSWERS, len(made))
            return made

        texts = self._in_batches(rows, said)
        return [tuple(texts[i * k : (i + 1) * k]) for i in range(len(prompts))]

    def answer_losses(
        self, images: Sequence[Image], questions: Sequence[Question], answers: Sequence[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `TrainedDefender.answer_losses`."""
        rows = [(image, self.prompt(q)) for image, q in zip(images, questions, strict=True)]
        texts = [gold_answer(question) for question in questions] if answers is None else answers
        sums, tokens = self.completion_logprobs(rows, texts)
        return -sums, tokens

    def answer_tokens(self, question: Question, answer: str | None = None) -> int:
        return len(self._end(gold_answer(question) if answer is None else answer))

    def completion_logprobs(self, rows: Sequence[Row], completions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Log-probability in nats of each completion behind its prompt, closed by end-of-turn, summed over its tokens,
        with gradients; and the number of these. Both `[B]`. One stock forward pass."""
        return self.logprobs_of(self.asked(rows, completions))

    def asked(self, rows: Sequence[Row], completions: Sequence[str]) -> TeacherForcedBatch:
        """Prompts with these completions behind them, each closed by end-of-turn, ready for a forward pass."""
        ends = [self._end(text) for text in completions]
        return TeacherForcedBatch(*self.followed(self.inputs(rows), ends), ends)

    def logprobs_of(self, asked: TeacherForcedBatch, pixel_values: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `completion_logprobs`. `pixel_values`: in the place of the processor's."""
        inputs, lengths, ends = asked.inputs, asked.lengths, asked.ends
        if pixel_values is not None:
            inputs = inputs | {"pixel_values": pixel_values.to(self.model.dtype)}
        total, first = inputs["input_ids"].shape[1], min(lengths)
        kept = {}
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:  # else gigabytes of unread logits
            kept["logits_to_keep"] = total - first + 1
        self.forget_positions()
        logits = self.model(**inputs, **kept, use_cache=False).logits
        before = total - logits.shape[1]  # positions without logits
        row = torch.tensor([i for i, end in enumerate(ends) for _ in end], device=self.device)
        place = torch.tensor(
            [length + t for length, end in zip(lengths, ends, strict=True) for t in range(len(end))],
            device=self.device,
        )
        chosen = inputs["input_ids"][row, place]
        logprobs = logits[row, place - 1 - before].float().log_softmax(-1).gather(-1, chosen[:, None])[:, 0]
        sums = torch.zeros(len(ends), device=self.device).index_add(0, row, logprobs)
        return sums, torch.tensor([len(end) for end in ends], device=self.device)

    def _end(self, text: str) -> list[int]:
        """Tokens of a completion, closed by end-of-turn."""
        return [*self.tokenizer(text, add_special_tokens=False).input_ids, int(self.eos_ids[0])]

    def _in_batches(self, rows: Sequence[Row], work: Callable[[list[int]], list[Made]]) -> list[Made]:
        """`work` on the indices of each batch, prompts of about one size together; its results in the rows' order."""
        made: dict[int, Made] = {}
        for part in self._parts(rows):
            made |= zip(part, self.split_on_oom(part, work), strict=True)
        return [made[i] for i in range(len(rows))]

    def _parts(self, rows: Sequence[Row]) -> Iterator[list[int]]:
        order = sorted(range(len(rows)), key=lambda i: (rows[i][0].size, len(rows[i][1]), i))
        while order:
            yield order[: self.batch]
            del order[: self.batch]

    def inputs(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The processor's tensors of prompts on the model's device, left-padded."""
        on_device = {key: value.to(self.device) for key, value in self.processed(rows).items()}
        return {k: v.to(self.model.dtype) if v.is_floating_point() else v for k, v in on_device.items()}

    def processed(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The processor's tensors as it makes them."""
        texts = [self._chat(prompt) for _, prompt in rows]
        first = self.tokenizer.bos_token
        made: dict[str, Tensor] = self.processor(
            text=texts,
            images=[[self.picture(image)] for image, _ in rows],
            padding=True,
            # Some templates write the sequence's first token, some leave it to the tokenizer.
            add_special_tokens=not (first and texts[0].startswith(first)),
            return_tensors="pt",
        )
        return made

    def _chat(self, prompt: str) -> str:
        """A user's turn with one image, as the model's own template has it."""
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
        text: str = self.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
        if self.image_token and text.count(self.image_token) != 1:
            hint = f"remove {self.image_token} from the question's text"
            raise AotError("a prompt must hold exactly one image placeholder", where=prompt[:80], hint=hint)
        return text

    def followed(self, inputs: dict[str, Tensor], ends: Sequence[list[int]]) -> tuple[dict[str, Tensor], list[int]]:
        """The prompts with tokens behind them, padded on the right: each token has the position that it would have
        alone, in models that count positions through padding, too. And the prompts' lengths."""
        real = inputs["attention_mask"].bool()
        lengths: list[int] = real.sum(-1).tolist()
        total = max(length + len(end) for length, end in zip(lengths, ends, strict=True))
        behind = {"input_ids": ends, "attention_mask": [[1] * len(end) for end in ends]}
        moved = {}
        for key, value in inputs.items():
            if value.shape[:2] != real.shape:
                moved[key] = value
                continue
            padding = self.tokenizer.pad_token_id if key == "input_ids" else 0
            moved[key] = value.new_full((len(value), total, *value.shape[2:]), padding)
            for i, length in enumerate(lengths):
                moved[key][i, :length] = value[i][real[i]]
                if key in behind:  # of any other kind of token there is one number for text: 0
                    moved[key][i, length : length + len(ends[i])] = value.new_tensor(behind[key][i])
                elif value.dim() > 2:  # what a token sees of the images: as the prompt's last one does
                    moved[key][i, length : length + len(ends[i])] = value[i][real[i]][-1]
        return moved, lengths

    def forget_positions(self) -> None:
        """Clears the position offsets that Qwen's models keep from the previous prompts."""
        if hasattr(getattr(self.model, "model", None), "rope_deltas"):
            self.model.model.rope_deltas = None

    @torch.no_grad()
    def _generate(self, rows: Sequence[Row], draws: Tensor, temperature: float) -> list[tuple[str, bool]]:
        inputs = self.inputs(rows)
        before, limit = inputs["input_ids"].shape[1], draws.shape[1]
        self.forget_positions()
        sampler = InverseTransformSampling(temperature, 1.0, draws, before, self.suppressed_ids)
        ids = self.model.generate(
            **inputs,
            do_sample=False,  # `sampler` leaves one token to choose from where a sample is wanted
            max_new_tokens=limit,
            logits_processor=LogitsProcessorList([sampler]),
        )[:, before:].tolist()
        ends = set(self.eos_ids.tolist())
        said = []
        for row in ids:
            end = next((i for i, token in enumerate(row) if token in ends), None)
            said.append((self.tokenizer.decode(row[:end], skip_special_tokens=True), end is None))
        return said
