"""Every defender against every attacker on held-out scenes, and the summary made of it.

The attacks and the answers are stages of the run (`coevolve/rounds/held_out.py`), so that an iteration only asks what
is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aot.coevolve.evaluation.comparison import comparison, cpu_seconds
from aot.coevolve.evaluation.summaries import Evaluation, attacker_summary, defender_summary
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    BASE,
    BEST_RESPONSE,
    CLEAN,
    SCRIPTED,
    WARM_UP,
    attackers,
    baselines,
    best_response_targets,
    columns_of,
    defenders,
    distractors,
)
from aot.coevolve.rounds.held_out import ANSWERS, held_out_attacks
from aot.coevolve.rounds.scoring import AttackSet, Scores
from aot.coevolve.scenes.game import Game
from aot.coevolve.stages.make import Stages
from aot.scores.intervals import wilson


@dataclass(frozen=True)
class Origin:
    """Where an attacker comes from: the attacker that its training started from (None: it is the cold start), and the
    defender that it was trained against."""

    start: str | None
    against: str


@dataclass
class Evaluator:
    """Collects the scores of a run."""

    stages: Stages
    columns: dict[str, AttackSet] = field(default_factory=dict)
    """By attacker; each draw of scripted distractors is a column of its own."""
    texts: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """What each defender said, by column; "" where it was not asked."""
    responses: dict[str, Scores] = field(default_factory=dict)
    """By final defender: its answers to the attacker that was trained against it alone."""

    def __post_init__(self) -> None:
        self.evaluation = Evaluation([scene.question.kind for scene in self.game.held_out])

    @property
    def recipe(self) -> Recipe:
        return self.stages.recipe

    @property
    def game(self) -> Game:
        return self.stages.game

    @property
    def attackers(self) -> dict[str, Origin]:
        """All attackers of the run, in the order in which they are made."""
        names = attackers(self.recipe)
        first = WARM_UP if self.recipe.warm_up.steps else BASE
        trained = [Origin(before, before if i else first) for i, before in enumerate(names[:-1])]
        return dict(zip(names, [Origin(None, BASE), *trained], strict=True))

    @property
    def defenders(self) -> list[str]:
        return defenders(self.recipe)

    @property
    def groups(self) -> dict[str, list[str]]:
        """Reported attacker -> its columns."""
        draws = distractors(self.recipe)
        scripted = {"random_distractor": draws[:1], f"best_of_{len(draws)}_distractors": draws}
        return scripted | {name: [name] for name in self.attackers}

    def evaluate_until(self, attacker: int, defender: int) -> None:
        """Makes the attacks and answers that are still missing, for the attackers and defenders up to these iterations;
        0: the cold start, and the defenders before the first."""
        before = [name for name in self.defenders if name in (BASE, WARM_UP)]
        asked = [*before, *attackers(self.recipe)[1 : defender + 1]]
        blocks = [*attackers(self.recipe)[: attacker + 1], SCRIPTED]
        self.stages.make_all([f"evaluation/{name}/{block}" for name in asked for block in blocks])
        for name in asked:
            self.ask(name, attacker)

    def ask(self, defender: str, attacker: int) -> None:
        """The defender's answers to clean images, under scripted distractors and the attackers up to this iteration."""
        blocks = [*attackers(self.recipe)[: attacker + 1], SCRIPTED]
        self.stages.make_all([f"evaluation/{defender}/{block}" for block in blocks])
        for name in attackers(self.recipe)[: attacker + 1]:
            self._answers(defender, name)
        self._answers(defender, SCRIPTED)

    def evaluate_best_response(self, defender: str) -> None:
        """Trains the fresh attacker against this final defender, and reads its success on the held-out scenes."""
        column = f"{BEST_RESPONSE}_{defender}"
        self.stages.make_all([f"evaluation/attacks/{column}", f"evaluation/{defender}/{column}"])
        self.columns[column] = held_out_attacks(
            self.stages.make(f"evaluation/attacks/{column}"), self.game, self.stages.memory
        )
        stage = self.stages.make(f"evaluation/{defender}/{column}")
        answers = json.loads((stage.folder / ANSWERS).read_text(encoding="utf-8"))[column]
        self.responses[defender] = np.array(answers["scores"], dtype=np.int8)

    def report_on(self, i: int, say: Callable[[str], None]) -> None:
        """Evaluates all players of the first `i` iterations and says one line on the newest pair."""
        self.evaluate_until(i, i)
        say(self.headline(f"iteration_{i}"))

    def headline(self, name: str) -> str:
        """One line on the newest pair of players."""
        origin = self.attackers[name]
        clean, worst = self.evaluation.clean[name], self.evaluation.worst_case(name)
        start = self.evaluation.successes(origin.against, name).mean()
        now = self.evaluation.successes(name, name).mean()
        return (
            f"{name}: attacker fools the defender it trained against on {start:.1%}, the new one on {now:.1%}; "
            f"defender clean {(clean == 1).mean():.1%}, worst case so far {(worst == 1).mean():.1%}"
        )

    def summary(self) -> dict[str, Any]:
        """The run's `summary.json`; asks what has not been asked yet."""
        run = self.stages.run
        self.evaluate_until(self.recipe.iterations, self.recipe.iterations)
        for name in baselines(self.recipe):
            self.ask(name, self.recipe.iterations)
        for name in best_response_targets(self.recipe):
            if name not in self.responses:
                self.evaluate_best_response(name)
        seconds = {name: stage.wall_seconds for name, stage in run.stages.items()}
        return {
            "name": self.recipe.name,
            "seed": self.recipe.seed,
            "wall_seconds": run.wall_seconds(),
            "stages": seconds,
            "protocol": f"greedy answers, {len(self.game.held_out)} held-out questions, valid attacks only",
            "defenders": {name: defender_summary(self.evaluation, name, self.groups) for name in self.defenders},
            "attackers": {
                name: attacker_summary(self.evaluation, self.columns[name], name, start=e.start, current=e.against)
                for name, e in self.attackers.items()
            },
            "refusals": {name: self.columns[name].refusals for name in self.attackers},
            "arms_race": self._arms_race(),
            "comparison": comparison(self.evaluation, self.responses, self.recipe),
            "cpu_seconds": cpu_seconds(self.recipe, run.stages),
            "refused_rows": len(self.game.refused),
            "notes": self._notes(),
        }

    def _notes(self) -> list[str]:
        notes = [
            f"{name}: {stage.metrics[told]}"
            for name, stage in self.stages.run.stages.items()
            for told in ("stopped", "note")
            if stage.metrics.get(told)
        ]
        unscored = {n: int((s < 0).sum()) for n, s in self.evaluation.clean.items() if (s < 0).any()}
        return notes + [f"{name}: {count} clean answers could not be scored" for name, count in unscored.items()]

    def _arms_race(self) -> list[dict[str, Any]]:
        """Valid success after every training, in the order in which the players were made."""
        steps = []
        for i, (name, origin) in enumerate(self.attackers.items()):
            steps.append((f"attacker {i}" if i else "cold start", name, origin.against))
            if i:
                steps.append((f"defender {i}", name, name))
            elif self.recipe.warm_up.steps:
                steps.append(("defender 0", name, WARM_UP))
        race = []
        for step, attacker, defender in steps:
            hits = self.evaluation.successes(defender, attacker)
            share, interval = float(hits.mean()), list(wilson(int(hits.sum()), len(hits)))
            players = {"step": step, "attacker": attacker, "defender": defender}
            race.append(players | {"valid_success": share, "valid_success_ci": interval})
        return race

    def _answers(self, defender: str, block: str) -> None:
        """Makes the stage of these answers and reads it, once."""
        columns, said = columns_of(self.recipe, block), self.texts.setdefault(defender, {})
        if set(columns) <= set(said):
            return
        for column in columns:
            if column != CLEAN and column not in self.columns:
                made = self.stages.make(f"evaluation/attacks/{column}")
                self.columns[column] = held_out_attacks(made, self.game, self.stages.memory)
        stage = self.stages.make(f"evaluation/{defender}/{block}")
        for column, each in json.loads((stage.folder / ANSWERS).read_text(encoding="utf-8")).items():
            scores = np.array(each["scores"], dtype=np.int8)
            said[column] = each["texts"]
            if column == CLEAN:
                self.evaluation.clean[defender] = scores
            else:
                self.evaluation.attacked.setdefault(defender, {})[column] = scores
