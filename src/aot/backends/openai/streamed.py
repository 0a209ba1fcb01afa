"""A chat completion that comes as a stream of events though none was asked for, as the one completion that it makes.

    as_one(body: bytes) -> bytes           JSON; a body that is no stream, or one that was cut off, stays as it is
    first_choice(value) -> Any             of a completion, or of a piece of one, the choice whose index is 0

Source of the form: the event streams of the HTML standard, and OpenAI's chat completion chunks.
"""

from __future__ import annotations

import json
from typing import Any

from aot.backends.openai.option_probabilities import at

_END = "[DONE]"


def as_one(body: bytes) -> bytes:
    """The pieces of the first choice put together; other fields are those of the last event that has them. Lines that
    begin with a colon are comments, which some servers send while they wait."""
    begun = body.lstrip()
    if not begun.startswith((b"data:", b"event:", b":")):
        return body
    lines = [line.strip() for line in begun.decode("utf-8", "replace").splitlines()]
    events = [line[5:].strip() for line in lines if line.startswith("data:")]
    if not events:  # a completion behind comments
        return "\n".join(line for line in lines if not line.startswith(":")).encode()
    try:
        chunks = [json.loads(event) for event in events if event and event != _END]
    except (ValueError, RecursionError):
        return body
    ended = _END in events or any(at(first_choice(chunk), "finish_reason") for chunk in chunks)
    failed = any(at(chunk, "error") for chunk in chunks)
    return json.dumps(_joined(chunks)).encode() if ended or failed else body


def first_choice(value: Any) -> Any:
    """One answer was asked for; of several, in any order, the first is it."""
    choices = at(value, "choices")
    listed = choices if isinstance(choices, list) else []
    return next((choice for choice in listed if at(choice, "index") in (0, None)), None)


def _joined(chunks: list[Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    message: dict[str, Any] = {}
    tokens: list[Any] = []
    finish: Any = None
    for chunk in chunks:
        whole |= {key: value for key, value in chunk.items() if value is not None} if isinstance(chunk, dict) else {}
        choice = first_choice(chunk)
        delta = at(choice, "delta") or at(choice, "message")
        for key, value in delta.items() if isinstance(delta, dict) else ():
            before = message.get(key)
            message[key] = before + value if isinstance(before, str) and isinstance(value, str) else value or before
        tokens += listed if isinstance(listed := at(choice, "logprobs", "content"), list) else []
        finish = at(choice, "finish_reason") or finish
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {**whole, "choices": [choice | ({"logprobs": {"content": tokens}} if tokens else {})]}
