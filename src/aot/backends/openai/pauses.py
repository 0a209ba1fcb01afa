"""How long a client of a server waits: before each request (a rate limit), and before it asks again. *Ours.*"""

from __future__ import annotations

import asyncio
import random
import time

LONGEST_WAIT_S = 1800.0
"""A wait that a server asks for is kept up to this, unless the user says otherwise: as inspect-ai pauses at most. The
openai client (3.x) keeps to two minutes, and does not ask again where it is told more."""
LONGEST_BACKOFF_S = 30.0


class RateLimit:
    """Lets requests go evenly spaced, `per_minute` of them; None: at once."""

    def __init__(self, per_minute: float | None):
        self.interval_s = 60 / per_minute if per_minute else 0.0
        self._next_turn = 0.0

    async def turn(self) -> None:
        """Waits until the next request may go."""
        if self.interval_s:
            now = time.monotonic()
            turn = max(now, self._next_turn)
            self._next_turn = turn + self.interval_s
            await asyncio.sleep(turn - now)


def pause_s(asked_s: float | None, first_s: float, tried: int) -> float:
    """Seconds before a question is asked again that was asked `tried` times: what the server asks for (None: nothing);
    else `first_s`, twice as long each time. Random in part, so that not all come back at once."""
    longest = min(LONGEST_BACKOFF_S, first_s * 2 ** (tried - 1))
    if asked_s is not None:
        return asked_s + random.uniform(0, longest / 4)
    return random.uniform(longest / 2, longest)
