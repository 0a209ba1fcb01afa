"""The one place that writes to the terminal: text from data is shown there, never obeyed (`tests/test_terminal.py`).

    echo(text), warn(text)      a line of plain text on stdout, on stderr
    Terminal(...)               rich's console, for tables and bars; its own codes go through, those of data do not
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from aot.errors import printable


def echo(text: object) -> None:
    """Prints on stdout, control characters escaped."""
    print(printable(str(text)))


def warn(text: object) -> None:
    """The same on stderr, at once."""
    print(printable(str(text)), file=sys.stderr, flush=True)


class Terminal(Console):
    """Whatever is rendered, text in it cannot move the cursor, change colours or the order of letters. Names of data
    are no emoji; markup in them is for whoever builds a table to escape (`rich.markup.escape`)."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, highlight=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """rich's segments, as it renders them, with their text escaped; its own control codes as they are."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)
