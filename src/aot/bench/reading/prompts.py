"""What a model is asked for an item: the sentences, and the images in their places.

The default prompts have the form that Qwen-VL models are evaluated with (question, lettered options, one closing
request; yes or no), the wording being ours. `boxed` is the form of the authors' release, which the defenders of this
project are trained on. All are versioned: a score says which one it was got by.
"""

from __future__ import annotations

import re
from typing import Protocol

from aot.bench.reading.item import Item
from aot.data.images.reading import BadRow
from aot.prompts import ANSWER_FORMAT
from aot.types import LETTERS

PROMPT_VERSION = 1
"""Goes up whenever a text of this module or of a benchmark's own prompt changes."""
SELECT = "Please choose the right answer from the options above."
YES_OR_NO = "Please answer yes or no."
SHORT = "Please answer with a word, a number or a short phrase."
BOXED_YES_OR_NO = "Answer with \\boxed{Yes} or \\boxed{No}."
BOXED_SHORT = "Answer with a word, a number or a short phrase in \\boxed{}."

PLACE = re.compile(r"<image (\d+)>")


class Prompt(Protocol):
    """The text of a question; `<image n>` marks where the n-th image stands. Its name is part of the protocol."""

    __name__: str

    def __call__(self, item: Item, /) -> str: ...


def plain(item: Item) -> str:
    """The usual prompt of each kind of question."""
    if item.kind == "yes_no":
        return f"{_hinted(item)}{item.question} {YES_OR_NO}"
    if item.kind == "open":
        return f"{_hinted(item)}{item.question}\n{SHORT}"
    return f"{_hinted(item)}Question: {item.question}\nOptions:\n{_options(item)}{SELECT}"


def boxed(item: Item) -> str:
    """The release's: the answer is asked for in a box."""
    if item.kind == "yes_no":
        return f"{_hinted(item)}{item.question}\n{BOXED_YES_OR_NO}"
    if item.kind == "open":
        return f"{_hinted(item)}{item.question}\n{BOXED_SHORT}"
    return f"{_hinted(item)}{item.question}\n{_options(item)}{ANSWER_FORMAT}"


def ending(sentence: str) -> Prompt:
    """A multiple-choice prompt that ends in a benchmark's own request; other kinds as usual."""

    def prompt(item: Item) -> str:
        if item.kind != "choice":
            return plain(item)
        return f"{_hinted(item)}{item.question}\n{_options(item)}{sentence}"

    prompt.__name__ = "benchmark's own"
    return prompt


def _hinted(item: Item) -> str:
    return f"Hint: {item.hint}\n" if item.hint else ""


def _options(item: Item) -> str:
    """An empty option is not shown; the others keep their letters."""
    lettered = zip(LETTERS, item.options, strict=False)
    return "".join(f"{letter}. {option}\n" for letter, option in lettered if option)


def content(item: Item, prompt: Prompt) -> tuple[str | bytes, ...]:
    """Text and images in their order: an image where the text has its mark, the others before it all. A mark without an
    image: `BadRow`."""
    text = prompt(item)
    numbers = [int(number) for number in PLACE.findall(text)]
    if wrong := [n for n in numbers if not 1 <= n <= len(item.images)]:
        what = f"the question speaks of <image {wrong[0]}>, and the row has {len(item.images)}"
        raise BadRow(what, "missing_image")
    parts: list[str | bytes] = [image for n, image in enumerate(item.images, 1) if n not in numbers]
    for index, piece in enumerate(PLACE.split(text)):
        if index % 2:
            parts.append(item.images[int(piece) - 1])
        elif piece.strip():
            parts.append(piece)
    return tuple(parts)
