"""Right answers that are numbers of options: from 0, as here, or from 1? All rows of a file tell together (*ours*)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aot.errors import AotError

UNLIKELY = 1e-4
"""That no answer is 0 in so many rows, if all were drawn evenly and counted from 0: below it they are not believed."""


class Numbered:
    """Notes the answers of one file's rows as they are read. Raises `AotError` once they seem to count from 1: then
    every right answer would be another one's."""

    def __init__(self, path: Path):
        self.path = path
        self.from_zero = self.above = False
        self.never_zero = 1.0

    def note(self, answer: str, options: Sequence[str]) -> None:
        """`answer` as the row has it; what is an option's own text, or no number, says nothing."""
        answer = answer.strip()
        filled = [option.strip() for option in options if option.strip()]
        if not (answer.isascii() and answer.isdigit() and len(answer) < 3) or answer in filled or len(filled) < 2:
            return
        self.from_zero |= int(answer) == 0
        self.above |= int(answer) == len(options)
        if int(answer) < len(options):
            self.never_zero *= 1 - 1 / len(options)
        if not self.from_zero and (self.never_zero < UNLIKELY or (self.above and self.never_zero < 1)):
            seen = "one is that of no option" if self.above else "none is 0"
            raise AotError(
                f"the answers are numbers of options that seem to count from 1 ({seen}), and are read from 0",
                where=str(self.path),
                hint="write the right option's letter, or its own words, as the answer",
            )
