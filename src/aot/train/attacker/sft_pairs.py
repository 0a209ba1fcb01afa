"""What the attacker's SFT is fed: pairs of the forge (AOT-SFT, method section 1.2), and plain editing tasks.

A pair is told as the attacker will be told in the game: the question and what not to touch, not the edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from aot.data.images import Fit
from aot.forge.funnel import Funnel
from aot.forge.pairs import EffectSettings, PairSettings, make_pairs
from aot.forge.read_pairs import dataset_pairs
from aot.forge.split import SPLITS
from aot.forge.world import WorldPairSource, WorldSettings
from aot.game.referee import Referee
from aot.players.base import Defender
from aot.prompts import attack_instruction
from aot.train.attacker.edit_sets import EditPair
from aot.types import Attack, EditKind, Scene

AS_SELDOM_DECEIVED = (*("relation",) * 4, *("side",) * 3, *("colour",) * 2, "existence")
"""Question types in rotation, more of those for which few distractors deceive the base defender (measured: 8, 11, 13
and 31 % of the valid ones), so that an attacker learns to attack all of them."""


class CurateSettings(BaseModel, frozen=True, extra="forbid"):
    """How effective pairs of the miniature world are looked for; values *ours*."""

    world: WorldSettings = WorldSettings(scenes=4000, kinds=AS_SELDOM_DECEIVED)
    pairs: PairSettings = PairSettings(candidates=8)
    effect: EffectSettings = EffectSettings(answers=1, temperature=0, least_wrong=1)
    named_kind: float = Field(0.25, ge=0, le=1)  # share of pairs whose instruction names the edit kind


@dataclass(frozen=True)
class ScriptedTasks:
    """What a world whose edits are known can add where a method imitates."""

    plain_edits: Callable[[int, int], Sequence[EditPair]]
    """(number, seed) -> so many plain editing tasks, which keep painting from being forgotten."""
    distractors: Callable[[Scene, np.random.Generator, int], Sequence[Attack]]
    """(scene, rng, most) -> scripted attacks on it."""


@dataclass(frozen=True, slots=True)
class Curated:
    """Effective pairs, and what became of all that were tried."""

    pairs: list[EditPair]
    funnel: Funnel


def curate_pairs(defender: Defender, referee: Referee, settings: CurateSettings, *, seed: int) -> Curated:
    """The forge's pairs that deceive `defender`, from fresh scenes of the miniature world."""
    pair_source = WorldPairSource(settings.world, referee, seed=seed)
    rng, found = np.random.default_rng(seed), Curated([], Funnel())
    for start in range(0, len(pair_source), pair_source.at_once):
        numbers = range(start, min(start + pair_source.at_once, len(pair_source)))
        made, funnel = make_pairs(
            pair_source, numbers, settings.pairs, seed=seed, defender=defender, effect=settings.effect
        )
        found.funnel.merge(funnel)
        for pair in made:
            scene, attack = pair.episode.scene, pair.episode.attack
            sentence = told(scene, attack.kind, settings.named_kind, rng)
            found.pairs.append(EditPair(scene.image, attack.image, sentence))
    return found


def forged_pairs(
    dataset: Path, split: str = SPLITS[0], *, named_kind: float, seed: int, fit: Fit = lambda size: size
) -> list[EditPair]:
    """The pairs of a dataset folder that `aot forge` made, as `dataset_pairs`, told as attacks."""
    rng = np.random.default_rng(seed)
    pairs = dataset_pairs(dataset, split, fit=fit)
    return [EditPair(p.scene.image, p.attacked, told(p.scene, p.kind, named_kind, rng)) for p in pairs]


def told(scene: Scene, kind: EditKind, named_kind: float, rng: np.random.Generator) -> str:
    """The instruction for an attack; with probability `named_kind` it names the kind of edit."""
    return attack_instruction(scene, kind if rng.random() < named_kind else "any")
