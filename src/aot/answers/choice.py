r"""From free text to one of a question's options.

An ordered parser: a box, an `<answer>` tag, an explicit "answer is", "option X", a letter that stands
apart, and last the option's own words. The first step that finds anything decides; where it finds two
different options, or a letter that is no option, the answer is unparsed (*ours*; the traps are those of the
field's parsers, see the tests).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from aot.answers.refusal import refuses, without_refusals
from aot.answers.text import BOX, TAG, after_cues, spoken, unwrapped
from aot.types import LETTERS, Answer

Found = set[int] | None
"""Options a step found: None = the step does not apply; otherwise it decides (one element = answered)."""

NAMED = re.compile(r"\b(?:option|choice)\s*[(\"']?([A-J])(?![A-Za-z0-9'])", re.IGNORECASE)
STANDS_APART = re.compile(r"\(([A-Z])\)|^\s*([A-Z])\s*(?:[.):]|$)(?!\w)", re.MULTILINE)
BARE = re.compile(r"(?<![A-Za-z0-9'])([A-Z])(?![A-Za-z0-9'])")
# "A car", "I think": a letter that is a word of the sentence.
ARTICLE = re.compile(r"[ \t]+(?!because|since|as\b|or\b|and\b)[a-z]")
AND_ANOTHER = re.compile(r"\W{0,2}\s*(?:or|and|/|&|,)\s*\W?[A-J](?![A-Za-z0-9'])")
DENIED = re.compile(r"(?:\bnot|\bcannot|n't|\bneither|\bnor|\brather than|\binstead of)\s+(?:be\s+)?\(?$")
NEGATED = re.compile(r"(?:\bnot|n't|\bneither|\bnor|\brather than|\binstead of)\s+(?:an?\s+|the\s+)?$")


def parse_answer(text: str, options: Sequence[str], *, truncated: bool = False) -> Answer:
    """Read one response. `truncated`: it was cut at the length limit, so whatever it holds is not final."""
    if truncated:
        return Answer(text, None, "truncated")
    said = spoken(text)
    found = next(f for step in STEPS if (f := step(said, tuple(options))) is not None)
    if len(found) == 1:
        return Answer(text, found.pop())
    declined = refuses(plain := unwrapped(said)) and not mentioned(without_refusals(plain), tuple(options))
    return Answer(text, None, "refused" if declined else "unparsed")


def _boxed(text: str, options: tuple[str, ...]) -> Found:
    boxes = BOX.findall(text)
    return _content(boxes[-1], options) if boxes else None


def _tagged(text: str, options: tuple[str, ...]) -> Found:
    tags = TAG.findall(text)
    return _content(tags[-1], options) if tags else None


def _content(content: str, options: tuple[str, ...]) -> set[int]:
    """What a box or tag holds: letter, letter with its option, or the option's words."""
    plain = unwrapped(content)
    words = plain.strip(" .,;:!()[]{}\"'")
    if len(words) == 1 and words.upper() in LETTERS[: len(options)]:
        return {LETTERS.index(words.upper())}
    said = _at_start(plain, options)
    return mentioned(plain, options) if said is None else said


def _explicit(text: str, options: tuple[str, ...]) -> Found:
    """The last "answer is X" that names a letter or an option."""
    for rest, sentence in after_cues(unwrapped(text)):
        found = _at_start(rest, options)
        if found is not None:
            return found
        found = mentioned(sentence, options)
        if found:
            return found
    return None


def _named(text: str, options: tuple[str, ...]) -> Found:
    """ "option B", where no other option is named so."""
    letters = {m.upper() for m in NAMED.findall(unwrapped(text))}
    return _indices(letters, options) if letters else None


def _apart(text: str, options: tuple[str, ...]) -> Found:
    """A letter set off by its typography: alone on a line, "B.", "(B)"; or the whole text, in any case."""
    plain = unwrapped(text)
    if len(plain.strip(" .,:()")) == 1:
        return _content(plain, options)
    letters = {a or b for a, b in STANDS_APART.findall(plain)}
    return _indices(letters, options) if letters else None


def leading_option(text: str, options: tuple[str, ...]) -> Found:
    """ "Yes, there is a dog; no cat." begins with its answer."""
    plain = unwrapped(text).strip().casefold()
    starts = [
        i
        for i, o in enumerate(options)
        if re.match(re.escape(unwrapped(o).strip().casefold()) + r"(?:[,.;:!](?:\s|$)|\s*$)", plain)
    ]
    return {starts[0]} if len(starts) == 1 else None


def _anywhere(text: str, options: tuple[str, ...]) -> set[int]:
    """Bare letters and the options' words together: they must agree. The last step: it always decides."""
    plain = unwrapped(text)
    if not any(map(_declines, options)):  # "It cannot be determined" may be the right one
        plain = without_refusals(plain)
    bare = {
        m[1]
        for m in BARE.finditer(plain)
        if m[1] in LETTERS[: len(options)]
        and not (m[1] in "AI" and ARTICLE.match(plain, m.end()))
        and not DENIED.search(plain[: m.start()].casefold())
    }
    return _indices(bare, options) | mentioned(plain, options)


STEPS: tuple[Callable[[str, tuple[str, ...]], Found], ...] = (
    _boxed,
    _tagged,
    _explicit,
    _named,
    _apart,
    leading_option,
    _anywhere,
)


def _at_start(rest: str, options: tuple[str, ...]) -> Found:
    """A letter, else an option's words, right at the beginning of `rest`."""
    match = re.match(r"[\s\"'(\[{]*([A-Za-z])(?![A-Za-z0-9'])", rest)
    if match and not ARTICLE.match(rest, match.end()):
        letter, tail = match[1], rest[match.end() :]
        if AND_ANOTHER.match(tail):
            return set()
        if letter.isupper() or re.match(r"\s*(?:[.,;:)\]}!\"'\n]|$)", tail):
            return _indices({letter.upper()}, options)
    start = rest.lstrip(" \"'([{")
    spans = [(len(p[0]), i) for i, o in enumerate(options) if (p := _pattern(o).match(start))]
    return {max(spans)[1]} if spans else None


def mentioned(text: str, options: tuple[str, ...]) -> set[int]:
    """Options whose words occur in the text, not counting those inside a longer option or after "not"."""
    spans = [(m.start(), m.end(), i) for i, o in enumerate(options) for m in _pattern(o).finditer(text)]
    return {
        i
        for start, end, i in spans
        if not any(s <= start and end <= e and (e - s) > (end - start) for s, e, _ in spans)
        and not NEGATED.search(text[:start].casefold())
    }


def _indices(letters: set[str], options: tuple[str, ...]) -> set[int]:
    """Letters to option numbers; empty where one of them is no option, as then nothing can be trusted."""
    allowed = LETTERS[: len(options)]
    return {allowed.index(x) for x in letters} if all(x in allowed for x in letters) else set()


_declines = lru_cache(maxsize=4096)(refuses)


@lru_cache(maxsize=4096)
def _pattern(option: str) -> re.Pattern[str]:
    """The option's words, in any case and spacing, bounded by non-words; nothing for an empty option."""
    words = unwrapped(option).strip(" .").split()
    if not words:
        return re.compile(r"(?!)")
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.IGNORECASE)
