"""What of an arena is there and what has to be made, in words, before anything is."""

from __future__ import annotations

from aot.arena.cells import ANSWERS, ATTACKS, CONFIDENCES
from aot.arena.play import Play


def plan_lines(play: Play) -> list[str]:
    pool, store = play.pool, play.store
    attacks, pairs = play.meetings(), [(d, m) for d in pool.defenders for m in (None, *play.meetings(d))]
    there = sum(store.has(ATTACKS, play.attack_key(meeting)) for meeting in attacks)
    answered = sum(store.has(ANSWERS, play.answer_key(*pair)) for pair in pairs)
    edits = sum(len(play.scenes_of(m.draw)) for m in attacks)
    asked = sum(len(play.scenes if m is None else play.scenes_of(m.draw)) for _, m in pairs)
    weighed = [pair for pair in pairs if play.is_weighed(*pair)]
    known = sum(store.has(CONFIDENCES, play.confidence_key(*pair)) for pair in weighed)
    told = f"  confidences: {len(weighed)} cells; {known} cells are there"
    return [
        f"arena: {len(pool.attackers)} attackers x {len(pool.defenders)} defenders on {len(play.scenes)} "
        f"held-out scenes of {pool.runs[0].label}",
        f"  attacks: {len(attacks)} cells, {edits:,} attacks; {there} cells are there",
        f"  answers: {len(pairs)} cells, at most {asked:,} answers; {answered} cells are there",
        *[told] * bool(weighed),
    ]
