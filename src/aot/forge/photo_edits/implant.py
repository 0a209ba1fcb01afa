"""Who carries out an edit: pasting of cut-outs, or an attacker model that follows an instruction. (A generator that
paints by masks is in `aot.forge.photo_edits.generated`.)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from aot.data.photos.photo import Thing
from aot.forge.photo_edits.attached_objects import carries, shape_of
from aot.forge.photo_edits.bank import cut, lightness_around, outline_mask
from aot.forge.photo_edits.heal import closed, heal
from aot.forge.photo_edits.paint import PaintSettings, covered, paste
from aot.forge.photo_edits.propose import Proposal
from aot.forge.store import PhotoStore
from aot.types import Box, Image

if TYPE_CHECKING:  # takes seconds to import, and few datasets are made with it
    from aot.players.attacker.edit_attacker import EditAttacker

HANGING = ("airplane", "bird", "kite", "clock", "traffic light", "stop sign", "tie", "frisbee", "sports ball")
"""Labels of things that hang or fly: without a shadow under them."""


class Implanter(Protocol):
    """Carries out proposals."""

    def edit(self, image: Image, proposal: Proposal, keep: Sequence[Box], rng: np.random.Generator) -> Image | str:
        """The edited image, or in a word why it would not look right; what the question is about is in the boxes to
        `keep` (pasting spares all that is known)."""
        ...


@dataclass
class PasteImplanter:
    """Without a generator: cut-outs are pasted in, what goes is healed over, from what is in no box. What was healed in
    the last image is remembered: its questions want the same things away."""

    store: PhotoStore
    paint: PaintSettings
    _last: Image | None = field(default=None, init=False)
    _healed: dict[tuple[tuple[Thing, ...], tuple[Box, ...]], Image | str] = field(default_factory=dict, init=False)

    def edit(self, image: Image, proposal: Proposal, keep: Sequence[Box], rng: np.random.Generator) -> Image | str:
        if proposal.kind == "scale":
            return self._resized(image, proposal, keep)
        edited = image if proposal.gone is None else self._without(image, proposal, keep)
        if isinstance(edited, str) or proposal.new is None or proposal.place is None:
            return edited
        stands = proposal.new.label not in HANGING
        piece = cut(self.store, proposal.new)
        if proposal.mirrored:
            piece = replace(piece, rgb=piece.rgb[:, ::-1].copy(), alpha=piece.alpha[:, ::-1].copy())
        return paste(edited, piece, proposal.place, self.paint, stands=stands, its_own=proposal.own)

    def _resized(self, image: Image, proposal: Proposal, keep: Sequence[Box]) -> Image | str:
        """The thing larger or smaller, in its own light. Where a larger one hides the old one up to a narrow rim, the
        shadow that it had stays; behind a smaller one it is healed as one that goes, and gets another shadow."""
        assert proposal.new is not None and proposal.place is not None and proposal.gone is not None
        piece, box = cut(self.store, proposal.new), proposal.place
        if larger := box.area_px > proposal.gone.box.area_px:
            shape = outline_mask(proposal.gone, image.shape[:2])
            edited = closed(image, shape, covered(piece, box, image.shape[:2], self.paint), self.paint)
        else:
            edited = self._without(image, proposal, keep)
        if isinstance(edited, str):
            return edited
        piece = replace(piece, around=lightness_around(edited, box))
        stands = not larger and proposal.new.label not in HANGING
        return paste(edited, piece, box, self.paint, stands=stands, its_own=True)

    def _without(self, image: Image, proposal: Proposal, keep: Sequence[Box]) -> Image | str:
        if image is not self._last:
            self._last, self._healed = image, {}
        gone = proposal.group or ((proposal.gone,) if proposal.gone else ())
        boxes = [thing.box for thing in gone]
        # A table goes on under the cup.
        under = [b for b in keep if proposal.group and any(carries(b, box) for box in boxes)]
        others = tuple(box for box in keep if box not in boxes and box not in under)
        if (gone, others) not in self._healed:
            self._healed[gone, others] = heal(image, shape_of(gone, image.shape[:2]), self.paint, avoid=others)
        return self._healed[gone, others]


@dataclass(frozen=True)
class Editor:
    """An attacker that edits by instruction. What it changed is not known: the referee looks at the result, and whether
    the answer still holds only a judge can tell."""

    attacker: EditAttacker

    @classmethod
    def load(cls, folder: Path | str) -> Editor:
        """Raises `AotError` for a missing or damaged folder."""
        from aot.players.attacker.edit_attacker import EditAttacker  # takes seconds to import

        return cls(EditAttacker.load(folder, name="attacker"))

    def edit(self, image: Image, sentence: str, *, seed: int) -> Image:
        """The image after the sentence, as large as it was: sides that are no multiples of 16 px are padded for the
        editor and cropped, and nothing is resized. Same arguments, same image."""
        attacker, (height, width) = self.attacker, image.shape[:2]
        conditions = attacker.conditions([image], [sentence])
        noise = attacker.noise(conditions, torch.Generator().manual_seed(seed))
        (edited,) = attacker.decode(conditions.images, attacker.sample(conditions, noise))
        return np.ascontiguousarray(edited[:height, :width])
