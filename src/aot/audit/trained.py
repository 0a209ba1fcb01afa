"""A trained attacker as a member of the panel. Its edits are cached on disk, as each takes a sampling of the editor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aot.attacks.base.family import Rule, Threat
from aot.audit.edit_cache import cached_edit
from aot.players.base import Attacker
from aot.players.base_players import player_folder
from aot.prompts import attack_instruction
from aot.runs.files import canonical_hash, digests_of
from aot.types import Attack, Image, Scene


@dataclass(frozen=True)
class TrainedAttacker:
    """`digest` identifies the player's weights; `cache` is the folder of its cached edits."""

    player: Attacker
    digest: str
    cache: Path
    name: str = "attacker"
    about: str = "A generative editor that was trained to deceive."
    rule: Rule = "objects"
    threat: Threat = "semantic"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        seed = int(rng.integers(2**31))
        # The instruction names the protected boxes.
        about = [(box.label, box.attribute) for box in scene.protected]

        def made() -> Image:
            return self.player.attack([scene], seed=seed)[0].image

        key = [self.digest, scene.question.text, about, seed]
        image = cached_edit(self.cache, scene, key, made, same_size=True)
        return Attack(scene.id, self.name, "any", image, attack_instruction(scene), seed)


def open_attacker(name: str, cache: Path) -> TrainedAttacker:
    """The attacker in a folder, or "miniature". Raises `AotError` where there is none."""
    from aot.players.attacker.edit_attacker import (
        EditAttacker,  # takes seconds to import, and few audits have one
    )

    folder = player_folder(name, "attacker", option="--attacker FOLDER")
    digest = canonical_hash(digests_of(folder))
    return TrainedAttacker(EditAttacker.load(folder, name="attacker"), digest, cache)
