"""Options that are numbers (*ours*): a digit of "3.5", of "at least 3" or of a numbered line names none of them.

All functions take text without markup (`text.unwrapped`) and return it without what only looks like such an option.
"""

from __future__ import annotations

import re

NUMBER = re.compile(r"[-−+]?\d[\d.,]*%?")
# A number alone, no part of another one, of a range or of a time.
BEFORE, AFTER = r"(?<![\w−^-])(?<!\d[.,/:])(?<![/*×÷+]\s)", r"(?!\w|[.,:/]\d|\s?[-–/*×÷+^]\s?\d)"
LINE = re.compile(r"^[\s>*\-•]*(\d{1,2})[.)](?:\s+(?=\S)|\s*\Z)", re.MULTILINE)
BOUND = re.compile(
    r"\b(?:at\s+(?:least|most)|(?:more|less|fewer)\s+than|over|under|up\s+to|almost|nearly|between)\s+\d[\d.,]*",
    re.I,
)
ANY = re.compile(r"\d(?:[\d.,]|:(?=\d))*%?")
PLACE = re.compile(
    r"\b(?:option|choice|chapter|page|figure|section|table|step|question|example)\s*[(#]?\s*\d+\b|\b\d+\s+o'clock"
    r"|选项\s*\d+|第\s*\d+|\b(?:option|choice)\s+is\s*:?\s*\(?\d\b(?![.,]?\d|%)",
    re.IGNORECASE,
)


def numeric(option: str) -> bool:
    return NUMBER.fullmatch(option.strip()) is not None


def without_other_numbers(text: str, options: tuple[str, ...]) -> str:
    """The text without numbers of lines, bounds, and places in the list ("option 2") that are no option's value. As it
    is where no option is a number."""
    if not any(map(numeric, options)):
        return text
    lines = [int(n) for n in LINE.findall(text)]
    if len(lines) > 1 and lines == list(range(lines[0], lines[0] + len(lines))):
        text = LINE.sub(" ", text)
    if any(o.strip() != str(n) for n, o in enumerate(options, 1)):
        text = PLACE.sub(" ", text)
    return BOUND.sub(" ", text)


def many_numbers(text: str, options: tuple[str, ...]) -> bool:
    """Whether a text about options that are numbers names another number, too: then no bare one is the answer."""
    if not any(re.match(r"\W*\d", option) for option in options):
        return False
    return len({n.strip(".,") for n in ANY.findall(text)}) > 1
