"""How long a client of a server waits: before each request (a rate limit), and before it asks again. *Ours.*"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from aot.runs.heartbeat import beat
from aot.runs.progress import duration

LONGEST_WAIT_S = 1800.0
"""A wait that a server asks for is kept up to this, unless the user says otherwise: as inspect-ai pauses at most. The
openai client (3.x) keeps to two minutes, and does not ask again where it is told more."""
LONGEST_BACKOFF_S = 30.0
SAID_FROM_S, SAID_EVERY_S = 5.0, 60.0
"""A server's wish to wait so long is told, and then how long is left, once for all questions that wait."""


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


class Pauses:
    """The waits of all questions of a call: `say` is told of long ones once, and every so often what is left."""

    def __init__(self, first_s: float, say: Callable[[str], None]):
        self.first_s, self.say = first_s, say
        self._quiet_until = 0.0

    async def until_next(self, asked_s: float | None, tried: int, heard: str) -> None:
        """Waits as long as `pause_s` says; `heard`: what the server answered, in a word."""
        now = time.monotonic()
        until = now + pause_s(asked_s, self.first_s, tried)
        if asked_s is not None and asked_s >= SAID_FROM_S and now >= self._quiet_until:
            self.say(f"{heard}, the server asks to wait {duration(asked_s)}; asking again then")
            self._quiet_until = now + min(SAID_EVERY_S, asked_s)
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, SAID_EVERY_S / 10))
            beat()  # a stage that waits as it was asked to has not stalled
            now = time.monotonic()
            if asked_s is not None and now >= self._quiet_until and until - now >= SAID_FROM_S:
                self._quiet_until = now + SAID_EVERY_S
                self.say(f"still waiting as asked, {duration(until - now)} left")
