"""The option after a cue ("the answer is B"), and what counts as an option right at a text's beginning (*ours*)."""

from __future__ import annotations

import re

from aot.answers.mentions import ARTICLE, CONFLICT, GLUE, lettered, mentions, pattern, worded
from aot.answers.numbers import numeric
from aot.answers.rejected import REJECTS, kept
from aot.answers.text import after_cues
from aot.types import LETTERS

Found = set[int] | None
"""Options a step found: None = the step does not apply; otherwise it decides (one element = answered)."""

UNGLUED = rf"(?![A-Za-z0-9'/]|(?!{GLUE})[\u4e00-\u9fff])"
LINE = re.compile(
    r"^[\s>\-#•]*(?:\d\.\s*)?(?:(?:[Oo]ption|[Cc]hoice)\s+)?\(?([A-J])\s*(?:[.):]|$)(?!\w)(.*)$", re.MULTILINE
)
AND_ANOTHER = re.compile(
    r"\W{0,3}\s*(?:(?P<joins>and/or|->|→|or(?:\s+is\s+it)?|and|/|&|\+|或者?|还是|和|与|、)|,)\s*"
    r"(?:(?:else|also|or|and|possibly|maybe|perhaps|potentially|even)\s+)*"
    rf"(?:(?:the\s+)?(?:option|choice|选项)\s+)?\W?(?:[A-HJ]{UNGLUED}(?(joins)|(?!\s+[a-z]))|I{UNGLUED}(?!\s+[a-z]))"
    rf"|[.;|]\s*[A-HJ](?![\w.:)])\W*(?:$|\n)|[.;|][A-HJ](?!\w)"
)
ALSO = re.compile(
    r"(?<![A-Za-z])\(?[A-J]\)?\s+(?:(?:is|are|could|may|might|would|seems?)\s+)?(?:be\s+)?(?:also|equally)\b"
    r"|\b(?:and|or|but)\s+\(?[A-J]\)?\s+(?:for|if|when|otherwise|in)\b"
    r"|\balso\s+(?:possibly\s+)?(?:option\s+)?\(?[A-J](?![\w'])",
)
# What stands right before a cue and turns it round: "the incorrect answer is", "I doubt that the answer is".
TURNED_ROUND = re.compile(
    r"(?:\b(?:incorrect|wrong|false|mistaken|worst|poorest|impossible|(?:least|less|un)\s?\w+)|错误的?|最不\S{0,6})\s*$"
    r"|(?:\bdoubt|\bdisagree|\bnot\s+that|(?:n't|\bnot)\s+(?:\w+\s+)?(?:think|believe|say|suppose|agree|mean"
    r"|conclude)|\btempted\s+to\s+\w+"
    r"|\b(?:mistake|wrong|incorrect|false)\s+(?:to\s+\w+|that))\s+(?:that\s+)?(?:\w+\s+){0,3}$",
    re.IGNORECASE,
)
RIVAL = re.compile(
    r"(?<![A-Za-z])\(?([A-J])\)?\s+(?:is|are|could|may|might|would|seems)\s+(?:be\s+)?(?:(?:\w+\s+)?(?:also"
    r"|too(?=\s*(?:[.,;]|$))|equally|as well|just as)\b)"
    r"|(?:^|[.;,!?]\s+)(?:or|and|maybe|perhaps|possibly|alternatively|but\s+maybe)[\s,]+(?:it(?:'s|\s+is"
    r"|\s+may\s+be)\s+)?(?:option\s+)?\(?([A-J])\)?(?=\s*(?:[.,;!?]|$))"
    r"|\bit\s+(?:may|might|could)\s+(?:also\s+)?be\s+\(?([A-J])(?!\w)",
    re.IGNORECASE,
)
CONCLUSION = re.compile(
    r"(?:^|[\s,.])(?:therefore|thus|hence|in conclusion|consequently)\b[,:]?|\b(?:overall"
    r"|in summary)[,:]|因此|所以|综上|故"
    r"|(?:^|[.!?\n,;]\s*)so\b[,:]?",
    re.IGNORECASE,
)
REVISES = re.compile(
    r"\b(?:but|however|wait|actually|correction|on second thought|re-?(?:consider|evaluat|examin"
    r"|think)\w*|in fact|instead"
    r"|final|therefore|thus|hence|in conclusion|so)\b|但|所以|因此",
    re.IGNORECASE,
)
TURNS = re.compile(r"\b(?:but|however|wait|actually|correction|second thought|final)\b|但", re.IGNORECASE)
ENDS = re.compile(
    r"(?:^|\n)[^\w\n]*(?:the\s+)?(?:final\s+)?(?:correct\s+)?answer(?:\s+is)?\s*:?\s*\(?[A-J]\)?\W*$",
    re.IGNORECASE,
)


def explicit(plain: str, options: tuple[str, ...]) -> Found:
    """The last "answer is X" that names a letter or an option, where no other is named so without being revised."""
    answers: list[tuple[str, set[int]]] = []
    for before, rest, sentence in after_cues(plain):
        if turned_round(before):
            continue
        found = _cued(rest, sentence, options)
        if found is not None:
            answers.append((before, set() if rivalled(rest, found, options) else found))
    if not answers:
        return None
    if ENDS.search(plain):  # "...\n\nAnswer: H" at the very end is meant to be read
        return (
            answers[0][1]
            if len(answers) < 2 or len(answers[0][0].strip()) > 8 or answers[0][1] == answers[1][1]
            else set()
        )
    before, last = answers[0]
    others = [found for _, found in answers[1:] if found != last]
    if not others or not last:
        return last
    revised = REVISES.search(before[-80:]) and not (
        CONCLUSION.search(answers[1][0][-80:]) and not TURNS.search(before)
    )
    return last if revised and len({min(found, default=CONFLICT) for found in others}) == 1 else set()


def rivalled(rest: str, own: set[int], options: tuple[str, ...]) -> bool:
    """Whether what follows an answer offers another letter beside it ("Or C.", "But C is also correct.")."""
    letters = {next(filter(None, m.groups())) for m in RIVAL.finditer(kept(rest).lstrip())}
    return bool({i for x in letters for i in indices({x}, options)} - own)


def turned_round(before: str) -> bool:
    """Whether the words before a cue make it name what the answer is not, or would be."""
    return TURNED_ROUND.search(before) is not None


def _cued(rest: str, sentence: str, options: tuple[str, ...]) -> Found:
    head = re.split(r"[,.;!?\n]|\b(?:because|since|as)\b", sentence, maxsplit=1)[0]
    if REJECTS.search(without_own(head, options)) or re.match(r"[\s\"'(]*[¬!~≠]", rest):
        return None
    if re.match(r"also\b", rest, re.IGNORECASE):
        return set()
    found = at_start(rest, options)
    if found is not None:
        named_here = re.split(
            r",?\s+(?:which|because|since|as|where|while|from|with|than)\b", kept(sentence), maxsplit=1
        )[0]
        letters = set(re.findall(r"\(([A-J])\)", named_here))
        also = ALSO.search(sentence) and not REJECTS.search(sentence)
        return set() if len(letters) > 1 or also or _lists_options(rest, options) else found
    return {m.option for m in mentions(kept(sentence), options) if not m.letter} or None


def _lists_options(rest: str, options: tuple[str, ...]) -> bool:
    """Whether the first line is an option and the next one just another: the options again, none chosen."""
    lines = [line for line in rest.split("\n") if line.strip()][:2]
    found = [LINE.match(line) for line in lines]
    if len(found) < 2 or not (found[0] and found[1]) or found[0][1] == found[1][1]:
        return False
    contiguous = re.match(r"[^\n]*\n[^\S\n]*\S", rest) is not None
    return (contiguous and not REJECTS.search(found[1][2])) or is_option(found[1], options)


def is_option(line: re.Match[str], options: tuple[str, ...]) -> bool:
    index = LETTERS.index(line[1])
    return index < len(options) and pattern(options[index]).fullmatch(line[2].strip(" .")) is not None


def at_start(rest: str, options: tuple[str, ...]) -> Found:
    """A letter, else an option's words, right at the beginning of `rest`."""
    start = rest.lstrip(" \"'([{\n")
    spans = [(len(p[0]), i) for i, o in enumerate(options) if len(o) > 1 and (p := pattern(o).match(start))]
    match = re.match(rf"[\s\"'(\[{{]*([A-Za-z]){UNGLUED}", rest)
    if match and not (spans and max(spans)[0] > 1) and not ARTICLE.match(rest, match.end()):
        letter, tail = match[1], rest[match.end() :]
        if AND_ANOTHER.match(tail):
            return set()
        follows = re.match(r"\s*(?:[^\w\s]|\n|$)|[\u4e00-\u9fff]", tail)
        if follows or (letter.isupper() and _goes_on(tail, options, letter)):
            return own_option(letter.upper(), tail, options)
    if not spans:
        return None
    size, said = max(spans)
    beside = re.match(r"\s*\(([A-J])\)", start[size:])
    return {said} if beside is None or indices({beside[1]}, options) == {said} else set()


def _goes_on(tail: str, options: tuple[str, ...], letter: str) -> bool:
    """Whether the words after a letter leave it an option's name: its own words, or those of a sentence ("is")."""
    own = [pattern(o).match(tail.lstrip()) for o in options]
    return any(own) or bool(lettered(f"{letter}{tail[:60]}", options))


def own_option(letter: str, tail: str, options: tuple[str, ...]) -> set[int]:
    """The letter's option, unless the words of another one follow it."""
    found = indices({letter}, options)
    start = re.sub(r"^(?:the|an?)\s+", "", tail.lstrip(" \"'()]}.:,-–—\n"))
    worded = [(i, o) for i, o in enumerate(options) if len(o) > 1 or numeric(o)]
    spans = [(len(p[0]), i) for i, o in worded if (p := pattern(o).match(start))]
    longest = {i for size, i in spans if size == max(spans)[0]}
    return found if not longest or found & longest or "\n" in tail[: len(tail) - len(start)] else set()


def without_own(text: str, options: tuple[str, ...]) -> str:
    """The text after a letter without the option's words: they may sound like a rejection ("False", "is not round")."""
    for option in sorted(options, key=len, reverse=True):
        if own := re.compile(r"[\s.:)\-–—A-J]{0,8}" + pattern(option).pattern, re.IGNORECASE).match(text):
            return text[own.end() :]
    return text


def mentioned(text: str, options: tuple[str, ...]) -> set[int]:
    """Options whose words occur in the text, not counting those inside a longer option or after "not"."""
    return {mention.option for mention in worded(text, options)}


def indices(letters: set[str], options: tuple[str, ...]) -> set[int]:
    """Letters to option numbers; empty where one of them is no option, as then nothing can be trusted."""
    allowed = LETTERS[: len(options)]
    return {allowed.index(x) for x in letters} if all(x in allowed for x in letters) else set()
