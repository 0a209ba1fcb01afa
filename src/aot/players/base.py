"""The interfaces of an attacker and a defender. Any object with these methods can play; nothing is registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from aot.types import Answer, Attack, EditKind, Image, Question, Scene


@runtime_checkable
class Attacker(Protocol):
    """Edits images so that a question about them is answered wrongly."""

    name: str

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        """One attack a scene, in order, each of the scene's own image size.

        Same scenes, seed and kind: same attacks. `kind` restricts the edit; "any" leaves the choice.
        """
        ...


@runtime_checkable
class Defender(Protocol):
    """Answers multiple-choice questions about images."""

    name: str

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
        """`k` answers to each of the B (image, question) pairs: B tuples of length k.

        Temperature 0 is greedy (all k answers equal); above it they are sampled with `seed`. `streams`: for each
        pair the number of its random stream, so that its samples do not depend on the rest of the call; without it, the
        position in the call is used.
        """
        ...

    def option_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[npt.NDArray[np.float64]]:
        """Per pair: `float64 [options]`, log-probabilities (nats) normalised over the options."""
        ...

    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, npt.NDArray[np.float64]]]:
        """Per pair the greedy answer and `option_logprobs`, which together may cost less than two calls."""
        ...
