"""Texts that decline to answer (*ours*): "I'm sorry, but I can't help with that", "It cannot be determined"."""

from __future__ import annotations

import re

UNABLE = (
    r"can(?:not|'t|\s+not)|could(?:n't|\s+not)|won't|will\s+not|(?:unable|not\s+able)\s+to"
    r"|(?:impossible|not\s+possible)\s+to|(?:refuse|decline)\s+to|no\s+way\s+(?:to|of)"
)
TO_ANSWER = (
    r"help|assist|answer(?:ed)?|determin(?:e|ed|ing)|identif(?:y|ied)|tell(?:ing)?|say|know(?:n|ing)?|judged?|assess"
    r"|provide|comply|fulfill?|respond|discuss|confirm|verify|decide|ascertain"
    r"|(?:see|view|access|process|analy[sz]e)\s+(?:the\s+|any\s+|this\s+|an\s+)?(?:image|picture|photo)s?"
)
REFUSAL = re.compile(
    rf"\b(?:{UNABLE})\s+(?:\w+\s+){{0,2}}?(?:{TO_ANSWER})\b|\bdo(?:n't|\s+not)\s+(?:\w+\s+)?know\b"
    r"|(?:\bnot|n't|\bno|\binsufficient)\s+(?:\w+\s+)?(?:information|context)\b"
    r"|\bnot\s+(?:sure|certain)\b|\bno\s+idea\b",
    re.IGNORECASE,
)
# One of these is in all of them: searching for them first is what keeps the trainings' parser fast.
HINTS = ("not", "n't", "no ", "unable", "impossible", "insufficient", "decline", "refuse")
# What it declines to say belongs to it ("... whether it is red"); what follows a turn ("but it looks blue") does not.
CLAUSE = re.compile(
    rf"(?:{REFUSAL.pattern}).*?"
    r"(?=[.!?;\n](?:\s|$)|\b(?:but|however|though|yet|so|therefore|probably|likely|maybe|perhaps|possibly)\b|$)",
    re.IGNORECASE | re.DOTALL,
)
POLITE = re.compile(
    r"[^.!?\n]*\?|\b(?:i'm|i|it|am|is|be|that|this|sorry|unfortunately|apologi[sz]e|but|there|however"
    r"|an? (?:ai|assistant|language model)|as|ai|(?:language )?model|assistant)\b",
    re.IGNORECASE,
)


def refuses(text: str) -> bool:
    """Whether the text declines somewhere. Only where it gives no answer is that a refusal."""
    lower = text.lower()
    return any(hint in lower for hint in HINTS) and REFUSAL.search(text) is not None


def only_refuses(text: str) -> bool:
    """Whether nothing but words of courtesy is left without the declining clauses."""
    return refuses(text) and not re.search(r"\w", POLITE.sub(" ", without_refusals(text)))


def without_refusals(text: str) -> str:
    """The text without its declining clauses, where options may be named that it does not choose."""
    return CLAUSE.sub(" ", text) if refuses(text) else text
