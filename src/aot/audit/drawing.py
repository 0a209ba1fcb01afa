"""Attacks of an audit, drawn and refereed many in one go: the same images, to the bit, and the same word of the referee
as one after the other.

Only attacks by gradients may differ in the last bits of what they climb, which depend on how many images are attacked
at once; so their parts depend on the plan alone (`aot.audit.white_box`). *Ours.*
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from aot.attacks.base.family import Family, Rule, draws
from aot.audit.plan import Turn
from aot.audit.subjects import Subjects
from aot.game.referee import Referee
from aot.types import Attack, Scene, Verdict

MOST_TURNS, MOST_BYTES = 512, 2**26
"""Turns at once, and of the clean images of all of them."""
Attempt = tuple[Attack, Verdict] | str
"""An attack with the referee's word, or why there is none."""


@dataclass(frozen=True)
class Drawn:
    """A turn of the plan. `made`: "" for the clean image."""

    number: int
    scene: Scene
    attack: Family | None
    nth: int
    made: Attempt


@dataclass(frozen=True)
class Drawing:
    """What an attack is drawn from."""

    subjects: Subjects
    referees: Mapping[Rule, Referee]
    seed: int

    def attempts(self, attack: Family, wanted: Sequence[tuple[Scene, int]]) -> list[Attempt]:
        """Draws of the attack, each of a scene and a number."""
        made = draws(attack, wanted, self.seed)
        able = [(scene, each) for (scene, _), each in zip(wanted, made, strict=True) if not isinstance(each, str)]
        verdicts = iter(self.referees[attack.rule].judge([s for s, _ in able], [each for _, each in able]))
        return [each if isinstance(each, str) else (each, next(verdicts)) for each in made]

    def block(self, turns: Iterator[Turn], most: int | None) -> list[Drawn]:
        """The next turns, `most` at most, in order; as many as are drawn together."""
        scenes, taken, size = dict[int, Scene](), list[Turn](), 0
        for turn in islice(turns, MOST_TURNS if most is None else min(MOST_TURNS, most)):
            scene = scenes.setdefault(turn[0], self.subjects[turn[0]])
            taken.append(turn)
            if (size := size + scene.image.nbytes) >= MOST_BYTES:
                break
        by_attack: dict[str, list[int]] = defaultdict(list)
        found = [Drawn(number, scenes[number], attack, nth, "") for number, attack, nth in taken]
        for i, (_, attack, _) in enumerate(taken):
            if attack is not None:
                by_attack[attack.name].append(i)
        for places in by_attack.values():
            attack = taken[places[0]][1]
            assert attack is not None
            made = self.attempts(attack, [(found[i].scene, found[i].nth) for i in places])
            for i, attempt in zip(places, made, strict=True):
                found[i] = Drawn(found[i].number, found[i].scene, attack, found[i].nth, attempt)
        return found
