"""Sentences that choose an option (*ours*): "I would pick B", "the best match is (C)", "point D is the closest".

A sentence is read with each naming of an option as one mark, so that its form tells a choice from a description.
"""

from __future__ import annotations

import re

from aot.answers.mentions import CONFLICT, mentions
from aot.answers.refusal import refuses
from aot.answers.rejected import REJECTS, kept, lists_letters, lists_words, rejects_all, without_lists

OPTION = r"[\"'(\[]?(?:the\s+|option\s+|choice\s+|answer\s+|letter\s+|image\s+|选项)*[\"'(\[]{0,3}⟦(-?\d+)⟧"
HEDGE = (
    r"(?:(?:likely|most likely|probably|clearly|indeed|therefore|thus|actually|definitely|simply|also"
    r"|in fact|then)\b[\s,]*)*"
)
JUDGED = (
    r"(?:correct|right|best|better|(?:most|more)\s+(?:likely|similar|appropriate|suitable|accurate"
    r"|accurately|closely|plausible"
    r"|fitting|precise|probable|consistent|logical|reasonable)|closest|closer|nearest|nearer|answer"
    r"|match|matching|missing|only|next|final"
    r"|corresponding|corresponds|appropriate|suitable|darker|lighter|[a-z]{3,}est)"
)
BE = r"(?:is|are|was|would be|should be|must be|will be|seems to be|appears to be|has to be|could be|might be|be)"
PICKS = re.compile(
    r"\b(?:choose|select|pick|chose|selected|picked|go(?:ing)? with|opt for|vote(?: for)?"
    r"|lean(?:ing)? towards?|settle on|bet on"
    r"|i(?:'d| would| will|'ll)? (?:guess|say|suggest|conclude|think|believe)|we (?:can )?conclude"
    r"|points? to|leav(?:es|ing)(?: us)?(?: with)?(?: only)?|my (?:guess|pick|choice) is)\b"
    rf"[\s:,]*(?:that\s+|it\s+is\s+|it's\s+|it\s+would\s+be\s+)*{HEDGE}{OPTION}"
    r"|(?:应该?选择?|我选择?|会选择?|因此选择?|所以选择?|故选)[\s:]*" + OPTION,
    re.IGNORECASE,
)
IS_JUDGED = re.compile(
    rf"\b{JUDGED}\b[^⟦⟧.;!?]{{0,160}}?(?:\b{BE}\b|:)[\s:]*{HEDGE}{OPTION}(?!\s*(?:['’]s|and\b|or\b|,\s*⟦|/))",
    re.IGNORECASE,
)
JUDGES = re.compile(
    rf"{OPTION}[)\]\"']*\s*,?\s*(?:image\s+|is the one that\s+)?"
    rf"(?:(?:{BE}|seems?|appears?|looks?|fits?|matches|shares?)\b\s*(?:to\s+be\s+)?{HEDGE}(?:the\s+"
    rf"|an?\s+|slightly\s+|much\s+|visually\s+)*"
    rf"(?:{JUDGED}|same)\b|(?:best|more (?:accurately|closely)|most (?:accurately|closely)|better)\b)"
    r"|⟦(-?\d+)⟧\s*(?:选项|项)?\s*(?:是|为)?\s*(?:正确|最|更|才)",
    re.IGNORECASE,
)
RELATES = re.compile(
    rf"^[^⟦⟧]*\b(?:(?:similar|closest|identical|close|match|matches) to|correspond(?:s|ing)?(?: best"
    rf"| most closely)? (?:to|with))\s+{OPTION}",
    re.IGNORECASE,
)
AT_LAST = re.compile(rf":\s*\n\s*{OPTION}", re.IGNORECASE)
FORMS = (PICKS, IS_JUDGED, JUDGES, RELATES, AT_LAST)
AFTER_COLON = re.compile(r":\s*\n\s*[\W_]*\(?[A-J]\b[).:]?[^\n]*$")
AN_OPTION = re.compile(r"[\s\-#•]*\(?[B-J]\s*(?:[).:]|$)")
DRAWS = re.compile(
    r"\W*(?:therefore|thus|hence|so|in conclusion|in summary|consequently|based on|因此|所以|综上|故)",
    re.IGNORECASE,
)
MAY = re.compile(r"\b(?:may|might|could|can)\b", re.IGNORECASE)
# Who only doubts that the answer is certain has given it.
CERTAIN = re.compile(
    r"\b(?:certain(?:ty)?|definitive(?:ly)?|conclusive(?:ly)?|100%|for sure|exact(?:ly)?)\b", re.IGNORECASE
)
TOO = re.compile(r"\b(?:too|also|as well|equally)\b", re.IGNORECASE)
CHOOSES = re.compile(r"\b(?:choose|select|pick|answer)\b", re.IGNORECASE)
# "Point D is the correct point (C)" says two things.
LABEL = re.compile(r"\b(?:point|answer|match|choice)\s+\(⟦(-?\d+)⟧\)", re.IGNORECASE)
MARK = re.compile(r"⟦(-?\d+)⟧")
LISTED = re.compile(r"⟦-?\d+⟧\W{0,3}\s*(?:,|and|or|/|和|或)\s*\W{0,2}(?:the\s+)?⟦")
SENTENCE = re.compile(r"(?<=[.!?;])\s+(?![\"')]*\s*$)|(?<![:\s])\s*\n+|(?<=。)")
UNSURE = re.compile(
    r"\b(?:if (?!i\b|we\b|one\b|you\b|forced\b)|whether|which (?:of|image|picture|point|one|option|box)"
    r"|possible that|suppose|unless|neither)\b|[?]",
    re.IGNORECASE,
)
CONCLUDES = re.compile(
    r"\W*(?:therefore|thus|hence|so|in conclusion|overall|in summary|consequently|based on|given"
    r"|considering|if i|however, if"
    r"|finally|ultimately|after|but|however|wait|actually|因此|所以|综上|故)",
    re.IGNORECASE,
)


def marked_options(text: str, options: tuple[str, ...]) -> str:
    """The text with ⟦number⟧ in the place of each naming of an option."""
    pieces, start = [], 0
    for mention in mentions(text, options):
        pieces += [text[start : mention.start], f"⟦{mention.option}⟧"]
        start = mention.end
    return "".join([*pieces, text[start:]])


def stated(text: str, options: tuple[str, ...]) -> set[int] | None:
    """The option of the last sentence that concludes with one; else the one that all choosing sentences agree on, or
    that the first sentence of all chooses. None: there is no such sentence; an empty set: they disagree."""
    sentences = [s for s in SENTENCE.split(text.strip()) if s.strip()]
    choices = [(n, found) for n, s in enumerate(sentences) if (found := _choice(sentences, n, options))]
    if not choices:
        return None
    last = max(n for n, _ in choices)
    tail = " ".join(sentences[last:])
    concluded = CONCLUDES.match(sentences[last]) is not None
    if any(DRAWS.match(s) and named(s, options) - choices[-1][1] for s in sentences[last + 1 :]):
        return set()
    doubts = [s for s in sentences[last + 1 :] if refuses(s)]
    if rejects_all(tail if concluded else text, options) or not all(
        concluded and CERTAIN.search(s) for s in doubts
    ):
        return set()
    concluding = [found for n, found in choices if CONCLUDES.match(sentences[n])]
    if concluded:
        decided = concluding[-1]
        # "So the point is A ... So the point is B": conclusions about parts.
        if len(concluding) > 2 and len(set().union(*concluding)) > 2:
            return set()
    else:
        decided = set().union(*(found for _, found in choices))
        if (
            len(decided) > 1
            and choices[0][0] == 0
            and not any(CHOOSES.search(sentences[n]) for n, _ in choices[1:])
        ):
            decided = choices[0][1] if not any(TOO.search(sentences[n]) for n, _ in choices[1:]) else set()
    return decided if len(decided) == 1 and CONFLICT not in decided else set()


def _choice(sentences: list[str], n: int, options: tuple[str, ...]) -> set[int]:
    """What a sentence chooses: by its form, or because it concludes and names one option only."""
    sentence = sentences[n]
    if AFTER_COLON.search(sentence) and any(
        AN_OPTION.match(s) and not REJECTS.search(s) for s in sentences[n + 1 :]
    ):
        return set()  # the first of a list
    found = chosen(sentence, options)
    if found or not DRAWS.match(sentence) or UNSURE.search(sentence) or MAY.search(sentence):
        return found
    return left if len(left := named(sentence, options)) == 1 else set()


def chosen(sentence: str, options: tuple[str, ...]) -> set[int]:
    """The options that one sentence chooses by its form."""
    if UNSURE.search(sentence) or refuses(sentence):
        return set()
    left = kept(marked_options(lists_words(without_lists(sentence)), options))
    if lists_letters(left) or LISTED.search(left):
        return set()
    found = {int(next(filter(None, m.groups()))) for form in FORMS for m in form.finditer(left)}
    return found | {int(number) for number in LABEL.findall(left)} if found else found


def named(text: str, options: tuple[str, ...]) -> set[int]:
    """The options that are named and not rejected."""
    left = kept(marked_options(lists_words(without_lists(text)), options))
    return {int(number) for number in MARK.findall(left)}
