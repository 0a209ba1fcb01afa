"""Attack rounds: episodes of frozen players on the training scenes, from which a defender's curriculum is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aot.coevolve.recipes import Recipe
from aot.coevolve.scenes import Game, stage_seed
from aot.data.curriculum import CurriculumRow, hard_rows
from aot.data.records import load_episodes, save_episodes
from aot.game.arena import greedy_answers, play
from aot.miniature.scripted import RandomDistractor
from aot.players.attacker import EditAttacker
from aot.players.base import Attacker
from aot.players.defender import QwenDefender
from aot.runs.run import Run, Stage
from aot.types import Episode, Scene


@dataclass
class AttackRounds:
    """All rounds of a run so far, as finished stages; a round that stands is not played twice."""

    recipe: Recipe
    run: Run
    game: Game
    stages: dict[int, list[Stage]] = field(default_factory=dict)
    """By iteration."""
    _hard: dict[int, list[CurriculumRow]] = field(default_factory=dict)

    def by_newest(self, i: int, attacker: Stage, defender: Stage, *, half: Literal[1, 2]) -> None:
        """Episodes of the newly trained attacker on every second training scene, from the first or the second on."""
        self._round(i, "attacks", attacker, 0, defender, made_in=i, half=half)

    def by_known_players(self, i: int, attacker: Stage, defender: Stage) -> None:
        """Episodes of the attacker before it, and of scripted distractors, with the same defender."""
        self._round(i, "known_attacks", attacker, self.recipe.attacks.scripted_draws, defender, made_in=i - 1)

    def episodes(self, i: int) -> list[Episode]:
        """All episodes of iteration i, read from disk."""
        scenes = self.game.train_scenes
        return [episode for s in self.stages[i] for episode in load_episodes(s.folder, scenes(s.manifest["seed"]))]

    def scenes(self, i: int) -> list[Scene]:
        """The training scenes that were attacked in iteration i, each once."""
        seeds = sorted({stage.manifest["seed"] for stage in self.stages[i]})
        return [scene for seed in seeds for scene in self.game.train_scenes(seed)]

    def hard(self, i: int, episodes: Sequence[Episode] | None = None) -> list[CurriculumRow]:
        """Iteration i's attacks that were hard for its defender. `episodes`: those of i, where they are in memory; they
        are read again only after a restart."""
        if i not in self._hard:
            self._hard[i] = hard_rows(self.episodes(i) if episodes is None else episodes, self.recipe.curriculum)
        return self._hard[i]

    def _round(
        self, i: int, kind: str, attacker: Stage, scripted: int, defender: Stage, *, made_in: int, half: int = 0
    ) -> None:
        """Episodes, on all training scenes or one half of them, of the frozen attacker that iteration `made_in` left,
        and of `scripted` distractors a scene."""
        name = f"iteration_{i}/{kind}" + (f"/{half}" if half else "")
        if any(stage.name == name for stage in self.stages.get(i, [])):
            return
        seed = stage_seed(self.recipe.seed, f"iteration_{i}/{kind}")  # both halves are of the same scenes

        def build(folder: Path) -> dict[str, Any]:
            opponent = QwenDefender.load(defender.folder, name="current")
            scenes, settings = self.game.train_scenes(seed), self.recipe.attacks
            attacked = scenes[half - 1 :: 2] if half else scenes
            clean = greedy_answers(attacked, opponent)
            players: list[Attacker] = [EditAttacker.load(attacker.folder, name=f"iteration_{made_in}")]
            players += [RandomDistractor(related=settings.scripted_related)] * scripted
            episodes: list[Episode] = []
            for number, player in enumerate(players):
                episodes += play(
                    attacked,
                    player,
                    self.game.referee,
                    opponent,
                    k=settings.answers,
                    temperature=settings.temperature,
                    seed=stage_seed(seed, f"{name} {number}"),
                    clean_answers=clean,
                )
            save_episodes(folder, episodes)
            valid, successes = sum(b.verdict.valid for b in episodes), sum(b.success for b in episodes)
            return {"episodes": len(episodes), "valid": valid, "successes": successes}

        key = self.recipe.attacks.model_dump() | {"scenes": self.game.key, "referee": self.recipe.referee.model_dump()}
        stage = self.run.stage(name, build, key=key, seed=seed, parents=[attacker, defender])
        # In the order of their names: which was made first depends on the number of processes.
        self.stages[i] = sorted([*self.stages.get(i, []), stage], key=lambda stage: stage.name)
