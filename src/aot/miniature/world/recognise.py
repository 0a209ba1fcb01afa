"""Reading the miniature world back from pixels by template matching (*ours*), cell by cell.

Exact on rendered scenes; tolerant of the blur and tint of a learned editor. Used by the referee: an
answer is preserved only if what is seen still gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from aot.miniature.world.scenes import Placed, WorldScene
from aot.miniature.world.sprites import CELL_PX, COLOURS, GRID, KINDS, TILE_PX, background, sprite
from aot.types import Box

Floats = npt.NDArray[np.float32]

CHANGED_RMS = 4.0
"""A cell differing from the clean image by less (root mean square, 0..255) is not read again (*ours*)."""
TOLERANCE_RMS = 28.0
"""A cell is what explains it best if the rest is within this; else it is unrecognised (*ours*). Measured
on grey: look-alikes of one colour differ by 32 or more, colours of one kind by 22, an object and the bare
background by 45; a blur of 0.8 px leaves a rest of 23."""
_CELLS = GRID * GRID
_PIXELS = CELL_PX * CELL_PX


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was seen in one image. `unrecognised`: cells (row, col) that are neither background nor
    one of the known objects; `residual_rms`: the worst unexplained rest of a cell (0..255)."""

    objects: tuple[Box, ...]
    unrecognised: tuple[tuple[int, int], ...] = ()
    residual_rms: float = 0.0


def recognise(images: npt.NDArray[np.uint8], clean: Sequence[WorldScene] | None = None) -> list[list[Box]]:
    """The objects of each image of `uint8 [B, 64, 64, 3]`, row by row; see `read`."""
    return [list(seen.objects) for seen in read(images, clean)]


def read(images: npt.NDArray[np.uint8], clean: Sequence[WorldScene] | None = None) -> list[Recognition]:
    """B recognitions. With the clean scenes only changed cells are read, against their known
    background, and the rest is carried over; without, all cells, by their opaque pixels alone.
    """
    now = _split(np.asarray(images))
    if clean is None:
        ids, rms = _match_opaque(now.reshape(-1, _PIXELS, 3).astype(np.float32))
        found = zip(ids.reshape(-1, _CELLS).tolist(), rms.reshape(-1, _CELLS).tolist(), strict=True)
        return [_collect({}, dict(enumerate(zip(*pair, strict=True)))) for pair in found]
    assert len(now) == len(clean), "one clean scene an image"
    if not clean:
        return []
    moved = now.astype(np.int16) - _split(np.stack([scene.image for scene in clean]))
    square = np.einsum("bcpk,bcpk->bc", moved, moved, dtype=np.float32)
    rows, cells = np.nonzero(square > CHANGED_RMS**2 * 3 * _PIXELS)
    where = list(zip(rows.tolist(), cells.tolist(), strict=True))
    grounds = [_split(background(clean[row].layout.background))[0, cell] for row, cell in where]
    ids, rms = _match_whole(now[rows, cells].astype(np.float32), np.asarray(grounds, np.float32))
    reread: list[dict[int, tuple[int, float]]] = [{} for _ in clean]
    for (row, cell), best, rest in zip(where, ids.tolist(), rms.tolist(), strict=True):
        reread[row][cell] = best, rest
    kept = ({o.row * GRID + o.col: o.box for o in scene.layout.objects} for scene in clean)
    return [_collect(*pair) for pair in zip(kept, reread, strict=True)]


def _collect(kept: dict[int, Box], reread: dict[int, tuple[int, float]]) -> Recognition:
    """Merge what was carried over with what was read: -1 is background, else a template's number."""
    found = {cell: box for cell, box in kept.items() if cell not in reread}
    strange = []
    for cell, (best, rest) in reread.items():
        if rest > TOLERANCE_RMS:
            strange.append(divmod(cell, GRID))
        elif best >= 0:
            kind, colour, dx, dy = _names()[best]
            found[cell] = Placed(kind, colour, *divmod(cell, GRID), dx, dy).box
    worst = max((rest for _, rest in reread.values()), default=0.0)
    return Recognition(tuple(found[c] for c in sorted(found)), tuple(strange), worst)


def _split(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`[B, 64, 64, 3]` -> `[B, 16, 256, 3]`, cells row by row (a single image: B = 1)."""
    cells = images.reshape(-1, GRID, CELL_PX, GRID, CELL_PX, 3).swapaxes(2, 3)
    return cells.reshape(-1, _CELLS, _PIXELS, 3)


@cache
def _names() -> tuple[tuple[str, str, int, int], ...]:
    """Kind, colour and jitter of each of the T = 540 templates."""
    moves = (-1, 0, 1)
    return tuple((k, c, dx, dy) for k in KINDS for c in COLOURS for dy in moves for dx in moves)


@cache
def _templates() -> tuple[Floats, Floats]:
    """`alpha [T, 256, 1]` in 0..1 and `colour [T, 256, 3]` in 0..255."""
    tiles = np.zeros((len(_names()), CELL_PX, CELL_PX, 4), np.float32)
    for i, (kind, colour, dx, dy) in enumerate(_names()):
        tiles[i, 1 + dy : 1 + dy + TILE_PX, 1 + dx : 1 + dx + TILE_PX] = sprite(kind, colour)
    flat = tiles.reshape(len(tiles), _PIXELS, 4)
    return flat[..., 3:] / np.float32(255), flat[..., :3]


@cache
def _whole_weights() -> tuple[Floats, Floats]:
    """The squared error of template t over background b is linear in (d, d.b, b, b.b), d = cell - b:
    |d - a (f - b)|^2 = d.d - 2 d.af + 2 d.b.a + af.af - 2 b.a(af) + b.b.a^2. Weights `[2048, T]`."""
    alpha, colour = _templates()
    over: Floats = alpha * colour
    parts = (-2 * over, 2 * alpha, -2 * alpha * over, alpha**2)
    weights: Floats = np.concatenate([p.reshape(len(p), -1) for p in parts], 1).T
    return np.ascontiguousarray(weights), np.square(over).sum((1, 2))


def _match_whole(cells: Floats, grounds: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Best explanation of `[M, 256, 3]` cells over their backgrounds: id (-1: bare) and residual RMS."""
    if not len(cells):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    change = cells - grounds
    parts = (change, (change * grounds).sum(2), grounds, np.square(grounds).sum(2))
    weights, constant = _whole_weights()
    gain = np.concatenate([p.reshape(len(cells), -1) for p in parts], 1) @ weights + constant
    best = gain.argmin(1)
    least = gain[np.arange(len(cells)), best]
    total = np.square(change).sum((1, 2)) + np.minimum(least, 0)
    return np.where(least < 0, best, -1), np.sqrt(np.maximum(total, 0) / (3 * _PIXELS))


@cache
def _opaque_weights() -> tuple[Floats, Floats, Floats]:
    """Weights `[1024, T]` on (cell.cell, cell), constant `[T]` and pixel counts `[T]` of the masks."""
    alpha, colour = _templates()
    mask = (alpha > 0.9).astype(np.float32)
    weights = np.concatenate([mask[..., 0], (-2 * mask * colour).reshape(len(mask), -1)], 1).T
    return np.ascontiguousarray(weights), (mask * np.square(colour)).sum((1, 2)), mask.sum((1, 2))


def _match_opaque(cells: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Best template of `[M, 256, 3]` cells by its opaque pixels; bare (-1) where none fits and the
    cell is smooth. The residual of a bare cell is its roughness."""
    weights, constant, count = _opaque_weights()
    features = np.concatenate([np.square(cells).sum(2), cells.reshape(len(cells), -1)], 1)
    error = (features @ weights + constant) / (3 * count)
    best = error.argmin(1)
    rms = np.sqrt(np.maximum(error[np.arange(len(cells)), best], 0))
    square = cells.reshape(-1, CELL_PX, CELL_PX, 3)
    steps = (np.square(np.diff(square, axis=axis)).mean((1, 2, 3)) for axis in (1, 2))
    rough = np.sqrt(sum(steps, np.float32(0)))
    seen = rms <= TOLERANCE_RMS
    return np.where(seen, best, -1), np.where(seen, rms, 2 * rough)
