"""Lines that are options, and replies that list them or name several as answers: then none is the answer (*ours*).
"""

from __future__ import annotations

import re

from aot.answers.mentions import NAME, indices, is_own_letter, own_option, pattern, without_own
from aot.answers.refusal import refuses
from aot.answers.rejected import REJECTS, kept
from aot.answers.text import unwrapped

ALSO = re.compile(
    r"\b(?P<a>[A-J])\)?\s+(?:(?:is|are|could|may|might|would|seems?)\s+)?(?:be\s+)?(?:(?:also|equally|as\s+well"
    r"|just\s+as)\b|too\s*(?:[.,;)]|$))|\b(?:and|or|but)\s+\(?(?P<b>[A-J])\)?\s+(?:for|if|when|otherwise|in)\b"
    r"|\bit\s+(?:may|might|could)\s+(?:also\s+)?be\s+\(?(?P<c>[A-J])(?!\w)|(?:^|[.;,!?]\s+|\n\s*)(?:or|and|maybe|perhaps"
    r"|possibly|(?i:or|maybe|perhaps|possibly))[\s,]+(?:option\s+)?\(?(?P<d>[A-J])\)?(?=\s*(?:[.;,!?]|$))"
)
LINE = re.compile(
    rf"^[\s>\-#•]*(?:\d\.\s*)?{NAME}\(?([A-Ja-j])\s*(?:[.)](?![a-z0-9])|:|(?=[\u4e00-\u9fff])|\s*$)(.*)$", re.MULTILINE
)
# "Answer: B" in whatever language.
ANSWER_LINE = re.compile(
    r"(?!.*\b(?:not|wrong|incorrect|options?|choices?|first|second|third|fourth|fifth|next|then)\b)"
    r"(?:(?:[^\s:.,\d]{2,20}\s?){1,3}:\s*){1,2}\(?([A-J])\)?",
    re.IGNORECASE,
)
NAMED = rf"(?:(?:caption|sentence|statement|description)\s+|{NAME})"
VERDICT = re.compile(r"\A\W*(?:conclusion|verdict|decision|prediction|result)\s*:\s*", re.IGNORECASE)
# "A项表述正确", "C选项是错误的": what is said of each option.
JUDGED = re.compile(
    r"([A-J])(?:选项|项)?的?(?:表述|说法|描述|陈述)?(?:是|为|均|都|也)?(?:(正确)|错误|不正确|不对)"
)
APPROVES = re.compile(
    r"\b(?:correct|right|true|answer|best|most|fits?|match\w*|because|since|as|so|yes|would|should|only|closest)\b|[✓✔✅]"
    r"|正确|对|符合|因为",
    re.IGNORECASE,
)
NEAR, ALIKE = 400, 5


def offers_another(rest: str, own: set[int], options: tuple[str, ...]) -> bool:
    """Whether what follows an answer names another letter beside it ("Or C.", "But C is also correct.")."""
    near = rest if len(rest) <= NEAR else rest[: rest.rfind(".", 0, NEAR) + 1]  # whole sentences
    others = {next(filter(None, m.groups())) for m in ALSO.finditer(kept(near))}
    return bool({i for x in others for i in indices({x}, options)} - own)


def two_items(lines: list[str]) -> bool:
    """Whether an answer's line is followed by that of a later option, not rejected: "A. ... C. ..."."""
    items = [LINE.match(line) for line in lines]
    if len(items) < 2 or not all(items):
        return False
    first, second = (item for item in items if item)
    return bool(first[2].strip()) and first[1] < second[1] and not REJECTS.search(second[2])


def begins_list(plain: str, options: tuple[str, ...]) -> bool:
    """Whether it begins with the lines of three options, or of two that are not rejected: "A. red" and "B. blue"."""
    lines = [m for line in plain.split("\n") if (m := LINE.match(line))]
    only = len(lines) == sum(bool(line.strip()) for line in plain.split("\n"))
    lines = lines[:3]
    if len(lines) < 2 or not plain.startswith(lines[0][0]):
        return False
    labels = [m[1].upper() for m in lines]
    if len(labels) == 3 and (labels[0] < labels[1] < labels[2]):
        return True
    if labels[0] < labels[1] and plain[-1] not in ".!?。)]\"'" and plain.endswith(lines[1][0]):
        return True  # cut within its second line
    remark = without_own(lines[0][2], options).strip(" .:-–—")
    if labels[0] < labels[1] and remark and (REJECTS.search(remark) or not APPROVES.search(remark)):
        return True  # it goes through them
    left = [ord(m[1].upper()) for m in lines if not REJECTS.search(without_own(m[2], options))]
    alike = bool(lines[0][2].strip()) == bool(lines[1][2].strip())
    two = len(left) == 2 and (left[1] == left[0] + 1 or (only and left[1] != left[0]))
    return alike and (two or len(set(left)) == 3)


def judged_twice(plain: str, letter: str) -> bool:
    """Whether Chinese sentences call that option right and another one, too, or call it wrong as well."""
    judged = {(m[1], m[2] is not None) for m in JUDGED.finditer(plain)}
    return (letter, True) in judged and ((letter, False) in judged or sum(right for _, right in judged) > 1)


def line_alone(plain: str, options: tuple[str, ...]) -> set[int] | None:
    """A line that is nothing but an option, where no other line is: the last one, or one after a colon."""
    lines = [line.strip() for line in plain.split("\n") if line.strip()]
    whole = [(n, found) for n, line in enumerate(lines) if (found := whole_option(line, options))]
    if not whole or any(found != whole[-1][1] for _, found in whole):
        return None
    n, found = whole[-1]
    labels = [m[1].upper() for line in lines[: n + 1] if (m := LINE.match(line))]
    item = LINE.match(lines[n]) if len(labels) > 1 else None
    if item and (ord(labels[-1]) == ord(labels[-2]) + 1 or (item[2].strip() and labels[-1] != labels[-2])):
        return None  # the last of a list
    within = n + 1 < len(lines)
    if within and (not lines[n - 1].endswith(":") or LINE.match(lines[n + 1]) or ANSWER_LINE.fullmatch(lines[n])):
        return None
    return None if refuses("\n".join(lines[n:])) else found


def whole_option(line: str, options: tuple[str, ...]) -> set[int] | None:
    """The option that a line is, by its letter, its words or both."""
    line = VERDICT.sub("", line.strip(" .!\"'"))
    if match := ANSWER_LINE.fullmatch(line) or re.fullmatch(rf"{NAMED}\(?([A-Ja-j])\)?", line, re.I):
        return indices({match[1].upper()}, options)
    words = {i for i, o in enumerate(options) if not is_own_letter(o, i) and pattern(o).fullmatch(line)}
    match = LINE.fullmatch(line)
    own = own_option(match[1].upper(), match[2], options) if match and match[2] else None
    if match and own and any(pattern(options[i]).fullmatch(match[2].strip(" .()\"'")) for i in own):
        return own
    if match and (beside := indices({match[1].upper()}, options)):  # the option's words, nearly
        starts = [text.casefold().split()[:ALIKE] for text in (match[2], *(unwrapped(options[i]) for i in beside))]
        alike = len(starts[0]) == ALIKE and starts[0] == starts[1]
        if alike and len(match[2]) < 1.3 * len(options[min(beside)]):  # no more is said of it
            return beside
    return words if len(words) == 1 else None
