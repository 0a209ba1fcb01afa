r"""From free text to one of a question's options.

An ordered parser. Of what stands outside the thoughts it reads, in this order:

1. a box, then an `<answer>` tag;
2. "the answer is B", the last one, or a JSON value that is an option;
3. what the response begins with: a letter, an option's words;
4. a line that is nothing but an option: the last one, or one after a colon;
5. sentences that choose ("I would pick B", "point B is closest") or conclude ("therefore ...");
6. in a response of a few sentences the one option that it says something to be.

The first step that finds anything decides; where it finds two different options, or a letter that is no option, the
answer is unparsed (*ours*). Options named only to be rejected (`rejected`), or in sentences that assert nothing
(`asserted`), are not found; where a response takes its answer back, only what follows counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from aot.answers.asserted import after_turn, asserted
from aot.answers.closing import closing
from aot.answers.labels import relabelled
from aot.answers.listed import between_lists, without_cut_list, without_sections
from aot.answers.mentions import CONFLICT, indices, pattern
from aot.answers.numbers import without_other_numbers
from aot.answers.reading import Found, begins, explicit, keyed, leading, marked, mentioned
from aot.answers.refusal import abstains, declines, without_refusals
from aot.answers.sentences import overruled, said_to_be, stated
from aot.answers.several import judged_twice, line_alone
from aot.answers.text import spoken, squeezed, unwrapped
from aot.types import LETTERS, Answer

# A last line that gives none, or several: "Answer: none of the above".
WITHOUT = re.compile(
    r"(?:\A|\n)[^\n]{0,20}\banswer\s?[(:=]\W*(?:none\b|unknown|not\b|cannot|n/a|all\b"
    r"|[A-J]\W{0,3}\s(?:or|and)\b)[^\n]*\s*\Z",
    re.IGNORECASE,
)


def parse_answer(text: str, options: Sequence[str], *, truncated: bool = False) -> Answer:
    """Read one response. `truncated`: it was cut at the length limit, so whatever it holds is not final."""
    if truncated:
        return Answer(text, None, "truncated")
    given = tuple(options)
    said = without_cut_list(without_sections(squeezed(unwrapped(spoken(text))), given), given)
    said, label = relabelled(said, given)
    if abstains(said):
        return Answer(text, None, "refused")
    pieces = [without_other_numbers(asserted(piece, given), given) for piece in between_lists(said, given)]
    plain = "\n".join(pieces)
    rest = after_turn(plain)
    steps = AFTER_TURN if rest is not None else AFTER_LIST if _echoes(pieces) else STEPS
    read = plain if rest is None else rest
    found = next((found for step in steps if (found := step(read, given)) is not None), set())
    apart = [(p, p.rstrip().rpartition("\n")[0]) for p in pieces if len(pieces) > 1]  # on its last line, a question
    alone = {i for pair in apart[:-1] for p in pair for i in line_alone(p, given) or ()}
    if (alone or found) != found or any((explicit(p, given) or leading(p, given) or found) != found for p, _ in apart):
        found = set()  # it answers more than one question
    if (last := WITHOUT.search(plain)) and not mentioned(last[0], given):
        found = set()
    if label and not found & label:
        found = set()  # "(A), option B"
    if len(found) == 1 and rest is None and (begins(plain, given) or found) != found:
        found = set()  # it begins with one answer and gives another
    if len(found) == 1 and explicit(read, given) is None and judged_twice(read, LETTERS[min(found)]):
        found = set()
    if len(found) == 1 and overruled(read, found, given) and marked(read, given) is None:
        found = set()
    if len(found) == 1 and CONFLICT not in found:
        return Answer(text, found.pop())
    declined = declines(said) and not mentioned(without_refusals(said), given)
    return Answer(text, None, "refused" if declined else "unparsed")


def _echoes(pieces: list[str]) -> bool:
    """Whether a response begins with the question's options: then what follows them is no beginning."""
    return len(pieces) > 1 and pieces[0].strip()[-1:] in ("", "?", ":")


def _ambiguous(plain: str, options: tuple[str, ...]) -> Found:
    """Where options are other options' letters ("A. B", "B. A"): a letter beside its option, else "answer is (B)"; a
    letter alone says nothing."""
    own = [unwrapped(option).strip(" .()").upper() for option in options]
    letters = "".join(o for i, o in enumerate(own) if len(o) == 1 and o in LETTERS[: len(own)] and o != LETTERS[i])
    if not letters:
        return None
    marks = re.finditer(r"(?<!\w)\(?([A-J])\s*[).:\-–—]+\s*", plain)
    beside = {i for m in marks for i in indices({m[1]}, options) if pattern(options[i]).match(plain, m.end())}
    beside = beside or indices(set(re.findall(r"\banswer\s+is\s*:?\s*\(([A-J])\)", plain)), options)
    return beside or (set() if re.search(rf"\b[{letters}]\b", plain) else None)


STEPS = (marked, _ambiguous, explicit, keyed, leading, line_alone, closing, stated, said_to_be)
# "Wait, option C ..." begins a further thought as often as an answer: there a last line says more than the first.
AFTER_LIST = (marked, _ambiguous, explicit, keyed, line_alone, closing, stated)
AFTER_TURN = (marked, _ambiguous, explicit, keyed, line_alone, leading, closing, stated)
