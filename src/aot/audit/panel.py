"""The attacks of an audit: small frozen objects, all called alike with a scene and a generator.

Two groups, never mixed in one figure:

- an *edit* changes what is around the question and leaves the protected boxes alone; the referee refuses it otherwise
  (localized SSIM, overlap, edit area, and the answer worked out again where that is possible). Only edits deceive.
- a *corruption* (noise, blur, JPEG, brightness) changes every pixel a little, so that no rule about boxes can hold it:
  a global SSIM does. It says how robust a model is, not how easily it is deceived.

Where nobody can say that the answer stays right (a question that came with the data, without boxes), only corruptions
are made. The panel, its strengths and the two thresholds are *ours*; the paper names the threats (method section 1).
"""

from __future__ import annotations

import copy
import difflib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Literal, Protocol

import cv2
import numpy as np
from PIL import Image as PilImage
from pydantic import AfterValidator, BaseModel, Field

from aot.errors import AotError
from aot.forge.photo_source import PhotoPairSource, PhotoScene
from aot.game.referee import RefereeSettings, changed_fraction
from aot.miniature.world.edits import centred, distractor_candidates
from aot.miniature.world.scenes import WorldScene, render
from aot.types import Attack, Box, Image, Scene

Group = Literal["edit", "corruption"]
Rule = Literal["objects", "paint", "corruption"]
"""Who judges: edits of objects must keep the answer, paint beside the boxes only the boxes, corruptions the image."""


VISIBLE_LEVELS = RefereeSettings().visible_levels


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the first limit must not be above the second")
    return limits


Limits = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""From, to: a strength is drawn evenly between them for every attack."""


class Strengths(BaseModel, frozen=True, extra="forbid"):
    """How strong the attacks without a model are; all *ours*."""

    tries: int = Field(12, gt=0)  # photos: edits drawn until one is possible; the model is not asked about these
    related: float = Field(0.5, ge=0, le=1)  # world: share of new objects that resemble a queried one
    occlusion_share: Limits = (0.02, 0.08)  # of the image's area
    occlusion_places: int = Field(40, gt=0)  # tried before there is none beside the boxes
    noise_levels: Limits = (4, 8)  # largest change of any value (L-infinity), of 255
    blur_sigma_px: Limits = (0.8, 2.0)
    jpeg_quality: Limits = (10, 30)
    light_share: Limits = (0.15, 0.35)  # of the full range: brightness by so much, and contrast


class PanelAttack(Protocol):
    """One way to attack. Same scene and state of the generator: same attack."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def about(self) -> str:
        """What it does, in a sentence of its own."""
        ...

    @property
    def rule(self) -> Rule: ...

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        """The attack, or in a word why there is none."""
        ...


def group_of(attack: PanelAttack) -> Group:
    return "corruption" if attack.rule == "corruption" else "edit"


@dataclass(frozen=True)
class ObjectEdit:
    """A distractor is put in, or an object that nobody asks about goes. Photos: by the forge's pair source, which knows
    one kind of edit; the world: by its own edits, whose truth is known."""

    name: str
    title: str
    about: str
    kind: Literal["add", "remove"]
    related: float
    tries: int
    pair_source: PhotoPairSource | None = None
    rule: Rule = "objects"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        if isinstance(scene, WorldScene):
            for kind, layout, sentence in distractor_candidates(scene, rng, 1, self.related, kind=self.kind):
                return Attack(scene.id, self.name, kind, render(centred(scene, layout)), sentence)
            return "nothing_to_remove" if self.kind == "remove" else "no_object"
        if self.pair_source is None:
            return "no_object"
        made = self.pair_source.distract(scene, rng)
        for _ in range(self.tries - 1):
            if not isinstance(made, str):
                break
            made = self.pair_source.distract(scene, rng)
        return made


@dataclass(frozen=True)
class Occlusion:
    """A patch beside the protected boxes, blurred beyond recognition, or grey: always where a blur hides nothing."""

    share: tuple[float, float]
    places: int
    name: str = "occlusion"
    title: str = "Occlusion"
    about: str = "A grey or blurred patch beside the protected boxes."
    rule: Rule = "paint"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        height, width = scene.image.shape[:2]
        wanted = "grey" if rng.random() < 0.5 else "blurred"
        for _ in range(self.places):
            area, aspect = rng.uniform(*self.share) * height * width, rng.uniform(0.6, 1.6)
            wide, high = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if not (2 <= wide < width and 2 <= high < height):
                continue
            x, y = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
            patch = Box(x, y, x + wide, y + high)
            if any(patch.overlap_px(box) for box in scene.protected):
                continue
            image = scene.image.copy()
            part = image[y : y + high, x : x + wide]
            soft = np.asarray(cv2.GaussianBlur(part, (0, 0), min(wide, high) / 4), np.uint8)
            what = wanted if changed_fraction(part, soft, VISIBLE_LEVELS) > 0.2 else "grey"
            part[:] = soft if what == "blurred" else 128
            return Attack(scene.id, self.name, "any", image, f"A {what} patch of {wide} x {high} px at ({x}, {y}).")
        return "no_place"


@dataclass(frozen=True)
class Corruption:
    """The whole image, changed by `change(image, strength, rng)` with a strength drawn within the limits; `unit` says
    in words what it was."""

    name: str
    title: str
    about: str
    limits: tuple[float, float]
    change: Callable[[Image, float, np.random.Generator], Image]
    unit: str
    rule: Rule = "corruption"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        strength = float(rng.uniform(*self.limits))
        image = self.change(scene.image, strength, rng)
        return Attack(scene.id, self.name, "any", image, self.unit.format(strength))


def noisy(image: Image, levels: float, rng: np.random.Generator) -> Image:
    """Every value moved by exactly `levels`, up or down: the corners of the L-infinity ball."""
    step = round(levels)
    moved = image.astype(np.int16) + np.where(rng.random(image.shape) < 0.5, -step, step).astype(np.int16)
    return moved.clip(0, 255).astype(np.uint8)


def blurred(image: Image, sigma_px: float, rng: np.random.Generator) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def compressed(image: Image, quality: float, rng: np.random.Generator) -> Image:
    buffer = BytesIO()
    PilImage.fromarray(image).save(buffer, "JPEG", quality=round(quality))
    with PilImage.open(buffer) as picture:
        return np.asarray(picture.convert("RGB"))


def relit(image: Image, share: float, rng: np.random.Generator) -> Image:
    """Brighter or darker by `share` / 2 of the range, with more or less contrast by `share`."""
    lighter, steeper = rng.choice([-1.0, 1.0], 2)
    levels = (image.astype(np.float32) - 128) * (1 + steeper * share) + 128 + lighter * share / 2 * 255
    return np.rint(levels).clip(0, 255).astype(np.uint8)


ATTACKS = ("distractor", "removal", "occlusion", "noise", "blur", "jpeg", "brightness")
"""What is in the panel unless chosen otherwise; a trained attacker joins where it is given."""


def build_panel(
    names: Sequence[str], s: Strengths, pair_source: PhotoPairSource | None, trained: PanelAttack | None = None
) -> list[PanelAttack]:
    """The attacks of these names and the `trained` one, edits first. Raises `AotError` for an unknown name."""
    for name in names:
        if name not in ATTACKS:
            close = difflib.get_close_matches(name, ATTACKS, n=1)
            hint = (f"did you mean {close[0]}? " if close else "") + f"attacks: {', '.join(ATTACKS)}"
            raise AotError(f"no such attack: {name!r}", where="--attacks", hint=hint)
    put_in = "An object is put in where it touches nothing that the question is about."
    goes = "An object that the question is not about goes, and the background closes over it."
    noise = "Every value moved up or down by {:g} to {:g} of 255.".format(*s.noise_levels)
    blur = "Gaussian, sigma {:g} to {:g} px.".format(*s.blur_sigma_px)
    jpeg = "Compressed to quality {:g} to {:g}.".format(*s.jpeg_quality)
    light = "Contrast changed by {:.0%} to {:.0%}, lightness by half as much.".format(*s.light_share)
    add, remove = _only(pair_source, "add"), _only(pair_source, "remove")
    edits: list[PanelAttack] = [
        ObjectEdit("distractor", "Distractor", put_in, "add", s.related, s.tries, add),
        ObjectEdit("removal", "Removal", goes, "remove", s.related, s.tries, remove),
        Occlusion(s.occlusion_share, s.occlusion_places),
    ]
    corruptions: list[PanelAttack] = [
        Corruption("noise", "Noise", noise, s.noise_levels, noisy, "Noise of {:.0f}/255."),
        Corruption("blur", "Blur", blur, s.blur_sigma_px, blurred, "Gaussian blur, sigma {:.1f} px."),
        Corruption("jpeg", "JPEG", jpeg, s.jpeg_quality, compressed, "JPEG of quality {:.0f}."),
        Corruption("brightness", "Brightness", light, s.light_share, relit, "Light changed by {:.0%}."),
    ]
    chosen = [attack for attack in edits if attack.name in names]
    chosen += [trained] if trained else []
    return chosen + [attack for attack in corruptions if attack.name in names]


def _only(pair_source: PhotoPairSource | None, kind: Literal["add", "remove"]) -> PhotoPairSource | None:
    """The same pair_source, making edits of one kind."""
    if pair_source is None:
        return None
    limited, settings = copy.copy(pair_source), pair_source.settings
    propose = settings.propose.model_copy(update={"kinds": {kind: 1.0}})
    limited.settings = settings.model_copy(update={"propose": propose})
    return limited


def answer_is_guarded(scene: Scene) -> bool:
    """Whether an edit can be held to the question: by boxes, or because its answer can be worked out again."""
    known = isinstance(scene, WorldScene) or (isinstance(scene, PhotoScene) and scene.query is not None)
    return known or bool(scene.protected)


def draw(attack: PanelAttack, scene: Scene, number: int, seed: int) -> Attack | str:
    """Draw `number` (from 0) of the attack on the scene: a function of the seed and these only, whatever else is in the
    audit. In a word why there is none: no_boxes, unchanged, or the attack's own."""
    if attack.rule != "corruption" and not answer_is_guarded(scene):
        return "no_boxes"
    key = [seed, zlib.crc32(scene.id.encode()), zlib.crc32(attack.name.encode()), number]
    made = attack(scene, np.random.default_rng(key))
    if not isinstance(made, str) and np.array_equal(made.image, scene.image):
        return "unchanged"
    return made
