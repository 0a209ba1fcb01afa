"""Attacks by gradients as members of the panel: made against a model in this process, asked of whoever is audited."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aot.attacks.base import Family, Rule, Threat
from aot.attacks.families import FAMILIES
from aot.attacks.pixel_settings import WHITE_BOX
from aot.attacks.within_ball import WithinBall
from aot.audit.kept_edits import kept
from aot.audit.plan import AuditSettings
from aot.backends.opening import is_url
from aot.errors import AotError
from aot.players.base_players import player_folder
from aot.players.digests import player_digests
from aot.players.settings import DefenderSettings
from aot.runs.files import canonical_hash
from aot.types import Attack, Image, Scene

if TYPE_CHECKING:
    from aot.attacks.pixel_attacker import PixelAttacker

TRANSFER = "--transfer-from FOLDER: images made against a model in this process, asked of this one"


@dataclass(frozen=True)
class KeptPixels:
    """A white-box attack whose images are kept on disk. `digest`: of the weights and of all settings."""

    attacker: PixelAttacker
    digest: str
    kept: Path
    by_chance: bool

    rule: Rule = "norm"
    threat: Threat = "pixel"

    @property
    def name(self) -> str:
        return self.attacker.name

    @property
    def title(self) -> str:
        return self.attacker.title

    @property
    def about(self) -> str:
        return self.attacker.about

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        """no_options: there is no right option whose probability could fall."""
        if len(scene.question.options) < 2:
            return "no_options"
        seed = int(rng.integers(2**31)) if self.by_chance else 0  # without chance every draw is the same image
        boxes = [asdict(box) for box in scene.protected]

        def made() -> Image:
            return self.attacker.attacks([scene], [np.random.default_rng(seed)])[0].image

        key = [self.digest, self.name, asdict(scene.question), boxes, seed]
        image = kept(self.kept, scene, key, made, same_size=False)
        return Attack(scene.id, self.name, "any", image, self.about, seed)


def within_ball(panel: Sequence[Family]) -> WithinBall:
    """The referee's check of those of the panel."""
    return WithinBall([attack.attacker for attack in panel if isinstance(attack, KeptPixels)])


def white_box(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the names that need gradients."""
    return tuple(name for name in names if name in WHITE_BOX)


def check_attacks(names: tuple[str, ...], defender: str, transfer_from: str | None) -> None:
    """Raises `AotError` for a name that is nearly one of them, where attacks by gradients are wanted of a model at a
    URL, or where a model to transfer from is named that nobody needs."""
    for name in names:
        close = difflib.get_close_matches(name, (*FAMILIES, *WHITE_BOX), n=1)
        if name not in WHITE_BOX and close and close[0] in WHITE_BOX:
            hint = f"did you mean {close[0]}? by gradients: {', '.join(WHITE_BOX)}"
            raise AotError(f"no such attack: {name!r}", where="--attacks", hint=hint)
    wanted = white_box(names)
    if wanted and is_url(defender) and not transfer_from:
        what = "a model behind a URL shows no gradients"
        raise AotError(what, where=f"--attacks {','.join(wanted)}", hint=TRANSFER)
    if transfer_from and not wanted:
        hint = f"--attacks with some of {', '.join(WHITE_BOX)}"
        raise AotError("no attack needs the gradients of this model", where="--transfer-from", hint=hint)


def open_white_box(names: tuple[str, ...], model: str, folder: Path, settings: AuditSettings) -> list[KeptPixels]:
    """The attacks of these names against the model in a folder, or "miniature"; `folder`: where images are kept. Raises
    `AotError` where there is no such model, or no gradients of its pixels are known."""
    from aot.attacks.pixel_attacker import pixel_attackers  # takes seconds to import, and few audits have one
    from aot.players.defender.differentiable import with_gradients
    from aot.players.defender.opening import open_defender

    place = player_folder(model, "defender", option="--transfer-from FOLDER")
    sampling, on = settings.sampling, settings.connection.device or "auto"
    on_gpu = DefenderSettings(device=on).torch_device.type == "cuda"
    player = DefenderSettings(
        device=on,
        dtype="bfloat16" if on_gpu else "float32",
        min_pixels=sampling.min_pixels or 0,
        max_pixels=sampling.max_pixels or 0,
    )
    defender = open_defender(place, player, name=Path(model).name)
    try:
        with_gradients(defender)
    except AotError as error:
        raise AotError(error.message, where=model, hint=TRANSFER) from error
    made = pixel_attackers(names, defender, settings.pixels)
    digest = canonical_hash([player_digests(place), player.key, settings.pixels.model_dump(mode="json")])
    return [KeptPixels(each, digest, folder, not each.name.startswith("robust_vlm")) for each in made]

