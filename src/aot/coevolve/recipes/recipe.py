"""A recipe: every setting of a run in one frozen object, with a name.

The settings classes live beside the code they configure; here they are only composed.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator, model_validator

from aot.backends.vllm.settings import IN_PROCESS
from aot.coevolve.recipes.baselines import BaselineSettings
from aot.coevolve.recipes.compute import ComputeSettings
from aot.coevolve.recipes.stage_settings import AttackRoundSettings, EvaluationSettings, MetaSettings
from aot.coevolve.scenes.game import GameSettings
from aot.coevolve.scenes.scripted import ScriptedAttackSettings
from aot.data.episodes.curriculum import CurriculumSettings
from aot.game.floor import FloorSettings
from aot.game.judge import JUDGE_PLAYER, JudgeSettings
from aot.game.referee import RefereeSettings
from aot.players.settings import PlayersSettings
from aot.runs.limits import Threads
from aot.runs.overrides import merged
from aot.runs.tracking import PictureSettings, Track
from aot.train.attacker.evolve import AttackerTraining
from aot.train.defender.clean_guard import CleanGuardSettings
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.sft.settings import DefenderSftSettings


class Recipe(BaseModel, frozen=True, extra="forbid"):
    """Everything that a run depends on, besides its data and its output folder; and on what it is made (`compute`)."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    seed: int = Field(0, ge=0)
    threads: Threads = 1  # ours: CPU threads a process; part of what makes a run bit-reproducible
    processes: int = Field(
        2, ge=1, le=2
    )  # ours: 2 evaluates, and trains the control, beside the main line (CPU only)
    iterations: int = Field(3, gt=0, le=1000)  # paper: N = 3
    warm_up: DefenderSftSettings = DefenderSftSettings(steps=0)  # iteration 0 of the defender; 0 steps: none
    pairs: str = ""  # paper: AOT-SFT, what the warm-up learns from: a folder that `aot forge` made; "": the next line
    scripted_attacks: ScriptedAttackSettings = ScriptedAttackSettings()  # ours
    hits: DefenderSftSettings = DefenderSftSettings(steps=0)  # ours: SFT on an iteration's hits before its DAPO
    hits_share: float = Field(0.25, ge=0, le=1)  # ours: of a batch, one at least; the rest: scripted attacks
    hits_decay: float = Field(1.0, gt=0, le=1)  # ours: an iteration's learning rates of it, in shares of the last
    meta: MetaSettings = MetaSettings()  # ours: whom the players of an iteration are trained against
    clean_rl: bool = True  # paper: "same RL on clean data", the control
    clean_rl_updates: int = Field(0, ge=0)  # ours: of the control, an iteration; 0: as many as the defender's
    sft_scripted_steps: int = Field(0, ge=0)  # ours: the baseline without a game: SFT on scripted attacks alone
    baselines: tuple[BaselineSettings, ...] = ()  # ours: more of them, by SFT from the base defender
    best_response_updates: int = Field(0, ge=0)  # ours: steps of a fresh attacker against each final defender; 0: none
    game: GameSettings = GameSettings()
    players: PlayersSettings = PlayersSettings()
    judge: JudgeSettings = JudgeSettings()  # what its scores weigh: attacker.flow_grpo.environment.reward.judge
    referee: RefereeSettings = RefereeSettings()
    floor: FloorSettings = FloorSettings()  # measured before all training; the threshold must not be above it
    attacker: AttackerTraining = AttackerTraining()
    attacks: AttackRoundSettings = AttackRoundSettings()
    curriculum: CurriculumSettings = CurriculumSettings()
    dapo: DapoSettings = DapoSettings()
    clean_guard: CleanGuardSettings = CleanGuardSettings()
    defender_checkpoint_every: int = Field(20, gt=0)  # ours, updates
    evaluation: EvaluationSettings = EvaluationSettings()
    compute: ComputeSettings = ComputeSettings()
    track: Track = "none"  # ours: a tracker that gets the trainings' metrics, beside their logs
    pictures: PictureSettings = PictureSettings()  # of what attackers make while they are trained

    @field_validator("baselines")
    @classmethod
    def _different_names(cls, baselines: tuple[BaselineSettings, ...]) -> tuple[BaselineSettings, ...]:
        names = [baseline.name for baseline in baselines]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several baselines are called {', '.join(twice)}")
        return baselines

    @model_validator(mode="after")
    def _judged(self) -> Recipe:
        if self.attacker.judged and not self.judge.player:
            where = f"attacker.{self.attacker.method}.environment.reward.judge"
            criteria = " and ".join(self.attacker.judged)
            raise ValueError(
                f"{where} rewards {criteria}, and there is no judge: --set {JUDGE_PLAYER}=miniature, or a folder or URL"
            )
        return self

    @model_validator(mode="after")
    def _mixed_in_this_process(self) -> Recipe:
        if self.meta.rule != "newest" and self.compute.answers != IN_PROCESS:
            raise ValueError(
                f"meta.rule={self.meta.rule} asks a mixture of defenders, in this process: with compute.answers="
                f"{self.compute.answers} set meta.rule=newest"
            )
        return self

    @model_validator(mode="after")
    def _in_chunks(self) -> Recipe:
        if self.compute.executor == "ray" and not (self.attacks.chunk and self.evaluation.chunk):
            raise ValueError(
                "compute.executor=ray hands out chunks of scenes: set attacks.chunk and evaluation.chunk, to 32 say"
            )
        return self

    @model_validator(mode="after")
    def _abstaining(self) -> Recipe:
        if self.dapo.reward.abstain and not (self.players.defender.abstain or self.warm_up.abstain_share):
            ways = "players.defender.abstain=true offers it, warm_up.abstain_share=0.1 teaches it"
            raise ValueError(f"dapo.reward.abstain rewards an answer that the defender never gives: --set {ways}")
        if self.players.defender.abstain and self.players.defender.model == "miniature":
            known = "the miniature has read no prompt but its own: offered to abstain, it answers nothing right"
            raise ValueError(f"{known}; warm_up.abstain_share=0.1 and hits.abstain_share=0.1 teach it without")
        return self

    def changed(self, **settings: Any) -> Recipe:
        """A recipe like this one with some settings replaced, validated again; nested ones as mappings."""
        return Recipe.model_validate(merged(self.model_dump(), settings))
