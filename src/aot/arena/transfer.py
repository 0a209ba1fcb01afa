"""Leaving one family out: how defenders fare against a family of attacks that their run never trained on.

Runs say which families they trained on (`scripted_attacks.families`); where fewer than two different sets are named
there is nothing to compare. *Ours.*
"""

from __future__ import annotations

from aot.arena.pool import Pool, last_defender
from aot.arena.scores import ArenaScores, Json, difference_of, share_of
from aot.arena.settings import ArenaSettings


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
