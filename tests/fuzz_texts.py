"""Readers of texts that others write: a model's reply, a server's answer, settings on the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from hypothesis import strategies as st

from aot.answers import final_answer, parse_answer, parse_open, parse_yes_no
from aot.backends.base.backend import Reply
from aot.backends.openai.chat import Fault, read_completion
from aot.backends.openai.error_bodies import error_text, retry_after_s
from aot.coevolve.recipes.load import load_recipe
from aot.types import LETTERS, AnswerStatus
from fuzz_mutations import WORDS, damaged_bytes, damaged_json

Outcome = tuple[int, int]


@dataclass(frozen=True)
class TextReader:
    """`inputs`: what `read` is given. It returns what came of it, or raises `AotError`."""

    group: str
    name: str
    inputs: st.SearchStrategy[Any]
    read: Callable[[Any], Outcome]


# Replies of models.

PIECES = re.findall(
    r"\S+",
    """<think> </think> <thinking> [THINK] [/THINK] ◁think▷ ◁/think▷ <reasoning> <answer> </answer> \\boxed{ } \\text{
    <|channel|>final<|message|> <|channel|>analysis<|message|> <|begin_of_box|> <|end_of_box|> <|end|> **A** (B) (C)
    B. D) E: A B C I J AB option Option choice answer Answer: answer: is the The correct incorrect not wrong because so
    So therefore I'm sorry, cannot can't determine yes no Yes. No, true false 是 否 选B 答案：B 选项 不正确 1 2.5 -3 1/2
    3,000 twenty % $ ^ \\( \\) \\[ [ ] { ( ) " ' ` ``` * _ # - – — : ; , . ! ? … 。 red blue none both or and all of""",
)
GLUE = st.sampled_from(("", " ", " ", " ", "\n", "\n\n", ". ", ", "))
OPTIONS = [
    "red",
    "blue",
    "Yes",
    "No",
    "the left side of the dog",
    "A",
    "(",
    "\\",
    "3",
    "x" * 300,
    "[a-z]+",
    "é",
    "不是",
    "",
]


@st.composite
def replies(draw: st.DrawFn) -> str:
    """Pieces of what models say, some of them over and over, between any characters."""
    part = st.one_of(
        st.sampled_from(PIECES), st.sampled_from(PIECES), st.text(max_size=12), st.sampled_from(WORDS)
    )
    text = "".join(draw(part) + draw(GLUE) for _ in range(draw(st.integers(0, 14))))
    if draw(st.integers(0, 4)) == 0:
        text += (draw(part) + draw(GLUE)) * draw(st.sampled_from((40, 400, 2000)))
    return text


def _option(given: tuple[str, list[str], bool]) -> Outcome:
    text, options, truncated = given
    answer = parse_answer(text, options, truncated=truncated)
    assert answer.text == text and answer.status in get_args(AnswerStatus) and answer.status != "error"
    assert (answer.choice is None) == (answer.status != "answered")
    assert answer.choice is None or 0 <= answer.choice < len(options)
    return int(answer.choice is not None), int(answer.choice is None)


def _word(given: tuple[str, bool]) -> Outcome:
    text, truncated = given
    answers = [parse_yes_no(text, truncated=truncated), parse_open(text, truncated=truncated)]
    for answer in answers:
        assert answer.status in get_args(AnswerStatus) and answer.status != "error"
    assert isinstance(final_answer(text), str)
    return sum(a.status == "answered" for a in answers), sum(a.status != "answered" for a in answers)


# Answers of servers.

TOP = [{"token": "A", "logprob": -0.1}, {"token": " B", "logprob": -2.5}]
MESSAGE = {"role": "assistant", "content": "A", "refusal": None, "reasoning_content": None}
TOKENS = {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": TOP}]}
COMPLETION = {
    "id": "1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": TOKENS}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"image_tokens": 4}},
    "error": None,
}
BODIES = st.one_of(
    damaged_json(COMPLETION), damaged_bytes(b'{"error": {"message": "no", "code": 402}}'), st.binary()
)


def _completion(given: tuple[bytes, list[str]]) -> Outcome:
    body, options = given
    reply = read_completion(body, options)
    if isinstance(reply, Fault):
        assert reply.word and len(reply.detail) < 2000
        return 0, 1
    assert isinstance(reply, Reply) and isinstance(reply.text, str)
    shares = reply.probabilities
    assert shares is None or (len(shares) == len(options) and math.isclose(sum(shares), 1, abs_tol=1e-6))
    return int(reply.status == "answered"), int(reply.status != "answered")


def _header(given: tuple[Any, str]) -> Outcome:
    body, header = given
    assert len(error_text(body)) <= 400
    wait = retry_after_s(header, 0.0)
    assert wait is None or (wait >= 0 and math.isfinite(wait))
    return 1, 0


# Settings.

NAMES = "seed name iterations processes game.train_scenes dapo.engine dapo.learning_rate attacker.method dapo players"
NAMES += " attacker.flow_grpo.updates referee judge.player evaluation.distractors . a..b recipe seed. .seed"
SETTINGS = st.tuples(
    st.sampled_from(NAMES.split(" ")),
    st.sampled_from(("=", "=", "=", "=", "", ":", "==")),
    st.one_of(
        st.sampled_from(WORDS),
        st.text(max_size=20),
        damaged_json({"updates": 2}).map(lambda b: b.decode("utf-8", "replace")),
    ),
).map("".join)


def _settings(given: list[str]) -> Outcome:
    load_recipe("smoke", given)
    return 1, 0


LETTERED = st.one_of(st.just(list(LETTERS[:4])), st.lists(st.sampled_from([*OPTIONS, *LETTERS]), max_size=10))
TEXTS = [
    TextReader(
        "replies", "option", st.tuples(replies(), LETTERED, st.integers(0, 9).map(lambda n: n == 0)), _option
    ),
    TextReader(
        "replies", "yes_no_and_open", st.tuples(replies(), st.integers(0, 9).map(lambda n: n == 0)), _word
    ),
    TextReader("servers", "completion", st.tuples(BODIES, LETTERED), _completion),
    TextReader(
        "servers",
        "errors",
        st.tuples(
            st.one_of(
                st.sampled_from(WORDS),
                st.recursive(
                    st.none() | st.text(max_size=9) | st.integers(),
                    lambda inner: st.dictionaries(
                        st.sampled_from(("error", "message", "code", "detail")), inner
                    ),
                ),
            ),
            st.one_of(st.sampled_from(WORDS), st.text(max_size=12)),
        ),
        _header,
    ),
    TextReader("runs", "settings", st.lists(SETTINGS, min_size=1, max_size=3), _settings),
]
