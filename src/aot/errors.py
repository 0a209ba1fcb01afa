"""The one exception that means "the user can fix this": no traceback, exit status 2."""

from __future__ import annotations


class AotError(Exception):
    """A mistake outside the program: bad input, bad setting, missing file.

    `message` says what is wrong, `where` names the file, row or setting, `hint` the next step.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None):
        self.message, self.where, self.hint = message, where, hint
        super().__init__(self.render())

    def render(self) -> str:
        lines = [f"{self.where}: {self.message}" if self.where else self.message]
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)
