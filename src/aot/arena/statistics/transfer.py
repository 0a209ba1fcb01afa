"""How attacks carry over: to defenders that never trained on a family, and to others than they were crafted on. Pure.

Leaving one family out: runs say which families they trained on (`scripted_attacks.families`); where fewer than two
different sets are named there is nothing to compare. *Ours.*

White-box images crafted on one defender and shown to every other one: a defender that falls more often to another's
images than to its own has gradients that do not lead the attack: its robustness by its own gradients alone is
overstated (Athalye et al. 2018, arXiv 1802.00420; Carlini et al. 2019, arXiv 1902.06705). *Ours*: the worst case over
all images of one attacker, whoever they were crafted on.
"""

from __future__ import annotations

import numpy as np

from aot.arena.players.pool import Pool, last_defender
from aot.arena.players.settings import ArenaSettings
from aot.arena.statistics.scores import ArenaScores, Json, counted, difference_of, share_of
from aot.coevolve.rounds.scoring import Mask


def transfer(pool: Pool, scores: ArenaScores, settings: ArenaSettings) -> list[Json]:
    """One entry a family, last defender of a run: `seen` whether the run trained on it, `success` of the family. Where
    another run trained on the same families and this one: `left_out_against` names its defender, and `cost` is how much
    more often the family succeeds against the one that never saw it, paired."""
    named = {run.label: frozenset(run.recipe.scripted_attacks.families) for run in pool.runs}
    known = {label: families for label, families in named.items() if families}
    if len(set(known.values())) < 2:
        return []
    last = {run.label: last_defender(pool, run) for run in pool.runs if run.label in known}
    found = []
    for attacker in pool.attackers:
        if attacker.rule is None or not any(attacker.name in families for families in known.values()):
            continue
        for label, families in known.items():
            if (defender := last[label]) is None:
                continue
            hits = scores.evaluation.successes(defender.name, attacker.name)
            entry: Json = {"family": attacker.name, "run": label, "defender": defender.name}
            entry |= {"seen": attacker.name in families, "success": share_of(hits, hits | True, scores.units)}
            wider = next((other for other, its in known.items() if its == families | {attacker.name} != families), None)
            if wider and (taught := last[wider]):
                before = scores.evaluation.successes(taught.name, attacker.name)
                entry["left_out_against"] = taught.name
                entry["cost"] = difference_of(hits, before, scores.units, bootstrap=settings.bootstrap)
            found.append(entry)
    return found


def transferred(pool: Pool, scores: ArenaScores, settings: ArenaSettings) -> dict[str, Json]:
    """By white-box attacker: `cells[crafted on][shown to]` as those of the matrix, whose own cells are the diagonal;
    `worst_case` by defender over all images; `stronger`, where images of another defender succeed more often than
    those by the own gradients, with the difference in points (95 % above 0)."""
    found = {}
    for attacker, by_source in scores.transferred.items():
        valid = {source: scores.valid[source][attacker] for source in by_source}
        cells = {
            source: {
                shown: counted(scores.clean[shown], attacked, valid[source], scores.units)
                for shown, attacked in by_shown.items()
            }
            for source, by_shown in by_source.items()
        }
        hits = {d.name: {s: _hits(scores, attacker, s, d.name) for s in by_source} for d in pool.defenders}
        worst, stronger = {}, []
        for shown, by_crafted in hits.items():
            clean = scores.clean[shown]
            fell = np.any(list(by_crafted.values()), axis=0)
            worst[shown] = share_of((clean == 1) & ~fell, clean >= 0, scores.units)
            for source in by_source:
                gap = difference_of(by_crafted[source], by_crafted[shown], scores.units, bootstrap=settings.bootstrap)
                if gap["ci"] and gap["ci"][0] > 0:
                    stronger.append({"crafted_on": source, "shown_to": shown, "difference": gap})
        found[attacker] = {"cells": cells, "worst_case": worst, "stronger": stronger}
    return found


def _hits(scores: ArenaScores, attacker: str, source: str, shown: str) -> Mask:
    return (scores.clean[shown] == 1) & (scores.transferred[attacker][source][shown] == 0)
