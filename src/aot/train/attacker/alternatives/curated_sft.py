"""SFT of the attacker on pairs curated anew for their effect on the current defender (*ours*, as a named alternative to
Flow-GRPO); the miniature world only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field

from aot.forge.funnel import Funnel
from aot.forge.pairs import EffectSettings, PairSettings, make_pairs
from aot.forge.world import WorldPairSource, WorldSettings
from aot.game.referee import Referee
from aot.players.base import Defender
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.sft.edit_sets import EditPair, EditSet
from aot.train.attacker.sft.flow_matching import SftSettings, train_sft
from aot.train.attacker.sft.pairs import QUESTION_TYPE_ROTATION, instruction_of

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker


class CurateSettings(BaseModel, frozen=True, extra="forbid"):
    """How effective pairs of the miniature world are looked for; values *ours*."""

    world: WorldSettings = WorldSettings(scenes=4000, kinds=QUESTION_TYPE_ROTATION)
    pairs: PairSettings = PairSettings(candidates=8)
    effect: EffectSettings = EffectSettings(answers=1, temperature=0, least_wrong=1)
    named_kind: float = Field(0.25, ge=0, le=1)  # share of pairs whose instruction names the edit kind


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
            sentence = instruction_of(scene, attack.kind, settings.named_kind, rng)
            found.pairs.append(EditPair(scene.image, attack.image, sentence))
    return found


class CuratedSftSettings(BaseModel, frozen=True, extra="forbid"):
    """A fresh pool of effective scripted pairs, and SFT on it. Values *ours*; the miniature world only."""

    curate: CurateSettings = CurateSettings()
    sft: SftSettings = SftSettings(steps=200)


def train_curated_sft(
    attacker: EditAttacker,
    referee: Referee,
    defender: Defender,
    settings: CuratedSftSettings,
    *,
    seed: int,
    retention: EditSet | None = None,
    checkpoint: Checkpoint | None = None,
    log: TrainLog | None = None,
) -> dict[str, Any]:
    """Trains `attacker.transformer` in place on pairs that deceive the frozen `defender`, with the plain editing tasks
    `retention` among them; returns the figures. Raises AotError where no pair deceives it."""
    found = curate_pairs(defender, referee, settings.curate, seed=seed)
    pairs = EditSet.of(attacker, found.pairs)
    examples = EditSet.joined([pairs, retention]) if retention is not None else pairs
    metrics = train_sft(attacker, examples, settings.sft, seed=seed, checkpoint=checkpoint, log=log)
    return metrics | {"pairs": len(found.pairs), "funnel": found.funnel.as_json()}
