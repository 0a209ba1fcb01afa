"""What a server means by refusing a request, from its status and its words. No network.

    without_question(told, body) -> str            the server's own words: many repeat the question
    blamed(own_words, body) -> str | None          the parameter that the request can do without
    meant(status, own_words) -> int                the status that the words stand for: 401, 404, or the status itself
    next_step(status, own_words, wait_s) -> str    for what ends the run: no money, no model that sees images; else ""
    status_inside(error, body) -> int              the status that ends the run, of an error in a 200's body; else 0
    is_filtered(own_words, error, body) -> bool    whether a content filter refused
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

FEW = 5
"""Alternatives a token that servers list which do not list 20."""
SAYS = ("message", "code", "type", "detail", "msg")
"""Where an error's JSON has its words."""
PASSING = (408, 409, 424, 425, 429, 498, 499)
"""Statuses below 500 of a fault that may pass: 424 of an engine behind TGI, 498 of Groq's, 499 of Google's."""
WAY_ON = {
    "timeout": "see to the server, or give it more time",
    "429": "ask less at once: --concurrency, --requests-per-minute",
    **dict.fromkeys(("wrong_shape", "invalid_json"), "is it OpenAI's chat at this address? (it mostly ends with /v1)"),
}
"""The next step after so many of one fault."""
LATER = "run it again then, or let it wait: --longest-wait of aot eval, longest_wait_s of the other settings"
NO_PROBABILITIES = "probabilities were asked for, and the server gives none: there will be no confidences"
FILTERED = re.compile(r"content.?filter|content.?policy|content management|moderation|flagged|safety", re.IGNORECASE)
WRONG_KEY = re.compile(
    r"api.?key (?:is )?(?:not valid|invalid)|(?:invalid|incorrect|wrong|missing).{0,12}(?:api.?key|authorization)"
    r"|authentication.error|\bunauthori[sz]ed\b|not authenticated|no auth credentials",
    re.IGNORECASE,
)
NO_MODEL = re.compile(
    r"not a valid model|invalid[ _]model\b|model.not.(?:exist|found)|unknown model|no healthy deployments"
    r"|\bmodel\b(?:(?!\. ).){0,60}\b(?:does not exist|not exist|not found|has been decommissioned)|模型不存在",
    re.IGNORECASE,
)
NO_CHAT = re.compile(r"unexpected endpoint|\bHTTP request (?:was sent )?to (?:an )?HTTPS\b", re.IGNORECASE)
UNPAID = re.compile(
    r"insufficient.{0,12}(?:quota|credit|balance|fund)|exceeded_current_quota|(?:out of|all available) credits"
    r"|credit balance is too low|payment required|spending limit|billing.{0,3}(?:hard.limit|inactive|not.active)"
    r"|account is (?:not active|inactive|suspended)|account\b.{0,60}\bsuspended|arrearage|budget.(?:has been )?exceeded"
    r"|quota exceeded.{0,120}\blimit: 0\b|余额不足|欠费",
    re.IGNORECASE | re.DOTALL,
)
QUOTA = re.compile(r"exceeded your current (?:\w+ )?quota", re.IGNORECASE)
"""Without a wait, no money; with one, some servers' words for so many requests a minute."""
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
    rf"|(?:is not|isn't) an? (?:multi-?modal|vision)"
    r"|\bat most 0 image|\b(?:unsupported|unknown)\b.{0,30}\bimage_url|\bmmproj\b"
    r"|\bcontent\W{0,3} ?(?:must be a string|input should be a valid string)",
    re.IGNORECASE,
)
FEWER = re.compile(
    r"(?:top_logprobs|top_n_tokens|\blogprobs of \d+)\b.{0,80}?(?:\bmax|\bmost|<=|\bless|\bbetween|\bgreater|\brange)",
    re.IGNORECASE,
)
"""Of a server that lists fewer alternatives a token than were asked for."""


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
    if "logprobs" in body and re.search(r"logprobs|top_n_tokens", own_words, re.IGNORECASE):
        return "top_logprobs" if body["top_logprobs"] > FEW and FEWER.search(own_words) else "logprobs"
    if "max_tokens" in body and "max_completion_tokens" in own_words and "support" in own_words:
        return "max_tokens"
    if "seed" in body and re.search(r"\bseed\b", own_words):
        return "seed"
    for name in ("top_p", "temperature"):  # at 1 they change nothing
        if body.get(name) == 1 and re.search(rf"\b{name}\b", own_words):
            return name
    return None


def meant(status: int, own_words: str) -> int:
    """The status that such words mostly come with: many servers tell a wrong key or an unknown model by 400, and some
    a wrong address by 405 or 200."""
    if status in (400, 403, 422) and (NO_MODEL.search(own_words) or NO_CHAT.search(own_words)):
        return 404
    if status in (400, 422) and WRONG_KEY.search(own_words):
        return 401
    return 404 if status == 405 else status


def next_step(status: int, own_words: str, wait_s: float | None = None) -> str:
    """What the user can do about a refusal that every question will meet; "" where the next one may be answered.
    `wait_s`: the server asks to wait so long."""
    if status == 402 or (status < 500 and UNPAID.search(own_words)):
        return "see to the account's credits and quota"
    if status < 500 and wait_s is None and QUOTA.search(own_words):
        return "see to the account's credits and quota"
    if status < 500 and status != 429 and FIXED.search(own_words):
        return "this model answers at its own temperature alone: ask with --temperature 1"
    if status <= 501 and status != 429 and BLIND.search(own_words):
        return "take a model that sees images (--model), or a server that was started with its vision part"
    return ""


def status_inside(error: object, body: dict[str, Any]) -> int:
    """The HTTP status that an error in the body of a success stands for, where it ends the run: no right key, no money,
    no such model, none that sees images. 0 for others: such an answer is asked for again."""
    if not error:
        return 0
    words = [error.get(key) for key in SAYS] if isinstance(error, dict) else [error]
    own_words = without_question(" ".join(str(word) for word in words if word), body)
    code = str(_chosen(error)["code"]).strip()
    status = meant(int(code) if re.fullmatch(r"[45]\d\d", code) else 400, own_words)
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
