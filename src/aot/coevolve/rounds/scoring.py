"""Attacks on scenes judged by the referee, and a defender's scored answers to clean and to attacked images.

Scores are `int8 [n]` arrays, one number an example: 1 right, 0 wrong, -1 not scored (an unparsed, truncated or failed
answer is never a wrong one). An attack that the referee refused is not shown to the defender: it counts for neither
player.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aot.game.referee import Referee
from aot.players.base import Attacker, Defender
from aot.runs.progress import ANSWERS, part
from aot.types import Answer, Attack, Image, Question, Scene, Verdict

Scores = npt.NDArray[np.int8]
"""1 right, 0 wrong, -1 not scored; `[n]`."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AttackSet:
    """One attacker's attacks on all held-out scenes, with the referee's verdicts; same order as the scenes."""

    attacks: Sequence[Attack]
    verdicts: Sequence[Verdict]

    def part(self, start: int, stop: int) -> AttackSet:
        """Those on some of the scenes."""
        return AttackSet(self.attacks[start:stop], self.verdicts[start:stop])

    @property
    def valid(self) -> Mask:
        return np.array([v.valid for v in self.verdicts], dtype=bool)

    @property
    def integrity(self) -> float:
        """Share of attacks that leave what the question is about as it was (local and global SSIM checks)."""
        intact = [all(f.passed for f in v.findings if f.check.endswith("ssim")) for v in self.verdicts]
        return float(np.mean(intact)) if intact else float("nan")

    @property
    def refusals(self) -> dict[str, int]:
        """How often each reason refused an attack (an attack may have several), most frequent first."""
        counts: dict[str, int] = {}
        for verdict in self.verdicts:
            for reason in verdict.refused_by:
                counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def attack_all(scenes: Sequence[Scene], attacker: Attacker, referee: Referee, *, seed: int) -> AttackSet:
    attacks = attacker.attack(scenes, seed=seed)
    return AttackSet(attacks, referee.judge(scenes, attacks))


def score(answer: Answer, question: Question) -> int:
    return -1 if answer.status != "answered" else int(answer.choice == question.answer)


def evaluate(defender: Defender, scenes: Sequence[Scene]) -> tuple[Scores, list[str]]:
    """Scores of greedy answers to the clean images, and what was said."""
    return _ask(defender, [s.image for s in scenes], [s.question for s in scenes])


def evaluate_attacked(
    defender: Defender, scenes: Sequence[Scene], attacked: AttackSet
) -> tuple[Scores, list[str]]:
    """The same under attack; refused attacks are not asked: -1 and ""."""
    chosen = np.flatnonzero(attacked.valid).tolist()
    scores = np.full(len(scenes), -1, dtype=np.int8)
    texts = [""] * len(scenes)
    images = [attacked.attacks[i].image for i in chosen]
    got, said = _ask(defender, images, [scenes[i].question for i in chosen])
    scores[chosen] = got
    for i, text in zip(chosen, said, strict=True):
        texts[i] = text
    return scores, texts


def _ask(
    defender: Defender, images: Sequence[Image], questions: Sequence[Question]
) -> tuple[Scores, list[str]]:
    answers = []
    if images:
        with part(ANSWERS, len(images)):
            answers = [given[0] for given in defender.answer(images, questions, k=1, temperature=0.0)]
    scores = [score(a, q) for a, q in zip(answers, questions, strict=True)]
    return np.array(scores, dtype=np.int8), [a.text for a in answers]
