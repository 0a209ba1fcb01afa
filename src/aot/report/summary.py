"""`summary.json` of a run, read part by part: one that is damaged or missing is left empty, the rest goes on. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

Rate = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6)]
"""A fraction."""
Difference = Annotated[float, Field(ge=-1 - 1e-6, le=1 + 1e-6)]
"""A difference of two fractions."""
Interval = tuple[Difference, Difference]
"""95 % interval, low and high, in the unit of its figure."""

Seconds = Annotated[float, Field(ge=0, le=1e9)]


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
