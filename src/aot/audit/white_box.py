"""White-box attacks as members of the panel: made against a model in this process, then shown to the audited model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aot.attacks.base.family import Family, Rule, Threat
from aot.attacks.base.titles import AGAINST
from aot.attacks.families import FAMILIES
from aot.attacks.white_box.settings import WHITE_BOX
from aot.attacks.white_box.within_ball import WithinBall
from aot.audit.edit_cache import cached_edits
from aot.audit.plan import AuditSettings
from aot.backends.opening import is_url
from aot.errors import AotError
from aot.players.base_players import player_folder, player_identity
from aot.players.settings import DefenderSettings
from aot.runs.files import canonical_hash
from aot.runs.progress import GRADIENTS, at_most, duration, remaining, titled
from aot.runs.terminal import echo
from aot.types import Attack, Image, Scene

if TYPE_CHECKING:
    from aot.attacks.white_box.attacker import PixelAttacker

TRANSFER = "--transfer-from FOLDER: images made against a model in this process, asked of this one"


PART = 16
"""Images that are attacked together and cached before the next ones: what a killed audit loses at most."""


@dataclass
class CostNotice:
    """Says once, before the first image is attacked, how long the attacks take at most."""

    say: Callable[[str], None]
    told: bool = False

    def before(self, attacker: PixelAttacker, scenes: Sequence[Scene]) -> None:
        left = remaining(GRADIENTS)
        if self.told or not left:
            return
        from aot.attacks.white_box.pixels import gradient_seconds  # takes seconds to import

        self.told = True
        each = gradient_seconds(attacker.pixel_gradients, [s.image for s in scenes], [s.question for s in scenes])
        told = f"{left:,.0f} gradients of an image, {1000 * each:.1f} ms each here: {duration(each * left)}"
        self.say(f"  white-box attacks: at most {told}; what is made is kept every {PART} images")


@dataclass(frozen=True)
class CachedPixelAttack:
    """A white-box attack whose images are cached on disk. `digest`: of the weights and of all settings."""

    attacker: PixelAttacker
    digest: str
    kept: Path
    by_chance: bool
    cost_notice: CostNotice

    rule: Rule = "norm"
    threat: Threat = "pixel"

    @property
    def name(self) -> str:
        return self.attacker.name

    @property
    def about(self) -> str:
        return self.attacker.about

    def images(self, draws: int) -> int:
        """Images made on a scene: an attack without randomness has the same image in every draw."""
        return draws if self.by_chance else 1

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        return self.many([scene], [rng])[0]

    def many(self, scenes: Sequence[Scene], rngs: Sequence[np.random.Generator]) -> list[Attack | str]:
        """no_options: there is no right option whose probability could fall."""
        found: list[Attack | str] = ["no_options"] * len(scenes)
        able = [i for i, scene in enumerate(scenes) if len(scene.question.options) > 1]
        for at in range(0, len(able), PART):
            part = able[at : at + PART]
            seeds = [int(rngs[i].integers(2**31)) if self.by_chance else 0 for i in part]
            images = self._part([scenes[i] for i in part], seeds)
            for i, image, seed in zip(part, images, seeds, strict=True):
                found[i] = Attack(scenes[i].id, self.name, "any", image, self.about, seed)
        return found

    def _part(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[Image]:
        own = self.name.partition(AGAINST)[0]  # whose gradients they are is in the digest
        keys = [
            [self.digest, own, asdict(scene.question), [asdict(box) for box in scene.protected], seed]
            for scene, seed in zip(scenes, seeds, strict=True)
        ]

        def made() -> list[Image]:
            self.cost_notice.before(self.attacker, scenes)
            rngs = [np.random.default_rng(seed) for seed in seeds]
            return [attack.image for attack in self.attacker.attacks(scenes, rngs)]

        with at_most(GRADIENTS, len(scenes) * self.attacker.gradients), titled(self.name):
            return cached_edits(self.kept, scenes, keys, made)


def planned_gradients(panel: Sequence[Family], scenes: int, draws: int, budget: int | None) -> int:
    """An upper bound of the gradients needed for all images of the panel within the budget."""
    pixels = [attack for attack in panel if isinstance(attack, CachedPixelAttack)]
    full = sum(scenes * attack.images(draws) * attack.attacker.gradients for attack in pixels)
    return full if budget is None else min(full, budget * max((p.attacker.gradients for p in pixels), default=0))


def within_ball(panel: Sequence[Family]) -> WithinBall:
    """The referee's check for the white-box attacks of the panel."""
    return WithinBall([attack.attacker for attack in panel if isinstance(attack, CachedPixelAttack)])


def white_box_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the names that need gradients."""
    return tuple(name for name in names if name in WHITE_BOX)


def check_attacks(names: tuple[str, ...], defender: str, transfer_from: Sequence[str]) -> None:
    """Raises `AotError` for a name that is nearly one of them, where attacks by gradients are wanted of a model at a
    URL, or where a model to transfer from is named that nobody needs, or twice."""
    for name in names:
        close = difflib.get_close_matches(name, (*FAMILIES, *WHITE_BOX), n=1)
        if name not in WHITE_BOX and close and close[0] in WHITE_BOX:
            hint = f"did you mean {close[0]}? by gradients: {', '.join(WHITE_BOX)}"
            raise AotError(f"no such attack: {name!r}", where="--attacks", hint=hint)
    wanted = white_box_names(names)
    if wanted and is_url(defender) and not transfer_from:
        what = "a model behind a URL shows no gradients"
        raise AotError(what, where=f"--attacks {','.join(wanted)}", hint=TRANSFER)
    if transfer_from and not wanted:
        hint = f"--attacks with some of {', '.join(WHITE_BOX)}"
        raise AotError("no attack needs the gradients of this model", where="--transfer-from", hint=hint)
    if len(set(transfer_from)) < len(transfer_from):
        raise AotError("the same model is given twice", where="--transfer-from", hint="name each model once")


def open_white_box(
    names: tuple[str, ...],
    models: Sequence[str],
    folder: Path,
    settings: AuditSettings,
    say: Callable[[str], None] = echo,
) -> list[CachedPixelAttack]:
    """The attacks of these names against each of the models (folders, or "miniature"), named by their model where there
    are several; `folder`: where images are kept. Raises `AotError` where there is no such model, or no gradients of its
    pixels are known."""
    # These take seconds to import, and few audits have such attacks.
    from aot.attacks.white_box.attacker import pixel_attackers
    from aot.players.defender.opening import open_defender
    from aot.players.defender.pixel_gradients import pixel_gradients

    sampling, on = settings.sampling, settings.connection.device or "auto"
    on_gpu = DefenderSettings(device=on).torch_device.type == "cuda"
    player = DefenderSettings(
        device=on,
        dtype="bfloat16" if on_gpu else "float32",
        min_pixels=sampling.min_pixels or 0,
        max_pixels=sampling.max_pixels or 0,
    )
    found, cost_notice = list[CachedPixelAttack](), CostNotice(say)
    for model, label in zip(models, labels_of(models), strict=True):
        place = player_folder(model, "defender", option="--transfer-from FOLDER")
        defender = open_defender(place, player, name=label)
        try:
            pixel_gradients(defender)
        except AotError as error:
            raise AotError(error.message, where=model, hint=TRANSFER) from error
        made = pixel_attackers(names, defender, settings.pixels, label if len(models) > 1 else "")
        digest = canonical_hash([player_identity(place), player.key, settings.pixels.model_dump(mode="json")])
        for each in made:
            by_chance = not each.name.startswith("robust_vlm")
            found.append(CachedPixelAttack(each, digest, folder, by_chance, cost_notice))
    return found


def labels_of(models: Sequence[str]) -> list[str]:
    """The last part of each folder's path that tells it from the others; a word as it is."""
    parts = [Path(model).parts[::-1] or (model,) for model in models]
    found = []
    for own in parts:
        length = 1
        while sum(other[:length] == own[:length] for other in parts) > 1 and length < len(own):
            length += 1
        found.append("/".join(own[:length][::-1]))
    return found
