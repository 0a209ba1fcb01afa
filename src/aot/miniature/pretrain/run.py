"""`aot pretrain`: trains base players and holds them to their quality gate: both from scratch, or, on the shipped ones,
an attacker that also makes the wider kinds of edits.

*Ours.* The paper starts from published models; the miniature makes its own: a defender, an editor, and, as in the
paper, an attacker by SFT of the editor on what the forge finds to deceive that defender. All are stages of a run
folder: a killed call goes on where it was.
"""

from __future__ import annotations

import operator
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator

from aot.errors import AotError
from aot.forge.models import DefenderFolder
from aot.forge.pairs import EffectSettings, PairSettings
from aot.forge.pipeline import ForgeSettings, forge
from aot.forge.world import WorldSettings
from aot.game.episodes import play
from aot.game.referee import Referee, RefereeSettings
from aot.miniature.pairs import distractor_pairs, instruction_pairs
from aot.miniature.pretrain.defender import PretrainDefenderSettings, pretrain_defender
from aot.miniature.pretrain.editor import (
    AttackerGate,
    PretrainEditorSettings,
    attacker_metrics,
    pretrain_editor,
)
from aot.miniature.pretrain.instruction_following import edits_as_instructed
from aot.miniature.scripted import BestOfK, RandomDistractor
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.base import Attacker, Defender
from aot.players.base_players import SHIPPED, keep_player, player_key
from aot.players.defender.qwen import QwenDefender
from aot.players.settings import DefenderSettings
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import digests_of
from aot.runs.limits import Threads
from aot.runs.overrides import merged
from aot.runs.run import CHECKPOINT, LOG, Run, Stage
from aot.runs.terminal import echo
from aot.runs.threads import use_threads
from aot.runs.train_log import TrainLog
from aot.train.attacker.sft.cold_start import ColdStartPairs, ColdStartSettings, cold_start
from aot.train.attacker.sft.pairs import QUESTION_TYPE_ROTATION
from aot.types import EditKind, Scene
from aot.world.edits import WIDE_KINDS, WIDE_MIX
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes

WIDE_LESSONS: dict[EditKind, float] = {
    **{"add": 0.24, "replace": 0.09, "remove": 0.06, "hybrid": 0.11},
    **{"scale": 0.2, "texture": 0.12, "occlude": 0.18},
}
"""Shares of the kinds of edits that the wider attacker learns from: half of them are new to it."""


class DefenderGate(BaseModel, frozen=True, extra="forbid"):
    """What a base defender must reach on held-out scenes (*ours*)."""

    clean: float = Field(0.97, ge=0, le=1)

    def failures(self, metrics: dict[str, Any]) -> list[str]:
        """The metrics below the bar, in words."""
        return [f"{k} {metrics[k]:.3f} < {bar}" for k, bar in self.model_dump().items() if metrics[k] < bar]


class PretrainSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that the base players depend on."""

    name: str = "pretrain"
    # The defender is the shipped one, and only an attacker is made. Not told where it is off, as what follows from it.
    attacker_only: bool = Field(False, exclude_if=operator.not_)
    seed: int = Field(0, ge=0)
    threads: Threads = 1  # ours: CPU threads; part of what makes the players bit-reproducible
    defender: PretrainDefenderSettings = PretrainDefenderSettings()
    defender_gate: DefenderGate = DefenderGate()
    editor: PretrainEditorSettings = PretrainEditorSettings()
    pairs: ForgeSettings = ForgeSettings(
        name="cold_start",
        seed=1,  # other scenes than those that the editor learned to paint on
        held_out_share=0.02,
        world=WorldSettings(scenes=14_000, kinds=QUESTION_TYPE_ROTATION),
        pairs=PairSettings(candidates=8),
        effect=EffectSettings(answers=1, temperature=0, least_wrong=1),
    )
    plain_scenes: int = Field(13_000, ge=0)  # plain editing tasks at hand for the cold start
    told_scenes: int = Field(0, ge=0, exclude_if=operator.not_)  # random valid attacks among these, of all kinds
    cold_start: ColdStartSettings = ColdStartSettings()
    attacker_gate: AttackerGate = AttackerGate()
    referee: RefereeSettings = RefereeSettings()
    gate_scenes: int = Field(1000, gt=0)  # ours: held-out scenes for the metrics

    @model_validator(mode="after")
    def _knows_what_it_judges(self) -> PretrainSettings:
        wider = {*self.editor.kinds, *self.pairs.world.edits}.intersection(WIDE_KINDS)
        for referee in (self.referee, self.pairs.referee):
            if wider and not referee.wide_edits:
                raise ValueError(f"{', '.join(sorted(wider))} need referee.wide_edits and pairs.referee.wide_edits")
        return self


def wide_settings() -> PretrainSettings:
    """Of the attacker that also makes the wider kinds: the shipped one, trained on. Values *ours*."""
    usual, knowing = PretrainSettings(), {"wide_edits": True}
    painting = {"steps": 2000, "batch": 32, "optimizer": {"adamw_lr": 4e-3}}
    changes = {
        "name": "pretrain_wide",
        "attacker_only": True,
        "editor": {
            "kinds": WIDE_LESSONS,
            "start": "shipped",
            "reader": {"steps": 350, "anchor": 5.0},
            "painting_scenes": 10_000,
            "painting": painting,
        },
        "pairs": {"world": {"scenes": 2200, "edits": WIDE_MIX}, "referee": knowing},
        "plain_scenes": 2000,
        "told_scenes": 2000,
        # Few of the pairs that deceive are of a wider kind: most of what is shown keeps all kinds in mind.
        "cold_start": {"retention": 0.7, "sft": {"steps": 400}},
        "referee": knowing,
    }
    return PretrainSettings.model_validate(merged(usual.model_dump(), changes))


def pretrain(
    settings: PretrainSettings, out: Path, *, ship: bool = False, say: Callable[[str], None] = echo
) -> bool:
    """Makes the base players in the run folder `out` and says whether they pass their gate.

    `ship`: players that pass replace those in the package.
    """
    s = settings
    if ship and s.attacker_only:
        hint = f"without --ship; then --set players.attacker={out}/attacker --set referee.wide_edits=true"
        raise AotError("the package holds the base pair alone", where="aot pretrain --wide --ship", hint=hint)
    use_threads(s.threads)
    referee = world_referee(s.referee)
    with Run(out, s.model_dump(mode="json"), say=say) as run:
        if s.attacker_only:
            defender = run.stage("defender", _keep_defender, key=player_key(DefenderSettings(), "defender"))
            failures: list[str] = []
        else:
            make = partial(_make_defender, s, referee)
            defender = run.stage("defender", make, key=s.defender.model_dump(), seed=s.seed)
            failures = report_gate(defender, s.defender_gate.failures(defender.metrics), say)
        make = partial(_make_editor, s, defender)
        editor = run.stage("editor", make, key=s.editor.model_dump(), seed=s.seed, parents=[defender])
        pairs = out / "pairs"
        forge(None, pairs, s.pairs, defender=DefenderFolder(defender.folder, "base"), say=say)
        key = {**s.cold_start.model_dump(), "plain": s.plain_scenes, "pairs": digests_of(pairs / "data")}
        if s.told_scenes:
            key["told"] = s.told_scenes
        make = partial(_make_attacker, s, referee, defender, editor, pairs)
        attacker = run.stage("attacker", make, key=key, seed=s.seed, parents=[defender, editor])
        failures += report_gate(attacker, s.attacker_gate.failures(attacker.metrics), say)
        if ship and not failures:
            for stage in (defender, attacker):
                install(stage, SHIPPED / stage.name)
            say(f"both players are now those of the package ({SHIPPED})")
        return not failures


def _keep_defender(folder: Path) -> dict[str, Any]:
    return keep_player(DefenderSettings(), "defender", folder)


def _make_defender(settings: PretrainSettings, referee: Referee, folder: Path) -> dict[str, Any]:
    s = settings
    with TrainLog(folder / LOG, s.defender.steps, "base defender") as log:
        checkpoint = Checkpoint(folder / CHECKPOINT, every_steps=200)
        player = pretrain_defender(s.defender, seed=s.seed, checkpoint=checkpoint, log=log)
    player.save(folder, dtype=torch.float16)
    shipped = QwenDefender.load(folder)  # what is measured is what is shipped: rounded to 16 bits
    return defender_metrics(shipped, referee, n=s.gate_scenes, seed=s.seed)


def _make_editor(settings: PretrainSettings, defender: Stage, folder: Path) -> dict[str, Any]:
    s, base = settings, QwenDefender.load(defender.folder)
    player, metrics = pretrain_editor(base, s.editor, seed=s.seed, folder=folder, quiet=False)
    player.save(folder)
    held_out = draw_scenes(s.gate_scenes, s.seed, "validation")
    return metrics | {"painted_as_told": edits_as_instructed(player, held_out, seed=s.seed, kinds=s.editor.kinds)}


def _make_attacker(
    settings: PretrainSettings, referee: Referee, defender: Stage, editor: Stage, pairs: Path, folder: Path
) -> dict[str, Any]:
    s, kinds = settings, settings.editor.kinds
    player, base = EditAttacker.load(editor.folder), QwenDefender.load(defender.folder)
    plain = instruction_pairs(draw_scenes(s.plain_scenes, s.seed, "train"), seed=s.seed, kinds=kinds)
    told = draw_scenes(s.told_scenes, s.seed, "train", first=s.plain_scenes)
    plain += distractor_pairs(told, seed=s.seed, kinds=kinds)
    with TrainLog(folder / LOG, s.cold_start.sft.steps, "base attacker, cold start") as log:
        keep: dict[str, Any] = {"checkpoint": Checkpoint(folder / CHECKPOINT, every_steps=200), "log": log}
        shown = ColdStartPairs.of(pairs, s.cold_start, seed=s.seed, plain=plain)
        metrics = cold_start(player, shown, s.cold_start, seed=s.seed, **keep)
    player.save(folder, dtype=torch.float16)
    shipped = EditAttacker.load(folder)
    return metrics | attacker_metrics(shipped, base, referee, n=s.gate_scenes, seed=s.seed, kinds=kinds)


def defender_metrics(defender: Defender, referee: Referee, *, n: int, seed: int) -> dict[str, Any]:
    """Held-out accuracy: clean, under one random distractor, under the best of 8; overall and by type."""
    scenes = draw_scenes(n, seed, "validation")
    answers = defender.answer([s.image for s in scenes], [s.question for s in scenes])
    right = [a[0].choice == s.question.answer for a, s in zip(answers, scenes, strict=True)]
    metrics: dict[str, Any] = {"clean": float(np.mean(right)), "clean_by_type": by_type(scenes, right)}
    random = RandomDistractor()
    opponents: tuple[Attacker, ...] = (random, BestOfK(random, 8, referee, defender))
    for attacker, name in zip(opponents, ("random_distractor", "best_of_8"), strict=True):
        episodes = play(scenes, attacker, referee, defender, seed=seed, clean_answers=answers)
        stands = [r and not b.success for r, b in zip(right, episodes, strict=True)]
        metrics |= {name: float(np.mean(stands)), f"{name}_by_type": by_type(scenes, stands)}
    return metrics


def by_type(scenes: Sequence[Scene], values: Sequence[bool]) -> dict[str, float]:
    """Mean of the values for each question type."""
    kinds = np.array([scene.question.kind for scene in scenes])
    return {str(kind): float(np.mean(np.array(values)[kinds == kind])) for kind in np.unique(kinds)}


def report_gate(stage: Stage, failures: list[str], say: Callable[[str], None]) -> list[str]:
    """Says the stage's metrics and which of them miss the gate; returns those."""
    for name, value in stage.metrics.items():
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
