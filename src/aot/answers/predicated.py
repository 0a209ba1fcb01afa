"""Whether a sentence says of its subject that it is an option (*ours*): the weakest evidence, so only by known forms.

Of all that a response may mention, a bare option counts only as what something is, shows or has ("the car is ⟦blue⟧"),
as a whole clause ("Most likely ⟦blue⟧."), or as the subject of such a clause ("a ⟦cat⟧ is visible"), in the present
indicative. Text with marks: `statements.marked_options`.
"""

from __future__ import annotations

import re

CLAUSE = re.compile(
    r"[.!?;:\n。→|]+(?:\s|$)|(?<=[^\d]),\s*|\s[–—\-=]+>?\s|[→|]|\b(?:and|but|so|while|which|because|since|as)\b|[,。]"
)
# A modal, a past habit or nobody as the subject: nothing is said to be so.
IRREAL = re.compile(
    r"\b(?:would|could|might|may|should|used\s+to|nobody|no\s+one|nothing|none|never|rather\s+not|yesterday|tomorrow|part(?:ly|ially)|exactly|once"
    r"|fake|painted\s+to|half"
    r"|resembl\w+|imitat\w+|pretend\w*|dressed|only\s+for|or)\b(?!\s+(?:be\s+|have\s+to\s+)?(?:say|seen|expected"
    r"|be\s+seen|guess|go|pick|choose|call\s+it))",
    re.IGNORECASE,
)
_GAP = (
    r"(?:\s+(?!(?:to|from|of|waiting|as|too|enough|like|next|near|beside|than|against|before|after|behind|under|without|beyond|not"
    r"|apart)\b)[\w'-]+){0,4}?"
)
LINKED = re.compile(
    r"(?:\b(?:is|are|was|am|be|been|it's|that's|there's|he's|she's|looks?(?:\s+like)?|seems?|appears?|shows?|showing"
    r"|depicts?|depicting|displays?"
    r"|contains?|features?|ha(?:s|ve)|holds?|holding|wears?|wearing|sees?|reads?|indicates?|represents?|suggests?"
    r"|means|equals?|counts?|costs?"
    r"|matches|remains|leaves|making|plays?|playing|eating|riding|using|drinking|resulting|called|named|becomes?"
    r"|turned|gives|say|guess|go\s+(?:for|with)|call\s+it|uses?|illustrates?|by|focus\w*|stand\s+by|pick|choose"
    r"|prefer"
    r"|(?:made|\w+ed|drawn|taken|built|shown|known|seen|written)\s+(?:by|of|in|from|as|to|at|on|with)"
    r"|inspiration\s+from|influence\s+of|reminiscent\s+of"
    r"|corresponds?\s+to|letter|image|answer|ans|option|choice|forced|with|elimination|conclude|to\s+the|on\s+the"
    r"|in\s+the|at\s+the)\b"
    rf"{_GAP}|[\w]'s{_GAP}|[是为有在呈属叫作选数项案到应共觉得只位])\W*$",
    re.IGNORECASE,
)
LEADS = re.compile(
    r"\W*(?:(?:the|an?|it|so|thus|therefore|hence|then|most|more|likely|probably|clearly|definitely|certainly|maybe"
    r"|well|ok|okay|yes|no|indeed|only|just|simply"
    r"|to|on|in|at|by|one|all|option|choice|absolutely|overall|finally|still|again|approximately|about|around"
    r"|roughly|exactly|out|dark|light|bright|points?|box|figure|region|picture|photo|panel|image|also|not|even"
    r"|its?)\W+)*",
    re.IGNORECASE,
)
SUBJECT = re.compile(
    r"\W*(?:$|\(|(?:\w+\s+)?(?:is|are)\s+(?:\w+ly\s+)?(?:shown|visible|present|depicted|seen|correct|right|true|the"
    r"|my|\w+ing|\w+ed)\b|(?:can|may)\s+be\s+seen"
    r"|seems|fits|matches|remains|created|painted|made|wrote|[\w-]+ing\b|(?:the|in|on|at|under|over|above|below|with"
    r"|of|to|near|behind|from|for|at|than)\b|才?[对正符是更最]|[\w-]+\W*$)",
    re.IGNORECASE,
)
ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)
LONG, LONG_WORD = 5, 10
UNFINISHED = re.compile(r"\b(?:is|are|was|the|an?|and|or|of|to|in|which|because|that|its?)\s*$")
OBSCURED = re.compile(
    r"\b(?:hidden|blurry|unclear|obscured|hard to see|out of (?:frame|view))\b", re.IGNORECASE
)
# "The ⟦red⟧ car's driver wears a hat", "beside a ⟦blue⟧ house": an option's word describes another thing.
_THING = (
    r"(?=['’]s|\s+(?!(?:is|are|was|were|has|have|can|in|on|at|of|to|with|and|or|but|for|from|by|as|near|under|over"
    r"|behind|beside|because|since|which|that|who|while)\b|\w+(?:ing|ed|s)\b)[a-z]+"
)
ATTRIBUTE = re.compile(
    rf"(?:^|(?<=[.!?;,\n]))\s*(?:the|an?|this|that)\s+⟦\d+⟧{_THING}(?:\W+\w+){{2}})"
    rf"|\b(?:beside|near|behind|next\s+to|in\s+front\s+of|opposite)\s+(?:the|an?|his|her|its)\s+⟦\d+⟧{_THING})"
    r"|(?:^|(?<=[。,\n]))\s*⟦\d+⟧的(?=[\u4e00-\u9fff])",
    re.IGNORECASE,
)
MARK = re.compile(r"⟦(-?\d+)⟧")


def predicated(left: str, options: tuple[str, ...]) -> set[int]:
    """The one option of a text that keeps to these forms, and names no other one. An option of several words is rarely
    mentioned by the way: any form will do."""
    if UNFINISHED.search(left) or OBSCURED.search(left):
        return set()
    left = ATTRIBUTE.sub(" ", left)
    marks = {int(m[1]) for m in MARK.finditer(left)}
    if len(marks) != 1:
        return marks
    specific = [
        i
        for i, o in enumerate(options)
        if len(ARTICLE.sub("", o.strip())) > (LONG if " " in o.strip() else LONG_WORD)
    ]
    for clause in CLAUSE.split(left):
        mark = MARK.search(clause)
        if mark is None or IRREAL.search(clause):
            continue
        before, after = clause[: mark.start()], clause[mark.end() :]
        if (
            next(iter(marks)) in specific
            or LINKED.search(before)
            or (LEADS.fullmatch(before) and SUBJECT.match(after))
        ):
            return marks
    return set()
