r"""OpenAI's chat protocol as pure functions: a request's JSON, and what a server's JSON says. No network.

    chat_body(ask, messages, model, sampling, without) -> dict
    user_turn(ask, sampling) -> list               images as data: URLs, brought within the caps
    read_completion(body: bytes, options) -> Reply | Fault

Nothing that a server sends raises: what cannot be read is a `Fault`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aot.backends.base.backend import Ask, Reply, Sampling
from aot.backends.base.pictures import fitted, mime_type
from aot.backends.openai.error_bodies import SAID, error_text, plain
from aot.backends.openai.option_probabilities import at, option_probabilities, scorable
from aot.backends.openai.refusals import FEW
from aot.backends.openai.streamed import as_one, first_choice

TOP = 20
"""Alternatives a token of which probabilities are asked: the most that the protocol allows."""
LONGEST = 1 << 20
"""Characters of an answer: more is none."""
ANSWERED = {"", "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed"}
TRUNCATED = {
    "length",
    "max_length",
    "max_tokens",
    "max_output_tokens",
    "max_new_tokens",
    "token_limit",
    "model_length",
    "context_length",
    "context_length_exceeded",
    "context_window_exceeded",
    "model_context_window_exceeded",
}
REFUSED = {
    "content_filter",
    "content_filtered",
    "refusal",
    "safety",
    "moderation",
    "sensitive",
    "error_toxic",
    "prohibited_content",
    "blocklist",
    "recitation",
    "spii",
    "guardrail_intervened",
}
"""What servers call the end of an answer, in small letters. Any other word is a fault: what stands there may be half an
answer. Before them Gemini puts "image_", and behind "content_filter:" its own word."""
SAID_IN = (None, "text", "output_text")
"""Types of a content's parts that hold what a model says; others hold thoughts, refusals, calls."""
THOUGHTS = ("reasoning_content", "reasoning")
"""Where servers put what a model thought before its answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A request that brought nothing to read. `word` is counted; `wait_s`: the server asked to wait so long; `error`:
    what the server sent as an error with a status of success."""

    word: str
    detail: str
    wait_s: float | None = None
    error: object = None


def user_turn(ask: Ask, sampling: Sampling) -> list[dict[str, Any]]:
    """The `messages` of a request: one user turn. Raises `BadPicture` for an image that cannot be sent."""
    parts: list[dict[str, Any]] = []
    for part in ask.content:
        if isinstance(part, str):
            # Lone surrogates, which no UTF-8 can hold.
            parts.append({"type": "text", "text": part.encode("utf-8", "replace").decode()})
        else:
            sent = fitted(part, sampling)
            url = f"data:{mime_type(sent)};base64,{base64.b64encode(sent).decode()}"
            parts.append({"type": "image_url", "image_url": {"url": url}})
    return [{"role": "user", "content": parts}]


def chat_body(
    ask: Ask, messages: list[dict[str, Any]], model: str, sampling: Sampling, without: set[str]
) -> dict[str, Any]:
    """The JSON of a request. `without`: parameters that this server has refused before."""
    limit = "max_completion_tokens" if "max_tokens" in without else "max_tokens"
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        limit: sampling.max_new_tokens,
    }
    if sampling.temperature > 0:
        body["seed"] = trial_seed(sampling.seed, ask.trial)
    if scorable(ask.options):
        body |= {"logprobs": True, "top_logprobs": FEW if "top_logprobs" in without else TOP}
    for name in without - {"max_tokens", "top_logprobs"}:
        body.pop(name, None)
        if name == "logprobs":
            body.pop("top_logprobs", None)
    return body


def trial_seed(seed: int, trial: int) -> int:
    """A seed of 31 bits for a trial: repeated questions draw differently, the same one always the same."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{trial}".encode()).digest()[:4], "big") >> 1


def read_completion(body: bytes, options: Sequence[str] = ()) -> Reply | Fault:
    """What a chat completion's JSON says, whatever it is."""
    try:
        value = json.loads(as_one(body))
    except (ValueError, RecursionError) as error:
        page = plain(body.decode("utf-8", "replace"))[:200]
        return Fault("invalid_json", f"the answer is no JSON ({str(error)[:80]}): {page!r}")
    choice = first_choice(value) or at(value, "choices", 0)
    message = at(choice, "message")
    wrong = next((each for part in (value, choice, message) if (each := at(part, "error"))), None)
    status = at(value, "base_resp", "status_code")
    wrong = wrong or (at(value, "base_resp") if type(status) is int and status else None)
    if not wrong and isinstance(value, dict) and "choices" not in value and _is_told(value):
        wrong = value
    says = f"the server says: {error_text({'error': wrong})}" if wrong else ""
    if not isinstance(message, dict):
        return Fault("wrong_shape", says or f"the answer holds no message: {body[:120]!r}", error=wrong)
    if wrong:
        return Fault("error_inside", says, error=wrong)
    content, finish = message.get("content"), at(choice, "finish_reason")
    text, refusal = _text(content), message.get("refusal") or _refusal(content)
    reason = (
        ""
        if finish is None
        else finish.split(":")[0].strip().lower().replace("-", "_").removeprefix("image_")
        if isinstance(finish, str)
        else repr(finish)
    )
    known: dict[str, Any] = {
        "prompt_tokens": _count(at(value, "usage", "prompt_tokens")),
        "completion_tokens": _count(at(value, "usage", "completion_tokens")),
        "visual_tokens": _count(at(value, "usage", "prompt_tokens_details", "image_tokens")),
    }
    if text is not None and len(text) > LONGEST:
        return Fault("too_long", f"an answer of {len(text)} characters")
    if reason in REFUSED or (isinstance(refusal, str) and refusal.strip()):
        return Reply(text or "", "refused", str(refusal or finish)[:SAID], **known)
    if reason not in ANSWERED | TRUNCATED:
        return Fault("finish_reason", f"the answer ends with finish_reason {str(finish)[:80]!r}")
    thoughts = "" if text and text.strip() else _thoughts(message)
    if reason in TRUNCATED:
        return Reply(text or "", "truncated", thoughts, **known)
    if text is None:
        return Fault("wrong_shape", f"the answer's content is no text: {body[:120]!r}")
    if not text.strip():
        return Fault("empty", f"the answer is empty{'; ' * bool(thoughts)}{thoughts}")
    tokens = at(choice, "logprobs", "content")
    return Reply(text, probabilities=option_probabilities(tokens, options), **known)


def _is_told(value: dict[str, Any]) -> bool:
    """Whether an object without choices is an error by its own words, as some gateways send it with a success."""
    return any(isinstance(value.get(key), str | list) for key in ("detail", "msg", "message"))


def _refusal(content: Any) -> str | None:
    """The words of the part of a content that is a refusal."""
    parts = content if isinstance(content, list) else []
    return next((part["refusal"] for part in parts if isinstance(at(part, "refusal"), str)), None)


def _thoughts(message: dict[str, Any]) -> str:
    """That a model thought and did not answer; "" where it gave no thoughts. What it thought is no answer."""
    for name in THOUGHTS:
        if isinstance(thought := message.get(name), str) and thought.strip():
            return f"there is only {name} ({len(thought)} characters), which is no answer"
    return ""


def _text(content: Any) -> str | None:
    """A message's content: text, parts of text, or nothing said ("")."""
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [
            part if isinstance(part, str) else at(part, "text") if at(part, "type") in SAID_IN else None
            for part in content
        ]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None
