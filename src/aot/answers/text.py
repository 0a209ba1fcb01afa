"""How responses are written: thoughts, boxes, tags, LaTeX and markdown around the words."""

from __future__ import annotations

import re
import unicodedata

LONGEST, REST, MOST_CUES = 20_000, 1_000, 40
"""Characters of a response that are read, characters after a cue, cues (of a response that repeats itself)."""

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection"
CLOSED = re.compile(
    rf"<({_NAMES})>.*?</\1>|\[think\].*?\[/think\]|◁think▷.*?◁/think▷", re.DOTALL | re.IGNORECASE
)
CLOSING = re.compile(rf"</(?:{_NAMES})>|\[/think\]|◁/think▷", re.IGNORECASE)
OPENING = re.compile(rf"<(?:{_NAMES})>|\[think\]|◁think▷", re.IGNORECASE)
FINAL = re.compile(r"<\|channel\|>\s*final\s*<\|message\|>(.*?)(?=<\|(?:end|return|start|call)\|>|\Z)", re.DOTALL)
BOX = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}|<\|begin_of_box\|>(.*?)<\|end_of_box\|>", re.DOTALL)
TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|mathit)\s*\{([^{}]*)\}")
QUOTED = re.compile(r"(?<![A-Za-z0-9])'([A-Z])'(?![A-Za-z0-9])")
CUE = re.compile(
    r"(?<!each )(?<!every )(?<!following )(?:answer|option|choice)\s*"
    r"(?:(?:is|are|be|would be|should be|must be)\b|[:=])[\s:]*"
    r"(?:therefore\b|thus\b|most likely\b|clearly\b|indeed\b)?[\s,:]*(?:(?:the\s+)?(?:option|choice|letter)\s+)?"
    r"|答案(?:应该|应当)?\s*[:=是为选]*\s*(?:选项)?\s*|(?:故选|应选|应该选|选择|选)\s*[::]?\s*(?=[(A-J])",
    re.IGNORECASE,
)


def bounded(text: str) -> str:
    """The text; of a very long one its beginning and its end, where answers are given."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 4]}\n{text[-LONGEST * 3 // 4 :]}"


def spoken(text: str) -> str:
    """What stands outside the thought, in the dialects of thinking models. Of harmony's channels the last `final`; of a
    thought that was never closed only an `<answer>` in it."""
    text = bounded(text)
    if "<|channel|>" in text:
        finals = FINAL.findall(text)
        return finals[-1] if finals else " "
    closed = list(CLOSING.finditer(text))
    if closed:
        after = text[closed[-1].end() :]
        text = after if after.strip() else CLOSED.sub(" ", text)
    opened = OPENING.search(text)
    if opened is None:
        return text
    tags = TAG.findall(text[opened.end() :])
    return text[: opened.start()] + (f" <answer>{tags[-1]}</answer>" if tags else "")


def boxes(text: str) -> list[str]:
    """Contents of all boxes, in order."""
    return [a or b for a, b in BOX.findall(text)]


def marked(text: str) -> str | None:
    """What the last box holds, else the last `<answer>` tag; None where there is neither."""
    found = boxes(text) or TAG.findall(text)
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
    cues = list(CUE.finditer(text))[-MOST_CUES:]
    rests = [text[cue.end() : cue.end() + REST] for cue in reversed(cues)]
    return [(rest, re.split(r"[.!?;\n](?:\s|$)|。", rest, maxsplit=1)[0]) for rest in rests]


def unwrapped(text: str) -> str:
    """Without LaTeX wrappers, markdown emphasis and quotes around a letter; full-width letters made plain."""
    text = LATEX.sub(r"\1", unicodedata.normalize("NFKC", text))
    text = re.sub(r"\\[()\[\]]", " ", re.sub(r"[*`$]", "", text))
    text = re.sub("[’‘]", "'", text)
    return QUOTED.sub(r"\1", re.sub(r"[“”]", '"', text))
