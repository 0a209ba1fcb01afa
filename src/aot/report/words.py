"""Numbers and names formatted for readers, and the one sentence that summarises a run."""

from __future__ import annotations

import re

from aot.attacks.base.titles import attack_title
from aot.report.summary import DefenderFigures, Interval, Summary, in_order, iteration_of

DASH = "–"
MINUS = "−"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage without its sign: .7213 -> "72.1"."""
    return DASH if value is None else f"{100 * value:.{digits}f}".replace("-", MINUS)


def signed_points(value: float | None) -> str:
    """A difference of fractions in percentage points, with its sign: .083 -> "+8.3"; what rounds to 0 has none."""
    if value is None:
        return DASH
    shown = f"{100 * value:+.1f}".replace("-", MINUS)
    return "0.0" if shown[1:] == "0.0" else shown


def relative(change: float) -> str:
    """A relative change, signed and rounded to a percent: -.396 -> "−40 %"."""
    return f"{100 * change:+.0f} %".replace("-", MINUS)


def interval(bounds: Interval | None, signed: bool = False) -> str:
    """A 95 % interval in percent: "69.5–74.6"; with signs "+2.1 to +9.0"."""
    if bounds is None:
        return ""
    low, high = bounds
    return f"{signed_points(low)} to {signed_points(high)}" if signed else f"{percent(low)}–{percent(high)}"


def duration(seconds: float | None) -> str:
    """9 min 12 s; 3.4 s below ten seconds; 1 h 52 min from an hour on."""
    if seconds is None:
        return DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def shorten(text: str, limit: int = 400) -> str:
    """Long model output in a card: the beginning, and how much was left out."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def phrase(name: str) -> str:
    """An identifier as words: local_ssim -> "local SSIM"."""
    return name.replace("_", " ").replace("ssim", "SSIM").strip()


def plain(name: str) -> str:
    """The same with a capital: best_of_8_distractors -> "Best of 8 distractors"."""
    words = phrase(name)
    return words[:1].upper() + words[1:]


def within(label: str) -> str:
    """A label inside of a sentence: "warm-up", but "SFT on scripted attacks"."""
    return label if label[:2].isupper() else label[:1].lower() + label[1:]


BASELINES = {"clean_rl": "Clean-data RL", "sft_scripted": "SFT on scripted attacks"}


def is_baseline(name: str) -> bool:
    """Whether the method is compared with this defender: it is none of its own."""
    return name not in ("base", "warm_up") and not name.startswith("iteration_")


def defender_label(name: str) -> str:
    return (BASELINES | {"warm_up": "Warm-up"}).get(name) or plain(name)


def attacker_label(name: str) -> str:
    if answers := re.fullmatch(r"best_response(?:_(\d+))?_(.+)", name):
        updates, defender = answers.groups()
        after = f" ({updates} update{'s' if updates != '1' else ''})" if updates else ""
        return f"Best response to {within(defender_label(defender))}{after}"
    number = iteration_of(name)
    if number is None:
        return attack_title(name)
    return "Attacker 0 (cold start)" if number == 0 else f"Attacker {number}"


def error_change(base: DefenderFigures, other: DefenderFigures) -> float | None:
    """Relative change of the worst-case error against base: -.4 is two fifths fewer errors."""
    if base.worst_case is None or other.worst_case is None or base.worst_case >= 1:
        return None
    return (1 - other.worst_case) / (1 - base.worst_case) - 1


def headline(summary: Summary) -> str:
    """The main result in one sentence, computed from the metrics, whichever way they point."""
    base = summary.defenders.get("base")
    last = summary.last_iteration
    after = summary.defenders.get(last or "")
    if base is None or after is None or base.worst_case is None or after.worst_case is None:
        return "This run has no result yet: base and trained defender have not both been evaluated."
    change = error_change(base, after)
    iterations = iteration_of(last or "") or 0
    first, second = percent(1 - base.worst_case), percent(1 - after.worst_case)
    verb = (
        "stayed at" if first == second else "fell from" if after.worst_case > base.worst_case else "rose from"
    )
    moved = f"{second} %" if first == second else f"{first} % to {second} %"
    by = "" if change is None or first == second else f" ({relative(change)})"
    counted = f"{iterations} iteration{'s' if iterations != 1 else ''}"
    sentence = f"After {counted} the defender’s worst-case error {verb} {moved}{by}"
    if base.clean is not None and after.clean is not None:
        sentence += f", with clean accuracy {percent(base.clean)} % before and {percent(after.clean)} % after"
    control = summary.defenders.get("clean_rl")
    if control is not None and control.worst_case is not None:
        sentence += f"; RL on clean scenes ends at {percent(1 - control.worst_case)} %"
    # Overlap does not prove that nothing changed, but the reader must be told.
    return sentence + "." + ("" if apart(base, after) else " The two 95 % intervals overlap.")


def verdict(summary: Summary) -> str:
    """Which is ahead, the method or its strongest baseline, in one sentence: under a fresh attacker if there was one,
    else in the worst case of the run's pool; "" without baselines."""
    rivals = [(name, summary.comparison[name]) for name in summary.compared[1:]]
    pool = ""
    fresh = [(name, c) for name, c in rivals if c.method_ahead is not None and c.method_ahead_ci]
    pooled = [(name, c) for name, c in rivals if c.method_ahead_worst_case is not None and c.method_ahead_worst_case_ci]
    if fresh:
        name, row = min(fresh, key=lambda pair: pair[1].method_ahead or 0.0)
        value, bounds = row.method_ahead, row.method_ahead_ci
        own = summary.comparison[summary.compared[0]].valid_success
        how = f"a fresh attacker deceives it on {percent(own)} % and the baseline on {percent(row.valid_success)} %"
        bounds_in_pool = row.method_ahead_worst_case_ci
        if bounds_in_pool and (bounds_in_pool[0] > 0 or bounds_in_pool[1] < 0):
            pool = f" In the worst case of this run’s own attacks it is {_points_apart(row.method_ahead_worst_case)}."
    elif pooled:
        name, row = min(pooled, key=lambda pair: pair[1].method_ahead_worst_case or 0.0)
        value, bounds = row.method_ahead_worst_case, row.method_ahead_worst_case_ci
        how = "worst case of the attacks of this run"
    else:
        return ""
    assert bounds is not None
    side = "is ahead of" if bounds[0] > 0 else "is behind" if bounds[1] < 0 else "cannot be told from"
    ratio = summary.cpu_ratio(name)
    times = "" if ratio is None else f"{ratio:.2f}"
    told = "in the same CPU time" if times == "1.00" else f"which took {times} times its CPU seconds"
    cost = f" ({told})" if times else ""
    span = f"{signed_points(value)} points, 95 % interval {interval(bounds, signed=True)}"
    rival = f"the strongest of the run’s baselines, {BASELINES.get(name, plain(name))}{cost}"
    return f"AOT {side} {rival}: {how} ({span}).{pool}"


def _points_apart(difference: float | None) -> str:
    value = difference or 0.0
    return f"{percent(abs(value))} points {'ahead' if value > 0 else 'behind'}"


def race_note(summary: Summary) -> str:
    """Whose training gained beyond doubt and whose did not; "" where no gain was measured."""
    rows = [(n, summary.attackers[n]) for n in in_order(summary.attackers)]
    rows = [(name, row) for name, row in rows if row.gain is not None and row.gain_ci is not None]
    gained = [attacker_label(name) for name, row in rows if row.gain_ci and row.gain_ci[0] > 0]
    lost = [(attacker_label(name), row) for name, row in rows if row.gain_ci and row.gain_ci[1] < 0]
    flat = [(attacker_label(n), r) for n, r in rows if r.gain_ci and r.gain_ci[0] <= 0 <= r.gain_ci[1]]
    if not rows:
        return ""
    if len(gained) == len(rows):
        return "Every training of the attacker gained: all intervals of the gain lie above 0."
    none = "No training of the attacker gained beyond doubt. "
    first = f"Beyond doubt gained: {', '.join(gained)}. " if gained else none
    left = "; ".join(
        f"{label} met a defender that its start deceives on {percent(row.valid_success_of_start_vs_current)} %, and "
        f"gained {signed_points(row.gain)} points ({interval(row.gain_ci, signed=True)})"
        for label, row in flat
    )
    worse = ", ".join(
        f"{label} ({signed_points(row.gain)} points, {interval(row.gain_ci, signed=True)})" for label, row in lost
    )
    told = f"Beyond doubt lost: {worse}. " if lost else ""
    held = f"Where the interval holds 0 the race has ended for this budget: {left}." if flat else ""
    return f"{first}{told}{held}".strip()


def apart(base: DefenderFigures, other: DefenderFigures) -> bool:
    """Whether the worst-case intervals of two defenders are disjoint; True where they are not known."""
    one, two = base.worst_case_ci, other.worst_case_ci
    return one is None or two is None or one[1] < two[0] or two[1] < one[0]


def what_was_run(summary: Summary) -> str:
    """Recipe, seed, size and length of the run, as far as known."""
    parts = [
        f"Recipe {summary.name}" if summary.name else "",
        f"seed {summary.seed}" if summary.seed is not None else "",
    ]
    sizes = [d.n for d in summary.defenders.values() if d.n]
    if sizes:
        parts.append(f"{max(sizes):,} held-out questions")
    if summary.attacker_names:
        parts.append(f"{len(summary.attacker_names)} attackers")
    if summary.wall_seconds is not None:
        parts.append(duration(summary.wall_seconds))
    return " · ".join(part for part in parts if part)
