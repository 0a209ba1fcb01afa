"""The pairs that the page shows, drawn again and made into cards."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from aot.attacks.white_box.norms import scaled
from aot.audit.metrics import Outcome
from aot.audit.run import Audit, Key
from aot.audit.white_box import CachedPixelAttack
from aot.report.gallery import (
    DIFFERENCE_GAIN,
    LOSSLESS_PX,
    Card,
    GalleryAnswer,
    GalleryItem,
    card_of,
    gain_within,
)
from aot.types import LETTERS

UNFAIR_SHARE = 8
"""One card in this many shows an attack that the referee refused."""


def chosen(audit: Audit, limit: int) -> list[Key]:
    """Successes first, the attacks taking turns, each question once as long as there are others; then what was
    withstood; and a few that the referee refused."""
    clean = {key[0]: outcome for key, outcome in audit.outcomes.items() if not key[1]}

    def ranked(key: Key, outcome: Outcome) -> int | None:
        before = clean.get(key[0])
        if not key[1] or before is None or outcome.state == "impossible":
            return None
        if outcome.state == "unfair":
            return 2
        return 0 if outcome.wrong and before.right else 1 if outcome.right and before.right else None

    by_rank: dict[int, list[Key]] = {0: [], 1: [], 2: []}
    for key, outcome in audit.outcomes.items():
        if (rank := ranked(key, outcome)) is not None:
            by_rank[rank].append(key)
    names = [attack.name for attack in audit.panel]
    unfair = list(islice(_in_turns(by_rank[2], names), limit // UNFAIR_SHARE))
    return [*islice(chain(_in_turns(by_rank[0], names), _in_turns(by_rank[1], names)), limit - len(unfair)), *unfair]


def _in_turns(keys: list[Key], names: Sequence[str]) -> Iterator[Key]:
    """One of each attack after the other; within an attack the scenes that were not shown yet first."""
    left = {name: found for name in names if (found := [key for key in keys if key[1] == name])}
    shown: set[int] = set()
    while left:
        for name in list(left):
            key = next((k for k in left[name] if k[0] not in shown), left[name][0])
            left[name].remove(key)
            if not left[name]:
                del left[name]
            shown.add(key[0])
            yield key


def cards(audit: Audit, defender: str) -> list[Card]:
    """The cards of the chosen pairs."""
    titles = {attack.name: attack for attack in audit.panel}
    made = []
    for number, name, nth in chosen(audit, audit.settings.gallery):
        scene, attack = audit.subjects[number], titles[name]
        (drawn,) = audit.drawing.attempts(attack, [(scene, nth)])
        assert not isinstance(drawn, str), "a draw is a function of the seed"
        edit, verdict = drawn
        before, after = audit.outcomes[number, "", 0], audit.outcomes[number, name, nth]
        local, whole = verdict.measured("local_ssim"), verdict.measured("global_ssim")
        in_boxes = bool(scene.protected) and not math.isnan(local)
        measured, where = (local, "in the boxes") if in_boxes else (whole, "of the image")
        clean, boxes = scene.image, list(scene.protected)
        if isinstance(attack, CachedPixelAttack):  # it comes in the size that the model sees
            clean = attack.attacker.fitted(scene.image)
            boxes = scaled(boxes, scene.image, *clean.shape[:2])
        note = "" if math.isnan(measured) else f"SSIM {measured:.3f} {where}"
        answers = [_answer(before, defender)], [_answer(after, defender)] if after.state == "asked" else []
        item = GalleryItem.of(scene, edit, verdict, *answers, attacker=attack.name, note=note, protected=boxes)
        lossy = max(scene.image.shape[:2]) > LOSSLESS_PX
        gain = gain_within(attack.attacker.eps) if isinstance(attack, CachedPixelAttack) else DIFFERENCE_GAIN
        made.append(card_of(item, clean, edit.image, lossy=lossy, gain=gain))
    return made


def _answer(outcome: Outcome, defender: str) -> GalleryAnswer:
    choice = LETTERS.index(outcome.given) if outcome.given else None
    return GalleryAnswer(defender=defender, text=outcome.said, choice=choice, status=outcome.status or "error")
