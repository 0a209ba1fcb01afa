"""What the attacker's SFT is fed: pairs of the forge (AOT-SFT, method section 1.2), and plain editing tasks.

A pair is told as the attacker will be told in the game: the question and what not to touch, not the edit. Plain tasks
("Add a red cup.") are *ours*: how the miniature's editor learns to paint, and does not forget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from aot.data.images import Fit, read_image
from aot.errors import AotError
from aot.forge.dataset import read_rows
from aot.forge.funnel import Funnel
from aot.forge.pairs import EffectSettings, PairSettings, make_pairs
from aot.forge.split import SPLITS
from aot.forge.world import WorldSettings, WorldWorkshop
from aot.players.base import Defender
from aot.prompts import attack_instruction
from aot.referee import Referee
from aot.train.attacker_sft import EditPair
from aot.train.cell_heads import cell_labels
from aot.types import LETTERS, Box, EditKind, Question, Scene
from aot.world.edits import centred, distractor_candidates, instruction_edits
from aot.world.scenes import Layout, WorldScene, render

AS_SELDOM_DECEIVED = (*("relation",) * 4, *("side",) * 3, *("colour",) * 2, "existence")
"""Question types in rotation, more of those for which few distractors deceive the base defender (measured: 8, 11, 13
and 31 % of the valid ones), so that an attacker learns to attack all of them."""


class CurateSettings(BaseModel, frozen=True, extra="forbid"):
    """How effective pairs of the miniature world are looked for; values *ours*."""

    world: WorldSettings = WorldSettings(scenes=4000, kinds=AS_SELDOM_DECEIVED)
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
    workshop = WorldWorkshop(settings.world, referee, seed=seed)
    rng, found = np.random.default_rng(seed), Curated([], Funnel())
    for start in range(0, len(workshop), workshop.at_once):
        numbers = range(start, min(start + workshop.at_once, len(workshop)))
        made, funnel = make_pairs(
            workshop, numbers, settings.pairs, seed=seed, defender=defender, effect=settings.effect
        )
        found.funnel.merge(funnel)
        for pair in made:
            scene, attack = pair.bout.scene, pair.bout.attack
            sentence = _told(scene, attack.kind, settings.named_kind, rng)
            found.pairs.append(EditPair(scene.image, attack.image, sentence))
    return found


def forged_pairs(
    dataset: Path, split: str = SPLITS[0], *, named_kind: float, seed: int, fit: Fit = lambda size: size
) -> list[EditPair]:
    """The pairs of a dataset folder that `aot forge` made, images resized as `fit` says.

    Raises `AotError` where the folder holds none of that split.
    """
    rng, pairs = np.random.default_rng(seed), []
    for each in read_rows(sorted((dataset / "data").glob(f"{split}-*.parquet"))):
        clean, attacked = (read_image(each[side]["bytes"], fit)[0] for side in ("clean", "attacked"))
        question = Question(each["question"], tuple(each["options"]), LETTERS.index(each["answer"]))
        about = tuple(Box(0, 0, 0, 0, label) for label in each["box_labels"])
        scene = Scene(each["id"], clean, question, about)
        pairs.append(EditPair(clean, attacked, _told(scene, each["kind"], named_kind, rng)))
    if not pairs:
        hint = "make a dataset with `aot forge`, and see its funnel.json for what became of the pairs"
        raise AotError(f"no pairs of the split {split} here", where=str(dataset / "data"), hint=hint)
    return pairs


def instruction_pairs(scenes: Sequence[WorldScene], *, seed: int, kind: EditKind = "any") -> list[EditPair]:
    """One plain editing task a scene ("Add a red cup."): how an editor learns to paint, and does not
    forget."""
    rng = np.random.default_rng(seed)
    edits = [instruction_edits(scene, rng, kind=kind) for scene in scenes]
    return [
        edit_pair(scene, layout, sentence) for scene, (_, layout, sentence) in zip(scenes, edits, strict=True)
    ]


def distractor_pairs(scenes: Sequence[WorldScene], *, seed: int) -> list[EditPair]:
    """One random valid attack a scene (where there is one), told as an attack: what an attack looks like."""
    rng = np.random.default_rng([seed, 1])
    pairs = []
    for scene in scenes:
        for kind, layout, _ in distractor_candidates(scene, rng, 1):
            pairs.append(edit_pair(scene, layout, _told(scene, kind, 0.5, rng)))
    return pairs


def edit_pair(scene: WorldScene, layout: Layout, sentence: str) -> EditPair:
    """The example that turns the scene into (the centred) `layout`."""
    after = centred(scene, layout)
    return EditPair(scene.image, render(after), sentence, cell_labels(scene.layout, after))


def _told(scene: Scene, kind: EditKind, named_kind: float, rng: np.random.Generator) -> str:
    return attack_instruction(scene, kind if rng.random() < named_kind else "any")
