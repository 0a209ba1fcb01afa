"""The whole method on one page: attacker and defender grow by playing each other (AOT, arXiv 2602.22227, phase 2).

    for each iteration:
        the attacker trains against the frozen defender   (Flow-GRPO, or a named alternative)
        the frozen attacker attacks the training scenes   (the referee refuses what is unfair)
        the defender trains on the valid attacks that are hard but not hopeless, with clean and earlier ones (DAPO)
        the new players meet all others so far on held-out scenes

Every step is a stage of the run folder: a finished one is kept, a killed run goes on where it was. What the main
line does not need at once is made in the background it, in a second process.
Departures: the players that are known already attack the training scenes too, beside the newest attacker: its
predecessor, and scripted distractors, which stand for the AOT-SFT set (*ours*: the paper warms the defender up on 900
samples of that); a defender that lost clean accuracy wins it back before it goes on (*ours*; `clean_guard`);
a defender trained on clean scenes with as many updates is shown beside, as in the paper's ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aot.coevolve.attack_rounds import AttackRounds
from aot.coevolve.evaluator import Evaluator
from aot.coevolve.gallery import write_gallery
from aot.coevolve.plan import plan
from aot.coevolve.recipes import Recipe
from aot.coevolve.scenes import Game, open_game, stage_seed
from aot.data.curriculum import CurriculumRow, build_curriculum
from aot.game.judge import Judge, judge_key, open_judge
from aot.players.attacker import EditAttacker
from aot.players.base_players import copied_in
from aot.players.defender import QwenDefender
from aot.runs.background import Background
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import write_json
from aot.runs.run import CHECKPOINT, LOG, Run, Stage
from aot.runs.train_log import TrainLog
from aot.train.attacker.evolve import train_attacker
from aot.train.defender.clean_guard import clean_accuracy, keep_clean, rehearsal_rows
from aot.train.defender.dapo import train_dapo
from aot.types import Scene

BASE, COLD_START, CLEAN_RL = "base", "iteration_0", "clean_rl"


def coevolve(
    recipe: Recipe, out: Path, *, data: Path | None = None, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Plays the recipe into the run folder `out` and returns its summary (also `summary.json`).

    `data`: a COCO-format folder or LMUData TSV to play on instead of the miniature world.
    """
    torch.set_num_threads(recipe.threads)
    free_text = bool(recipe.judge.player)
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed, data=data, free_text=free_text)
    settings = recipe.model_dump(mode="json") | {"data": str(data) if data else None}
    say(plan(recipe, game))
    with Run(out, settings, say=say) as run, Background(enabled=recipe.processes > 1) as beside:
        write_json(out / "refused.json", [asdict(refusal) for refusal in game.refused])
        league = League(recipe, run, game)
        attacker, defender = league.base_players()
        beside.submit(league.evaluator.catch_up)
        for i in range(1, recipe.iterations + 1):
            beside.submit(partial(league.attacks.by_known_players, i, attacker, defender))
            beside.submit(partial(league.train_on_clean_scenes, i))
            evolved = league.evolve_attacker(i, attacker, defender)
            # Half of these episodes in each process; the curriculum needs them all.
            beside.submit(partial(league.attacks.by_newest, i, evolved, defender, half=2))
            beside.submit(league.evaluator.catch_up)
            league.attacks.by_newest(i, evolved, defender, half=1)
            league.attacks.by_newest(i, evolved, defender, half=2)
            league.attacks.by_known_players(i, attacker, defender)
            attacker, defender = evolved, league.enhance_defender(i, defender)
            beside.submit(partial(league.evaluator.report_on, f"iteration_{i}", say))
        league.evaluator.meet_distractors(f"iteration_{recipe.iterations}")
        beside.wait()
        league.train_on_clean_scenes(recipe.iterations)
        summary = league.evaluator.summary()
        write_gallery(league.evaluator, out / "gallery")
        run.write_summary(summary)
        return summary


@dataclass
class League:
    """All players of a run so far, as finished stages, and the steps that make new ones.

    A step that was given to the second process is called in the main line again: it registers the finished stage there,
    waits for it, or makes it.
    """

    recipe: Recipe
    run: Run
    game: Game
    clean: list[Stage] = field(default_factory=list)
    """The control after each round."""

    def __post_init__(self) -> None:
        self._judge_key = judge_key(self.recipe.judge) if self.recipe.judge.player else {}
        self.attacks = AttackRounds(self.recipe, self.run, self.game)
        self.evaluator = Evaluator(self.recipe, self.run, self.game)

    def base_players(self) -> tuple[Stage, Stage]:
        """The cold-started attacker and the base defender, copied in so that the run folder is complete."""
        attacker = copied_in(self.run, self.recipe.players.attacker, "attacker")
        defender = copied_in(self.run, self.recipe.players.defender, "defender")
        self.evaluator.admit_defender(BASE, defender)
        self.evaluator.admit_attacker(COLD_START, attacker, start=None, against=BASE)
        return attacker, defender

    def evolve_attacker(self, i: int, attacker: Stage, defender: Stage) -> Stage:
        """Attacker evolution: its training against the frozen defender."""
        name, settings = f"iteration_{i}/attacker", self.recipe.attacker
        seed = stage_seed(self.recipe.seed, name)

        def build(folder: Path) -> dict[str, Any]:
            player = EditAttacker.load(attacker.folder, name=f"iteration_{i}")
            opponent = QwenDefender.load(defender.folder, name="current")
            scenes, judge = self.game.train_scenes(seed), self._judge(wanted=bool(settings.judged))
            metrics = train_attacker(
                player, scenes, self.game.referee, opponent, settings, seed=seed, judge=judge, folder=folder
            )
            player.save(folder)
            return metrics

        key = settings.model_dump() | self._judged(wanted=bool(settings.judged))
        stage = self.run.stage(name, build, key=key, seed=seed, parents=[attacker, defender])
        against = f"iteration_{i - 1}" if i > 1 else BASE
        self.evaluator.admit_attacker(f"iteration_{i}", stage, start=f"iteration_{i - 1}", against=against)
        return stage

    def enhance_defender(self, i: int, defender: Stage) -> Stage:
        """Defender enhancement: DAPO on the newest valid attacks, mixed with clean scenes and earlier attacks."""
        name = f"iteration_{i}/defender"
        seed = stage_seed(self.recipe.seed, name)

        def build(folder: Path) -> dict[str, Any]:
            earlier = [row for j in range(1, i) for row in self.attacks.hard(j)]
            newest, clean = self.attacks.episodes(i), self.game.train_scenes(seed)
            self.attacks.hard(i, newest)  # the next iterations need it
            curriculum = build_curriculum(newest, clean, earlier, self.recipe.curriculum, seed=seed)
            player = QwenDefender.load(defender.folder, name=f"iteration_{i}")
            before = {name: value.clone() for name, value in player.model.state_dict().items()}
            metrics = self._dapo(player, curriculum.rows, seed, folder)
            if self.recipe.clean_guard.max_loss < 1 and curriculum.rows:
                metrics |= self._keep_clean(i, player, before, curriculum.rows, seed, folder)
            player.save(folder)
            return metrics | {"curriculum": curriculum.counts}

        dapo = self.recipe.dapo.model_dump() | self._judged(wanted=self.game.free_text)
        key = [dapo, self.recipe.curriculum.model_dump(), self.recipe.clean_guard.model_dump()]
        rounds = [stage for j in range(1, i + 1) for stage in self.attacks.stages[j]]
        stage = self.run.stage(name, build, key=key, seed=seed, parents=[defender, *rounds])
        self.evaluator.admit_defender(f"iteration_{i}", stage)
        return stage

    def train_on_clean_scenes(self, rounds: int) -> None:
        """The control up to this round: the same RL, as many updates, no attack in sight."""
        while self.recipe.clean_rl and len(self.clean) < rounds:
            before = self.clean[-1] if self.clean else self.evaluator.defenders[BASE]
            name = f"{CLEAN_RL}/{len(self.clean) + 1}"
            seed = stage_seed(self.recipe.seed, name)

            def build(folder: Path, before: Stage = before, seed: int = seed) -> dict[str, Any]:
                player = QwenDefender.load(before.folder, name=CLEAN_RL)
                rows = [CurriculumRow(s.id, s.image, s.question) for s in self.game.train_scenes(seed)]
                metrics = self._dapo(player, rows, seed, folder)
                player.save(folder)
                return metrics

            key = self.recipe.dapo.model_dump() | self._judged(wanted=self.game.free_text)
            self.clean.append(self.run.stage(name, build, key=key, seed=seed, parents=[before]))
        if self.recipe.clean_rl and len(self.clean) == self.recipe.iterations:
            self.evaluator.admit_defender(CLEAN_RL, self.clean[-1])
            self.evaluator.catch_up()

    def _dapo(
        self, player: QwenDefender, rows: Sequence[CurriculumRow], seed: int, folder: Path, updates: int | None = None
    ) -> dict[str, Any]:
        """Trains the defender on `rows`; a killed training goes on from its checkpoint."""
        settings = self.recipe.dapo.model_copy(update={"updates": updates} if updates else {})
        if not rows:
            return {"rows": 0, "updates": 0, "stopped": "no usable attack to train on: the defender stays as it was"}
        checkpoint = Checkpoint(folder / CHECKPOINT, self.recipe.defender_checkpoint_every)
        judge = self._judge(wanted=self.game.free_text)
        with TrainLog(folder / LOG, settings.updates, "defender, DAPO") as log:
            result = train_dapo(player, rows, settings, seed=seed, judge=judge, checkpoint=checkpoint, log=log)
        return {"rows": len(rows), "updates": result.updates, "stopped": result.stopped}

    def _keep_clean(
        self,
        i: int,
        player: QwenDefender,
        before: Mapping[str, Tensor],
        rows: Sequence[CurriculumRow],
        seed: int,
        folder: Path,
    ) -> dict[str, Any]:
        """Wins back clean accuracy, measured on the clean images of the scenes that were attacked in this iteration."""
        scenes, guard = self.attacks.scenes(i), self.recipe.clean_guard
        base = QwenDefender.load(self.evaluator.defenders[BASE].folder, name=BASE)

        def rehearse(number: int, lost: list[Scene]) -> None:
            mixed = rehearsal_rows(rows, lost, guard.share, seed=seed + number)
            self._dapo(player, mixed, seed + number, folder / f"rehearsal_{number}", guard.updates)

        return keep_clean(player, before, scenes, clean_accuracy(base, scenes), guard, rehearse)

    def _judge(self, *, wanted: bool) -> Judge | None:
        return open_judge(self.recipe.judge) if wanted else None

    def _judged(self, *, wanted: bool) -> dict[str, Any]:
        """The part of a stage's key that says who judged: other files there make it anew."""
        return {"judge": self._judge_key} if wanted else {}
