"""From free text to the numbers and short texts that it may give as an answer: MMMU's rules for open questions.

Source: MMMU's evaluation script (github.com/MMMU-Benchmark/MMMU, `eval_utils.py`), by its behaviour, oddities
included, since published scores have them: a text is right where an accepted text stands anywhere in it, a number
where it equals an accepted one after rounding to two digits. *Ours*: a box or `<answer>` tag alone is read where there
is one, thoughts are not read, and nothing to read is "unparsed" or "refused".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aot.answers.refusal import abstains, only_refuses
from aot.answers.text import marked, spoken, unwrapped
from aot.types import AnswerStatus

Reading = str | float

CUES = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
NUMBERS = tuple(
    re.compile(pattern)
    for pattern in (
        r"-?\b\d{1,3}(?:,\d{3})+\b",  # 1,234
        # No match begins within a run of digits: one from the run's start would have been found, in linear time.
        r"-?(?<!\d)\d+(?:\.\d+)?[eE][+-]?\d+",  # 1.2e-3
        r"-?(?:(?<!\d)\d+\.\d+|\.\d+|(?<!\d)\d+\b)(?![eE][+-]?\d+)(?![,\d])",
    )
)


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """All that the text may have meant: lower-case texts, then numbers; empty unless `answered`."""

    text: str
    readings: tuple[Reading, ...]
    status: AnswerStatus = "answered"

    def matches(self, accepted: Sequence[str]) -> bool:
        """Whether one of the readings is one of the accepted answers."""
        golds = [gold for answer in accepted for gold in normalised(answer)]
        return any(
            reading in golds
            if isinstance(reading, float)
            else any(gold in reading for gold in golds if isinstance(gold, str))
            for reading in self.readings
        )


def parse_open(text: str, *, truncated: bool = False) -> OpenAnswer:
    """Read one response to a question without options."""
    if truncated:
        return OpenAnswer(text, (), "truncated")
    said = spoken(text)
    if abstains(said):
        return OpenAnswer(text, (), "refused")
    content = marked(said)
    plain = said if content is None else unwrapped(content)
    phrases = _key_phrases(plain)
    numbers = [found for phrase in phrases for pattern in NUMBERS for found in pattern.findall(phrase)]
    readings = {reading for phrase in phrases + numbers for reading in normalised(phrase)}
    if not plain.strip(" \n.,:;!?()[]{}\"'"):
        return OpenAnswer(text, (), "unparsed")
    if only_refuses(unwrapped(plain)):
        return OpenAnswer(text, (), "refused")
    return OpenAnswer(text, tuple(sorted(readings, key=lambda r: (isinstance(r, float), r))))


def _key_phrases(text: str) -> list[str]:
    """Of every line the shortest end after a cue ("so", "is", "answer", in the last line "=" too); the whole text where
    no line has one."""
    whole = text.strip().strip(".").lower()
    lines = whole.split("\n")
    phrases = []
    for i, line in enumerate(lines):
        cues = (*CUES, "=") if i == len(lines) - 1 else CUES
        shortest = ""
        for end in (line.split(cue)[-1].strip() for cue in cues if cue in line):
            if not shortest or len(end) < len(shortest):
                shortest = end
        if shortest.strip(":,.!?;'"):
            phrases.append(shortest)
    return phrases or [whole]


def normalised(text: str) -> list[Reading]:
    """A number rounded to two digits, else the text in lower case; one letter only beside a space (not in words)."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]
