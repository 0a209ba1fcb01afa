"""A response that takes its answer back and gives another one (*ours*): "A. Wait, actually B"."""

from __future__ import annotations

import re

MOST = 8
STRONG = (
    r"(?:^|(?<=[\s.,!?;:(]))(?:(?:wait|hold\s+on)(?=\s*[,.!:…\-–—])|on\s+second\s+thoughts?\b|(?:correction"
    r"|scratch\s+that)\b|no,?\s+(?:wait|sorry)\b"
    r"|let\s+me\s+(?:re-?\w+|double-?check|check\s+again|look\s+again|correct)\b|oops\b|my\s+mistake\b|i\s+(?:mean"
    r"|meant)\b|i\s+take\s+(?:that|it)\s+back\b|corrected\s+to\b|sorry,?\s+i\s+meant\b|or\s+rather\b|edit:"
    r"|(?:scratch|strike)\s+that\b|then\s+again\b|on\s+(?:closer\s+(?:look|inspection)|reflection)\b"
    r"|(?:just\s+)?kidding\b|(?:ignore|forget|disregard)\s+(?:that|this|it)\b|i\s+(?:retract|withdraw)\b"
    r"|maybe\s+not\b|perhaps\s+not\b)"
    r"|(?<=[\s.,!?;:(])(?:hmm+,?\s+no\b"
    r"|looking\s+(?:again|closer)\b)|(?:that(?:'s|\s+is|\s+was))\s+(?:wrong|incorrect|not\s+right"
    r"|a\s+mistake)(?=\s*[.!,;]|\s*$)|\bi\s+got\s+(?:it|that)\s+wrong\b|\bactually,?\s+(?:i'm|i\s+am)\s+not\b"
    r"|(?<![^。,;\n实])不对|不完全是|等等(?=[,.!…])|等一下|更正|重新看"
)
WEAK = r"\bactually\b|(?<=[.!?…–—\-])\s*no[,.]\s|其实"
MARK = re.compile(rf"(?P<strong>{STRONG})|(?:{WEAK})", re.IGNORECASE)
# What may stand between the turn and the answer.
LEAD = re.compile(
    r"\A[\s,.!:;…\-–—]*(?:(?:(?:no|sorry|actually|wait|hmm+|so|then|and|but|i\s+mean|make\s+that|it\s*(?:is|'s"
    r"|should\s+be|must\s+be)"
    r"|should\s+be|that\s+should\s+be|that's)\b|应该?是|我是说|其实|是|一下|一遍)[\s,.!:;…\-–—]*)*",
    re.IGNORECASE,
)


def turns(text: str) -> list[tuple[str, bool]]:
    """What follows each turn, the last first; whether the turn is beyond doubt ("wait,", "correction"), not a word that
    may only stress ("actually")."""
    found = list(MARK.finditer(text))[-MOST:]
    return [(text[m.end() :].lstrip(" ,.!:;…-–—\n"), m["strong"] is not None) for m in reversed(found)]


def led(text: str) -> str:
    """The text without the words that lead to an answer ("no, I mean ...")."""
    return LEAD.sub("", text, count=1)
