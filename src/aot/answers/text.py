"""How responses are written: thoughts, boxes, tags, LaTeX and markdown around the words."""

from __future__ import annotations

import re
import unicodedata

THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)|\A.*</think>", re.DOTALL | re.IGNORECASE)
BOX = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
CUE = re.compile(
    r"(?:answer|option|choice|答案)\s*(?:(?:is|are|be|would be|should be|must be)\b|[:=是为])[\s:]*"
    r"(?:(?:the\s+)?(?:option|choice|letter)\s+)?",
    re.IGNORECASE,
)


def spoken(text: str) -> str:
    """What stands outside the thought."""
    return THOUGHT.sub(" ", text)


def marked(text: str) -> str | None:
    """What the last box holds, else the last `<answer>` tag; None where there is neither."""
    found = BOX.findall(text) or TAG.findall(text)
    return found[-1] if found else None


def final_answer(text: str) -> str:
    """What a response to a question without options gives as its answer: the last box, else the last `<answer>` tag,
    else all that stands outside the thought. May be empty."""
    said = spoken(text)
    content = marked(said)
    return unwrapped(said if content is None else content).strip()


def after_cues(text: str) -> list[tuple[str, str]]:
    """After every "answer is", the last first: all that follows, and its first sentence (the next one may discuss
    the other options)."""
    rests = [text[cue.end() :] for cue in reversed(list(CUE.finditer(text)))]
    return [(rest, re.split(r"[.!?;\n](?:\s|$)", rest, maxsplit=1)[0]) for rest in rests]


def unwrapped(text: str) -> str:
    """Without LaTeX wrappers and markdown emphasis; full-width letters made plain."""
    text = LATEX.sub(r"\1", unicodedata.normalize("NFKC", text))
    return re.sub(r"[*`$]|\\[()]", "", text).replace("’", "'")
