"""From a reply to a graded result: read, compared with the right answer, or counted under its status."""

from __future__ import annotations

from collections.abc import Callable

from aot.answers import final_answer, parse_answer, parse_open, parse_yes_no
from aot.backends.base.backend import Ask, Reply
from aot.bench.reading.item import Item
from aot.scores.result import Result
from aot.types import LETTERS, AnswerStatus

SHOWN_CHARS = 200
YES_NO = ("yes", "no")
Reading = tuple[AnswerStatus, str, bool | None]
"""Status, what was given, whether it is right."""
Reader = Callable[[Item, Reply], Reading]


def read_reply(item: Item, reply: Reply) -> Reading:
    """By the ordered parser: an answer or a status, never a guess. Only what was answered is read."""
    if reply.status != "answered":
        return unparsed(reply.status)
    if item.kind == "open":
        found = parse_open(reply.text)
        if found.status != "answered":
            return unparsed(found.status)
        return "answered", final_answer(reply.text)[:SHOWN_CHARS], found.matches(item.accepted or (item.answer,))
    answer = parse_answer(reply.text, item.options) if item.kind == "choice" else parse_yes_no(reply.text)
    if answer.choice is None:
        return unparsed(answer.status)
    given = LETTERS[answer.choice] if item.kind == "choice" else YES_NO[answer.choice]
    return "answered", given, given == item.answer


def unparsed(status: AnswerStatus) -> Reading:
    return status, "", None


def grade(item: Item, ask: Ask, reply: Reply, reader: Reader = read_reply) -> Result:
    """The result of one reply."""
    status, given, right = reader(item, reply)
    return Result(
        id=item.id,
        status=status,
        given=given,
        gold=item.answer,
        right=right,
        category=item.category,
        groups=item.groups,
        trial=ask.trial,
        confidence=_confidence(item, reply, given),
    )


def _confidence(item: Item, reply: Reply, given: str) -> float | None:
    answers = {"choice": tuple(LETTERS), "yes_no": YES_NO, "open": ()}[item.kind]
    if reply.probabilities is None or given not in answers:
        return None
    index = answers.index(given)
    return reply.probabilities[index] if index < len(reply.probabilities) else None
