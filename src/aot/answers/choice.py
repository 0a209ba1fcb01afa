r"""From free text to one of a question's options.

An ordered parser: a box, an `<answer>` tag, an explicit "answer is", the letter that a response begins with, a line
that is judged right, a conclusion ("therefore ..."), "option X", a letter that stands apart, and last the option's own
words. The first step that finds anything decides; where it finds two different options, or a letter that is no option,
the answer is unparsed (*ours*; the traps are those of the field's parsers, see the tests). Options that are named only
to be rejected are not found (`rejected`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from aot.answers.refusal import refuses, without_refusals
from aot.answers.rejected import kept, lists_letters
from aot.answers.text import TAG, after_cues, boxes, spoken, unwrapped
from aot.types import LETTERS, Answer

Found = set[int] | None
"""Options a step found: None = the step does not apply; otherwise it decides (one element = answered)."""

_OTHER = r"(?![A-Za-z0-9'/\u4e00-\u9fff])"
NAMED = re.compile(rf"(?:\b(?:option|choice)s?|选项)\s*[(\"']?([A-J]){_OTHER}", re.IGNORECASE)
LINE = re.compile(r"^[\s>\-#•]*\(?([A-Z])\s*(?:[.):]|$)(?!\w)(.*)$", re.MULTILINE)
STANDS_APART = re.compile(r"\(([A-Z])\)|^\s*([A-Z])\s*(?:[.):]|$)(?!\w)", re.MULTILINE)
LEADING = re.compile(r"[\s\"'>#\-]*(?:(?:option|choice)\s+)?\(?([A-Z])(?:\)|\s*[.:,)]|\s*\n|\s*$|\s+-\s)(?!\w)")
BARE = re.compile(rf"(?<![A-Za-z0-9'/\u4e00-\u9fff])([A-Z]){_OTHER}")
# "A car", "I think": a letter that is a word of the sentence, unless a noun before it makes it a label ("point A is").
ARTICLE = re.compile(r"[ \t]+(?!because|since|as\b|or\b|and\b)[a-z]")
LABELLED = re.compile(
    r"\b(?:point|box|image|picture|photo|figure|object|region|option|choice|answer|letter|frame|view|candidate|panel|patch"
    r"|line|area|card)\s+\(?$",
    re.IGNORECASE,
)
NO_LABEL = re.compile(r"\b(?:vitamin|plan|grade|type|hepatitis|class|level|section|part|appendix|chapter)\s+$", re.I)
AND_ANOTHER = re.compile(rf"\W{{0,2}}\s*(?:or|and|/|&|,|或|和|、)\s*\W?[A-J]{_OTHER}")
NEGATED = re.compile(r"(?:\bnot|n't|\bneither|\bnor|\brather than|\binstead of|[不没非无])\s*(?:an?\s+|the\s+)?$")
CONCLUSION = re.compile(
    r"(?:^|[\s,.])(?:therefore|thus|hence|so|in conclusion|overall|in summary|consequently)\b[,:]?|因此|所以|综上", re.I
)
RIGHT = re.compile(r"(?<!in)(?<!not )(?<!n't )\b(?:correct|right answer|true)\b|[✓✔✅]|(?<!不)正确", re.IGNORECASE)
WRONG = re.compile(r"\b(?:incorrect|wrong|false|not correct|isn't correct)\b|[✗✘❌]|错误|不正确", re.IGNORECASE)
ENDS_THERE = r"(?:[,.;:!。,](?:\s|$|[\u4e00-\u9fff])|\s*$)"
COMPARES = re.compile(r"\b(?:more|better|best|most|closer|closest|larger|largest|[a-z]+est)\b", re.IGNORECASE)


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
    found = boxes(text)
    return _content(found[-1], options) if found else None


def _tagged(text: str, options: tuple[str, ...]) -> Found:
    tags = TAG.findall(text)
    return _content(tags[-1], options) if tags else None


def _content(content: str, options: tuple[str, ...]) -> Found:
    """What a box or tag holds: letter, letter with its option, or the option's words. None where it is none of these:
    then the rest of the response may say more."""
    plain = unwrapped(content)
    words = plain.strip(" .,;:!()[]{}\"'\n")
    if len(words) == 1 and words.isascii() and words.isalpha():
        return _indices({words.upper()}, options)
    cued = _explicit(plain, options)
    said = _at_start(plain, options) if cued is None else cued
    return (mentioned(plain, options) or None) if said is None else said


def _explicit(text: str, options: tuple[str, ...]) -> Found:
    """The last "answer is X" that names a letter or an option."""
    for rest, sentence in after_cues(unwrapped(text)):
        found = _at_start(rest, options)
        if found is not None:
            letter = _letters(kept(sentence))
            return found if len(letter) < 2 else set()
        found = mentioned(kept(sentence), options)
        if found:
            return found
    return None


def _letters(text: str) -> set[str]:
    """Letters in brackets: "(A) the second image or (B) the third" names two."""
    return set(re.findall(r"\(([A-J])\)", text))


def _leading(text: str, options: tuple[str, ...]) -> Found:
    """The letter that the response begins with, unless it begins a list of all options."""
    plain = unwrapped(text).lstrip()
    match = LEADING.match(plain)
    if match is None or (match[1] == "I" and not plain.startswith(("(I)", "I.", "I:"))):
        return None
    lines = {letter for letter, _ in LINE.findall(plain)}
    first = kept(plain.split("\n", 1)[0].replace(" - ", "\n"))  # what a rejected letter stands beside does not count
    lines |= set(re.findall(r"\(([A-J])\)", first))
    if lines - {match[1]} or AND_ANOTHER.match(plain[match.end() - 1 :]) or lists_letters(plain[: match.end() + 8]):
        return None
    return _indices({match[1]}, options)


def _judged_lines(text: str, options: tuple[str, ...]) -> Found:
    """ "A. red - incorrect / B. blue - correct": the one line that is judged right, where another is judged wrong."""
    lines = LINE.findall(unwrapped(text))
    right = {letter for letter, rest in lines if RIGHT.search(rest) and not WRONG.search(rest)}
    wrong = {letter for letter, rest in lines if WRONG.search(rest)}
    return _indices(right, options) if len(right) == 1 and wrong and not right & wrong else None


def _concluded(text: str, options: tuple[str, ...]) -> Found:
    """The option of the last sentence that draws a conclusion, where it names just one."""
    plain = unwrapped(text)
    found = list(CONCLUSION.finditer(plain))
    if not found:
        return None
    rest = without_refusals(plain[found[-1].end() :])
    sentence = kept(re.split(r"[.!?;](?:\s|$)|[\n。]", rest.strip(), maxsplit=1)[0])
    if lists_letters(sentence):
        return set()
    said = mentioned(sentence, options)
    if not said:
        said = _indices(_bare(sentence, options), options)
    return said if len(said) == 1 else None


def _named(text: str, options: tuple[str, ...]) -> Found:
    """ "option B", where no other option is named so, and that one is not rejected."""
    plain = unwrapped(text)
    if not NAMED.search(plain):
        return None
    letters = {m.upper() for m in NAMED.findall(kept(plain))}
    return _indices(letters, options) if len(letters) == 1 and not lists_letters(plain) else set() if letters else None


def _apart(text: str, options: tuple[str, ...]) -> Found:
    """A letter set off by its typography: alone on a line, "B.", "(B)"; or the whole text, in any case."""
    plain = unwrapped(text)
    if len(plain.strip(" .,:()\n")) == 1:
        return _content(plain, options)
    if not STANDS_APART.search(plain):
        return None
    if lists_letters(plain):
        return set()
    letters = {a or b for a, b in STANDS_APART.findall(kept(plain))}
    return _indices(letters, options) if letters else None


def leading_option(text: str, options: tuple[str, ...]) -> Found:
    """ "Yes, there is a dog; no cat." begins with its answer."""
    plain = unwrapped(text).strip().casefold()
    filled = {i: unwrapped(o).strip().casefold() for i, o in enumerate(options) if o.strip()}
    starts = [i for i, option in filled.items() if re.match(re.escape(option) + ENDS_THERE, plain)]
    return {starts[0]} if len(starts) == 1 else None


def _preferred(text: str, options: tuple[str, ...]) -> Found:
    """ "Box B more accurately shows the cup. Box A is too large": a first sentence that prefers one option."""
    first, *rest = re.split(r"(?<=[.!?])\s+", kept(unwrapped(text)).strip(), maxsplit=1)
    if not rest or not COMPARES.search(first) or refuses(first):
        return None
    said = mentioned(first, options)
    return said if len(said) == 1 else None


def _anywhere(text: str, options: tuple[str, ...]) -> set[int]:
    """Bare letters and the options' words together: they must agree. The last step: it always decides."""
    plain = unwrapped(text)
    if lists_letters(plain):
        return set()
    if any(map(_declines, options)):  # "It cannot be determined" may be the right one
        return _indices(_bare(kept(plain), options), options) | mentioned(plain, options)
    left = kept(without_refusals(plain))
    return _indices(_bare(left, options), options) | mentioned(left, options)


def _bare(text: str, options: tuple[str, ...]) -> set[str]:
    """Capital letters of the options that are neither articles, pronouns nor parts of a name."""
    found = set()
    for m in BARE.finditer(text):
        before = text[max(0, m.start() - 20) : m.start()]
        article = m[1] == "A" and ARTICLE.match(text, m.end()) and not LABELLED.search(before)
        if m[1] in LETTERS[: len(options)] and m[1] != "I" and not article and not NO_LABEL.search(before):
            found.add(m[1])
    return found


STEPS: tuple[Callable[[str, tuple[str, ...]], Found], ...] = (
    _boxed,
    _tagged,
    _explicit,
    _leading,
    leading_option,
    _judged_lines,
    _concluded,
    _named,
    _apart,
    _preferred,
    _anywhere,
)


def _at_start(rest: str, options: tuple[str, ...]) -> Found:
    """A letter, else an option's words, right at the beginning of `rest`."""
    match = re.match(rf"[\s\"'(\[{{]*([A-Za-z]){_OTHER}", rest)
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
        and not NEGATED.search(text[max(0, start - 40) : start].casefold())
    }


def _indices(letters: set[str], options: tuple[str, ...]) -> set[int]:
    """Letters to option numbers; empty where one of them is no option, as then nothing can be trusted."""
    allowed = LETTERS[: len(options)]
    return {allowed.index(x) for x in letters} if all(x in allowed for x in letters) else set()


_declines = lru_cache(maxsize=4096)(refuses)


@lru_cache(maxsize=4096)
def _pattern(option: str) -> re.Pattern[str]:
    """The option's words, in any case and spacing, bounded by non-words; nothing for an empty option. Chinese has no
    spaces: there only a Latin letter or digit at the edge is bounded, and a single character stands alone. "no" is
    a determiner in "no car" and counts only where its phrase ends."""
    words = unwrapped(option).strip(" .").split()
    if not words:
        return re.compile(r"(?!)")
    joined = r"\s+".join(map(re.escape, words))
    text = " ".join(words)
    if text.casefold() == "no":
        return re.compile(r"(?<!\w)no(?=\s*(?:[^\w\s]|\n|$))", re.IGNORECASE)
    if any("\u4e00" <= c <= "\u9fff" for c in text) and len(text) > 1:
        before = r"(?<![A-Za-z0-9])" if text[0].isascii() else ""
        after = r"(?![A-Za-z0-9])" if text[-1].isascii() else ""
        return re.compile(before + joined + after, re.IGNORECASE)
    return re.compile(r"(?<!\w)" + joined + r"(?!\w)", re.IGNORECASE)
