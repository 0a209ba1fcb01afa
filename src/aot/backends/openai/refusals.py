"""What a server means by refusing a request, from its status and its words. No network.

    without_question(told, body) -> str            the server's own words: many repeat the question
    blamed(own_words, body) -> str | None          the parameter that the request can do without
    next_step(status, own_words) -> str            for what ends the run: no money, no model that sees images; else ""
    status_inside(error, body) -> int              the status that ends the run, of an error in a 200's body; else 0
    is_filtered(own_words, error, body) -> bool    whether a content filter refused
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

NO_PROBABILITIES = "probabilities were asked for, and the server gives none: there will be no confidences"
FILTERED = re.compile(r"content.?filter|content.?policy|content management|moderation|flagged|safety", re.IGNORECASE)
WRONG_KEY = ("invalid_api_key", "unauthorized", "authentication_error")
UNPAID = re.compile(
    r"insufficient.{0,12}(?:quota|credit|balance|fund)|exceeded your current quota|out of credits"
    r"|payment required|billing.{0,20}(?:limit|inactive|not active)",
    re.IGNORECASE,
)
FIXED = re.compile(
    r"temperature\W.{0,40}\b(?:not support|unsupported|only the default|deprecated)"
    r"|\b(?:not support|unsupported)\b.{0,40}\Wtemperature\b",
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
    for name in ("top_p", "temperature"):  # at 1 they change nothing
        if body.get(name) == 1 and re.search(rf"\b{name}\b", own_words):
            return name
    return None


def next_step(status: int, own_words: str) -> str:
    """What the user can do about a refusal that every question will meet; "" where the next one may be answered."""
    if status == 402 or (status < 500 and UNPAID.search(own_words)):
        return "see to the account's credits and quota"
    if status < 500 and status != 429 and FIXED.search(own_words):
        return "this model answers at its own temperature alone: ask with --temperature 1"
    if status < 500 and status != 429 and BLIND.search(own_words):
        return "take a model that sees images (--model), or a server that was started with its vision part"
    return ""


def status_inside(error: object, body: dict[str, Any]) -> int:
    """The HTTP status that an error in the body of a success stands for, where it ends the run: no right key, no money,
    no such model, none that sees images. 0 for others: such an answer is asked for again."""
    if not error:
        return 0
    words = [error.get(key) for key in ("message", "code", "type")] if isinstance(error, dict) else [error]
    own_words = without_question(" ".join(str(word) for word in words if word), body)
    code = str(_chosen(error)["code"]).strip()
    status = 401 if code in WRONG_KEY else int(code) if re.fullmatch(r"[45]\d\d", code) else 400
    return status if status in (401, 402, 403, 404) or next_step(status, own_words) else 0


def is_filtered(own_words: str, error: object, body: dict[str, Any]) -> bool:
    """Whether a content filter refused: by the error's code, or by words that the question does not use itself (a
    message may repeat a part of it)."""
    if any(FILTERED.search(word) for word in _chosen(error).values() if isinstance(word, str)):
        return True
    asked = " ".join(_texts(body)).casefold()
    return any(found.group().casefold() not in asked for found in FILTERED.finditer(own_words))


def _chosen(body: object) -> dict[str, object]:
    """Of an error's JSON the words that the server chose: its code and type, not its sentence."""
    error = body.get("error", body) if isinstance(body, dict) else None
    return {key: error.get(key) if isinstance(error, dict) else None for key in ("code", "type")}
