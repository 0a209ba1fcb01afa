"""What a model that is asked looks like: requests in, replies out as they come. No torch, no network here."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from aot.runs.files import canonical_hash
from aot.runs.limits import MOST, MOST_PIXELS, Temperature

ReplyStatus = Literal["answered", "truncated", "refused", "error"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn, and how large images may be: part of every stored reply's key."""

    temperature: Temperature = 0.0  # 0 is greedy
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(gt=0, le=MOST)] = 1024
    seed: Annotated[int, Field(ge=0)] = 0
    # Images are brought into these bounds (pixels); none: the model's own.
    min_pixels: Annotated[int, Field(gt=0, le=MOST_PIXELS)] | None = None
    max_pixels: Annotated[int, Field(gt=0, le=MOST_PIXELS)] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One user turn. `content` is text and images in their order, an image as the bytes of its file (JPEG, PNG,
    WebP). `options`: completions whose probabilities are wanted where the backend gives them. `trial` tells repeated
    sampled questions apart."""

    id: str
    content: tuple[str | bytes, ...] = field(repr=False)  # megabytes
    options: tuple[str, ...] = ()
    trial: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Only an "answered" one may be read for an answer; `error` says what went wrong otherwise.

    `probabilities`: of `Ask.options`, normalised over them. Token counts are None where the backend does not say.
    `attempts`: requests made for it; `faults`: what went wrong before it ("429", "timeout", ...), counted by word.
    """

    text: str
    status: ReplyStatus = "answered"
    error: str = ""
    probabilities: tuple[float, ...] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    visual_tokens: int | None = None
    seconds: float = 0.0
    attempts: int = 1
    faults: tuple[str, ...] = ()


class Backend(Protocol):
    """A model that is asked."""

    name: str

    @property
    def identity(self) -> dict[str, Any]:
        """JSON of all that its replies depend on besides request and sampling (model, digests of its files, URL)."""
        ...

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        """Every request with its reply, in the order in which they come. Takes from `asks` as it goes, so that memory
        does not grow with their number. What fails is a reply with status "error", never an exception; a
        mistake of the user (no such folder, wrong key, unknown model) raises `AotError`."""
        ...


def reply_key(identity: Mapping[str, Any], ask: Ask, sampling: Sampling) -> str:
    """sha256 over the backend's identity, the content, the options, the trial and the sampling. `Ask.id` is no part."""
    content = [
        ["image", hashlib.sha256(part).hexdigest()] if isinstance(part, bytes) else ["text", part]
        for part in ask.content
    ]
    return canonical_hash(
        {
            "backend": dict(identity),
            "content": content,
            "options": list(ask.options),
            "trial": ask.trial,
            "sampling": dataclasses.asdict(sampling),
        }
    )
