"""From free text to yes or no. No letters: "A dog is there" has none, and "B" is no answer to such a question."""

from __future__ import annotations

import re

from aot.answers.asserted import asserted
from aot.answers.mentions import NEGATED
from aot.answers.reading import TURNED_ROUND, leading_words
from aot.answers.refusal import abstains, refuses, without_refusals
from aot.answers.rejected import without_questions
from aot.answers.sentences import DRAWS, FEW_SENTENCES, SENTENCE
from aot.answers.text import after_cues, marked, spoken, squeezed, unwrapped
from aot.types import Answer

OPTIONS = ("yes", "no")
WORD = re.compile(r"(?<!\w)(?:(yes)|(no))(?!\w)", re.IGNORECASE)
# Chinese: 是 or 否 as the whole answer or its first word, before a stop or the end.
CHINESE = re.compile(r"\s*(?:(是的?|对|有|存在)|(否|不是|不对|没有|不存在))\s*(?:[,.;!,。;!]|$)")
# Words with "no" in them that deny nothing.
IDIOM = re.compile(
    r"\bno\s+(?:doubt|question|matter|problem|idea|wonder|answer|image|picture|photo|comment|response"
    r"|information|mention)\b"
    r"|[\"']?\b(?:yes|no)\b[\"']?\s+(?:would|is|was)\s+(?:be\s+)?(?:wrong|incorrect|not)\b",
    re.IGNORECASE,
)
# "Answer: No. ..., so the answer should be yes": two answers.
BEGINS = re.compile(r"\W*(?:final )?answer\s*:\W*(?:(yes)|no)\b(?=\W)", re.IGNORECASE)
# "No, I cannot tell": who declines so denies nothing.
DECLINED = re.compile(r"(?:^|(?<=[.!?:*]\s))(\W*)no[,:;](\s[^.!?\n]*)", re.IGNORECASE | re.MULTILINE)
DETERMINER = re.compile(r"\bno\s+(?=\w)", re.IGNORECASE)
CORRECTED = re.compile(r"\b(?:actually|wait|correction|on second thought)\b", re.IGNORECASE)
JUDGED = {"true": 0, "false": 1}  # of a statement, when it is the whole answer


def parse_yes_no(text: str, *, truncated: bool = False) -> Answer:
    """`choice` 0 is yes, 1 is no. The order is `parse_answer`'s: box, tag, "answer is", the word it begins with, any
    yes or no at all; both is "unparsed"."""
    if truncated:
        return Answer(text, None, "truncated")
    said = DECLINED.sub(lambda m: m[1] + m[2] if refuses(m[2]) else m[0], squeezed(spoken(text)))
    if abstains(said):
        return Answer(text, None, "refused")
    content = marked(said)
    found = _words(unwrapped(said)) if content is None else _content(unwrapped(content))
    if len(found) == 1:
        return Answer(text, found.pop())
    declined = refuses(plain := unwrapped(said)) and not _mentioned(without_refusals(plain))
    return Answer(text, None, "refused" if declined else "unparsed")


def _content(plain: str) -> set[int]:
    """What a box or tag holds, or the whole text: where it is only "true" or "false", that too."""
    judged = JUDGED.get(plain.strip(" .,;:!()[]{}\"'\n").casefold())
    if chinese := CHINESE.match(plain):
        return {0 if chinese[1] else 1}
    return _mentioned(plain) if judged is None else {judged}


def _mentioned(text: str) -> set[int]:
    """Every yes and no of the text, "There is no dog" among them, that is not itself denied."""
    found = WORD.finditer(text)
    return {
        0 if m[1] else 1
        for m in found
        if not NEGATED.search(text[max(0, m.start() - 40) : m.start()].casefold())
    }


def _words(plain: str) -> set[int]:
    plain = asserted(without_questions(plain), OPTIONS).strip() or plain
    for before, rest, sentence in after_cues(plain):
        if TURNED_ROUND.search(before):
            plain = plain.replace(sentence, " ")
            continue
        chinese = CHINESE.match(rest)
        found = {0 if chinese[1] else 1} if chinese else leading_words(rest, OPTIONS) or _mentioned(sentence)
        if found:
            begun = BEGINS.match(plain)
            return found if begun is None or found == {0 if begun[1] else 1} else set()
    first = None if CORRECTED.search(plain) else leading_words(plain, OPTIONS)
    if first:
        return first
    left = IDIOM.sub(" ", without_refusals(plain))
    sentences = [s for s in SENTENCE.split(plain.strip()) if s.strip()]
    if len(sentences) > FEW_SENTENCES:  # there "no" before a noun and what stands before a conclusion are steps
        said = max((n for n, s in enumerate(sentences) if WORD.search(DETERMINER.sub(" ", s))), default=-1)
        if said and (any(DRAWS.match(s) for s in sentences[said + 1 :]) or refuses(sentences[-1])):
            return set()
    many = refuses(plain) or len(sentences) > FEW_SENTENCES
    return _content(DETERMINER.sub(" ", left) if many else left)
