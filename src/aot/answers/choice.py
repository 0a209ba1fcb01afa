r"""From free text to one of a question's options.

An ordered parser: a box, an `<answer>` tag, an explicit "answer is", the letter that a response begins with, a line
that is judged right, a sentence that chooses ("I would pick B"), a conclusion ("therefore ..."), "option X", a letter
that stands apart, and last the option's own words. The first step that finds anything decides; where it finds two
different options, or a letter that is no option, the answer is unparsed (*ours*; the traps are those of the field's
parsers, see the tests). Options that are named only to be rejected are not found (`rejected`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from aot.answers.explicit import (
    AND_ANOTHER,
    CONCLUSION,
    LINE,
    UNGLUED,
    Found,
    at_start,
    explicit,
    indices,
    is_option,
    mentioned,
    own_option,
    without_own,
)
from aot.answers.mentions import CONFLICT, lettered, mentions
from aot.answers.refusal import abstains, declines, despite_refusals, refuses, without_refusals
from aot.answers.rejected import REJECTS, kept, lists_letters, lists_words, rejects_all, without_lists
from aot.answers.statements import AFTER_COLON, AN_OPTION, SENTENCE, UNSURE, named, stated
from aot.answers.text import TAG, boxes, spoken, squeezed, unwrapped
from aot.types import Answer

NAMED = re.compile(
    rf"(?:\b(?:option|choice)s?|选项)\s*[(\"']?([A-J]){UNGLUED}|\b([A-J])\s*选项", re.IGNORECASE
)
STANDS_APART = re.compile(r"\(([A-J])\)|^\s*([A-J])\s*(?:[.):]|$)(?!\w)", re.MULTILINE)
LEADING = re.compile(
    r"[\s\"'>#\-]*(?:(?:option|choice|选项)\s*)?[(\[]?([A-Z])"
    r"(?:[)\]]|\s*[.:,)。、;!]|\s*\n|\s*$|\s+[-–—=]\s|(?=\s*[\u4e00-\u9fff]))(?!\w)",
    re.IGNORECASE,
)
INLINE = re.compile(r"(?<![\w(])([A-J])(?:[):]|\.(?=\s))|\(([A-J])\)")
RIGHT = re.compile(
    r"(?<!in)(?<!not )(?<!n't )\b(?:correct|right answer|true)\b|[✓✔✅]|(?<!不)正确", re.IGNORECASE
)
WRONG = re.compile(
    r"\b(?:incorrect|wrong|false|not correct|isn't correct)\b|[✗✘❌]|错误|不正确", re.IGNORECASE
)
ENDS_THERE = r"(?:[,.;:!。,](?:\s|$|[\u4e00-\u9fff])|\s*$)"
COMPARES = re.compile(
    r"\b(?:more|better|best|most|closer|closest|larger|largest|same|similar|[a-z]+est)\b", re.IGNORECASE
)
JUSTIFIES = re.compile(
    r"\W*(?:this is (?:evident|because|indicated|clear|due|supported|shown)|this can be|here's why"
    r"|the reason|because)",
    re.I,
)
CHINESE_YES = re.compile(r"\s*(?:(是的|对的?|是)|(不是|不对|否|没有|不))\s*(?:[,.;!。]|$)")
FEW_SENTENCES = 4


def parse_answer(text: str, options: Sequence[str], *, truncated: bool = False) -> Answer:
    """Read one response. `truncated`: it was cut at the length limit, so whatever it holds is not final."""
    if truncated:
        return Answer(text, None, "truncated")
    said = squeezed(unwrapped(spoken(text)))
    if abstains(said):
        return Answer(text, None, "refused")
    given = tuple(options)
    found = next(f for step in STEPS if (f := step(said, given)) is not None)
    if len(found) == 1 and CONFLICT not in found:
        return Answer(text, found.pop())
    declined = declines(said) and not mentioned(without_refusals(said), given)
    return Answer(text, None, "refused" if declined else "unparsed")


def _boxed(plain: str, options: tuple[str, ...]) -> Found:
    found = boxes(plain)
    return _content(found[-1], options) if found else None


def _tagged(plain: str, options: tuple[str, ...]) -> Found:
    tags = TAG.findall(plain)
    return _content(tags[-1], options) if tags else None


def _content(plain: str, options: tuple[str, ...]) -> Found:
    """What a box or tag holds: letter, letter with its option, or the option's words. None where it is none of these:
    then the rest of the response may say more."""
    words = plain.strip(" .,;:!()[]{}\"'\n")
    if len(words) == 1 and words.isascii() and words.isalpha():
        return indices({words.upper()}, options)
    cued = explicit(plain, options)
    said = at_start(plain, options) if cued is None else cued
    return (mentioned(plain, options) or None) if said is None else said


def _leading(plain: str, options: tuple[str, ...]) -> Found:
    """The letter that the response begins with, unless it begins a list of all options."""
    plain = plain.lstrip()
    match = LEADING.match(plain)
    if (
        match is None
        or not match[1].isupper()
        or (match[1] == "I" and not plain.startswith(("(I)", "I.", "I:")))
    ):
        return None
    first = plain.split("\n", 1)[0]
    if REJECTS.search(
        re.split(
            r"[.!?;](?:\s|$)|[,\n。]|\(?\b[A-J]\b\)?", without_own(plain[match.end() :], options), maxsplit=1
        )[0]
    ):
        return None
    lines = {letter for letter, rest in LINE.findall(plain) if not REJECTS.search(without_own(rest, options))}
    left = kept(first.replace(" - ", "\n"))  # what a rejected letter stands beside does not count
    lines |= {a or b for a, b in INLINE.findall(left)}
    if (
        lines - {match[1]}
        or AND_ANOTHER.match(plain[match.end() - 1 :])
        or lists_letters(plain[: match.end() + 8])
    ):
        return None
    return own_option(match[1], plain[match.end() :], options)


def _judged_lines(plain: str, options: tuple[str, ...]) -> Found:
    """ "A. red - incorrect / B. blue - correct": the one line that is judged right, where another is judged wrong."""
    lines = LINE.findall(plain)
    right = {letter for letter, rest in lines if RIGHT.search(rest) and not WRONG.search(rest)}
    wrong = {letter for letter, rest in lines if WRONG.search(rest)}
    return indices(right, options) if len(right) == 1 and wrong and not right & wrong else None


def _line_alone(plain: str, options: tuple[str, ...]) -> Found:
    """A line that holds nothing but an option, where no other line does: the last one, or one after a colon."""
    lines = [line.strip() for line in plain.split("\n") if line.strip()]
    whole = {
        n: m
        for n, line in enumerate(lines)
        if (m := LINE.match(line)) and (not m[2].strip(" .") or is_option(m, options))
    }
    if len({m[1] for m in whole.values()}) != 1:
        return None
    n = max(whole)
    if (n + 1 < len(lines) and not lines[n - 1].endswith(":")) or rejects_all(plain, options):
        return None
    return None if refuses("\n".join(lines[n + 1 :])) else indices({whole[n][1]}, options)


def _concluded(plain: str, options: tuple[str, ...]) -> Found:
    """The option of the last sentence that draws a conclusion, where it names just one."""
    found = list(CONCLUSION.finditer(plain))
    if not found:
        return None
    sentence, *later = SENTENCE.split(without_refusals(plain[found[-1].end() :]).strip(), maxsplit=1)
    if UNSURE.search(sentence) or re.search(r"\b(?:may|might|could)\b", sentence):
        return None
    if rejects_all(plain, options) or lists_letters(kept(without_lists(sentence))):
        return set()
    if AFTER_COLON.search(sentence) and later and AN_OPTION.match(later[0]) and not REJECTS.search(later[0]):
        return set()  # the first of a list
    said = named(sentence, options)
    if not said:
        return set() if lists_words(sentence) != sentence else None
    after = {i for part in later for i in named(part, options)}
    return set() if found[-1][0].strip(" ,.;:\n").casefold() == "so" and after - said else said


def _named(plain: str, options: tuple[str, ...]) -> Found:
    """ "option B", where no other option is named so, and that one is not rejected."""
    if not NAMED.search(plain):
        return None
    if rejects_all(plain, options):
        return set()
    letters = {(a or b).upper() for a, b in NAMED.findall(kept(despite_refusals(without_lists(plain))))}
    return (
        indices(letters, options)
        if len(letters) == 1 and not lists_letters(without_lists(plain))
        else set()
        if letters
        else None
    )


def _apart(plain: str, options: tuple[str, ...]) -> Found:
    """A letter set off by its typography: alone on a line, "B.", "(B)"; or the whole text, in any case."""
    if len(plain.strip(" .,:()\n")) == 1:
        return _content(plain, options)
    if not STANDS_APART.search(plain):
        return None
    if lists_letters(without_lists(plain)) or rejects_all(plain, options):
        return set()
    left = kept(despite_refusals(plain))
    if not {a or b for a, b in STANDS_APART.findall(left)}:
        return None
    found = {m.option for m in mentions(left, options)}
    letters = indices({a or b for a, b in STANDS_APART.findall(left)}, options)
    return letters if letters == found or not found else set()


def leading_option(plain: str, options: tuple[str, ...]) -> Found:
    """ "Yes, there is a dog; no cat." begins with its answer."""
    plain = plain.strip().casefold()
    filled = {i: unwrapped(o).strip().casefold() for i, o in enumerate(options) if o.strip()}
    starts = [i for i, option in filled.items() if re.match(re.escape(option) + ENDS_THERE, plain)]
    return {starts[0]} if len(starts) == 1 else None


def _chinese_yes(plain: str, options: tuple[str, ...]) -> Found:
    """ "是的,图中有狗" where the options are yes and no, in either language."""
    names = [unwrapped(o).strip(" .").casefold() for o in options]
    answer = CHINESE_YES.match(plain)
    if answer is None or sorted(names) not in (["no", "yes"], ["否", "是"]):
        return None
    return {names.index(name) for name in (("yes", "是") if answer[1] else ("no", "否")) if name in names}


def _preferred(plain: str, options: tuple[str, ...]) -> Found:
    """ "Box B more accurately shows the cup. Box A is too large": a first sentence that prefers one option, or that the
    next one gives the reason for."""
    first, *rest = re.split(r"(?<=[.!?])\s+", plain.strip(), maxsplit=1)
    if (
        not rest
        or refuses(plain)
        or UNSURE.search(first)
        or not (COMPARES.search(first) or JUSTIFIES.match(rest[0]))
    ):
        return None
    said = named(first, options)
    return said if len(said) == 1 else None


def _anywhere(plain: str, options: tuple[str, ...]) -> set[int]:
    """Bare letters and the options' words together: they must agree. The last step: it always decides. In a long text
    an option is often named where it is described only: there its last sentence must name it too."""
    if lists_letters(without_lists(plain)) or rejects_all(plain, options):
        return set()
    if any(map(_declines, options)):  # "It cannot be determined" may be the right one
        return {m.option for m in lettered(kept(plain), options)} | mentioned(plain, options)
    found = named(despite_refusals(plain), options)
    if COMPARES.search(plain) and lists_words(plain) != plain:
        return set()  # "the first and third images are the most similar" names neither by its own words
    sentences = SENTENCE.split(plain.strip())
    if len(sentences) > FEW_SENTENCES and not found & named(sentences[-1], options):
        return set()
    return found


STEPS: tuple[Callable[[str, tuple[str, ...]], Found], ...] = (
    _boxed,
    _tagged,
    explicit,
    _leading,
    leading_option,
    _chinese_yes,
    _judged_lines,
    _line_alone,
    stated,
    _concluded,
    _named,
    _apart,
    _preferred,
    _anywhere,
)


_declines = lru_cache(maxsize=4096)(refuses)
