"""Lists of options that a response writes down without judging them (*ours*): the question repeated, or a further
question with which a base model goes on. What stands in a list chooses nothing, and what follows one may answer another
question. And letters that number the sections of an argument.
"""

from __future__ import annotations

import re

from aot.answers.mentions import is_own_letter, own_option, pattern
from aot.answers.several import LINE
from aot.answers.text import unwrapped
from aot.types import LETTERS

ITEM = re.compile(
    r"(?:^|(?<=[;。?,:])|(?<![Cc]hoice)(?<![Oo]ption)(?<!\bis)\s)[>\-•# ]{0,4}\(?([A-J])\)?\s?[.:、)]\s*(?=\S)",
    re.MULTILINE,
)
JUDGED = re.compile(
    r"\b(?:correct|incorrect|right|wrong|true|false|yes|no|not|n't|cannot|best|most|matches|likely|therefore|because|this"
    r"|answer)\b|n't\b|[✓✔✅✗✘❌]|正确|错误|不对|符合|因此|答案|故选",
    re.IGNORECASE,
)
ENDS = re.compile(r"[.。?!;](?=\s|$)|\n|$")
# After a list, a further one of which only the beginning is there; or its own last item, cut.
CUT = re.compile(
    r"(?:(?:\A|(?<=\?))\s*[>\-•#]*\s*\(?A\)?\s?[.:、)]|\A[ ;,]*\(?[B-J](?!\w))[^\n.。?]{0,200}\s*\Z"
)
BROKEN_LIST = re.compile(
    r"(?:\A|\n)[>\-•#\d. ]{0,6}(?:选项|[Oo]ption )?\(?A\)?\s?([.:、)])\s*([^\n]*)(?:\n\W*(?:\d{1,2}|选项|B)?\W*)?\Z"
)
# The title of a section: a line of a few words that does not end like a sentence.
HEADING = re.compile(r"\s*[A-Z]\w+(?:[^\w.!?\n]{1,3}[\w']+){0,11}[^\w.!?]{0,3}")
APART, ALIKE = 400, 12


def between_lists(plain: str, options: tuple[str, ...]) -> list[str]:
    """The pieces of the text beside its lists; the whole text where it has none."""
    pieces: list[str] = []
    run: list[re.Match[str]] = []
    start, further = 0, r"(?!)"
    for item in (*ITEM.finditer(plain), None):
        step = ord(item[1]) - ord(run[-1][1]) if item and run and item.start() - run[-1].end() < APART else 0
        if item and (step == 1 or (step > 1 and "\n" in plain[item.start() - 1 : item.start() + 1])):
            run.append(item)
            continue
        if len(run) >= max(2, min(3, len(options))):
            ends = [*(m.start() for m in run[1:]), _end(plain, run[-1], options)]
            if not any(_judged(plain[m.end() : end], options) for m, end in zip(run, ends, strict=True)):
                pieces.append(plain[start : run[0].start()])
                said, _, asked = pieces[-1].rstrip().rpartition("\n")
                lines = all("\n" in plain[m.start() - 1 : m.start() + 1] for m in run) and not asked.endswith(":")
                if lines and said.strip() and _foreign(plain[run[0].end() : ends[-1]], options):
                    return [*pieces[:-1], said]  # a further question, and what answers it
                start = ends[-1]
                further = rf"\A\s*\(?{chr(ord(run[-1][1]) + 1)}\)?\s?[.:、)]?\s*\Z"
        run = [item] if item and item[1] == "A" else []
    rest = re.sub(further, "", CUT.sub("", plain[start:])) if pieces else plain
    return [*pieces, rest]


def _foreign(items: str, options: tuple[str, ...]) -> bool:
    """Whether a list holds the words of none of the options; of options that are mere letters one cannot tell."""
    worded = [o for i, o in enumerate(options) if not is_own_letter(o, i)]
    held, *own = (re.sub(r"[\W_]", "", unwrapped(text)).casefold() for text in (items, *worded))
    return any(own) and not any(words[:ALIKE] in held for words in own if words)


def without_cut_list(plain: str, options: tuple[str, ...]) -> str:
    """The text without a last line on which the words of option A break off: as often as an answer it is the first of
    the options, written down once more."""
    last = BROKEN_LIST.search(plain)
    if last is None or re.search(r"answer|答案", plain[max(0, last.start() - 40) : last.start()], re.IGNORECASE):
        return plain
    said, own = ("".join(words.split()).casefold().rstrip(".。;,") for words in (last[2], unwrapped(options[0])))
    cut = len(own) > len(said) + 1 and own.startswith(said) if said else last.start() > 0 and last[1] == ":"
    return plain[: last.start()] if cut else plain


def _end(plain: str, last: re.Match[str], options: tuple[str, ...]) -> int:
    """Where the last item ends: behind its option's words, else at the end of its sentence."""
    own = LETTERS.index(last[1])
    said = pattern(options[own]).match(plain, last.end()) if own < len(options) else None
    found = ENDS.search(plain, said.end() if said else last.end())
    return len(plain) if found is None else found.start() if found[0] == "\n" else found.end()


def _judged(words: str, options: tuple[str, ...]) -> bool:
    """Whether an item says more than an option; options' own words may sound like a judgement ("is not round")."""
    if re.search(r"\w[^\n]*\n\s*\w", words):
        return True
    for option in options:
        words = pattern(option).sub(" ", words)
    return JUDGED.search(words) is not None


def without_sections(plain: str, options: tuple[str, ...]) -> str:
    """The text without the letters of its sections ("A. Analysis" ... "B. Conclusion"), where it begins with one: lines
    that neither give the option of their letter nor end like a sentence."""
    lines = [m for m in LINE.finditer(plain) if HEADING.fullmatch(m[2])]
    heads = [m for m in lines if own_option(m[1].upper(), m[2], options) is None]
    labels = [m[1] for m in heads if m[0].lstrip(" >-#•\n")[1:2] == "."]
    if labels[:1] != ["A"] or "B" not in labels or plain[: heads[0].start()].strip():
        return plain
    for head in reversed(heads):
        plain = f"{plain[: head.start()]}\n{head[2]}{plain[head.end() :]}"
    return plain
