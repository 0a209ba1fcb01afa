"""The endless, resumable order in which both DAPO engines draw their prompts."""

from __future__ import annotations

import numpy as np


class PromptStream:
    """Endless row numbers: every epoch a new permutation. Its whole state is `position`."""

    def __init__(self, rows: int, seed: int, position: int = 0):
        assert rows > 0
        self.rows, self.seed, self.position = rows, seed, position

    def take(self, count: int) -> list[int]:
        """The next `count` row numbers."""
        taken: list[int] = []
        while len(taken) < count:
            epoch, start = divmod(self.position, self.rows)
            order = np.random.default_rng([self.seed, 0xDA, epoch]).permutation(self.rows)
            part = order[start : start + count - len(taken)].tolist()
            taken += part
            self.position += len(part)
        return taken
