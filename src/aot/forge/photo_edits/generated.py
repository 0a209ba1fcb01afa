"""Scenes and edits that a generator paints: the forge's stages 1 and 2 with an `Inpainter` instead of cut-outs.

`GeneratedExtender` stands where `CanvasExtender` does; `implant`, `remove` and `exchange` where `paste` and `heal` of
`aot.forge.photo_edits.paint` do. What a generator painted has no boxes: an extended photo is not `complete`, so that
nothing is asked about it that would need them (is there a ...?, how many ...?), and whether a second copy of one of its
own things appeared, which the paper has an MLLM look at, the computed check of duplication cannot tell. Let an MLLM
look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, Field

from aot.data.photos.photo import Photo
from aot.errors import AotError
from aot.forge.photo_edits.bank import outline_mask
from aot.forge.photo_edits.extend import Extension, moved_thing
from aot.forge.photo_edits.propose import Proposal
from aot.players.hub import is_hub_id
from aot.players.inpaint.base import Inpainter, Mask
from aot.prompts import EXTEND_PROMPT, IMPLANT_PROMPT, REMOVE_PROMPT, REPLACE_PROMPT, with_article
from aot.runs.limits import within
from aot.types import Box, Image

GeneratorKind = Literal["flux_fill", "onereward", "qwen"]


class GeneratedSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    share: Annotated[tuple[float, float], within(0.01, 1)] = (0.3, 0.5)  # width that is added, like `CanvasSettings`
    overlap_px: int = Field(
        16, ge=0
    )  # of the photo, painted anew: both sides of the seam are then of one hand
    grow_share: float = Field(0.1, ge=0)  # of a box's sides: room for the shadow of what is put in
    grow_px: int = Field(4, ge=0)  # at least so much; around a mask exactly so much


class GeneratedExtender:
    """An `Extender`: continues a photo on one side, left or right, with what the inpainter makes of `EXTEND_PROMPT`."""

    def __init__(self, inpainter: Inpainter, settings: GeneratedSettings | None = None):
        self.inpainter, self.settings = inpainter, settings or GeneratedSettings()
        self.name = f"generated/{inpainter.name}"

    def extend(self, photo: Photo, rng: np.random.Generator) -> Extension | str:
        """The photo's pixels stay exactly as they are but for the `overlap_px` columns at the seam, and its boxes move
        with them; labels of things in those columns become doubtful. Reasons: given_question (what was asked of the
        photo may not hold for more than it)."""
        if photo.given:
            return "given_question"
        s, (height, width) = self.settings, photo.image.shape[:2]
        left = bool(rng.integers(2))
        wide = max(1, round(width * rng.uniform(*s.share)))
        seed = int(rng.integers(2**31))
        shift, start = (wide, 0) if left else (0, width)
        # The edge goes on under the mask: an editor that sees the whole canvas sees no black bar to imitate.
        canvas = np.pad(photo.image, ((0, 0), (shift, wide - shift), (0, 0)), mode="edge")
        mask = np.zeros(canvas.shape[:2], bool)
        mask[:, : wide + s.overlap_px] = left
        mask[:, max(0, width - s.overlap_px) :] |= not left
        (image,) = self.inpainter.inpaint([canvas], [mask], [EXTEND_PROMPT], seed=seed)
        cut = {
            thing.box.label
            for thing in photo.things
            if (thing.box.x0 <= s.overlap_px if left else thing.box.x1 >= width - s.overlap_px)
        }
        extended = replace(
            photo,
            image=image,
            things=tuple(moved_thing(thing, shift, 0) for thing in photo.things),
            doubtful=photo.doubtful | cut,
            complete=False,
            licence=" + ".join(dict.fromkeys(filter(None, (photo.licence, self.inpainter.licence)))),
        )
        return Extension(extended, Box(start, 0, start + wide, height), known=False)


@dataclass(frozen=True)
class GeneratedImplanter:
    """An `Implanter` (`aot.forge.photo_source`): paints what a proposal asks for, by masks."""

    inpainter: Inpainter
    remove_prompt: str = REMOVE_PROMPT
    settings: GeneratedSettings | None = None

    def edit(self, image: Image, proposal: Proposal, keep: Sequence[Box], rng: np.random.Generator) -> Image:
        """The edited image; the boxes to `keep` are never painted on."""
        seed = int(rng.integers(2**31))
        how: dict[str, Any] = {"keep": keep, "settings": self.settings}
        gone, place = proposal.gone, proposal.place
        hole = outline_mask(gone, image.shape[:2]) > 0.5 if gone else None
        if hole is not None and place and proposal.kind == "replace":
            return exchange(self.inpainter, image, hole, place.label, seed=seed, **how)
        if hole is not None:
            image = remove(self.inpainter, image, hole, seed=seed, prompt=self.remove_prompt, **how)
        if place:
            image = implant(self.inpainter, image, place.label, place, seed=seed + 1, **how)
        return image


def check_generator(place: str) -> None:
    """Raises `AotError` where a generator's folder is named that holds none; hub ids are fetched, and told, later."""
    if place and not is_hub_id(place) and not (Path(place) / "model_index.json").is_file():
        hint = "give a pipeline's folder or hub id with --set photos.generator_folder=FOLDER, or leave it out"
        raise AotError("no generator there: model_index.json is missing", where=place, hint=hint)


def open_inpainter(kind: GeneratorKind, place: str) -> tuple[Inpainter, str]:
    """The generator in a folder or of a hub id (empty: its published one), and the prompt with which it removes."""
    # Each pipeline takes seconds to import.
    if kind == "qwen":
        from aot.players.inpaint.qwen import QWEN_EDIT, QwenInpainter

        return QwenInpainter.load(place or QWEN_EDIT), REMOVE_PROMPT
    from aot.players.inpaint.flux import FLUX_FILL, ONEREWARD_REMOVE, FluxFillInpainter

    if kind == "onereward":
        return FluxFillInpainter.load_onereward(place or FLUX_FILL), ONEREWARD_REMOVE
    return FluxFillInpainter.load(place or FLUX_FILL), REMOVE_PROMPT


def implant(
    inpainter: Inpainter,
    image: Image,
    label: str,
    box: Box,
    *,
    seed: int,
    keep: Sequence[Box] = (),
    settings: GeneratedSettings | None = None,
) -> Image:
    """The image with a thing called `label` painted into the box, grown a little; pixels in the boxes to `keep` (what
    the question is about) stay. Raises ValueError where nothing is left to paint on."""
    s, (height, width) = settings or GeneratedSettings(), image.shape[:2]
    dx, dy = (max(s.grow_px, round(s.grow_share * side)) for side in (box.x1 - box.x0, box.y1 - box.y0))
    mask = np.zeros((height, width), bool)
    if box.area_px:
        mask[max(0, box.y0 - dy) : max(0, box.y1 + dy), max(0, box.x0 - dx) : max(0, box.x1 + dx)] = True
    return _painted(inpainter, image, mask, keep, IMPLANT_PROMPT.format(thing=with_article(label)), seed)


def remove(
    inpainter: Inpainter,
    image: Image,
    mask: Mask,
    *,
    seed: int,
    keep: Sequence[Box] = (),
    prompt: str = REMOVE_PROMPT,
    settings: GeneratedSettings | None = None,
) -> Image:
    """The image without what the mask `[H, W]`, grown a little, covers. OneReward knows removal by the one fixed
    `prompt` "remove" (`aot.players.inpaint.flux.ONEREWARD_REMOVE`). Raises ValueError like `implant`."""
    return _painted(inpainter, image, _grown(mask, settings), keep, prompt, seed)


def exchange(
    inpainter: Inpainter,
    image: Image,
    mask: Mask,
    label: str,
    *,
    seed: int,
    keep: Sequence[Box] = (),
    settings: GeneratedSettings | None = None,
) -> Image:
    """The image with a thing called `label` in place of what the mask `[H, W]`, grown a little, covers. Raises
    ValueError like `implant`."""
    prompt = REPLACE_PROMPT.format(thing=with_article(label))
    return _painted(inpainter, image, _grown(mask, settings), keep, prompt, seed)


def _grown(mask: Mask, settings: GeneratedSettings | None) -> Mask:
    """With `grow_px` more on every side: outlines are drawn tight, and things have shadows."""
    side = 2 * (settings or GeneratedSettings()).grow_px + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def _painted(
    inpainter: Inpainter, image: Image, mask: Mask, keep: Sequence[Box], prompt: str, seed: int
) -> Image:
    free = mask.copy()
    for box in keep:
        free[max(0, box.y0) : max(0, box.y1), max(0, box.x0) : max(0, box.x1)] = False
    if not free.any():
        raise ValueError("nothing to paint on: the mask is empty, or within the boxes to keep")
    (painted,) = inpainter.inpaint([image], [free], [prompt], seed=seed)
    return painted
