"""`aot pretrain`: trains base players from scratch and holds them to their quality gate.

*Ours.* The paper starts from published models; the miniature makes its own. Both trainings are stages of a
run folder: a killed call goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field

from aot.arena import play
from aot.checkpoints import Checkpoint, TrainLog
from aot.players.base import Attacker, Defender
from aot.players.base_players import ASSETS
from aot.players.defender import QwenDefender
from aot.players.scripted import BestOfK, RandomDistractor
from aot.referee import Referee, RefereeSettings, build_referee
from aot.runs import CHECKPOINT, LOG, Run, Stage
from aot.train.pretrain_attacker import AttackerGate, PretrainAttackerSettings, pretrain_attacker
from aot.train.pretrain_defender import PretrainDefenderSettings, pretrain_defender
from aot.types import Scene
from aot.world.scenes import draw_scenes

SHIPPED = ASSETS / "miniature"


class DefenderGate(BaseModel, frozen=True, extra="forbid"):
    """What a base defender must reach on held-out scenes (*ours*)."""

    clean: float = Field(0.97, ge=0, le=1)

    def failures(self, figures: dict[str, Any]) -> list[str]:
        """The figures below the bar, in words."""
        return [f"{k} {figures[k]:.3f} < {bar}" for k, bar in self.model_dump().items() if figures[k] < bar]


class PretrainSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that the base players depend on."""

    name: str = "pretrain"
    seed: int = Field(0, ge=0)
    threads: int = Field(1, gt=0)  # ours: CPU threads; part of what makes the players bit-reproducible
    defender: PretrainDefenderSettings = PretrainDefenderSettings()
    defender_gate: DefenderGate = DefenderGate()
    attacker: PretrainAttackerSettings = PretrainAttackerSettings()
    attacker_gate: AttackerGate = AttackerGate()
    referee: RefereeSettings = RefereeSettings()
    gate_scenes: int = Field(1000, gt=0)  # ours: held-out scenes for the defender's figures


def pretrain(
    settings: PretrainSettings, out: Path, *, ship: bool = False, say: Callable[[str], None] = print
) -> bool:
    """Makes both base players in the run folder `out` and says whether they pass their gate.

    `ship`: players that pass replace those in the package.
    """
    s = settings
    torch.set_num_threads(s.threads)
    referee = build_referee(s.referee, world=True)
    with Run(out, s.model_dump(mode="json"), say=say) as run:

        def make_defender(folder: Path) -> dict[str, Any]:
            with TrainLog(folder / LOG, s.defender.steps, "base defender") as log:
                checkpoint = Checkpoint(folder / CHECKPOINT, every_steps=200)
                player = pretrain_defender(s.defender, seed=s.seed, checkpoint=checkpoint, log=log)
            player.save(folder, dtype=torch.float16)
            shipped = QwenDefender.load(folder)  # what is measured is what is shipped: rounded to 16 bits
            return defender_figures(shipped, referee, n=s.gate_scenes, seed=s.seed)

        def make_attacker(folder: Path) -> dict[str, Any]:
            base = QwenDefender.load(defender.folder)
            player, figures = pretrain_attacker(
                base, referee, s.attacker, seed=s.seed, folder=folder, quiet=False
            )
            player.save(folder, dtype=torch.float16)
            return figures

        defender = run.stage("defender", make_defender, key=s.defender.model_dump(), seed=s.seed)
        failures = report_gate(defender, s.defender_gate.failures(defender.figures), say)
        attacker = run.stage(
            "attacker", make_attacker, key=s.attacker.model_dump(), seed=s.seed, parents=[defender]
        )
        failures += report_gate(attacker, s.attacker_gate.failures(attacker.figures), say)
        if ship and not failures:
            for stage in (defender, attacker):
                install(stage, SHIPPED / stage.name)
            say(f"both players are now those of the package ({SHIPPED})")
        return not failures


def defender_figures(defender: Defender, referee: Referee, *, n: int, seed: int) -> dict[str, Any]:
    """Held-out accuracy: clean, under one random distractor, under the best of 8; overall and by type."""
    scenes = draw_scenes(n, seed, "validation")
    answers = defender.answer([s.image for s in scenes], [s.question for s in scenes])
    right = [a[0].choice == s.question.answer for a, s in zip(answers, scenes, strict=True)]
    figures: dict[str, Any] = {"clean": float(np.mean(right)), "clean_by_type": by_type(scenes, right)}
    random = RandomDistractor()
    opponents: tuple[Attacker, ...] = (random, BestOfK(random, 8, referee, defender))
    for attacker, name in zip(opponents, ("random_distractor", "best_of_8"), strict=True):
        bouts = play(scenes, attacker, referee, defender, seed=seed, clean_answers=answers)
        stands = [r and not b.success for r, b in zip(right, bouts, strict=True)]
        figures |= {name: float(np.mean(stands)), f"{name}_by_type": by_type(scenes, stands)}
    return figures


def by_type(scenes: Sequence[Scene], values: Sequence[bool]) -> dict[str, float]:
    """Mean of the values for each question type."""
    kinds = np.array([scene.question.kind for scene in scenes])
    return {str(kind): float(np.mean(np.array(values)[kinds == kind])) for kind in np.unique(kinds)}


def report_gate(stage: Stage, failures: list[str], say: Callable[[str], None]) -> list[str]:
    """Says the stage's figures and which of them miss the gate; returns those."""
    for name, value in stage.figures.items():
        say(f"  {name}: {_shown(value)}")
    say(f"  gate of the {stage.name}: {'passed' if not failures else 'MISSED: ' + '; '.join(failures)}")
    return failures


def install(stage: Stage, target: Path) -> None:
    """Copies a finished player to `target`: its model files, not its log and manifest."""
    shutil.rmtree(target, ignore_errors=True)
    for name in stage.manifest["files"]:
        if Path(name).name != LOG:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stage.folder / name, target / name)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    return f"{value:.3f}" if isinstance(value, float) else str(value)
