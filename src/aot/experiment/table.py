"""The tables of an experiment as Markdown, and its sentences: what README shows. *Ours.*"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aot.attacks.base.titles import attack_title
from aot.report.words import DASH, percent, plain, signed_points

Json = dict[str, Any]
MARKS = {"trained": "", "in_part": " ‡", "left_out": " †"}
MARKED = "† left out of training; ‡ seen in part: alone, or in a composition"
LABELS = {
    "base": "base",
    "clean_rl": "RL on clean scenes",
    "sft_scripted": "SFT on scripted attacks",
    "sft_attacks": "SFT on the same attacks",
    "sft_counterfactual": "SFT, counterfactual pairs",
}


def label(name: str, variants: int) -> str:
    """The defender, or the attack that a claim is about, in words; a variant of the method is named where there are
    `variants` of them."""
    variant, slash, iteration = name.partition("/")
    if slash:
        meant = "" if variants == 1 else f", {variant}"
        return f"AOT iteration {iteration.rpartition('_')[2]}{meant}"
    if name.startswith("pgd_at_"):
        return f"{attack_title('pgd_' + name.rpartition('_')[2])} training"
    if name.startswith("pgd_"):
        return attack_title(name)
    if name.startswith("augment_"):
        return f"augmentation: {name.removeprefix('augment_').replace('_', ' ')}"
    return LABELS.get(name, plain(name))


def variants_in(summary: Json) -> int:
    return len({name.partition("/")[0] for name in summary["defenders"] if "/" in name})


def value_of(found: Json | None) -> str:
    """A mean in percent with half of its interval."""
    if found is None:
        return DASH
    half = "" if found["ci"] is None else f" ±{50 * (found['ci'][1] - found['ci'][0]):.1f}"
    return percent(found["mean"]) + half


def difference_of(found: Json | None) -> str:
    """A difference in points with its interval over seeds; over examples where there is one seed."""
    if found is None:
        return ""
    low, high = found["ci"] or found["bootstrap"]
    return f"{signed_points(found['mean'])} ({signed_points(low)} .. {signed_points(high)})"


def markdown(summary: Json) -> str:
    """`table.md`: the sentences, the table of all defenders, and the one by family."""
    tables = [in_markdown(rows) for rows in (headline_rows(summary), family_rows(summary))]
    return "\n\n".join(["\n".join(sentences(summary)), *tables, MARKED]) + "\n"


def columns(summary: Json) -> dict[str, str]:
    """Metrics that were measured -> their heads."""
    known = {metric for entry in summary["defenders"].values() for metric in entry["metrics"]}
    heads = {"clean": "clean", "worst_case": "worst case", "left_out": "worst case, left-out families"}
    heads |= {m: attack_title(m) for m in sorted(known) if m.startswith("pgd_")}
    heads["fresh_attacker"] = "fresh attacker"
    return {metric: head for metric, head in heads.items() if metric in known}


def headline_rows(summary: Json) -> list[list[str]]:
    """Heads and cells; the worst case in bold."""
    heads = columns(summary)
    rows = [["defender", *heads.values(), "CPU s", "x method", "AOT ahead, points (95 %)"]]
    for name, entry in summary["defenders"].items():
        values = {metric: value_of(entry["metrics"].get(metric)) for metric in heads}
        cells = [f"**{value}**" if metric == "worst_case" else value for metric, value in values.items()]
        spent, ratio = entry["cpu_seconds"], entry["cpu_ratio"]
        cells += ["" if spent is None else f"{spent:.0f}", "" if not ratio else f"{ratio:.2f}"]
        cells.append(difference_of(entry.get("ahead", {}).get("worst_case")))
        rows.append([label(name, variants_in(summary)), *cells])
    return rows


def family_rows(summary: Json) -> list[list[str]]:
    """Heads and cells: accuracy under each family, with the mark of what training saw of it."""
    families = list(dict.fromkeys(f for entry in summary["defenders"].values() for f in entry["families"]))
    rows = [["defender", *(f"{attack_title(family)}{MARKS[summary['seen'][family]]}" for family in families)]]
    for name, entry in summary["defenders"].items():
        cells = [value_of(entry["families"].get(family)) for family in families]
        rows.append([label(name, variants_in(summary)), *cells])
    return rows


def in_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head."""
    head, *lines = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *lines])


def sentences(summary: Json) -> list[str]:
    """What was measured, and of each claim whether it holds; a list in Markdown."""
    seeds, several = summary["seeds"], variants_in(summary) > 1
    counted = f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}"
    over = "± is half of Student's 95 % interval over seeds, absent where they agree"
    interval = over if len(seeds) > 1 else "intervals are over examples"
    lines = [
        f"{counted}, {summary['scenes']} held-out questions each, {summary['draws']} draws of every family; "
        f"{interval}. Worst case: right clean and under every valid draw of the semantic families. Fresh attacker: "
        "valid success of one that was trained against this defender alone.",
        "",
    ]
    claims: dict[str, list[str]] = {}
    for claim in summary["claims"]:
        holds = "holds" if claim["holds"] else "**does not hold**"
        numbers = _numbers(claim["numbers"])
        found = f"{holds} ({claim['in_seeds']} of {claim['of_seeds']} seeds{numbers})"
        claims.setdefault(claim["claim"], []).append(f"{claim['variant']} {found}" if several else found)
    return lines + [f"- {said}: {'; '.join(found)}" for said, found in claims.items()]


def _numbers(numbers: Mapping[str, float]) -> str:
    """Of a claim: defenders in percent, differences in points."""
    shown = []
    for name, value in numbers.items():
        kind, _, other = name.partition(" ")
        if kind == "against":
            shown.append(f"against {label(other, 1)} {signed_points(value)} points")
        elif kind == "points":
            under = f"{attack_title(other.removeprefix('under '))}: " if other else ""
            shown.append(f"{under}{signed_points(value)} points")
        else:
            shown.append(f"{'by' if name == 'cut' else label(name, 1)} {percent(value)} %")
    return f"; {', '.join(shown)}" if shown else ""
