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
from aot.forge.photo_edits.bank import cut, outline_mask
from aot.forge.photo_edits.heal import heal
from aot.forge.photo_edits.paint import PaintSettings, paste
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
    _healed: dict[tuple[Thing, tuple[Box, ...]], Image | str] = field(default_factory=dict, init=False)

    def edit(self, image: Image, proposal: Proposal, keep: Sequence[Box], rng: np.random.Generator) -> Image | str:
        edited = image if proposal.gone is None else self._without(image, proposal.gone, keep)
        if isinstance(edited, str) or proposal.new is None or proposal.place is None:
            return edited
        stands = proposal.new.label not in HANGING
        piece = cut(self.store, proposal.new)
        if proposal.mirrored:
            piece = replace(piece, rgb=piece.rgb[:, ::-1].copy(), alpha=piece.alpha[:, ::-1].copy())
        return paste(edited, piece, proposal.place, self.paint, stands=stands)

    def _without(self, image: Image, gone: Thing, keep: Sequence[Box]) -> Image | str:
        if image is not self._last:
            self._last, self._healed = image, {}
        others = tuple(box for box in keep if box != gone.box)
        if (gone, others) not in self._healed:
            shape = outline_mask(gone, image.shape[:2])
            self._healed[gone, others] = heal(image, shape, self.paint, avoid=others)
        return self._healed[gone, others]


@dataclass(frozen=True)
class Editor:
    """An attacker that edits by instruction. What it changed nobody knows: the referee looks at the result, and whether
    the answer still holds only a judge can tell."""

    attacker: EditAttacker

    @classmethod
    def load(cls, folder: Path | str) -> Editor:
        """Raises `AotError` for a missing or damaged folder."""
        from aot.players.attacker.edit_attacker import EditAttacker

        return cls(EditAttacker.load(folder, name="attacker"))

    def edit(self, image: Image, sentence: str, *, seed: int) -> Image:
        """The image after the sentence, as large as it was: sides that are no multiples of 16 px are padded for the
        editor and cropped, and nothing is resized. Same arguments, same image."""
        attacker, (height, width) = self.attacker, image.shape[:2]
        conditions = attacker.conditions([image], [sentence])
        noise = attacker.noise(conditions, torch.Generator().manual_seed(seed))
        (edited,) = attacker.decode(conditions.images, attacker.sample(conditions, noise))
        return np.ascontiguousarray(edited[:height, :width])
