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
    asking = _Asking(backend, asks, sampling, budget, AskedCounts() if counts is None else counts, progress)
    with AnswerStore() if store is None else nullcontext(store) as opened:
        try:
            yield from asking.replies(opened)
        except AotError as error:
            if store is None:
                raise
            raise AotError(
                f"{error.message}; {len(store)} replies are stored",
                where=error.where,
                hint=f"{error.hint}; the same command then goes on" if error.hint else "the same command goes on",
            ) from error


class _Asking:
    """One call of `ask_all`. `keys`: of the requests in flight; `twins`: by key, requests identical to one in flight;
    `ready`: replies that wait for the consumer."""

    def __init__(
        self,
        backend: Backend,
        asks: Iterable[Ask],
        sampling: Sampling,
        budget: int | None,
        counts: AskedCounts,
        progress: Callable[[AskedCounts], None] | None,
    ):
        self.backend, self.source, self.sampling = backend, iter(asks), sampling
        self.counts, self.progress, self.started = counts, progress, time.monotonic()
        self.most_asked = None if budget is None else counts.asked + budget
        self.identity, self.run = backend.identity, uuid.uuid4().hex
        self.keys: dict[Ask, str] = {}
        self.twins: dict[str, list[Ask]] = {}
        self.ready: deque[tuple[Ask, Reply]] = deque()
        self.exhausted = False

    def replies(self, store: AnswerStore) -> Iterator[tuple[Ask, Reply]]:
        while not self.exhausted:
            feed = self._unknown(store)
            first = next(feed, None)
            yield from self._hand_out()
            if first is None:
                continue
            for ask, reply in self.backend.ask(chain([first], feed), self.sampling):
                key = self.keys.pop(ask)
                store.put(key, reply, self.run)
                self.counts.spend(reply)
                shared = self.twins.pop(key)
                self.counts.stored += len(shared)
                self.ready.extend((each, reply) for each in (ask, *shared))
                yield from self._hand_out()
            yield from self._hand_out()
            assert not self.keys, f"{self.backend.name} left requests without a reply"

    def _unknown(self, store: AnswerStore) -> Iterator[Ask]:
        """What must be asked; what need not goes to `ready`. Stops when too much waits there: to be called again."""
        for ask in self.source:
            key = reply_key(self.identity, ask, self.sampling)
            if key in self.twins:
                self.twins[key].append(ask)
            elif known := store.get(key) or store.failed(key, self.run):
                self.counts.stored += 1
                self.ready.append((ask, known))
            elif self.most_asked is not None and self.counts.asked >= self.most_asked:
                self.counts.over_budget += 1
                self.ready.append((ask, Reply("", "error", BUDGET, attempts=0)))
            else:
                self.keys[ask], self.twins[key] = key, []
                self.counts.asked += 1
                yield ask
            if len(self.ready) + sum(map(len, self.twins.values())) >= HELD:
                return
        self.exhausted = True

    def _hand_out(self) -> Iterator[tuple[Ask, Reply]]:
        while self.ready:
            ask, reply = self.ready.popleft()
            self.counts.add(reply)
            self.counts.wall_seconds = time.monotonic() - self.started
            if self.progress is not None:
                self.progress(self.counts)
            yield ask, reply


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
