"""Does the model behind a URL see? Servers exist that drop every image in silence and answer from the text alone.

    SightChecked(backend, *, blind=False, say=..., hint=...)      a backend that finds out before its first request

Three small questions: the colour of a circle in two drawn pictures, and the same without a picture. An image adds
prompt tokens; where the server counts none, the answers must tell the pictures apart. The limits are *ours*.

    ImageEffect()       of all replies of a run: did the image ever change one? `.note(ask, reply)`, `.unmoved`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import cv2
import numpy as np

from aot.backends.asking.defender import read_reply
from aot.backends.base.backend import Ask, Backend, Reply, Sampling
from aot.backends.base.pictures import png
from aot.errors import AotError
from aot.prompts import question_prompt
from aot.runs.terminal import warn
from aot.types import Image, Question

COLOURS = {"red": (220, 30, 30), "blue": (30, 60, 220)}
QUESTION = Question("What colour is the circle?", tuple(COLOURS), 0)
SIDE_PX = 224
LEAST_TOKENS = 8
"""The smallest image of a known model takes 16 tokens; a word in its place ("<image>") takes fewer than this."""
LONGEST_ANSWER = 256


class SightChecked:
    """`backend`, asked whether it sees before the first request that is not stored already. A model that does not
    raises `AotError`, or with `blind` is only told about."""

    def __init__(
        self,
        backend: Backend,
        *,
        blind: bool = False,
        say: Callable[[str], None] | None = None,
        hint: str = "--blind goes on all the same",
    ):
        self.backend, self.name, self.blind, self.hint = backend, backend.name, blind, hint
        self.say = say or warn
        self._is_checked = False

    @property
    def identity(self) -> dict[str, Any]:
        return self.backend.identity

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        if not self._is_checked:
            self._check(sampling)
            self._is_checked = True
        yield from self.backend.ask(asks, sampling)

    def _check(self, sampling: Sampling) -> None:
        if (why := why_blind(*sight_replies(self.backend, sampling))) is None:
            return
        what = f"{self.name} does not seem to see images: {why}"
        if not self.blind:
            hint = f"see how the server was started (as a vision-language model?); {self.hint}"
            raise AotError(what, where=str(self.identity.get("url", "")), hint=hint)
        self.say(f"note: {what}")


def sight_replies(backend: Backend, sampling: Sampling) -> tuple[Reply, Reply, Reply]:
    """To the red picture, to the blue one, and to the question without a picture."""
    text = question_prompt(QUESTION)
    contents = {name: (png(circle(colour)), text) for name, colour in COLOURS.items()} | {"bare": (text,)}
    short = replace(sampling, temperature=0.0, max_new_tokens=min(sampling.max_new_tokens, LONGEST_ANSWER))
    asks = [Ask(name, content) for name, content in contents.items()]
    replies = {ask.id: reply for ask, reply in backend.ask(asks, short)}
    return replies["red"], replies["blue"], replies["bare"]


def circle(colour: tuple[int, int, int]) -> Image:
    """A filled circle on white."""
    image = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    centre = SIDE_PX // 2
    cv2.circle(image, (centre, centre), SIDE_PX // 3, colour, thickness=-1, lineType=cv2.LINE_AA)
    return image


def why_blind(red: Reply, blue: Reply, bare: Reply) -> str | None:
    """Why the model seems not to see; None where it sees, or where the replies do not tell."""
    if "error" in (red.status, blue.status):
        return None  # the real questions will say what is wrong
    if _names(red, "red") and _names(blue, "blue"):
        return None
    with_image, without = red.prompt_tokens, bare.prompt_tokens
    if with_image and without:
        if with_image - without >= LEAST_TOKENS:
            return None
        return f"a question takes {with_image} prompt tokens with an image and {without} without"
    if not (red.text or blue.text) or red.text != blue.text:
        return None
    return f"asked for the colour in a red and in a blue picture, it says the same ({red.text[:80]!r})"


@dataclass(slots=True)
class ImageEffect:
    """Whether replies change with the image: those to the same text with different images are compared."""

    compared: int = 0
    """Replies to a text that an earlier reply had with another image."""
    differed: bool = False
    erred: bool = False
    """Some answer was not right: always the same *right* answer is what a good model says, too."""
    _first: dict[bytes, tuple[bytes, str]] = field(default_factory=dict, repr=False)

    def note(self, ask: Ask, reply: Reply, right: bool | None) -> None:
        """Only answers count. `right`: None where none could be read."""
        if reply.status != "answered":
            return
        self.erred |= right is not True
        text, images = sha256(), sha256()
        for part in ask.content:
            if isinstance(part, str):
                text.update(part.encode("utf-8", "replace"))
            else:
                images.update(part)
        first_images, first_reply = self._first.setdefault(text.digest(), (images.digest(), reply.text))
        if first_images != images.digest():
            self.compared += 1
            self.differed |= first_reply != reply.text

    @property
    def unmoved(self) -> int:
        """How many replies were the same whatever the image; 0 where any was not, or all were right."""
        return self.compared if self.erred and not self.differed else 0


def unmoved_note(unmoved: int) -> str:
    """What a reader must know first."""
    return (
        f"No answer changed with its image: {unmoved:,} replies to the same question about another image are word for "
        "word the same. A model that does not see its images answers so."
    )


def _names(reply: Reply, colour: str) -> bool:
    """Whether the reply chooses the colour, or names no other."""
    choice = read_reply(reply, QUESTION.options).choice
    if choice is not None:
        return QUESTION.options[choice] == colour
    return [each for each in COLOURS if each in reply.text.lower()] == [colour]
