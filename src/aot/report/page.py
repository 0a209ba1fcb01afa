"""The report: one HTML file that needs nothing else, from whatever a run folder holds so far.

Same run folder, same bytes: the page carries no time of day.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aot.report import charts, words
from aot.report.gallery import DIFFERENCE_GAIN, Card, read_gallery
from aot.report.run_data import RunData, TrainingLog, read_run
from aot.report.summary import Summary, in_order, iteration_of
from aot.runs.files import replacing
from aot.types import LETTERS


@dataclass(frozen=True)
class StageBar:
    """One stage in the time line: where it begins and how long it is, in percent of all stages."""

    name: str
    player: str
    seconds: float
    start: float
    share: float


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    label: str
    value: str
    unit: str = "%"
    before: str = ""
    note: str = ""


@dataclass(frozen=True)
class PayoffCell:
    """Accuracy of a defender (column) against an attacker (row). `heat`: 0..100, most where most is lost."""

    accuracy: float | None
    heat: int
    trained: str


def build_report(run_dir: Path, notes: Sequence[str] = ()) -> Path:
    """Write `run_dir/report.html` and return its path.

    Parts of the run that are missing or damaged are named on the page, below `notes`. Raises AotError where
    `run_dir` is not a folder or the page cannot be written.
    """
    run = read_run(Path(run_dir))
    problems = [*notes, *run.problems]
    cards = read_gallery(run.folder / "gallery", problems)
    page = environment().get_template("page.html").render(_context(run, cards, problems))
    path = run.folder / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="replace")  # half characters of damaged files
    return path


def environment(package: str = "aot.report") -> Environment:
    """The templates of a package over those that all pages share (`layout.html`, `parts.html`), with the stylesheet and
    the filters; everything is escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader("aot.report", "")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"letters": LETTERS, "stylesheet": stylesheet()}
    environment.filters |= {
        "percent": words.percent,
        "points": words.signed_points,
        "interval": words.interval,
        "duration": words.duration,
        "shorten": words.shorten,
        "plain": words.plain,
        "phrase": words.phrase,
        "defender": words.defender_label,
        "attacker": words.attacker_label,
    }
    return environment


def stylesheet() -> Markup:
    return Markup(resources.files("aot.report").joinpath("page.css").read_text(encoding="utf-8"))


def _context(run: RunData, cards: list[Card], problems: list[str]) -> dict[str, Any]:
    summary = run.summary
    logs = sorted(run.logs, key=lambda log: log.stage.startswith(("clean_rl", "baseline/", "best_response")))
    attacker_logs = [log for log in logs if log.player == "attacker"]
    defender_logs = [log for log in logs if log.player == "defender"]
    name = summary.name or str(run.recipe.get("name") or run.folder.resolve().name)
    seed = run.recipe.get("seed") if summary.seed is None else summary.seed
    return {
        "name": name,
        "summary": summary,
        # A number and its unit stay in one line. What comes first is whether the method beats its baselines.
        "headlines": [
            sentence.replace(" %", "\u00a0%")
            for sentence in (words.verdict(summary), words.headline(summary))
            if sentence
        ],
        "what_was_run": words.what_was_run(summary.model_copy(update={"name": name, "seed": seed})),
        "problems": problems,
        "unfinished": run.unfinished,
        "tiles": tiles(summary),
        "changes": {n: _change(summary, n) for n in summary.defender_names},
        "type_figures": [
            (t, Markup(charts.question_type_figure(summary, t))) for t in summary.question_types
        ],
        "race_note": words.race_note(summary),
        "arms_race_wide": Markup(charts.arms_race_figure(summary)),
        "arms_race_narrow": Markup(charts.arms_race_figure(summary, width=350, height=330)),
        "payoff": payoff(summary),
        "attackers": [(n, summary.attackers[n]) for n in in_order(summary.attackers)],
        "cards": cards,
        "gain": DIFFERENCE_GAIN,
        "rewards": [("attacker", _panels(attacker_logs)), ("defender", _panels(defender_logs))],
        "refusals": _refusals(summary),
        "stages": _stage_bars(run),
        "recipe": list(flatten(run.recipe)),
        "versions": versions(run.manifests),
        "manifests": run.manifests,
    }


def _change(summary: Summary, name: str) -> tuple[str, str]:
    """Worst-case error against base, and its tone: "better", "worse", or "" where the intervals overlap."""
    base, row = summary.defenders.get("base"), summary.defenders[name]
    change = None if base is None or name == "base" else words.error_change(base, row)
    if base is None or change is None:
        return words.DASH, ""
    tone = "better" if change < 0 else "worse"
    return words.relative(change), tone if words.apart(base, row) else ""


def tiles(summary: Summary) -> list[Tile]:
    """The metrics a reader looks for first, as far as they are known."""
    found = []
    base, after = summary.defenders.get("base"), summary.defenders.get(summary.last_iteration or "")
    if base and after:
        change = words.error_change(base, after)
        note = "" if change is None else f"error {words.relative(change)}"
        before = words.percent(base.worst_case)
        found.append(Tile("Worst-case accuracy", words.percent(after.worst_case), before=before, note=note))
        span = f"95 % interval {words.interval(after.clean_ci)}" if after.clean_ci else ""
        found.append(
            Tile("Clean accuracy", words.percent(after.clean), before=words.percent(base.clean), note=span)
        )
    start = summary.attackers.get("iteration_0")
    if start and start.valid_success_vs_base is not None:
        value = words.percent(start.valid_success_vs_base)
        found.append(Tile("Cold start fools base", value, note="by valid attacks"))
    trained = [a for a in summary.attackers.values() if a.gain is not None]
    if trained:
        proven = sum(a.gain_ci is not None and a.gain_ci[0] > 0 for a in trained)
        mean = sum(a.gain or 0 for a in trained) / len(trained)
        note = f"mean; above 0 in {proven} of {len(trained)}"
        found.append(Tile("Attacker’s gain", words.signed_points(mean), "points", note=note))
    kept = [a.integrity for a in summary.attackers.values() if a.integrity is not None]
    if kept:
        found.append(Tile("Integrity of attacks", words.percent(min(kept)), note="lowest of all attackers"))
    return found


def payoff(summary: Summary) -> list[tuple[str, list[PayoffCell]]]:
    """Rows of the attackers x defenders table. Heat runs from the best to the worst accuracy in the table."""
    found = [v for d in summary.defenders.values() for v in d.by_attacker.values() if v is not None]
    if not found:
        return []
    low, high = min(found), max(found)
    before_first = "warm_up" if "warm_up" in summary.defenders else "base"
    rows = []
    for attacker in summary.attacker_names:
        cells = []
        for defender in summary.defender_names:
            value = summary.defenders[defender].by_attacker.get(attacker)
            heat = 0 if value is None or high == low else round(100 * (high - value) / (high - low))
            cells.append(PayoffCell(value, heat, _trained(attacker, defender, before_first)))
        rows.append((attacker, cells))
    return rows


def _trained(attacker: str, defender: str, before_first: str) -> str:
    """Who was trained in this pairing: attacker k faces defender k-1, defender k attacker k. `before_first` is the
    defender that the first iteration begins with."""
    k = iteration_of(attacker)
    of_defender = 0 if defender == before_first else iteration_of(defender)
    if k is None or k == 0 or of_defender is None:
        return ""
    return "attacker" if of_defender == k - 1 else "defender" if of_defender == k else ""


def _panels(logs: list[TrainingLog]) -> list[tuple[str, Markup]]:
    shared = charts.shared_range(logs)
    return [(log.stage, Markup(charts.reward_figure(log, shared))) for log in logs]


def _refusals(summary: Summary) -> list[tuple[str, int, list[tuple[str, int, float, int]]]]:
    """(attacker, total, [(reason, count, percent of the longest bar, colour number of the reason)])."""
    totals: dict[str, int] = {}
    for reasons in summary.refusals.values():
        for reason, count in reasons.items():
            totals[reason] = totals.get(reason, 0) + count
    ranked = sorted(totals, key=lambda reason: (-totals[reason], reason))
    longest = max((sum(reasons.values()) for reasons in summary.refusals.values()), default=0) or 1
    rows = []
    for attacker in in_order(summary.refusals):
        reasons = summary.refusals[attacker]
        bars = [
            (r, reasons[r], 100 * reasons[r] / longest, min(i, 6))
            for i, r in enumerate(ranked)
            if reasons.get(r, 0) > 0
        ]
        rows.append((attacker, sum(reasons.values()), bars))
    return rows


def _stage_bars(run: RunData) -> list[StageBar]:
    """From the summary, or from the manifests where the run has not come that far."""
    known = {name: seconds for name, seconds in run.summary.stages.items() if seconds is not None}
    if not known:
        for name, manifest in run.manifests.items():
            seconds = manifest.get("wall_seconds")
            if isinstance(seconds, int | float) and 0 <= seconds < 1e9:
                known[name] = float(seconds)
    rows: list[tuple[str, float]] = []
    for (
        name,
        seconds,
    ) in known.items():  # an evaluation is dozens of short stages: one row for each run of them
        first = name.split("/")[0]
        if rows and first == "evaluation" == rows[-1][0]:
            rows[-1] = (first, rows[-1][1] + seconds)
        else:
            rows.append((first if first == "evaluation" else name, seconds))
    whole = sum(known.values()) or 1.0
    bars, begun = [], 0.0
    for name, seconds in rows:
        bars.append(StageBar(name, _player(name), seconds, 100 * begun / whole, 100 * seconds / whole))
        begun += seconds
    return bars


def _player(stage: str) -> str:
    last = stage.rsplit("/", 1)[-1]
    if "defend" in last or stage.startswith(("clean_rl", "warm_up", "sft_scripted", "baseline/")):
        return "defend"
    return "attack" if "attack" in last or stage.startswith("best_response") else "other"


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted path, JSON text) pairs."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, json.dumps(value, ensure_ascii=False)


def versions(manifests: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """(library, version) over all stages; where stages differ, every version that occurs."""
    found: dict[str, dict[str, None]] = {}
    for manifest in manifests.values():
        stated = manifest.get("versions")
        for library, version in stated.items() if isinstance(stated, dict) else ():
            found.setdefault(str(library), {})[str(version)] = None
    return [(library, ", ".join(found[library])) for library in sorted(found)]
