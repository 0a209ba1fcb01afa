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

from aot.types import Box
from aot.world.scenes import Placed, WorldScene
from aot.world.sprites import CELL_PX, COLOURS, GRID, KINDS, TILE_PX, background, sprite

Floats = npt.NDArray[np.float32]

CHANGED_RMS = 4.0
"""A cell differing from the clean image by less (root mean square, 0..255) is not read again (*ours*)."""
TOLERANCE_RMS = 26.0
"""A cell is what explains it best if the rest is within this; else it is unrecognised (*ours*). Look-alikes
of one colour differ by 36 or more, an object and the bare background by 45 or more."""
_CELLS = GRID * GRID
_PIXELS = CELL_PX * CELL_PX


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was seen in one image. `unrecognised`: cells (row, col) that are neither background nor
    one of the known objects; `residual_rms`: the worst unexplained rest of a cell (0..255)."""

    objects: tuple[Box, ...]
    unrecognised: tuple[tuple[int, int], ...] = ()
    residual_rms: float = 0.0


def recognise(
    images: npt.NDArray[np.uint8], clean: Sequence[WorldScene] | None = None
) -> list[list[Box]]:
    """The objects of each image of `uint8 [B, 64, 64, 3]`, row by row; see `read`."""
    return [list(seen.objects) for seen in read(images, clean)]


def read(images: npt.NDArray[np.uint8], clean: Sequence[WorldScene] | None = None) -> list[Recognition]:
    """B recognitions. With the clean scenes only changed cells are read, against their known
    background, and the rest is carried over; without, all cells, by their opaque pixels alone.
    """
    images = np.asarray(images)
    if clean is None:
        cells = _split(images.astype(np.float32)).reshape(-1, _PIXELS, 3)
        ids, rms = _match_opaque(cells)
        shape = (len(images), _CELLS)
        return [_collect({}, dict(enumerate(zip(i, r, strict=True)))) for i, r in zip(ids.reshape(shape), rms.reshape(shape), strict=True)]
    assert len(images) == len(clean), "one clean scene an image"
    before = np.stack([scene.image for scene in clean]) if clean else images
    now = _split(images.astype(np.float32))
    moved = np.square(now - _split(before.astype(np.float32))).mean((2, 3)) > CHANGED_RMS**2
    rows, cells = np.nonzero(moved)
    bare = {i: _split(background(clean[i].layout.background)[None].astype(np.float32))[0] for i in set(rows.tolist())}
    grounds = np.stack([bare[i][c] for i, c in zip(rows.tolist(), cells.tolist(), strict=True)]) if len(rows) else now[:0, 0]
    ids, rms = _match_whole(now[rows, cells], grounds)
    reread: list[dict[int, tuple[int, float]]] = [{} for _ in clean]
    for row, cell, best, rest in zip(rows.tolist(), cells.tolist(), ids.tolist(), rms.tolist(), strict=True):
        reread[row][cell] = best, rest
    kept = [{o.row * GRID + o.col: o.box for o in scene.layout.objects} for scene in clean]
    return [_collect(*pair) for pair in zip(kept, reread, strict=True)]


def _collect(kept: dict[int, Box], reread: dict[int, tuple[int, float]]) -> Recognition:
    """Merge what was carried over with what was read: -1 is background, else a template's number."""
    found = {cell: box for cell, box in kept.items() if cell not in reread}
    strange = []
    for cell, (best, rest) in reread.items():
        if rest > TOLERANCE_RMS:
            strange.append(divmod(int(cell), GRID))
        elif best >= 0:
            kind, colour, dx, dy = _names()[int(best)]
            found[cell] = Placed(kind, colour, *divmod(int(cell), GRID), dx, dy).box
    worst = max((rest for _, rest in reread.values()), default=0.0)
    return Recognition(tuple(found[c] for c in sorted(found)), tuple(strange), float(worst))


def _split(images: Floats) -> Floats:
    """`[B, 64, 64, 3]` -> `[B, 16, 256, 3]`, cells row by row."""
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
    return flat[..., 3:] / 255, flat[..., :3]


@cache
def _whole_weights() -> tuple[Floats, Floats]:
    """The squared error of template t over background b is linear in (d, d.b, b, b.b), d = cell - b:
    |d - a (f - b)|^2 = d.d - 2 d.af + 2 d.b.a + af.af - 2 b.a(af) + b.b.a^2. Weights `[2048, T]`."""
    alpha, colour = _templates()
    over = alpha * colour
    parts = (-2 * over, 2 * alpha, -2 * alpha * over, alpha**2)
    weights = np.concatenate([p.reshape(len(p), -1) for p in parts], 1).T
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
    rough = np.sqrt(np.square(np.diff(square, axis=1)).mean((1, 2, 3)) + np.square(np.diff(square, axis=2)).mean((1, 2, 3)))
    seen = rms <= TOLERANCE_RMS
    return np.where(seen, best, -1), np.where(seen, rms, 2 * rough)
