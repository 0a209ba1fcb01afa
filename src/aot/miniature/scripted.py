"""Players without a model: exact, instant, for tests and for learning the game (*ours*)."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from aot.errors import AotError
from aot.players.base import Attacker, Defender
from aot.prompts import gold_answer, with_article
from aot.types import LETTERS, Answer, Attack, Box, EditKind, Image, Question, Scene, Verdict
from aot.world.edits import distractor_candidates
from aot.world.questions import Name, Query, answer_from, parse_question
from aot.world.recognise import recognise
from aot.world.scenes import WorldScene, render
from aot.world.sprites import COLOURS, KINDS, SIDE_PX, TILE_PX, look_alike, sprite

Floats = npt.NDArray[np.float64]
_LEAST = 1e-9
"""Probability of what a scripted defender never says: keeps its log-probabilities finite."""


class ScriptedDefender(ABC):
    """A defender that knows its own probabilities; answering and sampling follow from them."""

    name: str

    @abstractmethod
    def probabilities(self, images: Sequence[Image], questions: Sequence[Question]) -> list[Floats]:
        """Per pair `float64 [options]`, not negative, not all zero."""

    def option_logprobs(self, images: Sequence[Image], questions: Sequence[Question]) -> list[Floats]:
        shares = (np.maximum(p, _LEAST) for p in self.probabilities(images, questions))
        return [np.log(p / p.sum()) for p in shares]

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
        rng = np.random.default_rng(seed)
        answers = []
        for i, (question, logs) in enumerate(zip(questions, self.option_logprobs(images, questions), strict=True)):
            if streams is not None:
                rng = np.random.default_rng([seed, streams[i]])
            if temperature > 0:
                heat = np.exp((logs - logs.max()) / temperature)
                choices = rng.choice(len(logs), size=k, p=heat / heat.sum()).tolist()
            else:
                choices = [int(logs.argmax())] * k
            answers.append(tuple(Answer(gold_answer(question, choice), choice) for choice in choices))
        return answers

    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, Floats]]:
        logprobs = self.option_logprobs(images, questions)
        return [(given[0], logs) for given, logs in zip(self.answer(images, questions), logprobs, strict=True)]


class AlwaysLetter(ScriptedDefender):
    """Gives the same letter to every question; unparsed where there is no such option."""

    def __init__(self, letter: str = "A"):
        if len(letter) != 1 or letter not in LETTERS:
            raise AotError(f"{letter!r} is no option letter", where="AlwaysLetter", hint=f"one of {LETTERS}")
        self.letter, self.name = letter, f"always_{letter.lower()}"

    def probabilities(self, images: Sequence[Image], questions: Sequence[Question]) -> list[Floats]:
        index = LETTERS.index(self.letter)
        return [np.eye(len(q.options))[index] if index < len(q.options) else _uniform(q) for q in questions]

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
        index, text = LETTERS.index(self.letter), f"\\boxed{{{self.letter}}}"
        given, none = Answer(text, index), Answer(text, None, "unparsed")
        return [(given if index < len(q.options) else none,) * k for q in questions]


class Oracle(ScriptedDefender):
    """Always right: gives the known answer without looking."""

    name = "oracle"

    def probabilities(self, images: Sequence[Image], questions: Sequence[Question]) -> list[Floats]:
        return [np.eye(len(q.options))[q.answer] for q in questions]


class WorldReader(ScriptedDefender):
    """Looks: reads the objects of a world image by template matching and answers the words of the
    question from them. Right unless an edit made the answer wrong or ambiguous: then it guesses.

    `shortsighted`: cannot tell the two kinds of a look-alike pair apart, so that a question about a
    cup is answered about a cup *or* bucket, each as probable. The weakness of the base players, exact.
    """

    def __init__(self, *, shortsighted: bool = False):
        self.shortsighted = shortsighted
        self.name = "shortsighted_reader" if shortsighted else "world_reader"

    def probabilities(self, images: Sequence[Image], questions: Sequence[Question]) -> list[Floats]:
        seen = recognise(np.stack(images)) if len(images) else []
        return [self._shares(boxes, question) for boxes, question in zip(seen, questions, strict=True)]

    def _shares(self, boxes: list[Box], question: Question) -> Floats:
        query = parse_question(question.text)
        if query is None:
            return _uniform(question)
        shares = np.zeros(len(question.options))
        for view in _views(query, boxes) if self.shortsighted else [boxes]:
            answer = answer_from(query, view)
            value = query.values[answer] if answer is not None else None
            if value in question.options:
                shares[question.options.index(value)] += 1
        return shares if shares.any() else _uniform(question)


def _views(query: Query, boxes: list[Box]) -> Iterator[list[Box]]:
    """Ways to see the boxes when each name stands for any one member of its kind's pair."""
    pairs = [{name.kind, look_alike(name.kind)} for name in query.names]
    others = [b for b in boxes if not any(b.label in pair for pair in pairs)]
    views = [others]
    for name, pair in zip(query.names, pairs, strict=True):
        fits = [b for b in boxes if b.label in pair and name.colour in (None, b.attribute)]
        views = [[*view, replace(b, label=name.kind)] for view in views for b in fits] or views
    yield from views


def _uniform(question: Question) -> Floats:
    return np.full(len(question.options), 1 / len(question.options))


def scene_generators(scenes: Sequence[Scene], seed: int) -> Iterator[np.random.Generator]:
    """One generator a scene, from the seed and its id: whatever else is in the batch, a scene meets
    the same attack. A scene that occurs again in the list gets another one."""
    times: Counter[str] = Counter()
    for scene in scenes:
        key = [seed, zlib.crc32(scene.id.encode()), times[scene.id]]
        times[scene.id] += 1
        yield np.random.default_rng(key)


class RandomDistractor:
    """One random object that leaves the answer alone. World scenes: a valid edit of the layout, a share
    `related` of the new objects resembling a queried one. Other images: a sprite pasted outside
    the protected boxes (always "add").

    Where the asked kind of edit is impossible (nothing to remove) it adds. `kinds`: of world edits, with their shares,
    see `distractor_candidates`.
    """

    def __init__(
        self,
        related: float = 0.5,
        name: str = "random_distractor",
        kinds: Mapping[EditKind, float] | None = None,
    ):
        self.related, self.name, self.kinds = related, name, kinds

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        pairs = zip(scenes, scene_generators(scenes, seed), strict=True)
        return [self._one(scene, rng, seed, kind) for scene, rng in pairs]

    def _one(self, scene: Scene, rng: np.random.Generator, seed: int, kind: EditKind) -> Attack:
        if not isinstance(scene, WorldScene):
            image, sentence = paste_sprite(scene, rng)
            return Attack(scene.id, self.name, "add", image, sentence, seed)
        edits = distractor_candidates(scene, rng, 1, self.related, kind=kind, kinds=self.kinds)
        edits = edits or distractor_candidates(scene, rng, 1, self.related, kind="add")
        if not edits:
            return Attack(scene.id, self.name, kind, scene.image, "", seed)
        done, layout, sentence = edits[0]
        return Attack(scene.id, self.name, done, render(layout), sentence, seed)


def paste_sprite(scene: Scene, rng: np.random.Generator, tries: int = 32) -> tuple[Image, str]:
    """A scaled sprite on any image, outside its protected boxes, and the sentence that asks for it.

    The image is returned unchanged where no free place was found.
    """
    kind, colour = KINDS[int(rng.integers(len(KINDS)))], COLOURS[int(rng.integers(len(COLOURS)))]
    height, width = scene.image.shape[:2]
    side = max(4, min(height, width) * TILE_PX // SIDE_PX)
    for _ in range(tries):
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        if not any(Box(x, y, x + side, y + side).overlap_px(b) for b in scene.protected):
            break
    else:
        return scene.image, ""
    tile = PilImage.fromarray(sprite(kind, colour)).resize((side, side), PilImage.Resampling.BILINEAR)
    image = PilImage.fromarray(scene.image)
    image.paste(tile, (x, y), tile)
    return np.asarray(image), f"Add {with_article(Name(kind, colour))}."


class Noise:
    """Subtle noise and minor occlusions outside the protected boxes: Gaussian noise of `std` levels
    (0..255) and `patches` flat squares of an eighth of the side."""

    def __init__(self, std: float = 6.0, patches: int = 1, name: str = "noise"):
        self.std, self.patches, self.name = std, patches, name

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        pairs = zip(scenes, scene_generators(scenes, seed), strict=True)
        return [Attack(s.id, self.name, "any", self._disturb(s, rng), "", seed) for s, rng in pairs]

    def _disturb(self, scene: Scene, rng: np.random.Generator) -> Image:
        height, width = scene.image.shape[:2]
        levels = scene.image + rng.normal(0.0, self.std, scene.image.shape)
        side = max(1, min(height, width) // 8)
        for _ in range(self.patches):
            y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
            levels[y : y + side, x : x + side] = rng.integers(0, 256, 3)
        image = np.rint(levels).clip(0, 255).astype(np.uint8)
        for b in scene.protected:
            image[b.y0 : b.y1, b.x0 : b.x1] = scene.image[b.y0 : b.y1, b.x0 : b.x1]
        return image


class Judge(Protocol):
    """What the best-of-K attacker needs of a referee."""

    def judge(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Verdict]: ...


class BestOfK:
    """Draws `k` attacks a scene and keeps the valid one after which the defender finds the right answer
    least probable; the first draw where none is valid."""

    def __init__(self, attacker: Attacker, k: int, referee: Judge, defender: Defender, name: str = ""):
        if k < 1:
            raise AotError(f"k is {k}", where="BestOfK", hint="draw at least one attack a scene")
        self.attacker, self.k, self.referee, self.defender = attacker, k, referee, defender
        self.name = name or f"best_of_{k}_{attacker.name}"

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        best: list[Attack] = []
        least = np.full(len(scenes), np.inf)
        questions = [scene.question for scene in scenes]
        for draw in range(self.k):
            one = int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])
            attacks = self.attacker.attack(scenes, seed=one, kind=kind)
            valid = [verdict.valid for verdict in self.referee.judge(scenes, attacks)]
            logs = self.defender.option_logprobs([a.image for a in attacks], questions)
            best = best or list(attacks)
            for i, (question, log) in enumerate(zip(questions, logs, strict=True)):
                if valid[i] and log[question.answer] < least[i]:
                    least[i], best[i] = log[question.answer], attacks[i]
        return [replace(attack, attacker=self.name) for attack in best]
