"""A backend that answers by a function: for tests, and for trying out what is built on backends.

ScriptedBackend(reply: Callable[[Ask], str | Reply], *, name="scripted", identity=None)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from aot.backends.base.backend import Ask, Reply, Sampling


class ScriptedBackend:
    """Asks `reply` for each request, in order; remembers in `asked` what it was asked."""

    def __init__(
        self,
        reply: Callable[[Ask], str | Reply],
        *,
        name: str = "scripted",
        identity: Mapping[str, Any] | None = None,
    ):
        self.reply, self.name = reply, name
        self.identity: dict[str, Any] = dict(identity or {"kind": "scripted", "name": name})
        self.asked: list[Ask] = []

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        for ask in asks:
            self.asked.append(ask)
            said = self.reply(ask)
            yield ask, Reply(said) if isinstance(said, str) else said
