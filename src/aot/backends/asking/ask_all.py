"""Asking a backend, with a store: nothing is asked twice, nothing is lost, memory stays flat.

    ask_all(backend, asks, sampling, store=None, *, budget=None, counts=None, progress=None)
        -> Iterator[tuple[Ask, Reply]]
    check_answered(statuses, errors, where)        raises where no reply was an answer

`counts`: an `AskedCounts`, to be read at any time.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import chain
from pathlib import Path

from aot.backends.asking.counts import AskedCounts
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Backend, Reply, Sampling, reply_key
from aot.errors import AotError

HELD = 64
"""Requests that may wait for the consumer beside those in flight (known replies found on the way, twins)."""
BUDGET = "budget"
"""`Reply.error` of what was not asked since the budget was used up."""


def ask_all(
    backend: Backend,
    asks: Iterable[Ask],
    sampling: Sampling,
    store: AnswerStore | None = None,
    *,
    budget: int | None = None,
    counts: AskedCounts | None = None,
    progress: Callable[[AskedCounts], None] | None = None,
) -> Iterator[tuple[Ask, Reply]]:
    """Every request with its reply, as they come: each of `asks` exactly once.

    What `store` knows, and what is identical to another request of this run (but for its id), is not asked; every
    other reply is on disk before it is handed out. "error" replies are asked again by the next run, not by this one.
    `budget`: at most so many questions go to the backend (its retries not counted); the others get status "error",
    error "budget". `counts` is filled in on the way; `progress` is called with it after each reply.
    Raises `AotError` as the backend does, saying how much is stored.
    """
    counts = AskedCounts() if counts is None else counts
    started, source, identity, run = time.monotonic(), iter(asks), backend.identity, uuid.uuid4().hex
    keys: dict[Ask, str] = {}  # in flight
    twins: dict[str, list[Ask]] = {}  # by key: identical to one in flight
    ready: deque[tuple[Ask, Reply]] = deque()
    exhausted = False

    def unknown(replies: AnswerStore) -> Iterator[Ask]:
        """What must be asked; what need not goes to `ready`. Stops when too much waits there: to be called again."""
        nonlocal exhausted
        for ask in source:
            key = reply_key(identity, ask, sampling)
            if key in twins:
                twins[key].append(ask)
            elif known := replies.get(key) or replies.failed(key, run):
                counts.stored += 1
                ready.append((ask, known))
            elif budget is not None and counts.asked >= first_asked + budget:
                counts.over_budget += 1
                ready.append((ask, Reply("", "error", BUDGET, attempts=0)))
            else:
                keys[ask], twins[key] = key, []
                counts.asked += 1
                yield ask
            if len(ready) + sum(map(len, twins.values())) >= HELD:
                return
        exhausted = True

    def hand_out() -> Iterator[tuple[Ask, Reply]]:
        while ready:
            ask, reply = ready.popleft()
            counts.add(reply)
            counts.wall_seconds = time.monotonic() - started
            if progress is not None:
                progress(counts)
            yield ask, reply

    first_asked = counts.asked
    with AnswerStore() if store is None else nullcontext(store) as replies:
        try:
            while not exhausted:
                feed = unknown(replies)
                first = next(feed, None)
                yield from hand_out()
                if first is None:
                    continue
                for ask, reply in backend.ask(chain([first], feed), sampling):
                    key = keys.pop(ask)
                    replies.put(key, reply, run)
                    counts.spend(reply)
                    shared = twins.pop(key)
                    counts.stored += len(shared)
                    ready.extend((each, reply) for each in (ask, *shared))
                    yield from hand_out()
                yield from hand_out()
                assert not keys, f"{backend.name} left requests without a reply"
        except AotError as error:
            if store is None:
                raise
            raise AotError(
                f"{error.message}; {len(store)} replies are stored",
                where=error.where,
                hint=f"{error.hint}; the same command then goes on" if error.hint else "the same command goes on",
            ) from error


def check_answered(statuses: Mapping[str, int], errors: Iterable[str], where: Path) -> None:
    """Raises `AotError` where there were replies and none was an answer: figures of such a run say nothing."""
    if not sum(statuses.values()) or statuses.get("answered"):
        return
    came = ", ".join(f"{n} {status}" for status, n in sorted(statuses.items()) if n)
    why = Counter(error for error in errors if error).most_common(1)
    raise AotError(
        f"not one question was answered ({came}){f', mostly: {why[0][0][:300]}' if why else ''}",
        where=str(where),
        hint="see to the model or its server; the same command asks again what failed",
    )
