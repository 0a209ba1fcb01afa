"""Options that are labels of something else (*ours*): where option A is "Point C", a letter may name either.

"Point C" names the option of these words, the brackets of "(C)" the option of that letter; a bare "C" in a sentence,
and "option C" where the options speak of options, name none.
"""

from __future__ import annotations

import re
from functools import lru_cache

from aot.answers.text import unwrapped
from aot.types import LETTERS

LABEL = re.compile(r"\b([a-z]{3,}) ([A-J])(?!\w)", re.IGNORECASE)
AMBIGUOUS = ("option", "choice", "answer")
LONGEST = 5


@lru_cache(maxsize=4096)
def labels(options: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """Noun and letter of each label, with its option; nothing where every label is its option's own letter, or the
    noun is not that of several options ("vitamin C" among other words)."""
    found = [
        ((m[1].casefold(), m[2]), i)
        for i, option in enumerate(options)
        for m in list(LABEL.finditer(unwrapped(option)))[:1]
        if m[2].isupper()
    ]
    nouns, all_labels = [noun for (noun, _), _ in found], [label for label, _ in found]
    shared = {label: i for label, i in found if nouns.count(label[0]) > 1 and all_labels.count(label) == 1}
    if any(len(options[i].split()) > LONGEST for (noun, _), i in shared.items() if noun not in AMBIGUOUS):
        return {}  # a statement about "country A"
    return shared if any(LETTERS[i] != letter for (_, letter), i in shared.items()) else {}


def relabelled(text: str, options: tuple[str, ...]) -> tuple[str, set[int] | None]:
    """The text with the whole words of an option in the place of its label, and without ambiguous labels; what the last
    of those may mean."""
    own = labels(options)
    if not own:
        return text, None
    words = [unwrapped(option).strip(" .") for option in options]
    whole = "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True) if w)
    nouns = "|".join(sorted({noun for noun, _ in own}))
    last: list[set[int]] = []

    def meant(match: re.Match[str]) -> str:
        if not match[2]:
            last.clear()  # by its whole words
            return match[0]
        option = own.get((match[1].casefold(), match[2]))
        if option is None or LETTERS[option] == match[2]:
            return match[0]
        if match[1].casefold() not in AMBIGUOUS:
            return words[option]
        last[:] = [{option, LETTERS.index(match[2])}]
        return " "

    text = re.sub(rf"(?<!\w)(?i:{whole})(?!\w)|\b((?i:{nouns})) ([A-J])(?!\w)", meant, text)
    return text, last[0] if last else None
