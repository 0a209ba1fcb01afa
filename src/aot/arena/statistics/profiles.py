"""Threat profiles: the last defender of each run under every threat, beside those that its run trained it for. Pure.

A run may specialise in chosen threats (`aot coevolve --threats`). The first run given is what the others are compared
with, by question. *Ours.*
"""

from __future__ import annotations

from aot.arena.players.pool import Pool, PoolAttacker, last_defender
from aot.arena.players.scripted import RANDOM
from aot.arena.players.settings import ArenaSettings
from aot.arena.statistics.scores import ArenaScores, Json, difference_of, share_of
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.rounds.scoring import Mask

CLEAN = "clean"


def profiles(pool: Pool, scores: ArenaScores, settings: ArenaSettings) -> Json | None:
    """`defenders` (the base of the first run, the last one of each run), whom they are `compared_with`, and `rows`:
    clean images, the worst case of each threat, each attacker without training. A row has a share `of` each defender,
    the paired `difference` of each later run's defender to the first one's, and those that were `trained` for it. None
    for fewer than two different last defenders."""
    last = {run.label: found for run in pool.runs if (found := last_defender(pool, run))}
    if len({one.name for one in last.values()}) < 2:
        return None
    base = next((d for d in pool.defenders if (own := d.within(pool.runs[0])) and own.role == "base"), None)
    shown = list(dict.fromkeys([*([base.name] if base else []), *(one.name for one in last.values())]))
    threats = dict.fromkeys(attacker.threat for attacker in pool.attackers)
    untrained = [a for a in pool.attackers if a.kind in ("scripted", "white_box")]
    met: list[tuple[str, str, list[PoolAttacker]]] = [(CLEAN, CLEAN, [])]
    met += [("worst_case", t, [a for a in pool.attackers if a.threat == t]) for t in threats]
    met += [("attacker", a.name, [a]) for a in untrained]
    reference = next(iter(last.values())).name
    rows = []
    for kind, name, attackers in met:
        stands = {d: scores.standing(d, [a.name for a in attackers]) for d in shown}
        right: dict[str, Mask] = {d: s == 1 for d, s in stands.items()}
        row: Json = {"kind": kind, "name": name}
        row["of"] = {d: share_of(right[d], s >= 0, scores.units) for d, s in stands.items()}
        row["difference"] = {
            one.name: difference_of(right[one.name], right[reference], scores.units, bootstrap=settings.bootstrap)
            for one in last.values()
            if one.name != reference
        }
        row["trained"] = [
            last[run.label].name
            for run in pool.runs
            if kind == "attacker" and run.label in last and trained_for(run.recipe, attackers[0])
        ]
        rows.append(row)
    return {"defenders": shown, "compared_with": reference, "rows": rows}


def trained_for(recipe: Recipe, attacker: PoolAttacker) -> bool:
    """Whether the run's SFT has this family, or perturbations by gradients where the attack is one."""
    if attacker.kind == "white_box":
        return any(sft.steps and sft.pixel.share for sft in (recipe.warm_up, recipe.hits))
    scripted = recipe.scripted_attacks
    return scripted.trains(attacker.name) if scripted.families else attacker.name == RANDOM
