"""Recipes: every setting of a run in one frozen object, with a name.

The settings classes live beside the code they configure; here they are only composed. A recipe is Python that
derives from another one; a recipe file is JSON with the settings that differ (a run's `recipe.json` is one).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, model_validator

from aot.coevolve.compute import ComputeSettings
from aot.coevolve.scenes import AttackRoundSettings, EvaluationSettings, GameSettings
from aot.coevolve.sft_batches import ScriptedAttackSettings
from aot.data.curriculum import CurriculumSettings
from aot.errors import AotError
from aot.game.floor import FloorSettings
from aot.game.judge import JUDGE_PLAYER, JudgeSettings
from aot.game.referee import RefereeSettings
from aot.players.settings import PlayersSettings
from aot.runs.files import read_json
from aot.runs.overrides import merged, overridden, validated
from aot.runs.tracking import Track
from aot.train.attacker.evolve import AttackerTraining
from aot.train.attacker.flow_grpo import paper_flow_grpo
from aot.train.defender.clean_guard import CleanGuardSettings
from aot.train.defender.settings import DapoSettings, paper_dapo
from aot.train.defender.sft import DefenderSftSettings


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """Everything that a run depends on, besides its data and its output folder; and on what it is made (`compute`)."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    seed: int = Field(0, ge=0)
    threads: int = Field(1, gt=0)  # ours: CPU threads a process; part of what makes a run bit-reproducible
    processes: int = Field(
        2, ge=1, le=2
    )  # ours: 2 evaluates, and trains the control, beside the main line (CPU only)
    iterations: int = Field(3, gt=0)  # paper: N = 3
    warm_up: DefenderSftSettings = DefenderSftSettings(steps=0)  # iteration 0 of the defender; 0 steps: none
    pairs: str = ""  # paper: AOT-SFT, what the warm-up learns from: a folder that `aot forge` made; "": the next line
    scripted_attacks: ScriptedAttackSettings = ScriptedAttackSettings()  # ours
    hits: DefenderSftSettings = DefenderSftSettings(steps=0)  # ours: SFT on an iteration's hits behind its DAPO
    hits_share: float = Field(0.25, ge=0, le=1)  # ours: of a batch of these; the rest are scripted attacks
    clean_rl: bool = True  # paper: "same RL on clean data", the control
    clean_rl_updates: int = Field(0, ge=0)  # ours: of the control, an iteration; 0: as many as the defender's
    sft_scripted_steps: int = Field(0, ge=0)  # ours: the baseline without a game: SFT on scripted attacks alone
    best_response_updates: int = Field(0, ge=0)  # ours: steps of a fresh attacker against each final defender; 0: none
    game: GameSettings = GameSettings()
    players: PlayersSettings = PlayersSettings()
    judge: JudgeSettings = JudgeSettings()  # what its word is worth: attacker.flow_grpo.environment.reward.judge
    referee: RefereeSettings = RefereeSettings()
    floor: FloorSettings = FloorSettings()  # what the referee's threshold is held to before the attacker is trained
    attacker: AttackerTraining = AttackerTraining()
    attacks: AttackRoundSettings = AttackRoundSettings()
    curriculum: CurriculumSettings = CurriculumSettings()
    dapo: DapoSettings = DapoSettings()
    clean_guard: CleanGuardSettings = CleanGuardSettings()
    defender_checkpoint_every: int = Field(20, gt=0)  # ours, updates
    evaluation: EvaluationSettings = EvaluationSettings()
    compute: ComputeSettings = ComputeSettings()
    track: Track = "none"  # ours: who else is told what trainings measure, beside their logs

    @model_validator(mode="after")
    def _judged(self) -> Recipe:
        if self.attacker.judged and not self.judge.player:
            where = f"attacker.{self.attacker.method}.environment.reward.judge"
            criteria = " and ".join(self.attacker.judged)
            raise ValueError(
                f"{where} rewards {criteria}, and there is no judge: --set {JUDGE_PLAYER}=miniature, or a folder or URL"
            )
        return self

    def changed(self, **settings: Any) -> Recipe:
        """A recipe like this one with some settings replaced, validated again; nested ones as mappings."""
        return Recipe.model_validate(merged(self.model_dump(), settings))


def miniature() -> Recipe:
    """The demo: three iterations and the baselines, over ten minutes on two cores. Sizes are *ours*; docs/log.md."""
    # Hotter samples and a larger batch of groups than usual: a sharp little model soon gives only equal answers. And
    # averaged weights: what the last few updates forget of the clean scenes differs from one to the next.
    dapo = {
        "updates": 6,
        "learning_rate": 3e-4,
        "schedule": "constant",
        "ema": 0.95,
        "groups": 64,
        "max_draws": 4,
        "temperature": 1.5,
        "entropy_coef": 0.05,
    }
    # SFT's steps take about the method's CPU seconds (1.07 times, measured), the control's a third: twice as many
    # updates gained it nothing (docs/log.md).
    return Recipe(name="miniature").changed(
        game={"train_scenes": 250, "held_out_scenes": 800},
        warm_up={"steps": 150, "batch": 32, "learning_rate": 1e-3, "ema": 0.9},
        attacker={"method": "flow_grpo", "flow_grpo": {"updates": 7}},
        attacks={"scripted_draws": 1},
        curriculum={"rows": 400, "clean_share": 0.52},
        dapo=dapo,
        hits={"steps": 50, "batch": 32, "learning_rate": 1e-3, "schedule": "constant", "ema": 0.95},
        hits_share=0.15,
        clean_guard={"max_loss": 0.003},
        sft_scripted_steps=640,
        clean_rl_updates=45,
        best_response_updates=12,
    )


def miniature_long() -> Recipe:
    """The same game unattended. All sizes *ours*; those of warm-up and baselines have not been run yet."""
    attacker = {"flow_grpo": {"updates": 160}}
    game = {"train_scenes": 2000, "held_out_scenes": 3000}
    return miniature().changed(
        name="miniature_long",
        game=game,
        attacker=attacker,
        curriculum={"rows": 3800},
        dapo={"updates": 40},
        hits={"steps": 300},
        sft_scripted_steps=5000,
        clean_rl_updates=1000,
        best_response_updates=100,
    )


def smoke() -> Recipe:
    """Every step once, in seconds, for tests: it learns nothing."""
    flow_grpo = {"updates": 2, "groups": 4, "group_size": 4}
    return miniature().changed(
        name="smoke",
        iterations=1,
        game={"train_scenes": 48, "held_out_scenes": 48},
        attacker={"flow_grpo": flow_grpo},
        dapo={"updates": 2, "groups": 2, "group_size": 4},
        evaluation={"distractors": 2},
        warm_up={"steps": 2, "batch": 8},
        hits={"steps": 1, "batch": 8},
        clean_rl_updates=0,
        sft_scripted_steps=2,
        best_response_updates=1,
    )


def paper() -> Recipe:
    """The published settings for Qwen2.5-VL-7B and Qwen-Image-Edit; sources stand at the fields."""
    attacker = AttackerTraining(method="flow_grpo", flow_grpo=paper_flow_grpo())
    warm_up = DefenderSftSettings(
        steps=15,
        batch=60,  # paper: 900 samples
        candidates=1,
        learning_rate=1e-5,
        per_forward=1,
    )
    game = GameSettings(max_pixels=512 * 512)  # Flow-GRPO's code for Qwen-Image-Edit: 512 px; own shapes: ours
    return Recipe(name="paper", game=game, attacker=attacker, dapo=paper_dapo(), warm_up=warm_up)


RECIPES = {make.__name__: make for make in (miniature, miniature_long, smoke, paper)}


def load_recipe(name_or_file: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, or of a JSON file, with `overrides` like "dapo.updates=30" applied in order.

    A file may name the recipe that it changes as "base" (else `miniature`). Raises `AotError` naming the
    setting, what is allowed and close matches.
    """
    settings, where = _named_or_file(name_or_file)
    hint = "aot recipe NAME prints every setting of a recipe with its value"
    return overridden(Recipe, settings, overrides, where=where, hint=hint)


def _named_or_file(name_or_file: str) -> tuple[dict[str, Any], str]:
    if name_or_file in RECIPES:
        return RECIPES[name_or_file]().model_dump(), f"recipe {name_or_file}"
    path = Path(name_or_file)
    known = f"recipes: {', '.join(RECIPES)}"
    if path.suffix != ".json":
        close = difflib.get_close_matches(name_or_file, RECIPES, n=1)
        guess = f"did you mean {close[0]}? " if close else ""
        hint = f"{guess}{known}; or a .json file"
        raise AotError("no such recipe", where=f"--recipe {name_or_file}", hint=hint)
    change = read_json(path, hint=f"give the path of a JSON file, or one of the {known}")
    if not isinstance(change, dict):
        example = 'e.g. {"base": "miniature", "seed": 1}'
        raise AotError("a recipe file holds one JSON object", where=str(path), hint=example)
    base = change.pop("base", "miniature")
    change.pop("data", None)  # a run's own recipe.json names its data, which --data gives again
    if base not in RECIPES:
        raise AotError(f"no such base recipe: {base!r}", where=str(path), hint=known)
    return merged(RECIPES[base]().model_dump(), {"name": path.stem, **change}), str(path)


def recipe_of(run: Path) -> tuple[Recipe, Path | None]:
    """The recipe of a run folder and the data that it plays on (none: the miniature world). Raises `AotError` where
    there is no run, or one of a recipe that this version does not read."""
    path, hint = run / "recipe.json", "`aot coevolve` begins a run"
    settings = read_json(path, hint=hint, needs=())
    data = settings.pop("data", None)
    return validated(Recipe, settings, where=str(path), hint=hint), Path(data) if data else None
