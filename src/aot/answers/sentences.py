"""Sentences that choose an option (*ours*): "I would pick B", "the best match is (C)", "point D is the closest".

A sentence is read with each naming of an option as one mark, so that its form tells a choice from a description.
"""

from __future__ import annotations

import re

from aot.answers.mentions import CONFLICT, indices, marked_options, named, own_option, worded
from aot.answers.numbers import many_numbers
from aot.answers.reading import Found, begins, explicit, mentioned
from aot.answers.refusal import despite_refusals, refuses
from aot.answers.rejected import (
    REJECTS,
    kept,
    lists_letters,
    lists_words,
    rejects_all,
    without_lists,
    without_questions,
)
from aot.answers.several import LINE, line_alone

NOUN = (
    r"(?:the\s+|an?\s+|(?:in|de)creased\s+|reduced\s+|elevated\s+|option\s+|choice\s+|answer\s+|letter\s+"
    r"|image\s+|points?\s+|circled\s+and\s+|labell?ed\s+(?:with\s+|as\s+)?|(?:\w{1,12}-)?circled?\s+|选项)*"
)
OPTION = rf"[\"'(\[]?{NOUN}[\"'(\[]{{0,3}}⟦(-?\d+)⟧"
HEDGE = (
    r"(?:(?:likely|most likely|probably|clearly|indeed|therefore|thus|actually|definitely|simply|also|in fact"
    r"|then)\b[\s,]*)*"
)
JUDGED = (
    r"(?:correct|right|best|better|most\s+\w+|more\s+(?:likely|similar|accurate|accurately|closely|plausible"
    r"|suitable|appropriate)|closest|closer|nearest|nearer|answer(?! (?:choice|option)s)|match|matching|missing|only"
    r"|next|final|corresponding|corresponds|appropriate|suitable|darker|lighter|same|[a-z]{3,}est)"
)
BE = r"(?:is|are|was|would be|should be|must be|will be|seems to be|appears to be|has to be|be)"
DOING = r"(?:to\s+(?:(?:perform|order|obtain|administer|start|give|use|do|choose|select|get|have)\s+)?)?"
PICKS = re.compile(
    r"\b(?:choose|select|pick|chose|selected|picked|go(?:ing)? with|opt for|vote(?: for)?|lean(?:ing)? towards?"
    r"|settle on|bet on|i(?:'d| would| will|'ll)? (?:guess|say|suggest|conclude|think|believe)|we (?:can )?conclude"
    r"|points? to|leav(?:es|ing)(?: us)?(?: with)?(?: only)?|my (?:guess|pick|choice) is)\b"
    rf"[\s:,]*(?:that\s+|it\s+is\s+|it's\s+|it\s+would\s+be\s+)*{HEDGE}{OPTION}"
    r"|(?:应该?是|应该?选择?|我选择?|会选择?|因此选择?|所以选择?|故选)[\s:]*" + OPTION,
    re.IGNORECASE,
)
IS_JUDGED = re.compile(
    rf"\b{JUDGED}\b[^⟦⟧.;!?]{{0,160}}?(?:\b{BE}\b|:)[\s:]*{HEDGE}{DOING}{OPTION}(?!\s*(?:['’]s|and\b|or\b|,\s*⟦|/))",
    re.IGNORECASE,
)
JUDGES = re.compile(
    rf"{OPTION}(?:\.(?=[\"']))?[)\]\"']*(?:\s*\([^()⟦⟧]{{1,60}}\))?\s*(?:,[^,.;⟦⟧]*,|,)?\s*(?:image\s+"
    rf"|is the one that\s+)?(?:(?:{BE}|seems?|appears?|looks?|fits?|matches|shares?"
    rf"|[-–—:=](?!\s*(?:the\s+)?(?!best)(?:next|only|same|last|final|[a-z]{{3,}}est)\b))\s*(?:to\s+be\s+)?{HEDGE}(?:the\s+|an?\s+|slightly\s+|much\s+|visually\s+)*(?:{JUDGED}|same|yes)\b"
    rf"|(?:fits|works|ha[sd]\s+the\s+(?!same\b)(?:{JUDGED}|least|most))\b"
    r"|(?:best|more (?:accurately|closely)|most (?:accurately|closely)|better)\b)|⟦(-?\d+)⟧\s*(?:选项"
    r"|项)?\s*(?:是|为)?\s*(?:正确|最|更|才|[:]?符合)|⟦(-?\d+)⟧[^⟦]{0,4}[✓✔✅]|[✓✔✅]\s*⟦(-?\d+)⟧",
    re.IGNORECASE,
)
RELATES = re.compile(
    r"^[^⟦⟧]*(?:\b(?:is|are|be|most)\b[^⟦⟧]*\b(?:similar|closest|identical|close|match)\s+to|\bcorrespond(?:s|ing)?"
    rf"(?: best| most closely)? (?:to|with)(?: the point [^⟦⟧.;!?]{{0,40}}that is)?)\s+{OPTION}",
    re.IGNORECASE,
)
IS_LETTER = re.compile(
    rf"\b{BE}(?:\s+|:\s*){HEDGE}(?:the\s+)?(?:(?:option|choice|point|box|image)\s+)?\(([A-J])\)", re.IGNORECASE
)
# "Point D is the correct point (C)" says two things.
LABEL = re.compile(r"(?<=\w )(?<!\bin )(?:point|answer|match|choice|option)\s+\(⟦(-?\d+)⟧\)(?=\W*$|, )", re.IGNORECASE)
FORMS = (PICKS, IS_JUDGED, JUDGES, RELATES, LABEL)
DRAWS = re.compile(
    r"\W*(?:therefore|thus|hence|so|in conclusion|in summary|overall|consequently|based on|(?:at|in) the end"
    r"|ultimately|(?:(?:but|however),? )?if (?:i (?!could\b|(?:had|have)\b(?! to\b))|forced\b)|因此|所以|综上|故)\b",
    re.IGNORECASE,
)
# Before the words of an option that is a whole clause ("A is closer"): "In the image, point A is closer to the camera".
OPENS = re.compile(r"\W*(?:\w+,?\s+){0,4}\Z")
VERB = re.compile(r"\w\s+(?:is|are|was|were|has|have)\s+\w|\w(?:是|更)\w")
ENDED = re.compile(r"(?:(?<!\.)\.|[!?。)\]\"'])\s*$")  # not "...", by which a text is cut
IS_NAME = re.compile(r"(?<![A-Za-z])[A-J](?![A-Za-z])")
UNFINISHED = re.compile(r"\w\s+\w*[a-z,]\s*$")
# "This is true.", twice: each option is judged, and more than one is right.
EACH = re.compile(r"^\W*(?:this|that|it)\s+is\s+(?:also\s+)?(?:true|correct|right)\b", re.I | re.M)
BROKEN_OFF = re.compile(
    r"\s(?:the|of|and|or|to|in|is|are|that|which|with|for|on|as|by|be|its?|their|how"
    r"|because|since|than|if|when|where|but)\s*$"
)
LONE = re.compile(r"[.!?]\)? \(([A-J])\)\W*$")  # "The answer is (B). (A)"
# A text that is cut where it turns to another option.
TURNING = re.compile(r"[.!?\n]\s*(?:but|however|wait|although|though)\W*$|\n\W*(?:option )?\(\w?\s*$", re.IGNORECASE)
MAY = re.compile(r"\b(?:may|might|could|(?<!we )can)\b", re.IGNORECASE)
# Who only doubts that the answer is certain has given it.
CERTAIN = re.compile(
    r"\b(?:certain(?:ty)?|definitive(?:ly)?|conclusive(?:ly)?|100%|for sure|exact(?:ly)?)\b", re.IGNORECASE
)
CORRECT = re.compile(
    r"(?<!most )\b(?:correct|right|true)\b(?! (?:answer|choice|option|match|one|point|corresponding))|正确(?!答案"
    r"|选项)",
    re.IGNORECASE,
)
LISTED = re.compile(
    r"⟦-?\d+⟧(?:\W{0,3}(?:\([^()⟦]{1,40}\))?\s*(?:,|and|or|/|和|或)\s*\W{0,2}(?:(?:the|option|choice)\s+|选项)*⟦"
    r"|[^⟦]*\b(?:and|or)\s+(?:then\s+|also\s+)?\(⟦)", re.I
)
SENTENCE = re.compile(
    r"(?<=[.!?;])\s+(?![\"')]*\s*$)|(?<![:\s])\s*\n+|(?<=。)|\s+(?=(?:therefore|thus|hence|so)\b,?)", re.IGNORECASE
)
UNSURE = re.compile(
    r"\b(?:if (?!i\b|we\b|one\b|you\b|forced\b)|whether|which (?:of|image|picture|point|one|option|box)"
    r"|possible that|suppose|unless|neither|needs?)\b|\b(?:two|three)\s[^.⟦]{0,80}\bare\s*:|[?]|是否",
    re.IGNORECASE,
)
FEW_SENTENCES, LONG, SHORT, CUT, REACH, END, NEAR, FAR = 3, 14, 40, 80, 80, 600, 8, 400
# Two that are left open: "either B or C", "impossible to choose between these two".
OPEN = re.compile(
    r"\beither\s+(?:\w+\s+){0,2}\(?(?-i:[A-J])\b[^\n]{0,120}?\bor\s+(?:option\s+)?\(?(?-i:[A-J])\b"
    r"|\b(?:choose|decide|distinguish|determine|differentiate)\b[^.\n]{0,40}\bbetween\s+(?:these|those|the|them|\(?(?-i:[A-J]))\b",
    re.IGNORECASE,
)
# An end that gives several: "The ones not allowed are A, B and D.", "The correct statements are:" above two of them.
TOGETHER = re.compile(
    r"\bare:?\s+\(?[A-J]\)?(?:\s*,\s*(?:and\s+)?\(?[A-J]\)?|\s+and\s+\(?[A-J]\)?)+\W*\Z"
    r"|\b(?:correct|right|true)\s+(?:\w+\s+){1,2}are\s*:?(?:\s*\n\W*[A-J][.):][^\n]*){2,}\Z"
)
BESIDE = re.compile(r"\(Option ([A-J])\)\W*$", re.IGNORECASE)
OTHERS = re.compile(r"\b(?:other|remaining)\s+(?:options|choices|answers)\b", re.IGNORECASE)
# "Answer: [car]": where the steps before found nothing, it names none of the options.
ANSWER = re.compile(r"^\W*(?:final\s+)?answer(?:\s+choice)?\s*:", re.IGNORECASE | re.MULTILINE)
CONCLUDES = re.compile(r"\b(?:correct|right|answer|best|most\s+\w+)\b|正确|答案", re.IGNORECASE)
# What a sentence says something to be: "the car is ⟦1⟧", "it shows a ⟦1⟧", "图中的动物是⟦1⟧", or a whole clause "⟦1⟧."
SAYS = re.compile(
    r"(?:\b(?:is|are|was|it's|that's|there's|looks?(?:\s+like)?|seems?|appears?|shows?|depicts?|contains?|ha(?:s|ve"
    r"|d)|represents?|illustrates?|uses?|(?:\w+ed|made|due|refers?)\s+(?:to|of|by|in|as)|(?:typical|characteristic|suggestive|indicative)\s+of|wears?"
    r"|wearing|holds?|reads?|means|equals?|say|guess|hence|so|therefore|with|by|in|on|at|but|be|option|likely"
    r"|probably|definitely|certainly|clearly|maybe|perhaps|only)\b(?:\s+(?!to\b|from\b|of\b|not\b|next\b|near\b"
    r"|beside\b)[\w'-]+){0,4}?|\b\w+ing\s+(?:(?:to|towards?)\s+)?(?:the\s+)?|[是为有在呈色叫作选而]|^|[,;:])\W*$",
    re.IGNORECASE,
)
IRREAL = re.compile(
    r"\b(?:needs?|would|could|might|may|should|nobody|no one|nothing|none|never|used to|almost|nearly|or|fake)\b",
    re.IGNORECASE,
)
DESCRIBES = re.compile(r"的[\u4e00-\u9fff]|(?:选项|项)?中")  # "⟦0⟧的房子", "⟦0⟧选项中"
MARK = re.compile(r"⟦(-?\d+)⟧")
# An option that is spelt out, or judged by name, is not one of several that a cut text looks at.
SPELT = re.compile(
    r"\b[Oo]ption\s+\(?([A-J])\)?\s*(?:[:.]|(?P<judged>(?:is|seems\s+to\s+be)\s+the\s+(?:correct|best|right"
    r"|most\s+likely)\s+(?:answer|choice)\b))"
)


def stated(text: str, options: tuple[str, ...]) -> Found:
    """The option of all choosing sentences, or of the last conclusion. None: no such sentence; empty: they disagree."""
    sentences = [s for s in SENTENCE.split(text.strip()) if s.strip()]
    numbers = many_numbers(text, options)
    choices = [(n, found) for n in range(len(sentences)) if (found := _choice(sentences, n, options, numbers))]
    if not choices:
        return None
    last, decided = choices[-1]
    named_so = SPELT.finditer(sentences[last])
    spelt = any(m["judged"] or own_option(m[1], sentences[last][m.end() :], options) for m in named_so)
    after = sentences[last + 1 :]
    cut = after and (UNFINISHED.search(text) or (len(text) > CUT and not ENDED.search(text)))
    ends = MARK.search(marked_options(sentences[last], options)[-NEAR:]) or chosen(sentences[last], options)
    if not spelt and (cut or BROKEN_OFF.search(text) or not (ends or ENDED.search(text))):
        return set()  # before it came to its end
    concluded = DRAWS.match(sentences[last]) is not None
    if any(DRAWS.match(s) and named(s, options) - decided for s in after):
        return set()
    item = LINE.match(after[0]) if after and not concluded else None
    further = own_option(item[1].upper(), item[2], options) if item and not REJECTS.search(item[2]) else None
    if further and further == {n + 1 for n in decided}:
        return set()  # an item of a list that goes on
    if rejects_all(" ".join(sentences[last:]) if concluded else text, options):
        return set()
    doubts = not all(CERTAIN.search(s) for s in after if refuses(s))
    if doubts or (not concluded and len(EACH.findall(text)) > 1):
        return set()
    if not concluded:
        decided = set().union(*(found for _, found in choices))
        if any(CORRECT.search(sentences[n]) for n, _ in choices) and named(_left(text), options) - decided:
            return set()  # one of several that are judged: the question may ask for the wrong one
    elif any(DRAWS.match(s) and named(_left(s), options) - decided for s in sentences[:last]):
        return set()  # "So the point is A ... So the point is B": conclusions about parts
    return decided if len(decided) == 1 and CONFLICT not in decided else set()


def _choice(sentences: list[str], n: int, options: tuple[str, ...], numbers: bool) -> set[int]:
    """What a sentence chooses, by its form or as a conclusion; `numbers`: the text has several, of options or not."""
    sentence = sentences[n]
    found = chosen(sentence, options)
    step = len(sentences) - n > (2 if ENDED.search(sentences[-1]) else 1)
    if found and step and numbers and not IS_NAME.search(sentence):
        return set()  # a number on the way
    if found or not DRAWS.match(sentence) or UNSURE.search(sentence) or MAY.search(sentence) or refuses(sentence):
        return found
    if many_numbers(sentence, options) or step:
        return set()  # a step of the argument
    names = set() if lists_letters(left := _left(sentence)) else named(left, options)
    return names if len(names) == 1 else set()


def _left(text: str) -> str:
    return lists_words(without_lists(text))


def chosen(sentence: str, options: tuple[str, ...]) -> set[int]:
    """The options that one sentence chooses by its form."""
    marked = marked_options(_left(sentence), options)
    if "⟦" not in marked or UNSURE.search(marked):
        return set()
    left, plain = kept(marked), kept(_left(sentence))
    if refuses(sentence) or lists_letters(left) or LISTED.search(left) or re.search(r"⟦[^⟦]*\bor\s+\(⟦", marked):
        return set()
    found = {int(next(filter(None, m.groups()))) for form in FORMS for m in form.finditer(left)}
    found |= indices({letter.upper() for letter in IS_LETTER.findall(plain)}, options)
    clauses = [m for m in worded(plain, options) if VERB.search(options[m.option])]
    return found | {m.option for m in clauses if OPENS.match(plain[: m.start])}


def overruled(plain: str, found: set[int], options: tuple[str, ...]) -> bool:
    """Whether the end of a response concludes another option than the one found, or leaves two open."""
    end = plain[-END:]
    lone = LONE.search(end)
    alone = indices({lone[1]}, options) if lone else line_alone(end, options)
    if TURNING.search(end) or TOGETHER.search(end) or (alone and not alone & found):
        return True
    settled = alone or ENDED.search(end) or begins(plain, options) or not explicit(plain, options)
    if not (settled or explicit(plain[: FAR // 2], options) or explicit(plain[-FAR:], options)):
        return True  # cut within a thought that had gone on
    opened = list(OPEN.finditer(end))[-1:]
    left = end[opened[0].end() :] if opened else end
    sentences = [s for s in SENTENCE.split(left.strip()) if s.strip()]
    last = [n for n, s in enumerate(sentences) if (DRAWS.match(s) or CONCLUDES.search(s)) and not OTHERS.search(s)][-2:]
    picks = [p for n in last if (p := _choice(sentences, n, options, many_numbers(end, options)) - {CONFLICT})]
    picks += [indices({m[1]}, options) for n in last if (m := BESIDE.search(kept(sentences[n])))]
    return not picks[-1] & found if picks else bool(opened) and explicit(left, options) is None


def said_to_be(plain: str, options: tuple[str, ...]) -> set[int]:
    """In a few sentences, the one option that they name and say something to be; the last step: it always decides."""
    if lists_letters(without_lists(plain)) or rejects_all(plain, options) or ANSWER.search(plain):
        return set()
    lines = LINE.findall(plain)
    walk = len(lines) > 1 and (not lines[-1][1].strip() or (lines[0][0], lines[1][0]) == ("A", "B"))
    if walk or BROKEN_OFF.search(plain) or (len(plain) > CUT and not ENDED.search(plain)):
        return set()  # before it came to an answer
    if many_numbers(plain, options) and len(SENTENCE.split(plain.strip())) > 1:
        return set()
    if any(map(refuses, options)) or lists_words(plain) != plain:  # "It cannot be determined" may be the right one
        return mentioned(plain, options) if any(map(refuses, options)) else set()
    plain = _left(without_questions(despite_refusals(plain)))
    left = kept(marked_options(plain, options))
    marks = {int(m[1]) for m in MARK.finditer(left)}
    bracketed = set(re.findall(r"\((?:[Oo]ption )?([A-Z])\)", plain))
    listed = re.search(r"\w \([A-J]\) (?:\d|[A-Z][a-z])", plain)  # "painting IV (E) painting V": cut from a list
    if len(bracketed) == 1 and marks == indices(bracketed, options) and not (listed or IRREAL.search(plain)):
        return marks
    *earlier, last = SENTENCE.split(marked_options(plain, options).strip(" \n.。"))
    denied = {int(m[1]) for m in MARK.finditer(last)} if len(last) < SHORT else set()
    others = denied and not denied & marks and not any(map(REJECTS.search, earlier))
    if REJECTS.search(last) and (others or DRAWS.match(last)):
        return set()  # it ends with what is not right, which may be what was asked for
    sentences = SENTENCE.split(left.strip())
    if len(marks) != 1 or len(sentences) > FEW_SENTENCES:
        return set()
    long = [i for i, o in enumerate(options) if len(o.split()) > 2 or len(o) > LONG]  # rarely named by the way
    for sentence in sentences:
        for mark in MARK.finditer(sentence):
            said = int(mark[1]) in long or SAYS.search(sentence, max(0, mark.start() - REACH), mark.start())
            if said and not IRREAL.search(sentence) and not DESCRIBES.match(sentence[mark.end() :]):
                return marks
    return set()
