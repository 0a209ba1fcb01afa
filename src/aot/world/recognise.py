"""Recognising the miniature world's objects in pixels by template matching (*ours*), cell by cell.

Exact on rendered scenes; tolerant of the blur and tint of a learned editor. Used by the referee: an
answer is preserved only if what is seen still gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aot.types import Box
from aot.world.scenes import WorldScene, ground
from aot.world.sprites import CELL_PX, GRID
from aot.world.templates import (
    PIXELS,
    TOLERANCE_RMS,
    Floats,
    Template,
    opaque_weights,
    usual,
    whole_weights,
    wide,
)

CHANGED_RMS = 4.0
"""A cell differing from the clean image by less (root mean square, 0..255) is not read again (*ours*)."""
_CELLS = GRID * GRID
Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was seen in one image. `unrecognised`: cells (row, col) that are neither background nor
    one of the known objects; `residual_rms`: the worst unexplained rest of a cell (0..255).

    `sizes`: the sides of the objects' tiles, px. `surfaces`: names of the textures and patches, with their cells."""

    objects: tuple[Box, ...]
    unrecognised: tuple[Cell, ...] = ()
    residual_rms: float = 0.0
    sizes: tuple[int, ...] = ()
    surfaces: tuple[tuple[str, Cell], ...] = ()


def recognise(images: npt.NDArray[np.uint8], clean: Sequence[WorldScene] | None = None) -> list[list[Box]]:
    """The objects of each image of `uint8 [B, 64, 64, 3]`, row by row; see `read`."""
    return [list(seen.objects) for seen in read(images, clean)]


def read(
    images: npt.NDArray[np.uint8], clean: Sequence[WorldScene] | None = None, *, also_wide: bool = False
) -> list[Recognition]:
    """B recognitions. With the clean scenes only changed cells are read, against their known
    background, and the rest is carried over; without, all cells, by their opaque pixels alone.

    `also_wide`, with clean scenes only: what wider edits leave is known, too: objects of other sizes, patches and
    textures.
    """
    now = _split(np.asarray(images))
    if clean is None:
        ids, rms = _match_opaque(now.reshape(-1, PIXELS, 3).astype(np.float32))
        found = zip(ids.reshape(-1, _CELLS).tolist(), rms.reshape(-1, _CELLS).tolist(), strict=True)
        return [_collect({}, dict(enumerate(zip(*pair, strict=True))), usual()) for pair in found]
    assert len(now) == len(clean), "one clean scene an image"
    if not clean:
        return []
    moved = now.astype(np.int16) - _split(np.stack([scene.image for scene in clean]))
    square = np.einsum("bcpk,bcpk->bc", moved, moved, dtype=np.float32)
    rows, cells = np.nonzero(square > CHANGED_RMS**2 * 3 * PIXELS)
    where = list(zip(rows.tolist(), cells.tolist(), strict=True))
    grounds = [_split(ground(clean[row].layout))[0, cell] for row, cell in where]
    pixels = now[rows, cells].astype(np.float32)
    ids, rms = _match_whole(pixels, np.asarray(grounds, np.float32), also_wide)
    reread: list[dict[int, tuple[int, float]]] = [{} for _ in clean]
    for (row, cell), best, rest in zip(where, ids.tolist(), rms.tolist(), strict=True):
        reread[row][cell] = best, rest
    kept = ({o.row * GRID + o.col: (o.box, o.side_px) for o in scene.layout.objects} for scene in clean)
    templates = wide() if also_wide else usual()
    return [_collect(*pair, templates) for pair in zip(kept, reread, strict=True)]


def _collect(
    kept: dict[int, tuple[Box, int]], reread: dict[int, tuple[int, float]], templates: Sequence[Template]
) -> Recognition:
    """Merge what was carried over with what was read: -1 is background, else a template's number."""
    found = {cell: pair for cell, pair in kept.items() if cell not in reread}
    strange, surfaces = [], []
    for cell, (best, rest) in reread.items():
        template = templates[best] if best >= 0 else Template()
        if rest > template.tolerance_rms:
            strange.append(divmod(cell, GRID))
        elif template.kind:
            found[cell] = template.box(*divmod(cell, GRID)), template.side_px
        elif template.name:
            surfaces.append((template.name, divmod(cell, GRID)))
    worst = max((rest for _, rest in reread.values()), default=0.0)
    boxes, sizes = _columns(found[c] for c in sorted(found))
    return Recognition(boxes, tuple(strange), worst, sizes, tuple(surfaces))


def _columns(pairs: Iterable[tuple[Box, int]]) -> tuple[tuple[Box, ...], tuple[int, ...]]:
    listed = list(pairs)
    return tuple(box for box, _ in listed), tuple(size for _, size in listed)


def _split(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`[B, 64, 64, 3]` -> `[B, 16, 256, 3]`, cells row by row (a single image: B = 1)."""
    cells = images.reshape(-1, GRID, CELL_PX, GRID, CELL_PX, 3).swapaxes(2, 3)
    return cells.reshape(-1, _CELLS, PIXELS, 3)


def _match_whole(cells: Floats, grounds: Floats, also_wide: bool) -> tuple[npt.NDArray[np.int64], Floats]:
    """Best explanation of `[M, 256, 3]` cells over their backgrounds: id (-1: bare) and residual RMS."""
    if not len(cells):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    change = cells - grounds
    parts = (change, (change * grounds).sum(2), grounds, np.square(grounds).sum(2))
    weights, constant = whole_weights(also_wide)
    gain = np.concatenate([p.reshape(len(cells), -1) for p in parts], 1) @ weights + constant
    best = gain.argmin(1)
    least = gain[np.arange(len(cells)), best]
    total = np.square(change).sum((1, 2)) + np.minimum(least, 0)
    return np.where(least < 0, best, -1), np.sqrt(np.maximum(total, 0) / (3 * PIXELS))


def _match_opaque(cells: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Best template of `[M, 256, 3]` cells by its opaque pixels; bare (-1) where none fits and the
    cell is smooth. The residual of a bare cell is its roughness."""
    weights, constant, count = opaque_weights()
    features = np.concatenate([np.square(cells).sum(2), cells.reshape(len(cells), -1)], 1)
    error = (features @ weights + constant) / (3 * count)
    best = error.argmin(1)
    rms = np.sqrt(np.maximum(error[np.arange(len(cells)), best], 0))
    square = cells.reshape(-1, CELL_PX, CELL_PX, 3)
    steps = (np.square(np.diff(square, axis=axis)).mean((1, 2, 3)) for axis in (1, 2))
    rough = np.sqrt(sum(steps, np.float32(0)))
    seen = rms <= TOLERANCE_RMS
    return np.where(seen, best, -1), np.where(seen, rms, 2 * rough)
