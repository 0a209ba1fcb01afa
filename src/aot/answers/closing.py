"""The end of a long reply (*ours*), which speaks of points and compounds, too: there a form like "... is C) butane" or
"22 (option D)" sets one option apart."""

from __future__ import annotations

import re

from aot.answers.mentions import indices, is_own_letter, own_option
from aot.answers.reading import Found, mentioned
from aot.answers.refusal import refuses
from aot.answers.rejected import REJECTS, kept, rejects_all
from aot.answers.sentences import BROKEN_OFF, CONCLUDES, DRAWS, MAY, UNSURE, stated
from aot.answers.several import LINE
from aot.types import LETTERS

# The full stop behind the letter of "C. butane" ends no sentence.
END = re.compile(r"(?<=[.!?。])(?<!i\.e\.)(?<![\s(][A-J]\.)(?<!^[A-J]\.)\s+|\n+", re.MULTILINE)
SET_APART = re.compile(
    r"\((?:option|choice|answer)\s*:?\s*\(?((?-i:[A-J]))\)?\)\W*$"
    r"|(?:\b(?:is|are|matches|namely|therefore|thus|hence)\b|[→⇒—–]|i\.e\.|[은는]\s|따라서|그러므로),?\s*(?:the\s+)?"
    r"(?:(?:option|choice)\s+)?(?:\(((?-i:[A-J]))\)|((?-i:[A-J]))[.):])\s+"
    # Words of an option, not a further sentence: "The last product is D. It has ten carbons."
    r"(?!(?:its?|this|that|the(?:se|re|y)?|he|she|we|i|so|thus|hence|therefore|since|because|as|in|which|but|and"
    r"|however|for|if|when|both|all|by|with)\b)(?P<words>(?:[^.!?;\n]|\.(?=\w)){1,90})\W*$"
    r"|(?:[→⇒—–]|i\.e\.,?|\bmatch(?:es|ing)|\bconsistent\s+with)\s*"
    r"(?:(?:option|choice)\s+\(?((?-i:[A-J]))\)?|\(((?-i:[A-J]))\))\W*$"
    # Korean: "the treatment is B", "it is surgery (B)", "B is the answer".
    r"|(?:[은는]\s*|[\uac00-\ud7a3]\s?\()((?-i:[A-J]))\)?\s*번?(?:입니다|이다)\W*$"
    r"|(?<!\w)((?-i:[A-J]))\)?번?[가이]\s*(?:정답|답)(?:입니다|이다)\W*$",
    re.IGNORECASE,
)
NAME = re.compile(r"(?<![A-Za-z0-9'])[A-J](?![A-Za-z0-9'])(?! [a-z])")
HINT = re.compile(r"(?<![A-Za-z])[A-J](?:[).:번가이입]|\s?번|\W*$)")  # in all of them, and found fast
TURNS = re.compile(r"\W*(?:but|however|although|yet|wait|if|otherwise|note)\b", re.IGNORECASE)
BRACKETED = re.compile(r"\(([A-J])\)")
FIRST = re.compile(r":\W*\n\W*A\b[^\n]*\Z")
FEW_WORDS, FEW_SENTENCES, REACH = 8, 2, 400


def closing(plain: str, options: tuple[str, ...]) -> Found:
    """What the last conclusion sets apart, or a last line that is one, where nothing sets another option apart so."""
    if not HINT.search(plain[-REACH:]):
        return None
    sentences = [s for s in END.split(plain.strip()) if s.strip()]
    item = set() if any(_set_apart(s, options) for s in sentences[-FEW_SENTENCES - 1 :]) else _item(plain, options)
    apart = [(n, found) for n, s in enumerate(sentences) if (found := _set_apart(s, options))]
    n, found = apart[-1] if apart else (len(sentences) - 1, item)
    if not found or any(other != found for _, other in apart):
        return None
    after = sentences[n + 1 :]
    concludes = not apart or DRAWS.match(sentences[n]) or CONCLUDES.search(sentences[n])
    more = any(NAME.search(s) or TURNS.match(s) or mentioned(s, options) for s in after)
    refused = refuses(" ".join(sentences[max(0, n - 1) :])) or rejects_all(sentences[n], options)
    if refused or more or len(after) > FEW_SENTENCES or (after and not concludes):
        return None
    return None if (stated(plain, options) or found) - found else found


def _set_apart(sentence: str, options: tuple[str, ...]) -> set[int]:
    if not HINT.search(sentence) or not SET_APART.search(sentence):
        return set()
    if UNSURE.search(sentence) or MAY.search(sentence) or LINE.match(sentence):
        return set()
    match = SET_APART.search(kept(sentence))
    letter = next(filter(None, match.groups())) if match else ""
    if match is None or {x for x in NAME.findall(sentence) if x in LETTERS[: len(options)]} - {letter}:
        return set()
    own = _own(letter, match["words"] or "", options)
    return set() if mentioned(sentence, options) - own else own


def _item(plain: str, options: tuple[str, ...]) -> set[int]:
    """A last line that is an item of a few words, where there is no other item and none is to come."""
    match = LINE.fullmatch(plain.strip().rpartition("\n")[2].strip("✅✔ "))
    if match is None or not match[2].strip(" .") or len(match[2].split()) > FEW_WORDS or REJECTS.search(match[2]):
        return set()
    named = [item[0].upper() for item in LINE.findall(plain)] + BRACKETED.findall(plain[-REACH:])
    alone = set(named) <= {match[1]}
    cut = BROKEN_OFF.search(plain) or FIRST.search(plain) or plain.rstrip()[-1] in ".:?"
    return _own(match[1], match[2], options) if alone and not cut else set()


def _own(letter: str, words: str, options: tuple[str, ...]) -> set[int]:
    """The letter's option; of options that have words, only where they stand behind it."""
    bare = not words or all(is_own_letter(option, i) for i, option in enumerate(options))
    return indices({letter}, options) if bare else own_option(letter, words, options) or set()
