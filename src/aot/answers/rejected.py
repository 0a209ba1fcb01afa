"""Parts of a response in which an option is named but not chosen (*ours*): rejections, comparisons, abbreviations.

All functions take text without markup (`text.unwrapped`) and return it without those parts.
"""

from __future__ import annotations

import re

# A clause ends at a full stop, a line's end, or a turn of the argument.
CLAUSE = re.compile(
    r"(?<=[.!?;。;!?])\s+|\n+|(?<=。)"
    r"|(?:,\s*|(?<!\s)\s+)(?=(?:but|while|whereas|however|so|therefore|thus|hence)\b)"
)
REJECTS = re.compile(
    r"\b(?:incorrect|wrong|inaccurate|false|unlikely|invalid|implausible|irrelevant|mistaken)\b"
    r"|\b(?:is|are|was|be|does|do|did|would|could|can|has|have|should)(?:\s+(?:also|clearly|simply|therefore))?"
    r"(?:\s+not\b|n't\b)|\bcannot\b|\brul(?:e|es|ed|ing)\s+out\b|\b(?:eliminat|exclud|reject|dismiss)\w*"
    r"|\bare\s+out\b|\bis\s+out\b|\bwould\s+(?:need|require|imply|mean)\b|\bneither\b|\bnor\b|\bif\s+it\s+were\b"
    r"|错误|不正确|不对|不符|排除|不是|不可能|不能",
    re.IGNORECASE,
)
DENIED = re.compile(
    r"(?:,\s*|\band\s+|\bbut\s+)?(?:n't|\b(?:not|rather\s+than|instead\s+of|unlike))\s+"
    r"(?:(?:the\s+)?(?:option|choice|answer|letter|point|box|image|picture)\s+)?\(?[A-J]\b\)?",
    re.IGNORECASE,
)
THAN = re.compile(r"\b(?:than|compared\s+(?:to|with))\b[^.;!?\n]*", re.IGNORECASE)
ABBREVIATION = re.compile(r"\b[A-Z](?:/[A-Z])+\b|\b(?:[A-Z]\.){2,}")
LIST = re.compile(
    r"\(?\b[A-HJ]\b\)?(?:\s*,\s*(?:and\s+|or\s+)?\(?[A-HJ]\b\)?)+(?:\s*,?\s*(?:and|or)\s+\(?[A-HJ]\b\)?)?"
    r"|\(?\b[B-HJ]\b\)?\s+(?:and|or|or\s+even)\s+\(?[A-HJ]\b\)?|\(?\bA\)?\s+(?:and|or)\s+\(?[B-HJ]\b\)?"
)


def kept(text: str) -> str:
    """The text without rejecting clauses, comparisons ("than B"), denied letters ("not A"), abbreviations ("N/A")."""
    text = THAN.sub(" ", DENIED.sub(" ", ABBREVIATION.sub(" ", text)))
    pieces, start = [], 0
    for turn in (*CLAUSE.finditer(text), None):
        end = turn.start() if turn else len(text)
        clause = text[start:end]
        pieces += [" " if REJECTS.search(clause) else clause, turn[0] if turn else ""]
        start = turn.end() if turn else end
    return "".join(pieces)


def lists_letters(text: str) -> bool:
    """ "A, B, C or D", "both A and C": letters that are named together, so none is chosen alone."""
    return LIST.search(text) is not None
