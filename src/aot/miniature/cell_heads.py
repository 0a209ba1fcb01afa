"""Throw-away heads that teach an editor to see and to read: what each block of the image shows, before and
after.

*Ours.* At high noise the squared error hardly pays for knowing *what* is to be painted while it is open
*where*; so the words of an instruction are learned late. These heads read the noisy tokens' last hidden
states and are asked for kind and colour of what the source shows in their block, of what the target shows
there, and, from all blocks together, of what comes and what goes; for the wider edits also for its size or
surface. They are used in pretraining only and never saved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aot.world.scenes import Layout
from aot.world.sprites import COLOURS, GRID, KINDS, SIZES
from aot.world.surfaces import PATCH_SHADES, PATCH_SIDES, TEXTURES, Patch

CLASSES = (len(KINDS) + 1, len(COLOURS) + 1)
"""Kinds and colours, 0 = none."""
DETAILS = (
    *SIZES.values(),
    *TEXTURES,
    *(Patch(shade, 0, 0, side).name for side in PATCH_SIDES.values() for shade in PATCH_SHADES),
)
"""What else a block can show: an object of another size, a texture, a patch."""
WIDE_CLASSES = (*CLASSES, len(DETAILS) + 1)
"""With the details, 0 = none."""


def cell_labels(before: Layout, after: Layout) -> npt.NDArray[np.int64]:
    """`int64 [2 (before, after), 16 blocks, 3 (kind, colour, detail)]`."""
    labels = np.zeros((2, GRID * GRID, 3), np.int64)
    for side, layout in enumerate((before, after)):
        for row, col in layout.free_cells if layout.texture else ():
            labels[side, row * GRID + col, 2] = DETAILS.index(layout.texture) + 1
        for patch in layout.patches:
            labels[side, patch.row * GRID + patch.col, 2] = DETAILS.index(patch.name) + 1
        for o in layout.objects:
            detail = DETAILS.index(SIZES[o.side_px]) + 1 if o.side_px in SIZES else 0
            labels[side, o.row * GRID + o.col] = KINDS.index(o.kind) + 1, COLOURS.index(o.colour) + 1, detail
    return labels


class CellHeads(nn.Module):
    """Attached to a transformer, it hears its last hidden states; `loss` after each forward pass. Use as a
    context. `classes`: how many there are of each label."""

    def __init__(self, transformer: Any, width: int, *, seed: int, classes: tuple[int, ...] = CLASSES):
        super().__init__()
        self.classes = classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.blocks = nn.Linear(width, 2 * sum(classes))
            self.whole = nn.Linear(width, 2 * sum(classes))
        self._heard: Tensor | None = None
        self._hook = transformer.norm_out.register_forward_pre_hook(self._listen)

    def __enter__(self) -> CellHeads:
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def _listen(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._heard = inputs[0]

    def loss(self, labels: Tensor) -> Tensor:
        """Mean cross-entropy over all questions; labels `[B, 2, 16, 3]` of the last forward pass; scalar."""
        assert self._heard is not None, "no forward pass since"
        blocks, labels = labels.shape[2], labels[..., : len(self.classes)]
        hidden = F.layer_norm(self._heard[:, :blocks], self._heard.shape[-1:])
        self._heard = None
        per_block = self.blocks(hidden).split([*self.classes, *self.classes], -1)
        whole = self.whole(hidden.mean(1)).split([*self.classes, *self.classes], -1)
        before, after = labels.unbind(1)
        changed = (before != after).any(-1, keepdim=True)
        # One object comes and one goes at most: the largest label among the changed blocks is that object's.
        gone, come = ((side * changed).amax(1) for side in (before, after))
        wanted = (*before.unbind(-1), *after.unbind(-1))
        losses = [
            F.cross_entropy(x.flatten(0, 1), y.flatten()) for x, y in zip(per_block, wanted, strict=True)
        ]
        pairs = zip(whole, (*gone.unbind(1), *come.unbind(1)), strict=True)
        losses += [F.cross_entropy(x, y) for x, y in pairs]
        return torch.stack(losses).mean()
