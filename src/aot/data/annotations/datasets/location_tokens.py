"""JSON lines for training PaliGemma and Florence-2 to detect, as entries: boxes as tokens before or behind a label.

PaliGemma's four tokens are y, x, y, x in 1024ths of the image's sides and stand before a label; Florence-2's are x, y,
x, y in thousandths and stand behind it. A line says of the classes alone that its prompt asks for what is not there.

Source of the formats: the models' own descriptions (arXiv 2407.07726, 2311.06242), and Roboflow's exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aot.data.annotations.base.entries import LINES, Entry, Form, Shape, at, between, rows

_PALIGEMMA = re.compile(r"((?:<loc\d{4}>\s*){4})([^<;]+);?\s*")
_FLORENCE = re.compile(r"([^<]+)((?:(?:<loc_\d{1,3}>|<loc_1000>){4})+)")
_NUMBER = re.compile(r"\d+")
_DETECT = re.compile(r"(detect\s|<OD>)")


def _lines(content: Any) -> Iterator[Entry]:
    prompts = [_classes(at(line, "prefix")) for line in content]
    every = {name for prompt in prompts for name in prompt}
    for (where, line), asked in zip(rows(content, "line"), prompts, strict=True):
        prefix, suffix = at(line, "prefix"), at(line, "suffix")
        is_asked = isinstance(prefix, str) and _DETECT.match(prefix) is not None
        shapes = _shapes(suffix) if is_asked and isinstance(suffix, str) else None
        unread = "" if shapes is not None else "it is no prompt to detect, or its answer holds more than boxes"
        yield Entry(where, (at(line, "image"),), shapes or (), complete=asked == every, shares=True, unread=unread)


def _classes(prefix: Any) -> set[str]:
    """What PaliGemma is asked for; Florence-2 is asked for all."""
    plain = prefix.removeprefix("detect ") if isinstance(prefix, str) and prefix.startswith("detect ") else ""
    return {name.strip() for name in plain.split(";") if name.strip()}


def _shapes(suffix: str) -> list[Shape] | None:
    """None where the text holds anything else."""
    found, text, place = [], suffix.strip(), 0
    pattern, per_side = (_PALIGEMMA, 1024) if re.search(r"<loc\d", text) else (_FLORENCE, 1000)
    while place < len(text):
        match = pattern.match(text, place)
        if match is None:
            return None
        place = match.end()
        places, label = match.groups() if pattern is _PALIGEMMA else match.groups()[::-1]
        numbers = [int(number) / per_side for number in _NUMBER.findall(places)]
        for n in range(0, len(numbers), 4):
            one = numbers[n : n + 4]
            found.append(Shape(label, between([one[k] for k in (1, 0, 3, 2)] if pattern is _PALIGEMMA else one)))
    return found


_KEYS = (r'"prefix"\s*:', r'"suffix"\s*:\s*"[^"\n]{0,200}<loc_?\d')
LOCATION_TOKENS = (Form("PaliGemma or Florence-2", _KEYS, _lines, LINES),)
