"""Where a text names an option: by its letter, by its own words, or by both (*ours*).

All functions take text without markup (`text.unwrapped`). A letter counts where it stands as an option's name: not as
an article ("A man"), a pronoun ("I"), or a part of another name ("vitamin C", "C major").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from aot.answers.labels import labels
from aot.answers.numbers import AFTER as AFTER_NUMBER
from aot.answers.numbers import BEFORE as BEFORE_NUMBER
from aot.answers.numbers import numeric
from aot.answers.rejected import kept
from aot.answers.text import unwrapped
from aot.types import LETTERS

# Before a letter that is an option's.
NAME = r"(?:(?:the\s+)?(?:option|choice|letter|answer)\s+|选项\s*)?"
# After a letter these Chinese words do not belong to a name with it ("B是", "B选项"; but "C大调").
GLUE = r"(?:是|选项|项|正确|更|最|符合|对|错|不|吧|和|或|与|还是|才|看起来|都|均|也|、|解析|解释|分析)"
OTHER = rf"(?!\]\w)(?![A-Za-z0-9'/_\-]|(?!{GLUE})[\u4e00-\u9fff])"
BARE = re.compile(
    rf"(?<![A-Za-z0-9'/_\-\u4e00-\u9fff])([A-Z]){OTHER}|(?<=[选是为项择案有])([A-Z]){OTHER}|(?<=\()([a-j])(?=\))"
)
NEGATED = re.compile(
    r"(?:\bnot|\bno|n't|\bneither|\bnor|\brather than|\binstead of|\bhardly|\bbarely|\bscarcely|\bfar from"
    r"|\bnothing|\black(?:s|ing)?(?: any)?|\bwithout|\babsence of|\black of|\bopposite of|[¬!~≠]|[不没非无]|没有"
    r"|不是|并非)\s*(?:an?\s+|the\s+)?$"
)
# Words before a bare letter that leave it an option's name; any other word makes it a part of a name ("vitamin C").
BEFORE = re.compile(
    r"(?:^|[^\w\s]|\n|\b(?:is|be|was|with|choose|chose|select|pick|say|said|therefore|thus|hence|so|that|for|to"
    r"|towards?|guess|probably|vote|voting|by|maybe|perhaps|possibly|likely|clearly|definitely|letter|option|choice"
    r"|answer|answers|candidate|both|either|or|and|then|think|believe|indeed|certainly|surely|it's|as|but|suggest"
    r"|prefer|only|than|options|choices|while|because)|[选是为项择案有])\s*[(\[\"']*$",
    re.IGNORECASE,
)
# Words after it that leave it one.
AFTER = re.compile(
    r"[)\]\"']*\s*(?:$|[^\w\s(+#^=<>/\\]|\n|\((?:[^)]{0,40})\)|(?:is|was|are|because|since|as|for|would|should"
    r"|could|might|may|must|can|does|fits?|best|more|most|matches|seems?|appears?|looks?|and|or|but|here|correctly"
    r"|accurately|shows?|corresponds|has|rather|instead|otherwise|only|alone|not|fails?|contradicts|follows"
    r"|completes|which|where|while|due|based|although|though|however|so|nor|if|when|also|clearly|in|on|at|to|with"
    r"|from|stands?|lies|represents?|the\s+(?:most|best|correct|right|only|\w+est))\b|[\u4e00-\u9fff])",
    re.IGNORECASE,
)
ARTICLE = re.compile(r"[ \t]+(?!(?:because|since|as|or|and|is|was|in|on|at|to|for|with|has)\b)[a-z]")
VALUE = re.compile(r"\b(?:type|grade|key|group|vitamin|chord|note|level|class|rating|score) (?:is|was) $", re.I)
# Words before an option's that make it an everyday word: "that's right", "has left", "as stated above", "this one".
SPEECH = re.compile(
    r"\b(?:that's|that is|you're|you are|all|just|quite) (?=right$)|\b(?:what's|what is|has|have|had|he|she|they"
    r"|who) (?=left$)|\b(?:of the|the|as \w+|\w+ed|see) (?=(?:above|below)$)|\b(?:the|this|that|each|every|which"
    r"|any|another)(?: \w+)? (?=one$)|\b(?:says|reads|saying|reading|word) [\"']?(?=(?:yes|no)$)",
    re.IGNORECASE,
)
NOUNS = (
    "point|box|image|picture|photo|figure|object|region|frame|view|panel|patch|line|area|card|circle|shape"
    "|diagram|graph"
)
LABELLED = re.compile(rf"\b({NOUNS})\s+[(\"']?$", re.IGNORECASE)
# Between a letter and its option's words, and the other way round.
JOINS = re.compile(r"[)\]\"']*\s*[.:)\-–—,=]?\s*(?:[(\"']\s*)?(?:the\s+|an?\s+)?", re.IGNORECASE)
JOINED = re.compile(r"[\"']?\s*,?\s*[(\[]\s*(?:(?:option|choice|labell?ed|answer)\s+)?[\"']?", re.IGNORECASE)
CONFLICT = -1
LONGEST_WORD = 5


@dataclass(frozen=True, slots=True)
class Mention:
    """Characters `start` to `end` name the option number `option` (`CONFLICT`: its letter and its words differ)."""

    start: int
    end: int
    option: int
    letter: bool


def mentions(text: str, options: tuple[str, ...]) -> list[Mention]:
    """All namings in order; a letter beside its option's words is one of them."""
    words = worded(text, options)
    letters = [
        m
        for m in lettered(text, options)
        if not any(w.start <= m.start < w.end and _covers(w, m, options) for w in words)
    ]
    joined: list[Mention] = []
    for found in sorted(words + letters, key=lambda m: m.start):
        last = joined[-1] if joined else None
        join = JOINS if last and last.letter else JOINED
        if last and last.letter != found.letter and join.fullmatch(text[last.end : found.start]):
            option = found.option if found.option == last.option else CONFLICT
            joined[-1] = Mention(last.start, found.end, option, found.letter)
        else:
            joined.append(found)
    return [m for m in joined if m.option != CONFLICT or m.end - m.start > 1]


def _covers(words: Mention, letter: Mention, options: tuple[str, ...]) -> bool:
    """Whether a letter inside an option's words is not named itself: "Point A", but in "moves to C." it might be."""
    return (
        letter.option == words.option or letter.end < words.end or len(options[words.option].strip(" .")) == 1
    )


def worded(text: str, options: tuple[str, ...]) -> list[Mention]:
    """Options named by their words, not those inside a longer option or after "not"."""
    words = [(i, o) for i, o in enumerate(options) if not is_own_letter(o, i)]
    spans = [(m.start(), m.end(), i) for i, o in words for m in pattern(o).finditer(text)]
    exact = {(s, e) for s, e, i in spans if text[s:e] == options[i].strip(" .")}  # "bb", not "Bb"
    spans = [(s, e, i) for s, e, i in spans if (s, e) not in exact or text[s:e] == options[i].strip(" .")]
    return [
        Mention(start, end, i, False)
        for start, end, i in spans
        if not any(s <= start and end <= e and (e - s) > (end - start) for s, e, _ in spans)
        and not NEGATED.search(text[max(0, start - 40) : start].casefold())
        and (end - start > LONGEST_WORD or not SPEECH.search(text[max(0, start - 24) : end]))
    ]


def is_own_letter(option: str, index: int) -> bool:
    """Whether an option is nothing but its own letter: then "vitamin B" does not name it by its words."""
    return index < len(LETTERS) and option.strip(" .()") == LETTERS[index]


def lettered(text: str, options: tuple[str, ...]) -> list[Mention]:
    """Options named by a letter that is a name of its own there."""
    allowed = LETTERS[: len(options)]
    return [
        Mention(m.start(), m.end(), allowed.index(letter) if letter in allowed else CONFLICT, True)
        for m in BARE.finditer(text)
        if (letter := (m[1] or m[2] or m[3]).upper()) in LETTERS[:10] and _is_name(text, m, letter, options)
    ]


def _is_name(text: str, match: re.Match[str], letter: str, options: tuple[str, ...]) -> bool:
    before, after = text[max(0, match.start() - 24) : match.start()], text[match.end() : match.end() + 48]
    bracketed = before.endswith("(") and after.startswith(")")
    if bracketed:
        return True
    if letter == "I" or NEGATED.search(before.casefold()):
        return False
    if any(letter == other and LETTERS.index(letter) != i for (_, other), i in labels(options).items()):
        return False
    label = LABELLED.search(before)
    if label:
        return _labels(label[1].casefold(), options) and AFTER.match(after) is not None
    if letter == "A" and ARTICLE.match(after):
        return False
    if VALUE.search(before):
        return False
    return BEFORE.search(before) is not None and AFTER.match(after) is not None


@lru_cache(maxsize=4096)
def _labels(noun: str, options: tuple[str, ...]) -> bool:
    """Whether "point A" may be an option: one speaks of points, or of "B"."""
    return any(noun in option.casefold() or re.match(r"\W*[B-J]\b", option) for option in options)


def _parts(text: str) -> list[str]:
    """Words and signs; between any two " " where the space belongs to the text, else ""."""
    tokens = re.findall(r"[^\W\d_]+|\d+|\S", text)
    parts = tokens[:1]
    for last, token in pairwise(tokens):
        parts += [" " if last.isalpha() and token.isalpha() else "", token]
    return parts


@lru_cache(maxsize=4096)
def pattern(option: str) -> re.Pattern[str]:
    """The option's words, in any case and spacing, bounded by non-words; nothing for an empty option. Chinese has no
    spaces: there only a Latin letter or digit at the edge is bounded, and a single character stands alone. "no" is
    a determiner in "no car" and counts only where its phrase ends; a number is no part of another one."""
    text = " ".join(unwrapped(option).strip(" .").split())
    if not text:
        return re.compile(r"(?!)")
    # Between words stands a space; around signs, and in "3 a", there may be one.
    joined = "".join(r"\s+" if t == " " else r"\s*" if not t else re.escape(t) for t in _parts(text))
    if text.casefold() == "no":
        return re.compile(r"(?<!\w)no(?=\s*(?:[^\w\s]|\n|$))", re.IGNORECASE)
    if numeric(text):
        return re.compile(BEFORE_NUMBER + joined + AFTER_NUMBER)
    if any("\u4e00" <= c <= "\u9fff" for c in text) and len(text) > 1:
        before = r"(?<![A-Za-z0-9])" if text[0].isascii() else ""
        after = r"(?![A-Za-z0-9])" if text[-1].isascii() else ""
        return re.compile(before + joined + after, re.IGNORECASE)
    return re.compile(r"(?<!\w)(?<!ish-)" + joined + r"(?!\w)", re.IGNORECASE)


def without_own(text: str, options: tuple[str, ...]) -> str:
    """The text after a letter without the option's words: they may sound like a rejection ("False", "is not round")."""
    for option in sorted(options, key=len, reverse=True):
        if own := _own_words(option).match(text):
            return text[own.end() :]
    return text


@lru_cache(maxsize=4096)
def _own_words(option: str) -> re.Pattern[str]:
    """The option's words at the beginning, behind its letter or a few signs."""
    return re.compile(r"[\s.:()\-–—A-Ja-j]{0,8}" + pattern(option).pattern, re.IGNORECASE)


MARK = re.compile(r"⟦(-?\d+)⟧")


def marked_options(text: str, options: tuple[str, ...]) -> str:
    """The text with ⟦number⟧ in the place of each naming of an option."""
    pieces, start = [], 0
    for mention in mentions(text, options):
        pieces += [text[start : mention.start], f"⟦{mention.option}⟧"]
        start = mention.end
    return "".join([*pieces, text[start:]])


def named(text: str, options: tuple[str, ...]) -> set[int]:
    """The options that are named and not rejected."""
    return {int(number) for number in MARK.findall(kept(marked_options(text, options)))}


def indices(letters: set[str], options: tuple[str, ...]) -> set[int]:
    """Letters to option numbers; empty where one of them is no option, as then nothing can be trusted."""
    allowed = LETTERS[: len(options)]
    return {allowed.index(x) for x in letters} if all(x in allowed for x in letters) else set()


def own_option(letter: str, tail: str, options: tuple[str, ...]) -> set[int] | None:
    """The letter's option where its own words follow; nothing where another's do; None where neither."""
    start = re.sub(r"^(?:[\s\"'()\]}.:,、–—]|-(?!\.?\d|\$))+", "", tail)
    starts = (start, re.sub(r"^(?:the|an?)\s+", "", start, flags=re.IGNORECASE))
    worded = [(i, p) for i, o in enumerate(options) if not is_own_letter(o, i) for p in (pattern(o),)]
    spans = [(len(m[0]), i) for i, p in worded if (m := p.match(starts[0]) or p.match(starts[1]))]
    longest = {i for size, i in spans if size == max(spans)[0]}
    found = indices({letter}, options)
    return None if not longest else found if found & longest else set()
