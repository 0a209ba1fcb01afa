"""All scores of an evaluation, per example, and the summary's numbers made of them.

*Worst case* is AutoAttack's rule (Croce & Hein 2020): an example counts as right only if it is right clean and under
every valid attack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from aot.coevolve.rounds.scoring import AttackSet, Mask, Scores
from aot.scores.intervals import paired_difference, wilson


@dataclass
class Evaluation:
    """All scores of one evaluation. `clean[defender]` and `attacked[defender][attacker]` are score arrays;
    several draws of one scripted attacker are separate columns named in `draws`."""

    question_types: Sequence[str]
    clean: dict[str, Scores] = field(default_factory=dict)
    attacked: dict[str, dict[str, Scores]] = field(default_factory=dict)

    def worst_case(self, defender: str, attackers: Sequence[str] | None = None) -> Scores:
        """Right only if right clean and under every valid attack; -1 where the clean answer has no score."""
        columns = self.attacked[defender]
        worst = self.clean[defender].copy()
        for name in columns if attackers is None else attackers:
            worst[(columns[name] == 0) & (worst == 1)] = 0
        return worst

    def successes(self, defender: str, attacker: str) -> Mask:
        """Valid attacks that turned a right answer into a wrong one, over all examples."""
        return (self.clean[defender] == 1) & (self.attacked[defender][attacker] == 0)


def accuracy(scores: Scores) -> dict[str, object]:
    """`value`, `ci` (Wilson 95 %) and `n` over the scored examples; nan when none is scored."""
    scored = scores[scores >= 0]
    if not len(scored):
        return {"value": float("nan"), "ci": [float("nan")] * 2, "n": 0}
    return {
        "value": float(scored.mean()),
        "ci": list(wilson(int(scored.sum()), len(scored))),
        "n": len(scored),
    }


def defender_summary(evaluation: Evaluation, defender: str, groups: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """The summary's entry of one defender. `groups` maps a reported attacker to its columns: several columns
    (draws) are reported by their worst case."""
    columns = evaluation.attacked[defender]
    clean, worst = evaluation.clean[defender], evaluation.worst_case(defender)
    entry: dict[str, object] = {"n": len(clean), "unscored": int((clean < 0).sum())}
    for name, scores in (("clean", clean), ("worst_case", worst)):
        result = accuracy(scores)
        entry[name], entry[f"{name}_ci"] = result["value"], result["ci"]
    by_attacker, by_attacker_ci = {}, {}
    for name, members in groups.items():
        result = accuracy(columns[members[0]] if len(members) == 1 else evaluation.worst_case(defender, members))
        by_attacker[name], by_attacker_ci[name] = result["value"], result["ci"]
    types = np.asarray(evaluation.question_types)
    by_type = {}
    for kind in sorted(set(evaluation.question_types)):
        pick = types == kind
        in_clean, in_worst = accuracy(clean[pick]), accuracy(worst[pick])
        by_type[kind] = {
            "clean": in_clean["value"],
            "clean_ci": in_clean["ci"],
            "worst_case": in_worst["value"],
            "worst_case_ci": in_worst["ci"],
            "n": int(pick.sum()),
        }
    return entry | {"by_attacker": by_attacker, "by_attacker_ci": by_attacker_ci, "by_question_type": by_type}


def paired(after: Mask, before: Mask) -> tuple[float, list[float]]:
    """Mean difference over the same examples with its 95 % interval, which is nan for a single one."""
    if len(after) < 2:
        return float(np.mean(after)) - float(np.mean(before)), [float("nan")] * 2
    difference = paired_difference(after, before)
    return difference.value, [difference.low, difference.high]


def attacker_summary(
    evaluation: Evaluation, attacks: AttackSet, name: str, *, start: str | None, current: str
) -> dict[str, object]:
    """The summary's entry of one attacker. `current` is the defender that it was trained against, `start` the
    attacker that its training began from: the gain is paired over the same examples."""
    entry: dict[str, object] = {"n": len(attacks.attacks), "integrity": attacks.integrity}
    entry["valid"] = float(attacks.valid.mean()) if len(attacks.attacks) else float("nan")
    for key, defender in (("valid_success_vs_base", "base"), ("valid_success_vs_current", current)):
        hits = evaluation.successes(defender, name)
        entry[key], entry[f"{key}_ci"] = float(hits.mean()), list(wilson(int(hits.sum()), len(hits)))
    if start is not None:
        before, after = evaluation.successes(current, start), evaluation.successes(current, name)
        entry["valid_success_of_start_vs_current"] = float(before.mean())
        entry["gain"], entry["gain_ci"] = paired(after, before)
    return entry
