"""Any backend as a `Defender`: a model behind a URL can play, judge, filter and be audited like one in this process.

    BackendDefender(backend, sampling=Sampling(), *, completions=letters, store=None, name=None)
        .answer(images, questions, *, k, temperature, seed)   .counts: AskedCounts
        .option_logprobs(...)   .answer_with_logprobs(...)
    letters(question), gold_answers(question): the completions whose probabilities are asked for
    read_reply(reply, options) -> Answer
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from aot.answers import parse_answer
from aot.backends.asking.ask_all import ask_all
from aot.backends.asking.counts import AskedCounts
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Backend, Reply, Sampling
from aot.backends.base.pictures import png
from aot.prompts import gold_answer, question_prompt
from aot.runs.progress import ANSWERS, advance
from aot.types import LETTERS, Answer, Image, Question

LEAST = 1e-9
"""Probability of an option that a server does not list among the likeliest tokens: small, but no minus infinity."""


def letters(question: Question) -> tuple[str, ...]:
    """The options' letters: what servers can give probabilities of."""
    return tuple(LETTERS[: len(question.options)])


def gold_answers(question: Question) -> tuple[str, ...]:
    """The options' canonical answers: what a model in this process is scored by."""
    return tuple(gold_answer(question, choice) for choice in range(len(question.options)))


def read_reply(reply: Reply, options: Sequence[str]) -> Answer:
    """The answer in a reply. What is not "answered" keeps its status; its text is then the reason, if there is one."""
    if reply.status == "answered":
        return parse_answer(reply.text, options)
    return Answer(reply.text or reply.error, None, reply.status)


class BackendDefender:
    """Asks `backend` with `sampling`, in which every call puts its own temperature and seed. `abstain`: its prompts
    offer not to answer."""

    def __init__(
        self,
        backend: Backend,
        sampling: Sampling | None = None,
        *,
        completions: Callable[[Question], tuple[str, ...]] = letters,
        store: AnswerStore | None = None,
        name: str | None = None,
        abstain: bool = False,
    ):
        self.backend, self.sampling, self.store = backend, sampling or Sampling(), store
        self.completions, self.name = completions, name or backend.name
        self.counts, self.abstain = AskedCounts(), abstain

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
        """As `Defender.answer`. Greedy, one question is asked however large k is. A server draws by the question alone,
        so that `streams` change nothing."""
        trials = 1 if temperature == 0 else k
        sampling = dataclasses.replace(self.sampling, temperature=temperature, seed=seed)
        replies = self._ask(images, questions, sampling, trials, scored=False)
        return [
            tuple(read_reply(reply, question.options) for reply in row) * (k // trials)
            for row, question in zip(replies, questions, strict=True)
        ]

    def option_logprobs(self, images: Sequence[Image], questions: Sequence[Question]) -> list[npt.NDArray[np.float64]]:
        """As `Defender.option_logprobs`; nan where the backend gives no probabilities."""
        return [logprobs for _, logprobs in self.answer_with_logprobs(images, questions)]

    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, npt.NDArray[np.float64]]]:
        """As `Defender.answer_with_logprobs`, by one question each."""
        sampling = dataclasses.replace(self.sampling, temperature=0.0)
        replies = self._ask(images, questions, sampling, 1, scored=True)
        return [
            (read_reply(reply, question.options), _logprobs(reply, len(question.options)))
            for (reply,), question in zip(replies, questions, strict=True)
        ]

    def _ask(
        self, images: Sequence[Image], questions: Sequence[Question], sampling: Sampling, trials: int, *, scored: bool
    ) -> list[list[Reply]]:
        """[B][trials] replies."""
        asks = (
            Ask(
                f"{i}.{trial}",
                (png(image), question_prompt(question, abstain=self.abstain)),
                self.completions(question) if scored else (),
                trial,
            )
            for i, (image, question) in enumerate(zip(images, questions, strict=True))
            for trial in range(trials)
        )
        asked = ask_all(self.backend, asks, sampling, self.store, counts=self.counts)
        replies: dict[str, Reply] = {}
        for ask, reply in asked:
            replies[ask.id] = reply
            advance(ANSWERS)
        return [[replies[f"{i}.{trial}"] for trial in range(trials)] for i in range(len(images))]


def _logprobs(reply: Reply, n: int) -> npt.NDArray[np.float64]:
    if reply.probabilities is None:
        return np.full(n, np.nan)
    floored = np.maximum(np.array(reply.probabilities, np.float64), LEAST)
    return np.log(floored / floored.sum())
