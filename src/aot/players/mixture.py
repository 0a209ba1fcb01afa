"""A mixed strategy over several players, as one player: the opponent of a training against a pool."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aot.players.base import Attacker, Defender
from aot.prompts import gold_answer
from aot.types import Answer, Attack, EditKind, Image, Question, Scene

Floats = npt.NDArray[np.float64]


class DefenderMixture:
    """Every answer is given by one of the `members`, drawn by its weight. So the probability of an option is the
    weighted mean of theirs, and the greedy answer is the option with the highest mean."""

    def __init__(self, members: Sequence[Defender], weights: Sequence[float], name: str = "mixture"):
        assert len(members) == len(weights) and sum(weights) > 0, "a weight for each member, not all of them 0"
        self.members, self.name = list(members), name
        self.weights = np.asarray(weights, np.float64) / np.sum(weights)

    def option_logprobs(self, images: Sequence[Image], questions: Sequence[Question]) -> list[Floats]:
        """As `Defender.option_logprobs`."""
        theirs = [member.option_logprobs(images, questions) for member in self.members]
        return [
            np.log(sum(w * np.exp(logs) for w, logs in zip(self.weights, each, strict=True)))
            for each in zip(*theirs, strict=True)
        ]

    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, Floats]]:
        """As `Defender.answer_with_logprobs`."""
        return [
            (Answer(gold_answer(question, choice := int(logs.argmax())), choice), logs)
            for question, logs in zip(questions, self.option_logprobs(images, questions), strict=True)
        ]

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
        if temperature == 0:
            return [(answer,) * k for answer, _ in self.answer_with_logprobs(images, questions)]
        how = {"k": k, "temperature": temperature, "seed": seed, "streams": streams}
        theirs = [member.answer(images, questions, **how) for member in self.members]  # type: ignore[arg-type]
        given = []
        for i, stream in enumerate(streams if streams is not None else range(len(images))):
            drawn = np.random.default_rng([seed, stream, 0x313]).choice(len(self.members), size=k, p=self.weights)
            given.append(tuple(theirs[member][i][j] for j, member in enumerate(drawn)))
        return given


class AttackerMixture:
    """Every scene meets one of the `members`, drawn by its weight. Which one depends on the seed and the scene only
    (and on how often the scene is in the call), not on what else is in it."""

    def __init__(self, members: Sequence[Attacker], weights: Sequence[float] | None = None, name: str = "mixture"):
        shares = np.ones(len(members)) if weights is None else np.asarray(weights, np.float64)
        assert len(shares) == len(members) and shares.sum() > 0, "a weight for each member, not all of them 0"
        self.members, self.name, self.weights = list(members), name, shares / shares.sum()

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        """As `Attacker.attack`; each attack is named by the member that made it."""
        chosen = self.choose(scenes, seed)
        attacks: dict[int, Attack] = {}
        for number, player in enumerate(self.members):
            own = np.flatnonzero(chosen == number).tolist()
            if own:
                attacks |= zip(own, player.attack([scenes[i] for i in own], seed=seed, kind=kind), strict=True)
        return [attacks[i] for i in range(len(scenes))]

    def choose(self, scenes: Sequence[Scene], seed: int) -> npt.NDArray[np.int64]:
        """Which member each scene meets, `int64 [scenes]`."""
        times: Counter[str] = Counter()
        points = []
        for scene in scenes:
            key = [seed, zlib.crc32(scene.id.encode()), times[scene.id], 0xFA]
            points.append(np.random.default_rng(key).random())
            times[scene.id] += 1
        return np.searchsorted(np.cumsum(self.weights), points, side="right").clip(max=len(self.members) - 1)
