"""What a response begins with (*ours*): a letter, an option's words, a Chinese yes or no. A leading answer decides."""

from __future__ import annotations

import re

from aot.answers.explicit import AND_ANOTHER, LINE, Found, own_option, rivalled, without_own
from aot.answers.mentions import is_own_letter
from aot.answers.refusal import declines
from aot.answers.rejected import REJECTS, kept, lists_letters
from aot.answers.statements import named
from aot.answers.text import unwrapped

LEADING = re.compile(
    r"[\s\"'>#\-]*(?:(?:option|choice|选项)\s*)?[(\[]?([A-Z])"
    r"(?:[)\]]|\s*[.:,)。、;!]|\s*\n|\s*$|\s+[-–—]\s|(?=\s*[\u4e00-\u9fff]))(?!\w)",
    re.IGNORECASE,
)
INLINE = re.compile(r"(?<![\w(])([A-J])(?:[):]|\.(?=\s))|\(([A-J])\)")
ENDS_THERE = r"(?:[,.;:!。,](?:\s|$|[\u4e00-\u9fff])|\s*$|\s*\n)"
FIRST = re.compile(r"[.!?](?:\s|$)|\n")
CHINESE_YES = re.compile(r"\s*(?:(是的|对的?|是)|(不是|不对|否|没有|不))\s*(?:[,.;!。]|$)")


def leading_letter(plain: str, options: tuple[str, ...]) -> Found:
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
        or AND_ANOTHER.match(plain[match.end(1) :])
        or lists_letters(plain[: match.end() + 8])
    ):
        return None
    own = own_option(match[1], plain[match.end() :], options)
    if rivalled(plain[match.end() :], own, options):
        return set()
    if re.match(r"A\s*:", plain) and own and (declines(first) or named(first[2:], options) - own):
        return set()  # "A:" may stand for "answer"
    return own


def leading_option(plain: str, options: tuple[str, ...]) -> Found:
    """ "Yes, there is a dog; no cat." begins with its answer."""
    plain = plain.strip().casefold()
    words = (unwrapped(o).strip().casefold() for o in options)  # of "*" nothing is left
    filled = {i: o for i, o in enumerate(words) if o and not is_own_letter(options[i], i)}
    if declines(FIRST.split(plain, maxsplit=1)[0]):
        return None  # "No, I cannot see the image."
    starts = [(i, m) for i, o in filled.items() if (m := re.match(re.escape(o) + ENDS_THERE, plain))]
    if len(starts) != 1:
        return None
    (said, match), rest = starts[0], plain[starts[0][1].end() :].lstrip()
    others = [re.escape(o) for i, o in filled.items() if i != said]
    ends = match[0].rstrip()[-1]
    if ends == "," and (filled[said] == "right" or any(re.match(o + ENDS_THERE, rest) for o in others)):
        return None  # a list; "Right, so ..."
    if ends == ":" and any(re.search(rf"\b{o}\s*:", rest) for o in others):
        return None  # "Left: a cat. Right: a dog."
    return {said}


def chinese_yes(plain: str, options: tuple[str, ...]) -> Found:
    """ "是的,图中有狗" where the options are yes and no, in either language."""
    names = [unwrapped(o).strip(" .").casefold() for o in options]
    answer = CHINESE_YES.match(plain)
    if answer is None or sorted(names) not in (["no", "yes"], ["否", "是"]):
        return None
    return {names.index(name) for name in (("yes", "是") if answer[1] else ("no", "否")) if name in names}
