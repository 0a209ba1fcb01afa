"""What a server means by refusing a request, from its status and its words. No network.

    without_question(told, body) -> str            the server's own words: many repeat the question
    blamed(own_words, body) -> str | None          the parameter that the request can do without
    next_step(status, own_words) -> str            for what ends the run: no money, no model that sees images; else ""
    code_of(body) -> dict                          the code and type in an error's JSON
    is_filtered(own_words, code, body) -> bool     whether a content filter refused
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

NO_PROBABILITIES = "probabilities were asked for, and the server gives none: there will be no confidences"
FILTERED = re.compile(r"content.?filter|content.?policy|content management|moderation|flagged|safety", re.IGNORECASE)
UNPAID = re.compile(
    r"insufficient.{0,12}(?:quota|credit|balance|fund)|exceeded your current quota|out of credits"
    r"|payment required|billing.{0,20}(?:limit|inactive|not active)",
    re.IGNORECASE,
)
SIGHT = r"(?:image|vision|visual|multi-?modal|image_url)"
BLIND = re.compile(
    rf"no endpoints?\b.{{0,40}}\bsupports?\b.{{0,20}}{SIGHT}"
    rf"|(?:\bnot|n't|\bcannot|\bunable to)\b.{{0,20}}\b(?:supports?|accepts?|process|handle|take)\b.{{0,20}}{SIGHT}"
    rf"|{SIGHT}s?\b.{{0,20}}\b(?:is|are) not (?:supported|accepted|allowed|available|enabled)"
    rf"|(?:is not|isn't) an? (?:multi-?modal|vision)",
    re.IGNORECASE,
)


def _texts(body: dict[str, Any]) -> Iterator[str]:
    for message in body["messages"]:
        yield from (part["text"] for part in message["content"] if part["type"] == "text")


def without_question(told: str, body: dict[str, Any]) -> str:
    """What the server said without the question's own text, as it is or as JSON writes it, whole or line by line."""
    for text in _texts(body):
        for each in (text, json.dumps(text)[1:-1], *text.splitlines()):
            if each.strip():
                told = told.replace(each, " ")
    return told


def blamed(own_words: str, body: dict[str, Any]) -> str | None:
    """The parameter that a refused request can do without, if the message is about one."""
    if "logprobs" in body and "logprobs" in own_words:
        return "logprobs"
    if "max_tokens" in body and "max_completion_tokens" in own_words and "support" in own_words:
        return "max_tokens"
    if "seed" in body and re.search(r"\bseed\b", own_words):
        return "seed"
    return None


def next_step(status: int, own_words: str) -> str:
    """What the user can do about a refusal that every question will meet; "" where the next one may be answered."""
    if status == 402 or (status < 500 and UNPAID.search(own_words)):
        return "see to the account's credits and quota"
    if status < 500 and status != 429 and BLIND.search(own_words):
        return "take a model that sees images (--model), or a server that was started with its vision part"
    return ""


def is_filtered(own_words: str, code: str, body: dict[str, Any]) -> bool:
    """Whether a content filter refused: by the error's code, or by words that the question does not use itself (a
    message may repeat a part of it)."""
    if FILTERED.search(code):
        return True
    asked = " ".join(_texts(body)).casefold()
    return any(found.group().casefold() not in asked for found in FILTERED.finditer(own_words))


def code_of(body: object) -> dict[str, object]:
    """Of an error's JSON the words that the server chose: its code and type, not its sentence."""
    error = body.get("error", body) if isinstance(body, dict) else None
    return {key: error.get(key) for key in ("code", "type")} if isinstance(error, dict) else {}
