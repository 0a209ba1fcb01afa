"""Training pairs of the miniature world: plain editing tasks ("Add a red cup."), and random attacks with the
instruction of an attack.

*Ours*: how the miniature's editor learns to paint, and does not forget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aot.miniature.cell_heads import cell_labels
from aot.train.attacker.sft.edit_sets import EditPair
from aot.train.attacker.sft.pairs import ScriptedTasks, instruction_of
from aot.types import Attack, EditKind, Scene
from aot.world.edits import centred, distractor_attacks, distractor_candidates, instruction_edits
from aot.world.scenes import Layout, WorldScene, draw_scenes, render


def instruction_pairs(
    scenes: Sequence[WorldScene],
    *,
    seed: int,
    kind: EditKind = "any",
    kinds: Mapping[EditKind, float] | None = None,
) -> list[EditPair]:
    """One plain editing task a scene ("Add a red cup."): how an editor learns to paint, and does not
    forget. `kinds`: as `instruction_edits`."""
    rng = np.random.default_rng(seed)
    edits = [instruction_edits(scene, rng, kind=kind, kinds=kinds) for scene in scenes]
    return [
        edit_pair(scene, layout, sentence) for scene, (_, layout, sentence) in zip(scenes, edits, strict=True)
    ]


def distractor_pairs(
    scenes: Sequence[WorldScene], *, seed: int, kinds: Mapping[EditKind, float] | None = None
) -> list[EditPair]:
    """One random valid attack a scene (where there is one), told as an attack: what an attack looks like."""
    rng = np.random.default_rng([seed, 1])
    pairs = []
    for scene in scenes:
        for kind, layout, _ in distractor_candidates(scene, rng, 1, kinds=kinds):
            pairs.append(edit_pair(scene, layout, instruction_of(scene, kind, 0.5, rng)))
    return pairs


def edit_pair(scene: WorldScene, layout: Layout, sentence: str) -> EditPair:
    """The example that turns the scene into (the centred) `layout`."""
    after = centred(scene, layout)
    return EditPair(scene.image, render(after), sentence, cell_labels(scene.layout, after))


def _plain_edits(count: int, seed: int) -> list[EditPair]:
    return instruction_pairs(draw_scenes(count, seed, "train"), seed=seed)


def _distractors(scene: Scene, rng: np.random.Generator, most: int) -> Sequence[Attack]:
    assert isinstance(scene, WorldScene)
    return distractor_attacks(scene, rng, most)


SCRIPTED_TASKS = ScriptedTasks(_plain_edits, _distractors)
"""What trainings of the attacker may add in the miniature world."""
