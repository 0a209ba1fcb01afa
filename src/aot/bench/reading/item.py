"""One question of a benchmark, as its reader gives it. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ItemKind = Literal["choice", "yes_no", "open"]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """`answer`: a letter of `options` for "choice", "yes" or "no" for "yes_no", the reference text for "open" (several
    accepted ones in `accepted`). `images`: bytes of image files as they came, checked to be readable. `question` may
    hold `<image 1>` .. where the images stand inside it; else they come first. `groups`: what official metrics group
    by (figure, question pair, cycle, ...)."""

    id: str
    kind: ItemKind
    question: str
    images: tuple[bytes, ...]
    answer: str
    options: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    category: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""
