"""Examples of the attacker's SFT: encoded pairs of images with their instruction; in memory, or with conditions on
disk.

Images may be of several sizes: one `EditSet` a size, and a batch is of one (aspect-ratio bucketing; *ours*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from aot.errors import AotError
from aot.players.attacker.buckets import Bucket, by_size
from aot.players.attacker.condition_store import StoredConditions, read_conditions, write_conditions
from aot.players.attacker.conditions import Conditions
from aot.players.attacker.latents import BLOCK_PX, codes_changes, pad_to_blocks
from aot.types import Image

if TYPE_CHECKING:
    from aot.players.attacker.edit_attacker import EditAttacker

SAME_LEVELS = 8
"""*Ours*: of 256; a pixel that changes by no more is not edited."""


@dataclass(frozen=True, slots=True, eq=False)
class EditPair:
    """One example: `source` becomes `target` when told `sentence`."""

    source: Image
    target: Image
    sentence: str
    cells: npt.NDArray[np.int64] | None = None
    """Labels for `AuxiliaryHeads`, where they are known."""


@dataclass(frozen=True, slots=True, eq=False)
class EditSet:
    """N examples as the network sees them. `x0 [N, L, C]`; `changed`, bool `[N, L]`: tokens that the edit changes
    (None: those that are not zero); `cells` as in `EditPair`, of all or none."""

    conditions: Bucket
    x0: Tensor
    cells: Tensor | None = None
    changed: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x0)

    @classmethod
    def of(cls, attacker: EditAttacker, pairs: Sequence[EditPair]) -> EditSet:
        """Encodes pairs of images of one size. Raises AotError where there are none."""
        if not pairs:
            raise AotError("no training pairs for the attacker", hint="more scenes, or a weaker defender")
        conditions = attacker.conditions([p.source for p in pairs], [p.sentence for p in pairs])
        x0, changed = encode_targets(attacker, conditions, [p.target for p in pairs])
        cells = [p.cells for p in pairs if p.cells is not None]
        known = len(cells) == len(pairs)
        return cls(conditions, x0, torch.from_numpy(np.stack(cells)).to(x0.device) if known else None, changed)

    def draw(self, n: int, generator: torch.Generator) -> EditSet:
        """`n` examples at random, with repeats."""
        return self.take(torch.randint(len(self), (n,), generator=generator))

    def take(self, index: Tensor) -> EditSet:
        cells, changed = (None if each is None else each[index] for each in (self.cells, self.changed))
        return EditSet(self.conditions.take(index), self.x0[index], cells, changed)

    @classmethod
    def joined(cls, sets: Sequence[EditSet]) -> EditSet:
        """All examples of several sets."""
        given = [s.conditions.take(torch.arange(len(s))) for s in sets]
        width = max(c.text.shape[1] for c in given)
        negatives = [c.unconditional for c in given if c.unconditional is not None]
        conditions = Conditions(
            np.concatenate([c.images for c in given]),
            torch.cat([c.source for c in given]),
            torch.cat([nn.functional.pad(c.text, (0, 0, 0, width - c.text.shape[1])) for c in given]),
            np.concatenate([c.lengths for c in given]),
            torch.cat(negatives) if len(negatives) == len(sets) else None,
        )
        cells = [s.cells for s in sets if s.cells is not None]
        changed = [s.changed for s in sets if s.changed is not None]
        return cls(
            conditions,
            torch.cat([s.x0 for s in sets]),
            torch.cat(cells) if len(cells) == len(sets) else None,
            torch.cat(changed) if len(changed) == len(sets) else None,
        )


def encode_targets(
    attacker: EditAttacker, conditions: Conditions, targets: Sequence[Image]
) -> tuple[Tensor, Tensor | None]:
    """`x0` and `changed` of edited images, as in `EditSet`. Where latents encode whole images and not changes, a token
    counts as changed where some pixel differs by more than `SAME_LEVELS`, which JPEG compression alone may cause."""
    padded_targets = np.stack([pad_to_blocks(target, attacker.side_px) for target in targets])
    x0 = attacker.encode_edits(conditions.images, padded_targets)
    if codes_changes(attacker.vae):
        return x0, None
    moved = np.abs(padded_targets.astype(np.int16) - conditions.images).max(-1) > SAME_LEVELS
    count, height, width = moved.shape
    blocks = moved.reshape(count, height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX).any((2, 4))
    return x0, torch.from_numpy(blocks.reshape(count, -1)).to(x0.device)


def write_edit_sets(folder: Path, attacker: EditAttacker, pairs: Sequence[EditPair], *, dtype: torch.dtype) -> None:
    """Encodes pairs onto disk: conditions in `dtype`, targets in float32. Raises AotError where there are none,
    or on a full disk."""
    if not pairs:
        raise AotError("no training pairs for the attacker", hint="more scenes, or a weaker defender")

    def targets(some: Conditions, numbers: list[int]) -> dict[str, Tensor]:
        x0, changed = encode_targets(attacker, some, [pairs[i].target for i in numbers])
        return {"x0": x0.float().cpu()} | ({} if changed is None else {"changed": changed.cpu()})

    write_conditions(folder, attacker, *_given(pairs), dtype=dtype, more=targets)


def _given(pairs: Sequence[EditPair]) -> tuple[list[Image], list[str]]:
    return [pair.source for pair in pairs], [pair.sentence for pair in pairs]


@dataclass(frozen=True, slots=True, eq=False)
class EditSets:
    """N examples in sets of one size each; a batch is of one size."""

    sets: tuple[EditSet, ...]

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    @classmethod
    def of(cls, attacker: EditAttacker, pairs: Sequence[EditPair]) -> EditSets:
        """Encodes pairs of images. Raises AotError where there are none."""
        parts = by_size([pair.source for pair in pairs]) or [torch.empty(0, dtype=torch.int64)]
        return cls(tuple(EditSet.of(attacker, [pairs[i] for i in part.tolist()]) for part in parts))

    @classmethod
    def read(cls, folder: Path, pairs: Sequence[EditPair], device: torch.device) -> EditSets:
        """What `write_edit_sets` left for these pairs; conditions stay on disk. Raises AotError for what is damaged, or
        of other pairs."""
        stored = read_conditions(folder, *_given(pairs))
        sets = []
        for part in stored.parts:
            assert isinstance(part, StoredConditions)
            changed = part.rows("changed").to(device) if part.has("changed") else None
            sets.append(EditSet(part, part.rows("x0").to(device), changed=changed))
        return cls(tuple(sets))

    def draw(self, n: int, generator: torch.Generator) -> EditSet:
        """`n` examples of one size at random, with repeats; sizes are drawn in proportion to their examples."""
        chosen = 0
        if len(self.sets) > 1:
            chosen = int(torch.multinomial(torch.tensor([float(len(s)) for s in self.sets]), 1, generator=generator))
        return self.sets[chosen].draw(n, generator)

    def batches(self, most: int) -> list[EditSet]:
        """All examples, each once, in batches of at most `most`."""
        parts: list[tuple[EditSet, Tensor]] = []
        for one in self.sets:
            parts += [(one, part) for part in torch.arange(len(one)).split(most)]
        return [one.take(part) for one, part in parts]


class Examples(Protocol):
    """What is trained on: an `EditSet`, or the `EditSets` of several sizes."""

    def __len__(self) -> int: ...

    def draw(self, n: int, generator: torch.Generator) -> EditSet: ...
