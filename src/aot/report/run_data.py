"""The contents of a run folder, read defensively: a half-finished or damaged run must give a report, too.

Everything read here is untrusted text and numbers. A part that cannot be read becomes one line in `problems`
and its default; the rest goes on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aot.errors import AotError
from aot.report.summary import Summary
from aot.runs.files import read_whole
from aot.runs.manifest import SUPERSEDED

METRICS = ("reward", "valid_success", "integrity", "accuracy", "informative")
"""What the report draws from the logs of trainings."""


@dataclass(frozen=True)
class TrainingLog:
    """`log.jsonl` of one training: a series of (step, value) for each metric of `METRICS` found."""

    stage: str
    series: dict[str, list[tuple[float, float]]]

    @property
    def player(self) -> str:
        """Who was trained: the last part of the stage's path says it."""
        is_attacker = "attacker" in self.stage.rsplit("/", 1)[-1] or self.stage.startswith("best_response")
        return "attacker" if is_attacker else "defender"


@dataclass(frozen=True)
class RunData:
    """All that the page is made of, except the gallery's pictures."""

    folder: Path
    summary: Summary
    recipe: dict[str, Any]
    manifests: dict[str, dict[str, Any]]
    unfinished: list[str]
    logs: list[TrainingLog]
    problems: list[str] = field(default_factory=list)


def read_run(folder: Path) -> RunData:
    """Read a run folder. Raises AotError only where there is no such folder."""
    if not folder.is_dir():
        raise AotError(
            "no such run folder", where=str(folder), hint="give the folder that `aot coevolve --out` made"
        )
    problems: list[str] = []
    raw = read_json(
        folder / "summary.json", problems, "it is written at the end of a run and holds its metrics"
    )
    summary, damaged = Summary.parse(raw) if raw is not None else (Summary(), [])
    problems += damaged
    recipe = read_json(folder / "recipe.json", problems, "what was run is unknown")
    manifests = {}
    for path in _stage_files(folder, "manifest.json"):
        manifest = read_json(path, problems, "")
        if isinstance(manifest, dict):
            manifests[_stage(path, folder)] = manifest
    logs = [read_log(path, folder, problems) for path in _stage_files(folder, "log.jsonl")]
    begun = [_stage(path, folder) for path in _stage_files(folder, "started.json")]
    return RunData(
        folder=folder,
        summary=summary,
        recipe=recipe if isinstance(recipe, dict) else {},
        manifests=manifests,
        unfinished=[stage for stage in begun if stage not in manifests],
        logs=[log for log in logs if log.series],
        problems=problems,
    )


def _stage_files(folder: Path, name: str) -> list[Path]:
    """Files of that name one folder down or deeper, iteration_10 behind iteration_9; what newer inputs have
    superseded is left out."""
    found = [path for path in folder.rglob(name) if path.parent != folder]
    current = [path for path in found if path.relative_to(folder).parts[0] != SUPERSEDED]
    return sorted(
        current, key=lambda path: [(int(p), "") if p.isdigit() else (-1, p) for p in _NUMBER.split(str(path))]
    )


_NUMBER = re.compile(r"(\d+)")


def _stage(path: Path, folder: Path) -> str:
    return path.parent.relative_to(folder).as_posix()


def read_json(path: Path, problems: list[str], when_missing: str) -> Any:
    """The parsed file, or None and a line in `problems`. NaN and infinities become None."""
    try:
        return json.loads(read_whole(path), parse_constant=lambda _: None)
    except FileNotFoundError:
        problems.append(f"{path.name} is not there: {when_missing}")
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
    return None


def read_log(path: Path, folder: Path, problems: list[str]) -> TrainingLog:
    """Lines that are not JSON objects with a numeric `step` are left out (the last may be half written)."""
    series: dict[str, list[tuple[float, float]]] = {}
    try:
        lines = read_whole(path).decode(errors="replace").splitlines()
    except OSError as error:
        problems.append(f"{path.parent.name}/{path.name} cannot be read: {error}")
        lines = []
    for line in lines:
        try:
            row = json.loads(line, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            continue
        if not isinstance(row, dict) or not _is_number(row.get("step")):
            continue
        for metric in METRICS:
            if _is_number(row.get(metric)):
                series.setdefault(metric, []).append((float(row["step"]), float(row[metric])))
    return TrainingLog(_stage(path, folder), series)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
