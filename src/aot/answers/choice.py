r"""From free text to one of a question's options.

An ordered parser: a box, an `<answer>` tag, an explicit "answer is", the letter that a response begins with, a line
that is judged right, a sentence that chooses ("I would pick B"), a conclusion ("therefore ..."), "option X", a letter
that stands apart, and last the option's own words. The first step that finds anything decides; where it finds two
different options, or a letter that is no option, the answer is unparsed (*ours*; the traps are those of the field's
parsers, see the tests). Options that are named only to be rejected are not found (`rejected`), nor those in
sentences that assert nothing (`asserted`); bare mentions count in a few forms only (`predicated`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from aot.answers.asserted import asserted
from aot.answers.beginning import chinese_yes, leading_letter, leading_option
from aot.answers.explicit import (
    CONCLUSION,
    LINE,
    REVISES,
    UNGLUED,
    Found,
    at_start,
    explicit,
    indices,
    is_option,
    mentioned,
)
from aot.answers.judged import judged_options
from aot.answers.mentions import CONFLICT, lettered, mentions
from aot.answers.numbers import many_numbers, without_other_numbers
from aot.answers.predicated import predicated
from aot.answers.refusal import abstains, declines, despite_refusals, refuses, without_refusals
from aot.answers.rejected import (
    REJECTS,
    kept,
    lists_letters,
    lists_words,
    rejects_all,
    without_lists,
    without_questions,
)
from aot.answers.revised import led, turns
from aot.answers.statements import (
    AFTER_COLON,
    AN_OPTION,
    SENTENCE,
    UNSURE,
    marked_options,
    named,
    stated,
)
from aot.answers.text import BOX, TAG, spoken, squeezed, unwrapped
from aot.types import LETTERS, Answer

NAMED = re.compile(
    rf"(?:\b(?:option|choice)s?|选项)\s*[(\"']?([A-J]){UNGLUED}|\b([A-J])\s*选项", re.IGNORECASE
)
NAMED_ALONE = re.compile(
    r"(?<!see )\b(?:option|choice)s?\s*[(\"']?[A-J][)\"']*\s*(?:$|[.:,;()\-–—\n]|because|since|as\b|fits|matches"
    r"|works|is\s+(?:correct|right|true|best|the)\b)|选项|[A-J]\s*选项",
    re.IGNORECASE,
)
STANDS_APART = re.compile(r"\(([A-J])\)|^\s*([A-J])\s*(?:[.):]|$)(?!\w)", re.MULTILINE)
COMPARES = re.compile(
    r"\b(?:more|better|best|most|closer|closest|larger|largest|same|similar|[a-z]+est)\b", re.IGNORECASE
)
JUSTIFIES = re.compile(
    r"\W*(?:this is (?:evident|because|indicated|clear|due|supported|shown)|this can be|here's why"
    r"|the reason|because)",
    re.I,
)
EITHER = re.compile(r"\W*(?:or|and)\b", re.IGNORECASE)
FEW_SENTENCES, FEW_WORDS = 4, 3
BESIDE = re.compile(r"(?<!\w)\(?([A-J])\s*[).:\-–—]+\s*\(?([A-J])(?!\w)")


def parse_answer(text: str, options: Sequence[str], *, truncated: bool = False) -> Answer:
    """Read one response. `truncated`: it was cut at the length limit, so whatever it holds is not final."""
    if truncated:
        return Answer(text, None, "truncated")
    said = squeezed(unwrapped(spoken(text)))
    if abstains(said):
        return Answer(text, None, "refused")
    given = tuple(options)
    plain = without_other_numbers(asserted(said, given), given)
    found = _revised(plain, given, _first(plain, given))
    if len(found) == 1 and CONFLICT not in found:
        return Answer(text, found.pop())
    declined = declines(said) and not mentioned(without_refusals(said), given)
    return Answer(text, None, "refused" if declined else "unparsed")


def _first(said: str, options: tuple[str, ...]) -> set[int]:
    return next(f for step in STEPS if (f := step(said, options)) is not None)


def _revised(said: str, options: tuple[str, ...], found: set[int]) -> set[int]:
    """What a response says after it took its answer back, where that is plain; nothing where it is not
    or where nothing follows."""
    for rest, beyond_doubt in turns(said):
        for words in (rest, led(rest)):
            later = next((f for step in CHOOSING if (f := step(words, options)) is not None), None)
            if later is not None and len(later) == 1:
                return later
        if beyond_doubt and _first(rest, options) != found:
            return set()
    return found


def _boxed(plain: str, options: tuple[str, ...]) -> Found:
    """What the last box holds that is not rejected right after it ("... would be wrong")."""
    marks = [m for m in list(BOX.finditer(plain))[-8:] if not REJECTS.search(_same_clause(plain, m.end()))]
    if len(marks) > 1 and EITHER.match(plain[marks[-2].end() : marks[-1].start()]):
        return set()
    return _content(_inside(marks[-1]), options) if marks else None


def _tagged(plain: str, options: tuple[str, ...]) -> Found:
    """What the last tag holds; nothing where the one before it holds another option and was not taken back."""
    marks = [m for m in TAG.finditer(plain) if not REJECTS.search(_same_clause(plain, m.end()))]
    if not marks:
        return None
    last = _content(_inside(marks[-1]), options)
    for mark in marks[-2:-1]:
        before = _content(_inside(mark), options)
        if before and last and before != last and not REVISES.search(plain[mark.end() : marks[-1].start()]):
            return set()
    return last


def _same_clause(plain: str, start: int) -> str:
    return re.split(r"[.!?;,\n]|\\", plain[start : start + 80], maxsplit=1)[0]


def _inside(mark: re.Match[str]) -> str:
    return next((group for group in mark.groups() if group is not None), "")


def _ambiguous(plain: str, options: tuple[str, ...]) -> Found:
    """Where options are other options' letters ("A. B", "B. A"), only a letter beside its option is plain."""
    own = [unwrapped(option).strip(" .()").upper() for option in options]
    if not any(o in LETTERS[: len(own)] and o != LETTERS[i] for i, o in enumerate(own) if len(o) == 1):
        return None
    labels = set(re.findall(r"\(([A-J])\)", plain))
    beside = {own[i] for i in indices(labels, options) or ()} | labels
    if len(labels) == 1 and {LETTERS[m.option] for m in lettered(plain, options) if m.option >= 0} <= beside:
        return indices(labels, options)
    pairs = {
        LETTERS.index(m[1])
        for m in BESIDE.finditer(plain)
        if m[1] in LETTERS[: len(own)] and own[LETTERS.index(m[1])] == m[2]
    }
    return pairs if len(pairs) == 1 else set()


def _content(plain: str, options: tuple[str, ...]) -> Found:
    """What a box or tag holds: letter, letter with its option, or the option's words. None where it is none of these:
    then the rest of the response may say more."""
    words = re.sub(r"^\W*(?:option|choice)\s+", "", plain, flags=re.IGNORECASE).strip(" .,;:!()[]{}\"'\n")
    if len(words) == 1 and words.isascii() and words.isalpha():
        return indices({words.upper()}, options)
    cued = explicit(plain, options)
    said = at_start(plain, options) if cued is None else cued
    return (mentioned(plain, options) or None) if said is None else said


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
    if found[-1][0].strip(" ,.;:\n").casefold() in ("so", "therefore"):
        before = plain[: found[-1].start()]
        by_letter = any(m.letter for m in mentions(sentence, options))
        others = later if by_letter or len(before.split()) < FEW_WORDS else [*later, before]
        return set() if named("\n".join(others), options) - said else said
    return said


def _named(plain: str, options: tuple[str, ...]) -> Found:
    """ "option B", where no other option is named so, and that one is not rejected."""
    if not NAMED.search(plain):
        return None
    if rejects_all(plain, options):
        return set()
    left = kept(despite_refusals(without_lists(plain)))
    letters = {(a or b).upper() for a, b in NAMED.findall(left)}
    if not NAMED_ALONE.search(left):
        return set()  # "option A mentions a colour"
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
    if lists_letters(without_lists(plain)) or rejects_all(plain, options) or many_numbers(plain, options):
        return set()
    if any(map(_declines, options)):  # "It cannot be determined" may be the right one
        return {m.option for m in lettered(kept(plain), options)} | mentioned(plain, options)
    left = kept(
        marked_options(lists_words(without_lists(without_questions(despite_refusals(plain)))), options)
    )
    found = predicated(left, options)
    if COMPARES.search(plain) and lists_words(plain) != plain:
        return set()  # "the first and third images are the most similar" names neither by its own words
    sentences = SENTENCE.split(plain.strip())
    if len(sentences) > FEW_SENTENCES and not found & named(sentences[-1], options):
        return set()
    return found


STEPS: tuple[Callable[[str, tuple[str, ...]], Found], ...] = (
    _boxed,
    _tagged,
    _ambiguous,
    explicit,
    leading_letter,
    leading_option,
    chinese_yes,
    judged_options,
    _line_alone,
    stated,
    _concluded,
    _named,
    _apart,
    _preferred,
    _anywhere,
)
CHOOSING = (_boxed, _tagged, _ambiguous, explicit, leading_letter, leading_option, stated)


_declines = lru_cache(maxsize=4096)(refuses)
