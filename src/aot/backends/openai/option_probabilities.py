r"""What an answer's tokens, with the likeliest alternatives of each, say about the probabilities of a question's
options. Pure: nothing that a server sends raises.

    scorable(options) -> bool
    option_probabilities(tokens, options) -> tuple[float, ...] | None
    at(value, "choices", 0) -> Any        a step into JSON of whatever shape

`tokens`: as OpenAI's chat protocol gives them (`logprobs.content`). Options are letters ("A"), or whole answers that
end with theirs ("left \boxed{A}"): a model that was trained on such answers decides with its first word, and the
letter only repeats it. *Ours.*
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

END = re.compile(r"<[^<>\s]{1,30}>\s*$")
"""A special token that some servers list as an answer's last one."""
BOXED = re.compile(r"\\boxed\{([A-Za-z])\}\s*")
LEAD = re.compile(
    r"\W*(?:(?:the\s+)?(?:correct\s+|best\s+|final\s+)?(?:answer|option|choice)\s*(?:is|:)?\W*"
    r"(?:(?:option|choice)\W*)?)?(?:boxed\W*)?(?:text\W*)?",
    re.IGNORECASE,
)
"""What may stand before an answer's letter for it to be the answer: "(", "The answer is ", "\\boxed{"."""
TRAIL = re.compile(r"(?![A-Za-z0-9'])(?![ \t]+[a-z])")
"""After it: not the rest of a word, and not of a sentence that begins with "A car is"."""




def scorable(options: Sequence[str]) -> bool:
    """Whether probabilities of these options can be read from an answer's tokens."""
    return _letters(options) is not None


def option_probabilities(tokens: Any, options: Sequence[str]) -> tuple[float, ...] | None:
    """Normalised over the options; 0 for one that is not among the alternatives listed. None where the options are not
    `scorable`, or the answer is none of them, nor begins with a letter."""
    letters = _letters(options)
    if letters is None or not isinstance(tokens, list):
        return None
    found = _by_letter(tokens, letters)
    return found if found is not None or letters == tuple(options) else _by_words(tokens, options)


def _by_letter(tokens: list[Any], letters: Sequence[str]) -> tuple[float, ...] | None:
    """From the first token that says a letter as the answer: the probabilities of the tokens that are the letters. None
    where the answer does not begin with one."""
    said = _texts(tokens)
    before = ""
    for i, token in enumerate(said):
        if token.strip() in letters:
            if not (LEAD.fullmatch(before) and TRAIL.match("".join(said[i + 1 : i + 4]))):
                return None
            weights = dict.fromkeys(letters, 0.0)
            for alternative, logprob in _alternatives(tokens[i]):
                if alternative.strip() in weights:
                    weights[alternative.strip()] += math.exp(logprob)
            return _normalised(list(weights.values()))
        before += token
        if len(before) > 60:
            break
    return None


def _by_words(tokens: list[Any], options: Sequence[str]) -> tuple[float, ...] | None:
    """Of an answer that is an option to the letter: every other one branches off from it at some token, and weighs what
    the alternatives weigh that lead to it, times what was said up to there. What would follow is taken as certain; an
    alternative that leads to several options is shared among them."""
    said, answers = _texts(tokens), [option.strip() for option in options]
    answer = END.sub("", "".join(said)).strip()
    if answer not in answers:
        return None
    chosen = answers.index(answer)
    weights, last, before, so_far = [0.0] * len(answers), 0.0, "", 0.0
    undecided = set(range(len(answers))) - {chosen}
    for token, text in zip(tokens, said, strict=True):
        after = (before + text).lstrip()
        leaving = {i for i in undecided if not answers[i].startswith(after)}
        if leaving:
            for alternative, logprob in _alternatives(token):
                path = (before + alternative).lstrip()
                if len(path) > len(before.lstrip()):
                    led = [i for i in (chosen, *undecided) if answers[i].startswith(path)]
                    for i in leaving.intersection(led):
                        weights[i] += math.exp(so_far + logprob) / len(led)
        own = _number(at(token, "logprob"))
        if own is None:
            return None
        so_far, before, undecided = so_far + own, after, undecided - leaving
        if leaving:
            last = so_far
        if not undecided:
            break
    weights[chosen] = math.exp(last)
    return _normalised(weights)


def _normalised(weights: Sequence[float]) -> tuple[float, ...] | None:
    total = sum(weights)
    return tuple(weight / total for weight in weights) if total > 0 else None


def _alternatives(token: Any) -> list[tuple[str, float]]:
    """The likeliest tokens at a place, each with its log-probability."""
    listed = at(token, "top_logprobs")
    pairs = [(at(each, "token"), _number(at(each, "logprob"))) for each in (listed if isinstance(listed, list) else [])]
    return [(text, logprob) for text, logprob in pairs if isinstance(text, str) and logprob is not None]


def _number(logprob: Any) -> float | None:
    """A log-probability; rounding may put a certain one above 0."""
    return float(logprob) if isinstance(logprob, int | float) and -1e4 < logprob < 0.01 else None


def _texts(tokens: list[Any]) -> list[str]:
    return [text if isinstance(text := at(token, "token"), str) else "" for token in tokens]


def _letters(options: Sequence[str]) -> tuple[str, ...] | None:
    """The letter of each option, if all have one of their own."""
    found = [option if len(option) == 1 else _boxed(option) for option in options]
    distinct = len(set(found)) == len(found) and len({len(option) == 1 for option in options}) == 1
    return tuple(map(str, found)) if distinct and None not in found else None


def _boxed(option: str) -> str | None:
    """The letter of the box that an answer ends with."""
    boxes = list(BOXED.finditer(option))
    return boxes[0][1] if len(boxes) == 1 and boxes[0].end() == len(option) else None


def at(value: Any, *path: str | int) -> Any:
    """`value[path[0]][path[1]]...`; None as soon as a step is not there."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and len(value) > step:
            value = value[step]
        else:
            return None
    return value
