"""The report: one HTML file that needs nothing else, from whatever a run folder holds so far.

Same run folder, same bytes: the page carries no time of day.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aot.errors import AotError
from aot.report import charts, words
from aot.report.gallery import DIFFERENCE_GAIN, Card, read_gallery
from aot.report.summary import RunData, Summary, TrainingLog, in_order, iteration_of, read_run
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
class PayoffCell:
    """Accuracy of a defender (column) against an attacker (row). `heat` is 0..100, most where most is lost."""

    accuracy: float | None
    heat: int
    trained: str


def build_report(run_dir: Path) -> Path:
    """Write `run_dir/report.html` and return its path.

    Parts of the run that are missing or damaged are named on the page. Raises AotError where `run_dir` is not a
    folder or the page cannot be written.
    """
    run = read_run(Path(run_dir))
    problems = list(run.problems)
    cards = read_gallery(run.folder / "gallery", problems)
    page = _environment().get_template("report.html").render(_context(run, cards, problems))
    return _write(run.folder / "report.html", page)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("aot.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": words.percent,
        "points": words.signed_points,
        "interval": words.interval,
        "duration": words.duration,
        "shorten": words.shorten,
        "plain": words.plain,
        "defender": words.defender_label,
        "attacker": words.attacker_label,
    }
    return environment


def _context(run: RunData, cards: list[Card], problems: list[str]) -> dict[str, Any]:
    summary = run.summary
    attacker_logs = [log for log in run.logs if log.player == "attacker"]
    defender_logs = [log for log in run.logs if log.player == "defender"]
    name = summary.name or str(run.recipe.get("name") or run.folder.resolve().name)
    return {
        "css": Markup(resources.files("aot.report").joinpath("templates/report.css").read_text(encoding="utf-8")),
        "name": name,
        "summary": summary,
        "headline": words.headline(summary),
        "what_was_run": words.what_was_run(summary.model_copy(update={"name": name})),
        "problems": problems,
        "unfinished": run.unfinished,
        "error_change": {n: _change(summary, n) for n in summary.defender_names},
        "iteration_of": iteration_of,
        "type_figures": [(t, Markup(charts.question_type_figure(summary, t))) for t in summary.question_types],
        "arms_race_wide": Markup(charts.arms_race_figure(summary)),
        "arms_race_narrow": Markup(charts.arms_race_figure(summary, width=350, height=330)),
        "payoff": payoff(summary),
        "attackers": [(n, summary.attackers[n]) for n in in_order(summary.attackers)],
        "cards": cards,
        "gain": DIFFERENCE_GAIN,
        "letters": LETTERS,
        "rewards": [("attacker", _panels(attacker_logs)), ("defender", _panels(defender_logs))],
        "refusals": _refusals(summary),
        "stages": _stage_bars(run),
        "recipe": list(flatten(run.recipe)),
        "versions": versions(run.manifests),
        "manifests": run.manifests,
    }


def _change(summary: Summary, name: str) -> float | None:
    base = summary.defenders.get("base")
    return None if base is None or name == "base" else words.error_change(base, summary.defenders[name])


def payoff(summary: Summary) -> list[tuple[str, list[PayoffCell]]]:
    """Rows of the attackers x defenders table. Heat runs from the best to the worst accuracy in the table."""
    found = [v for d in summary.defenders.values() for v in d.by_attacker.values() if v is not None]
    if not found:
        return []
    low, high = min(found), max(found)
    rows = []
    for attacker in summary.attacker_names:
        cells = []
        for defender in summary.defender_names:
            value = summary.defenders[defender].by_attacker.get(attacker)
            heat = 0 if value is None or high == low else round(100 * (high - value) / (high - low))
            cells.append(PayoffCell(value, heat, _trained(attacker, defender)))
        rows.append((attacker, cells))
    return rows


def _trained(attacker: str, defender: str) -> str:
    """Who was trained in this pairing: attacker k faces defender k-1 (base for 1), defender k faces attacker k."""
    k, of_defender = iteration_of(attacker), 0 if defender == "base" else iteration_of(defender)
    if k is None or k == 0 or of_defender is None:
        return ""
    return "attacker" if of_defender == k - 1 else "defender" if of_defender == k else ""


def _panels(logs: list[TrainingLog]) -> list[tuple[str, Markup]]:
    shared = charts.shared_range(logs)
    return [(log.stage, Markup(charts.reward_figure(log, shared))) for log in logs]


def _refusals(summary: Summary) -> list[tuple[str, int, list[tuple[str, int, float, int]]]]:
    """(attacker, total, [(reason, count, percent of the longest bar, colour number)]), same colour = same reason."""
    totals: dict[str, int] = {}
    for reasons in summary.refusals.values():
        for reason, count in reasons.items():
            totals[reason] = totals.get(reason, 0) + count
    ranked = sorted(totals, key=lambda reason: (-totals[reason], reason))
    longest = max((sum(reasons.values()) for reasons in summary.refusals.values()), default=0) or 1
    rows = []
    for attacker in in_order(summary.refusals):
        reasons = summary.refusals[attacker]
        bars = [(r, reasons[r], 100 * reasons[r] / longest, min(i, 6)) for i, r in enumerate(ranked) if reasons.get(r, 0) > 0]
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
    whole = sum(known.values()) or 1.0
    bars, begun = [], 0.0
    for name, seconds in known.items():
        last = name.rsplit("/", 1)[-1]
        player = "attack" if "attack" in last else "defend" if "defend" in last or last == "clean_rl" else "other"
        bars.append(StageBar(name, player, seconds, 100 * begun / whole, 100 * seconds / whole))
        begun += seconds
    return bars


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


def _write(path: Path, page: str) -> Path:
    """All or nothing: a reader, or a full disk, never leaves half a page."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(page)
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise AotError(f"the report cannot be written: {error}", where=str(path), hint="free space or change rights") from error
    return path
