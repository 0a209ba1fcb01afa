"""Every defender against every attacker on held-out scenes, as stages of a run, and the summary made of them.

Attacked images are made once for each attacker; each (defender, attacker) meeting is a stage of its own, so
that an iteration only asks what is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aot.coevolve.evaluation import (
    AttackSet,
    Evaluation,
    attack_all,
    attacker_summary,
    defender_summary,
    evaluate,
    evaluate_attacked,
)
from aot.coevolve.recipes import Recipe
from aot.coevolve.scenes import Game, stage_seed
from aot.data.records import load_episodes, save_episodes
from aot.miniature.scripted import RandomDistractor
from aot.players.attacker import EditAttacker
from aot.players.base import Attacker
from aot.players.defender import QwenDefender
from aot.rl.intervals import wilson
from aot.runs.files import write_json
from aot.runs.run import Run, Stage
from aot.types import Episode, Scene

SCRIPTED = "scripted"


@dataclass(frozen=True)
class Entrant:
    """An attacker in the league: the one its training started from and the defender it was trained against."""

    stage: Stage
    start: str | None
    against: str


@dataclass
class Evaluator:
    """Keeps the score of a run. `columns` are the single draws of the scripted distractors."""

    recipe: Recipe
    run: Run
    game: Game
    defenders: dict[str, Stage] = field(default_factory=dict)
    attackers: dict[str, Entrant] = field(default_factory=dict)
    columns: dict[str, AttackSet] = field(default_factory=dict)
    texts: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """What each defender said, by column; "" where it was not asked."""

    def __post_init__(self) -> None:
        self.evaluation = Evaluation([scene.question.kind for scene in self.game.held_out])
        self._stages: dict[str, Stage] = {}
        self.draws = [f"distractor_{n}" for n in range(1, self.recipe.evaluation.distractors + 1)]

    @property
    def groups(self) -> dict[str, list[str]]:
        """Reported attacker -> its columns."""
        draws = self.draws
        scripted = {"random_distractor": draws[:1], f"best_of_{len(draws)}_distractors": draws}
        return scripted | {name: [name] for name in self.attackers}

    def admit_attacker(self, name: str, stage: Stage, *, start: str | None, against: str) -> None:
        self.attackers[name] = Entrant(stage, start, against)

    def admit_defender(self, name: str, stage: Stage) -> None:
        self.defenders[name] = stage

    def catch_up(self) -> None:
        """Makes the attacks and asks the questions that are still missing."""
        self._make_distractors()
        for name, entrant in self.attackers.items():
            folder = entrant.stage.folder
            # All trained attackers start from the same noise: what differs between two of them is what was learned.
            make = partial(EditAttacker.load, folder, name=name)
            self._attack(name, make, parents=[entrant.stage], draw="trained")
        for defender in self.defenders:
            for name in self.attackers:
                self._answer(defender, name, [name])
            self.meet_distractors(defender)

    def meet_distractors(self, defender: str) -> None:
        """Asks the defender about the clean images and under scripted distractors."""
        self._make_distractors()
        self._answer(defender, SCRIPTED, ["clean", *self.draws])

    def _make_distractors(self) -> None:
        related = self.recipe.evaluation.scripted_related
        for column in self.draws:
            self._attack(column, lambda: RandomDistractor(related=related), parents=[], draw=column)

    def report_on(self, name: str, say: Callable[[str], None]) -> None:
        """Evaluates all players so far and says one line on the newest pair."""
        self.catch_up()
        say(self.headline(name))

    def headline(self, name: str) -> str:
        """One line on the newest pair of players."""
        entrant = self.attackers[name]
        clean, worst = self.evaluation.clean[name], self.evaluation.worst_case(name)
        lifted = self.evaluation.successes(entrant.against, name).mean()
        pushed = self.evaluation.successes(name, name).mean()
        return (
            f"{name}: attacker fools the defender it trained against on {lifted:.1%}, the new one on {pushed:.1%}; "
            f"defender clean {(clean == 1).mean():.1%}, worst case so far {(worst == 1).mean():.1%}"
        )

    def summary(self) -> dict[str, Any]:
        """The run's `summary.json`; asks what has not been asked yet."""
        self.catch_up()
        defenders = {name: defender_summary(self.evaluation, name, self.groups) for name in self.defenders}
        attackers = {
            name: attacker_summary(self.evaluation, self.columns[name], name, start=e.start, current=e.against)
            for name, e in self.attackers.items()
        }
        seconds = {name: stage.wall_seconds for name, stage in self.run.stages.items()}
        return {
            "name": self.recipe.name,
            "seed": self.recipe.seed,
            "wall_seconds": self.run.wall_seconds(),
            "stages": seconds,
            "protocol": f"greedy answers, {len(self.game.held_out)} held-out questions, valid attacks only",
            "defenders": defenders,
            "attackers": attackers,
            "refusals": {name: self.columns[name].refusals for name in self.attackers},
            "arms_race": self._arms_race(),
            "refused_rows": len(self.game.refused),
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        notes = [
            f"{name}: {stage.metrics[told]}"
            for name, stage in self.run.stages.items()
            for told in ("stopped", "note")
            if stage.metrics.get(told)
        ]
        unscored = {n: int((s < 0).sum()) for n, s in self.evaluation.clean.items() if (s < 0).any()}
        notes += [f"{name}: {count} clean answers could not be scored" for name, count in unscored.items()]
        return notes

    def _arms_race(self) -> list[dict[str, Any]]:
        """Valid success after every training, in the order in which the players were made."""
        steps = []
        for i, (name, entrant) in enumerate(self.attackers.items()):
            step = f"attacker {i}" if i else "cold start"
            steps.append((step, name, entrant.against))
            if name in self.defenders:
                steps.append((f"defender {i}", name, name))
        race = []
        for step, attacker, defender in steps:
            hits = self.evaluation.successes(defender, attacker)
            share, interval = float(hits.mean()), list(wilson(int(hits.sum()), len(hits)))
            players = {"step": step, "attacker": attacker, "defender": defender}
            race.append(players | {"valid_success": share, "valid_success_ci": interval})
        return race

    def _attack(
        self, column: str, player: Callable[[], Attacker], parents: Sequence[Stage], *, draw: str
    ) -> None:
        """The column's attacks on all held-out scenes, made by `player()` unless the stage stands. Columns of one
        `draw` have one seed."""
        if column in self.columns:
            return
        name, scenes = f"evaluation/attacks/{column}", self.game.held_out
        seed = stage_seed(self.recipe.seed, f"evaluation/attacks/{draw}")

        def build(folder: Path) -> dict[str, Any]:
            made = attack_all(scenes, player(), self.game.referee, seed=seed)
            save_episodes(
                folder, [Episode(*each) for each in zip(scenes, made.attacks, made.verdicts, strict=True)]
            )
            return {"valid": float(made.valid.mean()), "integrity": made.integrity, "refusals": made.refusals}

        key = [self.game.key, self.recipe.evaluation.model_dump(), self.recipe.referee.model_dump()]
        stage = self.run.stage(name, build, key=key, seed=seed, parents=parents, quiet=True)
        self._stages[column] = stage
        episodes = load_episodes(stage.folder, scenes)
        self.columns[column] = AttackSet([b.attack for b in episodes], [b.verdict for b in episodes])

    def _answer(self, defender: str, block: str, columns: Sequence[str]) -> None:
        """The defender's answers to the clean images or to these columns' attacks, asked unless the stage stands."""
        said = self.texts.setdefault(defender, {})
        if set(columns) <= set(said):
            return
        scenes: Sequence[Scene] = self.game.held_out

        def build(folder: Path) -> dict[str, Any]:
            player = QwenDefender.load(self.defenders[defender].folder, name=defender)
            record = {}
            for column in columns:
                attacks = self.columns.get(column)
                scores, texts = (
                    evaluate_attacked(player, scenes, attacks) if attacks else evaluate(player, scenes)
                )
                record[column] = {"scores": scores.tolist(), "texts": texts}
            write_json(folder / "answers.json", record)
            return {column: float(np.mean([s == 1 for s in r["scores"]])) for column, r in record.items()}

        parents = [self.defenders[defender], *(self._stages[c] for c in columns if c in self._stages)]
        stage = self.run.stage(
            f"evaluation/{defender}/{block}", build, parents=parents, key=self.game.key, quiet=True
        )
        for column, each in json.loads((stage.folder / "answers.json").read_text(encoding="utf-8")).items():
            scores = np.array(each["scores"], dtype=np.int8)
            said[column] = each["texts"]
            if column == "clean":
                self.evaluation.clean[defender] = scores
            else:
                self.evaluation.attacked.setdefault(defender, {})[column] = scores
