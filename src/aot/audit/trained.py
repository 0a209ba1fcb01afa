"""A trained attacker as a member of the panel. Its edits are kept on disk: they are the only ones that are dear."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aot.attacks.base.family import Rule, Threat
from aot.audit.kept_edits import kept
from aot.players.base import Attacker
from aot.players.base_players import player_folder
from aot.prompts import attack_instruction
from aot.runs.files import canonical_hash, digests_of
from aot.types import Attack, Image, Scene


@dataclass(frozen=True)
class TrainedAttacker:
    """`digest` names the player's weights, `kept` the folder of the edits that it has made before."""

    player: Attacker
    digest: str
    kept: Path
    name: str = "attacker"
    about: str = "A generative editor that was trained to deceive."
    rule: Rule = "objects"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        seed = int(rng.integers(2**31))
        # The boxes are named in what the attacker is told.
        about = [(box.label, box.attribute) for box in scene.protected]

        def made() -> Image:
            return self.player.attack([scene], seed=seed)[0].image

        key = [self.digest, scene.question.text, about, seed]
        image = kept(self.kept, scene, key, made, same_size=True)
        return Attack(scene.id, self.name, "any", image, attack_instruction(scene), seed)


def open_attacker(name: str, kept: Path) -> TrainedAttacker:
    """The attacker in a folder, or "miniature". Raises `AotError` where there is none."""
    from aot.players.attacker.edit_attacker import (
        EditAttacker,  # takes seconds to import, and few audits have one
    )

    folder = player_folder(name, "attacker", option="--attacker FOLDER")
    digest = canonical_hash(digests_of(folder))
    return TrainedAttacker(EditAttacker.load(folder, name="attacker"), digest, kept)
