"""The attacks that the page shows: a few of every attacker, successes first, with the answers of base and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aot.answers import parse_answer
from aot.arena.cells.play import Play
from aot.arena.players.pool import PoolAttacker, PoolDefender
from aot.arena.players.white_box import eps_of
from aot.arena.statistics.scores import ArenaScores
from aot.coevolve.rounds.scoring import AttackSet
from aot.report.gallery import (
    DIFFERENCE_GAIN,
    LOSSLESS_PX,
    Card,
    GalleryAnswer,
    GalleryItem,
    card_of,
    gain_within,
)
from aot.types import Scene


def cards(play: Play, scores: ArenaScores) -> list[tuple[str, list[Card]]]:
    """By attacker its cards: of the first run's base and last defender."""
    first = play.pool.runs[0]
    last = f"iteration_{first.recipe.iterations}"
    shown = [d for d in play.pool.defenders if (own := d.within(first)) and own.role in ("base", last)]
    found = []
    for attacker in play.pool.attackers:
        met = play.first_draw(attacker, shown[0])
        made = play.attacks(met).attacks
        asked = shown[:1] if met.against else shown  # the image was made on that defender
        said = {d: (play.answers(d, None).texts, play.answers(d, met).texts) for d in asked}
        chosen = _chosen(play, scores, attacker, shown[0].name)
        found.append((attacker.name, [_card(play.scenes[i], made, said, attacker, i) for i in chosen]))
    return found


def _chosen(play: Play, scores: ArenaScores, attacker: PoolAttacker, defender: str) -> list[int]:
    """Successes against the defender, the question types taking turns; else valid attacks, else refused ones."""
    hits = scores.evaluation.successes(defender, attacker.name)
    valid = scores.valid[defender][attacker.name]
    for mask in (hits, valid, ~valid):
        if mask.any():
            return _in_turn(np.flatnonzero(mask).tolist(), scores.question_types, play.settings.gallery)
    return []


def _in_turn(indices: Sequence[int], groups: Sequence[str], most: int) -> list[int]:
    times: dict[str, int] = {}
    order = []
    for i in indices:
        times[groups[i]] = times.get(groups[i], 0) + 1
        order.append((times[groups[i]], i))
    return [i for _, i in sorted(order)[:most]]


def _card(
    scene: Scene,
    made: AttackSet,
    said: Mapping[PoolDefender, tuple[list[str], list[str]]],
    attacker: PoolAttacker,
    i: int,
) -> Card:
    attack, verdict = made.attacks[i], made.verdicts[i]
    before = [_answer(defender, clean[i], scene) for defender, (clean, _) in said.items()]
    after = [_answer(defender, attacked[i], scene) for defender, (_, attacked) in said.items() if verdict.valid]
    image = attack.image if attack.image.shape == scene.image.shape else scene.image
    lossy = max(scene.image.shape[:2]) > LOSSLESS_PX
    gain = gain_within(eps_of(attacker)) if attacker.kind == "white_box" else DIFFERENCE_GAIN
    item = GalleryItem.of(scene, attack, verdict, before, after, attacker=attacker.name)
    return card_of(item, scene.image, image, lossy=lossy, gain=gain)


def _answer(defender: PoolDefender, text: str, scene: Scene) -> GalleryAnswer:
    answer = parse_answer(text, scene.question.options)
    return GalleryAnswer(defender=defender.name, text=text, choice=answer.choice, status=answer.status)
