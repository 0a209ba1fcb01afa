"""AOT-SFT pairs of the miniature world: scripted distractors, kept only where they deceive (method section
1.2).

Each scene gets K candidate edits that are valid by construction and judged again by the referee; a pair is
*effective* where the defender answers the clean image rightly and the edited one wrongly. Types of
questions are balanced inversely to their yield, so that the attacker learns to attack all of them (*ours*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, Field

from aot.arena import face
from aot.checkpoints import TrainLog
from aot.players.base import Defender
from aot.prompts import attack_instruction
from aot.referee import Referee
from aot.train.attacker_sft import EditPair
from aot.train.cell_heads import cell_labels
from aot.types import Bout, EditKind
from aot.world.edits import centred, distractor_attacks, instruction_edits
from aot.world.questions import QUESTION_KINDS
from aot.world.scenes import Layout, WorldScene, draw_scenes, render

CHUNK = 128
"""Scenes handled at once."""


class CurateSettings(BaseModel, frozen=True, extra="forbid"):
    """How effective pairs are looked for; values *ours*."""

    scenes: int = Field(4000, gt=0)
    candidates: int = Field(8, gt=0)  # distractors tried a scene
    related: float = Field(0.5, ge=0, le=1)  # share that resembles a queried object
    rounds: int = Field(4, gt=0)  # after each, question types with few pairs get more scenes
    named_kind: float = Field(0.25, ge=0, le=1)  # share of pairs whose instruction names the edit kind

    @property
    def parts(self) -> int:
        """Steps of the search, as its log counts them."""
        return self.rounds * len(QUESTION_KINDS)


@dataclass(frozen=True, slots=True)
class Curated:
    """Effective pairs, the bouts they came from (same order), and how many edits were tried a question
    type."""

    pairs: list[EditPair]
    bouts: list[Bout]
    tried: dict[str, int]

    @property
    def by_type(self) -> dict[str, int]:
        kinds = [bout.scene.question.kind for bout in self.bouts]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def curate_pairs(
    scenes: Sequence[WorldScene], defender: Defender, referee: Referee, settings: CurateSettings, *, seed: int
) -> Curated:
    """All effective pairs among `settings.candidates` distractors for each scene."""
    found = Curated([], [], {})
    for start in range(0, len(scenes), CHUNK):
        chunk = scenes[start : start + CHUNK]
        rng = np.random.default_rng([seed, start])
        candidates = [
            (scene, attack)
            for scene in chunk
            for attack in distractor_attacks(scene, rng, settings.candidates, settings.related)
        ]
        tried, attacks = [s for s, _ in candidates], [a for _, a in candidates]
        for bout in face(tried, attacks, referee, defender, ask_refused=False):
            kind = bout.scene.question.kind
            found.tried[kind] = found.tried.get(kind, 0) + 1
            if bout.success:
                found.bouts.append(bout)
                named = rng.random() < settings.named_kind
                sentence = attack_instruction(bout.scene, bout.attack.kind if named else "any")
                found.pairs.append(EditPair(bout.scene.image, bout.attack.image, sentence))
    return found


def curate_balanced(
    defender: Defender,
    referee: Referee,
    settings: CurateSettings,
    *,
    seed: int,
    log: TrainLog | None = None,
) -> Curated:
    """`settings.scenes` fresh training scenes in rounds; a type that yields less gets more scenes in the
    next. `log` counts question types: `settings.parts` in all."""
    found, log = Curated([], [], {}), log or TrainLog()
    log.resume(0)
    for number in range(settings.rounds):
        weights = {kind: 1 / (found.by_type.get(kind, 0) + 20) for kind in QUESTION_KINDS}
        size = settings.scenes // settings.rounds / sum(weights.values())
        for place, (kind, weight) in enumerate(weights.items()):
            drawn = draw_scenes(max(1, round(size * weight)), _round_seed(seed, number, place), kinds=[kind])
            one = curate_pairs(drawn, defender, referee, settings, seed=seed)
            found.pairs.extend(one.pairs)
            found.bouts.extend(one.bouts)
            for name, count in one.tried.items():
                found.tried[name] = found.tried.get(name, 0) + count
            log.write(number * len(weights) + place + 1, pairs=len(found.pairs), tried=sum(found.tried.values()))
    return found


def instruction_pairs(scenes: Sequence[WorldScene], *, seed: int, kind: EditKind = "any") -> list[EditPair]:
    """One plain editing task a scene ("Add a red cup."): how an editor learns to paint, and does not
    forget."""
    rng = np.random.default_rng(seed)
    edits = [instruction_edits(scene, rng, kind=kind) for scene in scenes]
    return [
        edit_pair(scene, layout, sentence) for scene, (_, layout, sentence) in zip(scenes, edits, strict=True)
    ]


def edit_pair(scene: WorldScene, layout: Layout, sentence: str) -> EditPair:
    """The example that turns the scene into (the centred) `layout`."""
    after = centred(scene, layout)
    return EditPair(scene.image, render(after), sentence, cell_labels(scene.layout, after))


def _round_seed(seed: int, *numbers: int) -> int:
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])
