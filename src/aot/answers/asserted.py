"""What a response asserts as its own present view (*ours*): the one general veto, before any step looks for an option.

A sentence that only supposes ("if it were red, A"), reports what others say ("many students choose B"), tells what was
thought before ("my first thought was C"), asks, quotes or gives an example asserts none of the options that it names,
whatever its form. It is left out up to a turn of the argument ("..., but the paint is blue"), which may assert one.
"""

from __future__ import annotations

import re

from aot.answers.mentions import pattern

PIECE = re.compile(
    r"(?<=[.!?;])(?<!e\.g\.)\s+(?![\"')]*\s*$)|\n+|(?<=。)|(?<=[a-z.]\")\s+|,?\s+(?=(?:but|however|because|since|so"
    r"|therefore|thus|hence|whereas)\b)|,\s*(?=(?:yet|then|which means)\b)|,\s*(?=我)|,?(?=但|不过|所以|因此|其实"
    r"|而是)",
    re.IGNORECASE,
)
BEFORE_IF = ("see", "check", "tell", "know", "determine", "sure", "even", "as", "decide", "ask")
SUPPOSES = (
    "".join(f"(?<!{word} )" for word in BEFORE_IF)
    + r"\bif\b(?!\s+(?:i\b(?!\s+squint)|we|one|you\b(?!\s+(?:mean|refer|ask))|forced|pressed|anything|so|not)\b)"
    r"|\bunless\b|^\W*(?:suppose|assum(?:e|ing)|imagine|had\s+(?:the|it))\b|\bonly\s+if\b"
    r"|\bhad\s+(?:the|it|this|there)\s+(?:\w+\s+){0,3}been\b|\bwould\s+have\s+(?:been|said|chosen|picked|answered)\b"
    r"|\bdepend(?:s|ing|ent)?\s+on\b|\bin\s+that\s+case\b|\botherwise\b"
    r"|\bwould\s+(?:only\s+)?be\s+(?:(?:option\s+)?\(?[A-J]\)?|right|correct|true)\s+(?:only\s+)?(?:in|under|when|for|at)\b"
    r"|如果|假如|假设|若是|要是|除非|取决于"
)
_PEOPLE = (
    r"(?:some(?:one|body)|any(?:one|body)|people|you|he|she|they|(?:some|others?|many|most|few)(?=\s+(?:would|might|may"
    r"|could|will|often|also|\w+s?\s+\(?[A-J]\b))|(?:an?|the|my|your|our|this|that|some|many|most|other|another)\s+"
    r"(?:[\w-]+\s+)?(?:students?|viewers?|persons?|people|colleagues?|friends?|teachers?|professors?|doctors?|nurses?"
    r"|neighbou?rs?|users?|assistants?|models?|experts?"
    r"|humans?|book|hint|caption|author|paper|annotat\w+|prompt|question|title|description)"
    r"|GPT\S*|ChatGPT|Claude|Gemini|Qwen\S*|LLaVA\S*|InternVL\S*|(?:person|student|annotator|model)\s+\S+)"
)
_CLAIM = (
    r"(?:sa(?:y|ys|id)|claim(?:s|ed)?|thinks?|thought|answers|answered|(?<=would )answer|(?<=students )answer"
    r"|cho(?:ose|oses|se)|pick(?:s|ed)?|select(?:s|ed)?|suggest(?:s|ed)?|believe[sd]?|argue[sd]?|guess(?:es|ed)?"
    r"|insist(?:s|ed)?|state[sd]?|go(?:es)?\s+(?:for|with)|mistakes?|call(?:s|ed)?|told|assume[sd]?)"
)
REPORTS = (
    rf"\b(?:{_PEOPLE})\s+(?:[\w-]+\s+){{0,4}}?{_CLAIM}\b"
    r"|\bone\s+(?:might|may|could)\s+\w+|\baccording\s+to\s+(?:the|my|your|some|a)\s+(?:user|student|hint|caption|prompt)\b"
    r"|\b(?:for\s+example|for\s+instance|e\.\s?g\.)|^\W*example\b|\bin\s+the\s+(?:format|form|style)\b|\ba\s+typical\b"
    r"|[\"'](?:the\s+)?(?:\w+\s+)?answer(?:\s+is|:)[^\"'\n]{0,40}[\"']|^\W*(?:the\s+)?question\s*:\s*\""
    r"|^\W*(?:reply|respond|output|return|pick|choose|please)\s+(?:with|format|\(?A\b|answer)"
    r"|\bsuch\s+as\s+\"?\(?(?-i:[A-J])\b|\bexpected\s+(?:output|format)|^(?!\W*X\b)[^\n]*[?][\"')]*\s*$"
    r"|\b(?:need|like|want|have)\s+to\s+(?:see|view|look|examine|access)\b[^.!?\n:]*\b(?:figure|image|panel|table|picture"
    r"|photo|graph|diagram|chart|plot)s?\b|\b(?:provide|share|upload|without\s+seeing)\s+(?:the\s+)?(?:figure|image|panel"
    r"|table|picture|photo)s?\b"
    r"|\banswer\s+(?:provided|given)\s+(?:is|was|states|says)\b"
    r"|大家|有人|有些人|很多人|别人|同学|例如|比如|题目问"
)
FORMERLY = (
    r"\b(?:was|were)\s+(?:about|going|tempted|inclined)\s+to\b|\balmost\s+(?:said|chose|picked|answered|went)\b"
    r"|\b(?:initially|originally|at\s+first|previously)\b|\b(?:first|initial)\s+(?:thought|guess|impression|idea|instinct"
    r"|glance)\b|\b(?:initial|earlier|previous|prior|original|old)\s+(?:\w+\s+)?(?:answer|choice|pick|question|attempt)\b"
    r"|\bi\s+first\s+\w+|上一题|上次|\blast\s+(?:time|round)\b|本来|起初|原本|一开始|乍一看|之前"
)
ASSERTS_NOTHING = re.compile(f"{SUPPOSES}|{REPORTS}|{FORMERLY}", re.IGNORECASE | re.MULTILINE)

OTHER_CHOICE = re.compile(r"\bor \([A-J]\)")  # "(A) go on but slowly, or (B) wait if ...": left open
THEN = re.compile(r"\W*then\b", re.IGNORECASE)

# "A. Wait, actually B": what a response says after it took its answer back.
TURN = re.compile(
    r"(?:^|(?<=[\s.,!?;:(]))(?:(?:wait|hold\s+on)(?:\s+a\s+(?:minute|moment|second))?(?=\s*[,.!:…\-–—])|on\s+second\s+thoughts?\b|correction\b"
    r"|no,?\s+(?:wait|sorry)\b|let\s+me\s+(?:re-?\w+|double-?check|check\s+again|look\s+again|correct)\b"
    r"|sorry,?\s+i\s+meant\b|i\s+meant?\b|(?:scratch|strike|ignore|forget|i\s+retract|i\s+withdraw)\s+(?:that|this"
    r"|it)\b|then\s+again\b|hmm+,?\s+no\b|on\s+(?:closer\s+(?:look|inspection)|reflection)\b|(?:maybe"
    r"|perhaps)\s+not\b|no[.,] (?=\(?(?-i:[A-J])\b))(?:[\s,.!:;…\-–—]*(?:(?:no|sorry|actually|wait|hmm+|i\s+mean"
    r"|it\s*(?:is|'s))\b))*|(?<![^。,;\n实])不对(?:,应该?是)?|不完全是|等等(?=[,.!…])|等一下(?:[,.]?重新看一下)?"
    r"|(?<![^。,;\n])更正(?=[:,])|重新看(?:一下)?",
    re.IGNORECASE,
)

DESCRIBES = re.compile(r"(?!.*\b[A-JX]\b)\s*(?:[\w,-]+\s+){3,}", re.DOTALL)


def asserted(text: str, options: tuple[str, ...]) -> str:
    """The text without the pieces that assert nothing; words of an option are no sign of that."""
    if not ASSERTS_NOTHING.search(text):
        return text
    pieces, start, void = [], 0, False
    for turn in (*PIECE.finditer(text), None):
        end = turn.start() if turn else len(text)
        piece = text[start:end]
        void = (void and THEN.match(piece) is not None) or _asserts_nothing(piece, options)
        other = OTHER_CHOICE.search(piece) if void and piece[:1].islower() else None
        pieces += [(other[0] if other else " ") if void else piece, turn[0] if turn else ""]
        start = turn.end() if turn else end
    return "".join(pieces)


def after_turn(text: str) -> str | None:
    """What follows the last place where a response takes its answer back; None where it does not."""
    found = list(TURN.finditer(text))[-1:]
    return text[found[0].end() :].lstrip(" ,.!:;…-–—\n") if found else None


def _asserts_nothing(piece: str, options: tuple[str, ...]) -> bool:
    if not ASSERTS_NOTHING.search(piece):
        return False
    for option in options:
        piece = pattern(option).sub("X", piece)
    found = ASSERTS_NOTHING.search(piece)
    # "It recovers if wages are flexible, by (A)": a condition of what is described, not of the answer.
    described = found is not None and found[0] == "if" and DESCRIBES.fullmatch(piece[: found.start()])
    return found is not None and not described
