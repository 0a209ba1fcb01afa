"""The question and the answer of a row that has them under other names: in the columns `problem` and `solution`, or
`prompt` and `response`, or in a conversation of two turns (LLaVA, ShareGPT, OpenAI's chat messages)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from aot.data.images.reading import BadRow
from aot.data.photos.in_text import REQUEST, inside, without_place
from aot.data.photos.option_objects import with_answer
from aot.data.records.values import text_of
from aot.data.tables.options import held_or_refused, options_of

TALKS = ("conversations", "conversation", "messages")
PAIRS = {"problem": "solution", "prompt": "response"}
"""The column with the answer by that with the question, where no column `answer` is filled."""
IMAGES = ("file_name", "filename", "image_file_name", "image_path", "img_path", "img", "images", "picture")
"""Where rows have their image, if not in `image`."""
DECODED = "decoded_image"
"""Where MathVista has the image; its `image` names a file that the table does not come with."""
_PICTURED = ("image", *IMAGES, DECODED)
_GOLDS = frozenset(
    ("label", "gt", "gold", "groundtruth", "target", "reference", "correct", "correctanswer", "correctoption")
) | {"answerkey"}
"""Other columns that may hold the answer: what stands beside them may be what a model said."""
_HUMAN, _ASSISTANT = ("human", "user"), ("gpt", "assistant", "model")
_WRAPPED = re.compile(
    r"(?:<think>(?:(?!</?answer>).)*</think>\s*)?<answer>\s*([^<]*?)\s*</answer>|\$?\\boxed\{([^{}]*)\}\$?", re.DOTALL
)
"""An answer as data for training with rewards have it."""
_MOST_LOOKED_AT = 100
Row = Mapping[str, Any]


def as_asked(row: Row) -> dict[str, Any]:
    """The row with `question`, `answer` and where a turn names it `image`; a row with `question`, or without any of
    these columns, as it is. A conversation that is more than a question and its answer, or an answer that is no option:
    `BadRow`."""
    found = dict(row := with_answer(row))
    pairs = (name for name in PAIRS if text_of(row.get(name)) and (text_of(row.get(PAIRS[name])) or row.get("answer")))
    names = [*(name for name in TALKS if row.get(name)), *pairs]  # of text-to-image data a prompt is no question
    if row.get("question") is not None or not names:
        return found
    if len(names) > 1:
        raise BadRow(f"the question may be in {' or '.join(names)}: name its column `question`", "bad_question")
    (name,), own = names, text_of(row.get("answer"))
    if name in PAIRS:
        question, answer = row[name], row.get(PAIRS[name])
    else:
        question, answer, images = _turns(row[name], name)
        if own:
            raise BadRow(f"the answer may be in {name} or in the column answer: keep one", "ambiguous_answer")
        if images and any(row.get(column) for column in _PICTURED):
            raise BadRow(f"the image may be in {name} or in its own column: keep one", "several_images")
        found |= {"image": images[0]} if images else {}
    if not isinstance(question, str):
        raise BadRow(f"the question in {name} is no text", "bad_question")
    if question.count("<image>") > 1:
        raise BadRow("the question has several images; one image a question is supported", "several_images")
    if own:
        return {**found, "question": question}
    others = (column for column in row if re.sub(r"[\W_]", "", column).casefold() in _GOLDS)
    if other := [column for column in others if text_of(row[column])]:
        what = f"the answer may be in {PAIRS.get(name, name)} or in {', '.join(other)[:80]}: name its column `answer`"
        raise BadRow(what, "ambiguous_answer")
    if not isinstance(answer, str) or not text_of(answer):
        raise BadRow(f"no text in {PAIRS.get(name, name)} answers the question in {name}", "no_answer")
    return {**found, "question": question, "answer": _plain(answer, question, row)}


def asks_so(text: str) -> bool:
    """Whether one of the first rows of JSON (lines, or a list) asks in these columns, and can be read."""
    for row in rows_in(text):
        with suppress(BadRow):
            if row.get("question") is None and any(name in row for name in (*TALKS, *PAIRS)):
                asked = as_asked(row)
                if text_of(asked.get("question")) and any(asked.get(column) for column in _PICTURED):
                    return True
    return False


def _plain(answer: str, question: str, row: Row) -> str:
    """The letter or the words of an option, or yes or no: more than this may be a model's reasoning. Else `BadRow`."""
    if wrapped := _WRAPPED.fullmatch(answer.strip()):
        answer = wrapped[1] or wrapped[2] or ""
    said, options = answer.strip(), options_of(row) or inside(REQUEST.sub("", without_place(question)))[1]
    if not options and said.casefold().rstrip(" .") not in ("yes", "no"):
        what = f"the answer {said[:60]!r} is of no question with options, and neither yes nor no"
        raise BadRow(f"{what}: give options (A. ... B. ... in the question, or a column `options`)", "bad_options")
    if said.isdigit() and said not in map(text_of, options):
        raise BadRow(f"the answer {said} is a number of an option: give its letter", "ambiguous_answer")
    return said


def _turns(held: Any, name: str) -> tuple[str, str, list[str]]:
    """What the human asks, what the assistant answers, and the images named in the turns."""
    turns = held_or_refused(held, f"{name} is no list", "bad_question") if isinstance(held, str) else held
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise BadRow(f"{name} is no list of turns", "bad_question")
    roles = [text_of(turn.get("from") or turn.get("role")).casefold() for turn in turns]
    if len(roles) != 2 or roles[0] not in _HUMAN or roles[1] not in _ASSISTANT:
        what = f"{name} has turns of {', '.join(roles)[:80] or 'nobody'}, not one of a human and one of an assistant"
        raise BadRow(what, "bad_question")
    images: list[str] = []
    question, answer = (_said(turn["value"] if "value" in turn else turn.get("content"), images) for turn in turns)
    if len(images) > 1:
        raise BadRow("the turns have several images; one image a question is supported", "several_images")
    return question, answer, images


def _said(content: Any, images: list[str]) -> str:
    """The text of a turn, which may be a list of parts; adds the names of its images."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(part, Mapping) for part in content):
        raise BadRow("a turn has no text", "bad_question")
    texts = []
    for part in content:
        kind = part.get("type")
        if kind not in ("text", "image", "image_url"):
            raise BadRow(f"a turn has a part of type {str(kind)[:40]!r}", "bad_question")
        if kind == "text":
            texts.append(text_of(part.get("text")))
            continue
        named = part.get("image_url") or part.get("image") or part.get("path") or part.get("url")
        named = named.get("url") if isinstance(named, Mapping) else named
        images += [named] if isinstance(named, str) else []
    return "\n".join(texts)


def rows_in(text: str) -> Iterator[dict[str, Any]]:
    """The first rows of JSON, lines or a list, whose text may be cut off."""
    text, place, decoder = text.lstrip("\ufeff \r\n\t"), 0, json.JSONDecoder()
    place = 1 if text.startswith("[") else 0
    with suppress(ValueError, RecursionError):
        for _ in range(_MOST_LOOKED_AT):
            while text[place : place + 1] in (" ", "\n", "\r", "\t", ","):
                place += 1
            row, place = decoder.raw_decode(text, place)
            if isinstance(row, dict):
                yield row
