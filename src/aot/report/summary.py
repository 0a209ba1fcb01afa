"""What a run folder says, read defensively: the report must come out of a half-finished or damaged run too.

Everything read here is untrusted text and numbers. A part that cannot be read becomes one line in `problems`
and its default; the rest goes on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from aot.errors import AotError
from aot.runs.files import read_whole

Rate = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
"""A fraction."""
Difference = Annotated[float, Field(ge=-1 - 1e-6, le=1 + 1e-6)]
"""A difference of two fractions."""
Interval = tuple[Difference, Difference]
"""95 % interval, low and high, in the unit of its figure."""

Seconds = Annotated[float, Field(ge=0, le=1e9)]

METRICS = ("reward", "valid_success", "integrity", "accuracy", "informative")
"""What the report draws from the logs of trainings."""


class TypeFigures(BaseModel, frozen=True, extra="ignore"):
    """Accuracy of a defender on one question type, as fractions."""

    clean: Rate | None = None
    clean_ci: Interval | None = None
    worst_case: Rate | None = None
    worst_case_ci: Interval | None = None


class DefenderFigures(TypeFigures, frozen=True, extra="ignore"):
    """Accuracy of one defender: clean, against each attacker, worst case per example; fractions."""

    by_attacker: dict[str, Rate | None] = {}
    by_attacker_ci: dict[str, Interval | None] = {}
    by_question_type: dict[str, TypeFigures] = {}
    n: int | None = None


class AttackerFigures(BaseModel, frozen=True, extra="ignore"):
    """Success of one attacker, valid attacks only; fractions. `gain` is a difference: after its training
    minus before, against the same defender."""

    valid_success_vs_base: Rate | None = None
    valid_success_vs_base_ci: Interval | None = None
    valid_success_vs_current: Rate | None = None
    valid_success_vs_current_ci: Interval | None = None
    valid_success_of_start_vs_current: Rate | None = None
    valid_success_of_start_vs_current_ci: Interval | None = None
    gain: Difference | None = None
    gain_ci: Interval | None = None
    integrity: Rate | None = None
    integrity_ci: Interval | None = None
    n: int | None = None


class ArmsRaceStep(BaseModel, frozen=True, extra="ignore"):
    """Valid success of `attacker` against `defender` right after the training that `step` names."""

    step: str
    attacker: str = ""
    defender: str = ""
    valid_success: Rate
    valid_success_ci: Interval | None = None

    @property
    def is_attacker(self) -> bool:
        return not self.step.startswith("defender")

    @property
    def iteration(self) -> int | None:
        """1 for "attacker 1" and "defender 1", None for "cold start"."""
        number = re.search(r"\d{1,6}", self.step)
        return int(number.group()) if number else None


class ComparisonFigures(BaseModel, frozen=True, extra="ignore"):
    """One final defender beside the method's: success of the fresh attacker trained against it alone, and how far the
    method is ahead, under that attacker and in the worst case of the run's pool; fractions."""

    valid_success: Rate | None = None
    valid_success_ci: Interval | None = None
    method_ahead: Difference | None = None
    method_ahead_ci: Interval | None = None
    method_ahead_worst_case: Difference | None = None
    method_ahead_worst_case_ci: Interval | None = None
    n: int | None = None


class Summary(BaseModel, frozen=True, extra="ignore"):
    """`summary.json`; every part may be missing."""

    name: str = ""
    seed: int | None = None
    wall_seconds: Seconds | None = None
    stages: dict[str, Seconds | None] = {}
    protocol: str = ""
    defenders: dict[str, DefenderFigures] = {}
    attackers: dict[str, AttackerFigures] = {}
    refusals: dict[str, dict[str, int]] = {}
    arms_race: list[ArmsRaceStep] = []
    comparison: dict[str, ComparisonFigures] = {}
    cpu_seconds: dict[str, Seconds | None] = {}
    refused_rows: int = 0
    notes: list[str] = []

    @classmethod
    def parse(cls, raw: Any) -> tuple[Summary, list[str]]:
        """Validate part by part: a damaged part is named in the list and left empty."""
        if not isinstance(raw, Mapping):
            return cls(), ["summary.json: not an object"]
        parts, problems = {}, []
        raw = without_nan(raw)
        for part, info in cls.model_fields.items():
            if raw.get(part) is None:
                continue
            try:
                kind: Any = info.annotation
                parts[part] = TypeAdapter(kind).validate_python(raw[part])
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(key) for key in (part, *first["loc"]))
                problems.append(f"summary.json: {place}: {first['msg']}")
        return cls(**parts), problems

    @classmethod
    def of(cls, summary: Summary | Mapping[str, Any]) -> Summary:
        """The same, or the readable parts of what `summary.json` holds."""
        return summary if isinstance(summary, Summary) else cls.parse(summary)[0]

    @property
    def defender_names(self) -> list[str]:
        return in_order(self.defenders)

    @property
    def attacker_names(self) -> list[str]:
        """Every attacker some defender was evaluated against."""
        return in_order(dict.fromkeys(name for d in self.defenders.values() for name in d.by_attacker))

    @property
    def compared(self) -> list[str]:
        """The method's final defender and the baselines beside it; empty without baselines."""
        names = [name for name in in_order(self.comparison) if name in self.defenders]
        return names if len(names) > 1 and names[0] == self.last_iteration else []

    def cpu_ratio(self, name: str) -> float | None:
        """CPU seconds of a final defender over those of the method."""
        own, spent = self.cpu_seconds.get(self.last_iteration or ""), self.cpu_seconds.get(name)
        return spent / own if own and spent is not None else None

    @property
    def question_types(self) -> list[str]:
        return list(dict.fromkeys(name for d in self.defenders.values() for name in d.by_question_type))

    @property
    def last_iteration(self) -> str | None:
        """Name of the defender of the last iteration that was evaluated."""
        return next((name for name in reversed(self.defender_names) if iteration_of(name) is not None), None)


def without_nan(value: Any) -> Any:
    """JSON with what is not finite as None: a figure that could not be measured, or an interval of one."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        inner = [without_nan(each) for each in value]
        return None if None in inner else inner
    return None if isinstance(value, float) and not math.isfinite(value) else value


def iteration_of(name: str) -> int | None:
    """3 for "iteration_3", None for any other name."""
    number = re.fullmatch(r"iteration_(\d{1,6})", name)
    return int(number.group(1)) if number else None


def in_order(names: Iterable[str]) -> list[str]:
    """base and scripted players, then iterations by number, then the rest, the baselines last."""
    first = {"base": 0, "random_distractor": 1, "warm_up": 2}
    last = {"sft_scripted": 98, "clean_rl": 99}

    def rank(name: str) -> tuple[int, int]:
        number = iteration_of(name)
        if number is not None:
            return 20, number
        if name.startswith("best_of_"):
            return 2, 0
        return last.get(name, first.get(name, 10 if "distractor" in name else 30)), 0

    return sorted(names, key=rank)


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
    current = [path for path in found if path.relative_to(folder).parts[0] != "superseded"]
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
