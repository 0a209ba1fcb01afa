"""What the body of an error says, in whatever shape: its words, and how long the server asks to wait.

    error_text(body) -> str                        the message, code and type; a page's text; at most `SAID` characters
    wait_of(headers, told, now) -> float | None    by Retry-After, by Azure's retry-after-ms, or by the words themselves
    retry_after_s(header, now) -> float | None

Shapes seen: OpenAI's object; Gemini's list of one; FastAPI's `detail`, also inside `message` (Mistral); a bare string
(TGI, LM Studio); a proxy's page of HTML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from aot.backends.openai.option_probabilities import at

SAID = 400
"""Characters that are kept of what a server says on the side."""
KEYS = ("message", "code", "type", "detail", "msg", "status_msg", "status_code")
READ = 20_000
"""Characters of a page that are looked at."""
PAGE = re.compile(r"\s*<(?:!doctype|html|head|\?xml)\b", re.IGNORECASE)
MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]{0,2000}>", re.IGNORECASE | re.DOTALL)
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
LENGTH = re.compile(
    r"(\d{1,9}(?:\.\d{1,12})?)\s{0,3}(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)(?![a-z])",
    re.IGNORECASE,
)
WAIT = re.compile(
    rf"\b(?:retry|try again|wait)\b[^\d.]{{0,24}}((?:{LENGTH.pattern},?\s{{0,3}})+)",
    re.IGNORECASE,
)
""""Please retry in 20.04s", "Please try again in 7m12.5s", "wait 6 seconds"."""


def error_text(body: object) -> str:
    """The words that an error's JSON holds; else its beginning."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error = at(body, "error")
    for each in (error, body):
        if isinstance(each, dict) and (told := [word for key in KEYS if (word := _words(each.get(key)))]):
            return " · ".join(told)[:SAID]
    return plain(str(error or body or ""))


def plain(text: str) -> str:
    """A page's words without its markup; other text as it is."""
    if PAGE.match(text):
        text = " ".join(MARKUP.sub(" ", text[:READ]).split())
    return text[:SAID]


def _words(value: Any) -> str:
    """Of one field: text, a number, or a validation's list of faults as "place: what"."""
    if isinstance(value, str) and value.startswith('{"detail"'):  # JSON inside JSON
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    if isinstance(value, str | int):
        return str(value)
    faults = at(value, "detail") if isinstance(value, dict) else value
    if isinstance(faults, str):
        return faults
    return "; ".join(_faults(faults)) if isinstance(faults, list) else ""


def _faults(faults: list[Any]) -> Iterator[str]:
    """Never the value that was refused: it may be an image."""
    for fault in faults[:8]:
        what, place = at(fault, "msg"), at(fault, "loc")
        if isinstance(what, str):
            yield (".".join(map(str, place)) + ": " if isinstance(place, list) else "") + what
        elif isinstance(fault, str):
            yield fault


def retry_after_s(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks to wait: a number, or a date (`now`: seconds since 1970)."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def wait_of(headers: Mapping[str, str], told: str, now: float) -> float | None:
    """Seconds that a server asks to wait; None where it does not say."""
    finer_ms = retry_after_s(headers.get("retry-after-ms"), math.inf)
    if finer_ms is not None:
        return finer_ms / 1000
    asked_s = retry_after_s(headers.get("retry-after"), now)
    return asked_s if asked_s is not None else _told_s(told)


def _told_s(told: str) -> float | None:
    found = WAIT.search(told)
    if found is None:
        return None
    return sum(float(number) * _unit_s(unit.lower()) for number, unit in LENGTH.findall(found[1]))


def _unit_s(unit: str) -> float:
    return UNITS_S["ms" if unit.startswith(("ms", "mil")) else unit[0]]
