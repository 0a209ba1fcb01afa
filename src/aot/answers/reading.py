"""An option where answers stand (*ours*): after "the answer is", at the beginning, on the last line, in a box.

There a letter needs no more than to end like a name ("B.", "(b)", "B because"), and an option's words count alone.
"""

from __future__ import annotations

import re

from aot.answers.mentions import (
    ARTICLE,
    GLUE,
    NAME,
    indices,
    is_own_letter,
    mentions,
    own_option,
    pattern,
    without_own,
    worded,
)
from aot.answers.refusal import declines
from aot.answers.rejected import REJECTS, kept
from aot.answers.several import LINE, begins_list, offers_another, two_items, whole_option
from aot.answers.text import BOX, TAG, after_cues, unwrapped

Found = set[int] | None
"""Options a step found: None = the step does not apply; otherwise it decides (one element = answered)."""

LETTER = re.compile(
    rf"[\s\"'>#*\-•]{{0,20}}{NAME}[(\[{{\"']{{0,3}}(?P<letter>[A-Ja-j])(?P<close>[)\]}}]?)(?![A-Za-z0-9'/_+²]"
    rf"|\s?[=<>])",
    re.IGNORECASE,
)
ENDS = re.compile(
    rf"\s*(?:[.:,;!?。、)\]\"'(<]|\n|$|[-–—]+(?:\s|>))|\s*{GLUE}|[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"
)
GOES_ON = re.compile(
    r"\s+(?:because|since|as|is|was|due|based|which|where|with|for|given|if|while|but|and|or|than|from|here|would"
    r"|when)\b"
)
SMALL_ENDS = re.compile(r"\s*(?:[.:)](?:\s|$)|\n|$)")
ANOTHER = re.compile(
    r"[\s()\]\"'.]*(?:(?:[,/&+;|、\n]|->|→)\s*(?:and/or|or|and|也)?|\s*\b(?:and/or|and|or)\b|[或和与]者?|还是)\s*"
    rf"(?:(?:else|also|or|possibly|maybe|perhaps|even|is\s+it)\s+)*{NAME}[(\[\"']?"
    r"(?:(?P<other>[B-HJ](?![A-Za-z0-9'/])|[AI](?=[)\].,]|\s*$|\s+only))|(?P<another>[A-J][)\]]|[a-j]\)))"
    r"|\s*\((?P<third>[A-Ja-j])\)|[^.!?;\n]{0,80}(?:\b(?:or|and)|[或和])\s*(?:option\s+)?\((?P<fourth>[A-J])\)"
    r"|\s+(?:or|and)\s+(?:Option|Choice)\s+\(?(?P<fifth>[A-J])\b"
)
SEVERAL = re.compile(r"[\s(\"']*[A-J]{2,10}(?!\w)")  # "ABD"
TURNED_ROUND = re.compile(
    r"(?:\b(?:not|incorrect|wrong|false|mistaken|worst|poorest|impossible|(?:least|less|un)\s?\w+)|错误的?"
    r"|最不\S{0,6}|\b(?:next|second|third)[\s-](?:\w+est|(?:most|more)\s\w+)|\b(?:another|other|alternative))\s*$|(?:\bdoubt|\bdisagree|\bnot\s+that|(?:n't|\bnot)\s+(?:\w+\s+)?(?:think|believe|say|suppose"
    r"|agree|mean|conclude)|\btempted\s+to\s+\w+|\bto\s+(?:determine|find|identify|choose|select)|\b(?:mistake|wrong|incorrect|false)\s+(?:to\s+\w+"
    r"|that))\s+(?:that\s+)?(?:\w+\s+){0,3}$",
    re.IGNORECASE,
)
REVISES = re.compile(
    r"\b(?:but|however|correction|in fact|instead|final|therefore|thus|hence|in conclusion|so)\b|但|所以|因此|综上",
    re.IGNORECASE,
)
# Between two closed tags nothing less makes the second one a revision: a base model goes on with other questions.
TAKES_BACK = re.compile(r"\A[^?]{0,400}\b(?:but|however|wait|actually|correction|in fact)\b(?![^?]*[?])", re.IGNORECASE)
ENDS_THERE = re.compile(r"(?:[,.;:。,]|(?<!\d)!)(?:\s|$|(?=[\u4e00-\u9fff]))|\s*$|\s*\n")
CHINESE_YES = re.compile(r"\s*(?:(是的|对的?|是)|(不是|不对|否|没有|不))\s*(?:[,.;!。]|$)")
JUDGED = re.compile(r"(?:(yes)|no)\s*(?:[.,!;\n]|$)", re.IGNORECASE)
SAYS_MORE = re.compile(r"(?:[^\w\n]*\w+){4}")
CLAUSE_END = re.compile(r"[.!?;,\n]|\\")
PLACED = re.compile(r"\W*(\d{1,2})[.)]\s+\W*(?!\1\b)\d")  # "4. 1": a place in the list and its value, or a value
DISCUSSES = re.compile(r" (?:states?|says?|suggests?|mentions?|describes?|refers|implies|involves|includes|asks)\b")
ARTICLES = re.compile(r"\b(?:an?|the)\s+(?=\w)")
HEAD = re.compile(r"[,.;!?\n。]|\s[-–—]\s|\b(?:because|since|as)\b|因为")
EQUATES = re.compile(r"\s?=")  # "I = 3 q" is more than the option "I"
VALUE = re.compile(r"\"\w[\w ]{0,30}\"\s*:\s*(?:\"([^\"\n]{1,200})\"|([A-J])(?=\s*[,}\n]))")
JSON = re.compile(r"\W*(?:json\W*)?\{")
WALK = re.compile(r"\W*(?:option|choice)\s+\(?A\b.*\n\W*(?:option|choice)\s+\(?[B-J]\b([^\n]*\Z)?", re.I | re.S)
AGAIN = re.compile(r"(?:[.!?]\s|\n)[^\w\n]*(yes|no)\s*(?:[,.;:!\n]|$)")
MOST_MARKS, LONGEST_NAME, LONG, REACH = 8, 4, 12, 400


def marked(plain: str, options: tuple[str, ...]) -> Found:
    """What the last box holds, else the last tag, that is not rejected right after it ("... would be wrong"); nothing
    where the one before it holds another option and was not taken back."""
    for kind in (BOX, TAG):
        marks = list(kind.finditer(plain))[-MOST_MARKS:]
        marks = [m for m in marks if not REJECTS.search(CLAUSE_END.split(plain[m.end() : m.end() + 80], maxsplit=1)[0])]
        held = [_content(next((g for g in m.groups() if g is not None), ""), options) for m in marks]
        if not held or held[-1] is None:
            continue
        if len(held) > 1 and held[-2] not in (None, held[-1]):
            between = plain[marks[-2].end() : marks[-1].start()]
            return held[-1] if (REVISES if kind is BOX else TAKES_BACK).search(between) else set()
        return held[-1]
    return None


def _content(plain: str, options: tuple[str, ...]) -> Found:
    """What a box or tag holds. None where it is no option: then the rest of the response may say more."""
    cued = explicit(plain, options)
    said = at_start(plain, options) if cued is None else cued
    if said is None and not declines(plain):
        said = mentioned(plain, options) or None
    return said


def explicit(plain: str, options: tuple[str, ...]) -> Found:
    """The last "answer is X" that names a letter or an option, where no other is named so without being revised."""
    answers = [
        (before, found)
        for before, rest, sentence in after_cues(plain)
        if not TURNED_ROUND.search(before) and (found := _cued(rest, sentence, options)) is not None
    ]
    if not answers:
        return None
    (before, last), *earlier = answers
    others = [found for _, found in earlier if found != last]
    if last and others:
        revised = REVISES.search(before[-80:]) and all(o == others[0] for o in others)
        return last if revised else set()
    return last


def keyed(plain: str, options: tuple[str, ...]) -> Found:
    """The option that a JSON value is; None where two values are options."""
    found = {i for m in VALUE.finditer(plain) for i in whole_option(m[1] or m[2], options) or ()}
    return found if len(found) == 1 else None


def _cued(rest: str, sentence: str, options: tuple[str, ...]) -> Found:
    if re.match(r"not (?:\w+ly )?(?:listed|among|in|provided|available|given)\b", rest, re.IGNORECASE):
        return None  # what follows may still choose
    if re.match(r"also\b", rest, re.IGNORECASE):
        return None if REJECTS.search(sentence) or at_start(rest[4:], options) is None else set()
    found = at_start(rest, options)
    if found is None:
        said = {m.option for m in mentions(kept(sentence), options) if not m.letter}
        return set() if PLACED.match(rest) else said or None
    after = rest if re.match(r"[^\w\n]*[A-Ja-j]\W*\n\s*\n", rest) else without_own(rest, options)
    head = HEAD.split(sentence if after == rest else after, maxsplit=1)[0]
    if REJECTS.search(head) or re.match(r"[\s\"'(]*[¬!~≠]", rest):
        named_so = after != rest and not any(is_own_letter(options[i], i) for i in found)
        return set() if named_so else None  # "The answer is A. red is wrong"
    if items_follow(found, rest):
        return set()
    lines = re.findall(r".*\w.*", rest[:REACH])[:2]
    if two_items(lines):
        return set()
    listed = len(set(map(_given, lines, [options] * 2)) - {None}) > 1
    return set() if found and (listed or offers_another(rest, found, options)) else found


def items_follow(found: Found, rest: str) -> bool:
    """Whether a letter after "Answer:" is the first of a list on its line: "(A), red. (B), blue."."""
    first = LETTER.match(rest)
    if not found or first is None:
        return False
    line = rest[first.end() : REACH].split("\n", 1)[0]
    label = chr(ord(first["letter"].upper()) + 1)
    return re.search(rf"[.;,:] \(?{label}\)(?!\s*(?:is|are|was)\b)", line) is not None


def _given(line: str, options: tuple[str, ...]) -> int | None:
    """The option that a line begins with, letter and words, and does not reject, or that it is."""
    if whole := whole_option(line.lstrip("-•*# "), options):
        return min(whole)
    head = LINE.match(line)
    own = own_option(head[1].upper(), head[2], options) if head else None
    return None if head is None or not own or REJECTS.search(without_own(head[2], options)) else min(own)


def at_start(rest: str, options: tuple[str, ...]) -> Found:
    """A letter, else an option's words, right at the beginning of `rest`."""
    start = rest.lstrip(" \"'([{\n")
    if judged := _judged(start, options):
        return judged
    said_so = [(i, p) for i, o in enumerate(options) if len(o) > 1 and (p := pattern(o).match(start))]
    spans = [(len(p[0]), i) for i, p in said_so if not EQUATES.match(start, p.end())]
    found = letter_at_start(rest, options) if not spans or max(spans)[0] == 1 else None
    if found is not None or not spans:
        return found
    size, said = max(spans)
    beside = re.match(r"\s*\(([A-J])\)", start[size:])
    return {said} if beside is None or indices({beside[1]}, options) == {said} else set()


def _judged(text: str, options: tuple[str, ...]) -> Found:
    """What "yes" or "no" says of a statement that is true or false."""
    match = JUDGED.match(text)
    names = [option.strip(" .").casefold() for option in options] if match else []
    return {names.index("true" if match[1] else "false")} if match and sorted(names) == ["false", "true"] else None


def letter_at_start(rest: str, options: tuple[str, ...]) -> Found:
    match = LETTER.match(rest)
    if match is None:
        return set() if SEVERAL.match(rest) else None
    letter, tail = match["letter"], rest[match.end() :]
    wrapped = bool(match["close"])
    own = own_option(letter.upper(), tail, options)
    named_so = wrapped or own is not None or (
        (ENDS.match(tail) or GOES_ON.match(tail)) if letter.isupper() else SMALL_ENDS.match(tail)
    )
    if own == set() and letter == "A" and ARTICLE.match(tail):
        return None  # "A mill ...", where a mill is another option
    if not named_so or (letter.upper() == "I" and not (wrapped or re.match(r"[.:]|\s*$", tail))):
        return None
    another = ANOTHER.match(without_own(tail, options) if own else tail)
    if another and own is None and re.match(r"\s*\n[^\n]*\w{2}", tail):
        another = None  # "B" on a line of its own, then what each option is
    if another and next(filter(None, another.groups()))[0].upper() != letter.upper():
        return set()
    return indices({letter.upper()}, options) if own is None else own


def leading(plain: str, options: tuple[str, ...]) -> Found:
    """What the response begins with: a letter, unless it begins a list of options; or an option's words alone."""
    plain = plain.strip()
    match = LETTER.match(plain)
    if match is None or not _set_off(match, plain[match.end() :], options):
        return set() if SEVERAL.match(plain) else leading_words(plain, options)
    found, rest = letter_at_start(plain, options), plain[match.end() :]
    if not found:
        return found
    judged = without_own(rest.lstrip(" .:)"), options)[:30]
    if REJECTS.search(re.split(r"[.!?;](?:\s|$)|[,\n。]|\b[A-J]\b", judged, maxsplit=1)[0]):
        return None
    first = kept(without_own(rest, options).split("\n", 1)[0].replace(" - ", "\n"))
    inline = {a or b for a, b in re.findall(r"(?<![\w(])([A-J])(?:[):]|\.(?=\s))|\(([A-J])\)", first)}
    if walk := WALK.match(plain):  # through them all, up to its last line
        return None if walk[1] is None or explicit(plain, options) else set()
    small = match["letter"].islower() and re.search(r"(?<!\w)[b-j][):]", first)  # "a: ... b: ... c: 正しい"
    if small or inline - {match["letter"].upper()} or begins_list(plain, options):
        return None
    said = plain[2:].split("\n", 1)[0]
    if plain.startswith("A:") and not mentioned(said, options) & found and SAYS_MORE.match(said):
        return None if explicit(plain[2:], options) else set()  # "A:" may stand for "answer"
    return set() if offers_another(rest, found, options) else found


def begins(plain: str, options: tuple[str, ...]) -> Found:
    """What a response begins with; a sentence in the words of a long option may only explain."""
    begun = (keyed if JSON.match(plain) else leading)(plain, options)
    long = any(len(options[i].split()) > LONGEST_NAME for i in begun or ())
    return None if long and begun == leading_words(plain, options) else begun


def _set_off(match: re.Match[str], tail: str, options: tuple[str, ...]) -> bool:
    """Whether a letter at the very beginning is set off from what follows: "B.", "B\n", "(B)", "B blue"."""
    if re.search(r"\w{2}", match[0]) and re.match(r"[,、\u4e00-\u9fff]", tail):
        return False  # "Option A, ..." begins to discuss it
    if re.search(r"\w{2}", match[0]) and tail.startswith(":") and "." in tail[:-1]:  # so does "Option A: It may ..."
        return own_option(match["letter"].upper(), tail, options) is not None
    if re.search(r"\w{2}", match[0]) and DISCUSSES.match(tail):
        return False
    if match["close"] and match["letter"].islower():  # "(a) We are given ..." is a part of the question
        return bool(SMALL_ENDS.match(tail) or own_option(match["letter"].upper(), tail, options))
    if match["close"] or re.match(rf"\s*(?:[.:,;!。、]|\n|$|[-–—]+\s|{GLUE})", tail):
        return True
    return bool(match["letter"].isupper() and own_option(match["letter"], tail, options))


def leading_words(plain: str, options: tuple[str, ...]) -> Found:
    """ "Yes, there is a dog; no cat." begins with its answer."""
    yes = CHINESE_YES.match(plain)
    names = [unwrapped(o).strip(" .").casefold() for o in options]
    if yes and sorted(names) in (["no", "yes"], ["否", "是"]):
        return {names.index(name) for name in (("yes", "是") if yes[1] else ("no", "否")) if name in names}
    lower = ARTICLES.sub("", plain.strip().casefold())
    words = {i: unwrapped(o).strip(" .").casefold() for i, o in enumerate(options) if not is_own_letter(o, i)}
    words = {i: word for i, w in words.items() if (word := ARTICLES.sub("", w))}
    if declines(re.split(r"[.!?](?:\s|$)|\n", lower, maxsplit=1)[0]):
        return None  # "No, I cannot see the image."
    if judged := _judged(lower, options):
        return judged
    starts = [(i, end) for i, word in words.items() if (end := _behind(word, lower))]
    if len(starts) != 1:
        return None
    (said, end), others = starts[0], [word for i, word in words.items() if i != starts[0][0]]
    sign, rest = lower[:end].rstrip()[-1], lower[end:].lstrip()
    premise = len(options[said].split()) > LONGEST_NAME and rest.startswith("so ")
    if sign == "," and (words[said] == "right" or premise or any(_behind(other, rest) for other in others)):
        return None  # a list; "Right, so ..."
    if len(options[said]) > LONG and mentioned(plain, options) - {said}:
        return None  # it goes through the options
    if sorted(words.values()) == ["no", "yes"] and words[1 - said] in AGAIN.findall(lower, end):
        return set()  # "Yes, ... No, ..." answers twice
    if {_given(line, options) for line in plain.strip().split("\n")[1:MOST_MARKS]} - {None, said}:
        return None  # so does one option a line
    if sign == ":" and any(re.search(rf"\b{re.escape(other)}\s*:", rest) for other in others):
        return None  # "Left: a cat. Right: a dog."
    return {said}


def _behind(word: str, text: str) -> int:
    """Where the text goes on behind the word and what ends it; 0 where the text does not begin so."""
    end = ENDS_THERE.match(text, len(word)) if text.startswith(word) else None
    return end.end() if end else 0


def mentioned(text: str, options: tuple[str, ...]) -> set[int]:
    """Options whose words occur in the text, not counting those inside a longer option or after "not"."""
    return {mention.option for mention in worded(text, options)}
