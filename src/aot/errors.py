"""The one exception that means "the user can fix this": no traceback, exit status 2; and text that can be printed."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls: they reorder the letters around them
    "\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"  # invisible
    "\ud800-\udfff]"  # half characters: they cannot be encoded
)


def printable(text: str) -> str:
    """The text as it may be shown on a terminal: control, bidirectional and invisible characters are escaped."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def shown(name: object, most: int = 300) -> str:
    """A file's name or a value in a message: printable, on one line, and cut where it is longer than `most`
    characters."""
    text = printable(str(name)).replace("\n", "\\n")
    return text if len(text) <= most else f"{text[:most]}..."


def first_line(error: BaseException) -> str:
    """The first line of what a library's exception says; its class where it says nothing."""
    told = str(error).strip().splitlines()
    return told[0] if told else type(error).__name__


class AotError(Exception):
    """A mistake outside the program: bad input, bad setting, missing file.

    `message` says what is wrong, `where` names the file, row or setting, `hint` the next step. All three may quote
    data: they are made printable, and `where` is one line.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None):
        self.message = printable(message)
        self.where = where and printable(where).replace("\n", "\\n")
        self.hint = hint and printable(hint)
        super().__init__(self.render())

    def render(self) -> str:
        lines = [f"{self.where}: {self.message}" if self.where else self.message]
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)
