"""Servers that answer in odd ways: what ends an answer, what ends a run, what is told, and what is never an answer."""

from __future__ import annotations

import gzip
import json
import resource
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aot.backends.asking.ask_all import ask_all, check_answered
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Reply, Sampling
from aot.backends.local.folders import any_processor, load_model
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.openai.capped import LARGEST_ANSWER_BYTES
from aot.backends.openai.chat import Fault, read_completion
from aot.backends.openai.pauses import LONGEST_BACKOFF_S, pause_s
from aot.errors import AotError
from aot.players.base_players import player_folder
from fault_server import FaultServer

GREEDY = Sampling()
FOLDER = Path(str(player_folder("miniature", "defender")))


def completion(message: object, *, beside: dict | None = None, **choice: object) -> bytes:
    return json.dumps({"choices": [{"message": message, **choice}], **(beside or {})}).encode()


def refusing(status: int, message: str, **more: object) -> tuple[int, dict[str, str], bytes]:
    return status, {}, json.dumps({"error": {"message": message, **more}}).encode()


def replies_of(server: FaultServer, asks: list[Ask], **settings: object) -> dict[str, Reply]:
    backend = OpenAiBackend(
        server.url, "mini", **{"timeout": 20, "backoff_s": 0.01, "attempts": 2, **settings}
    )  # type: ignore[arg-type]
    return {ask.id: reply for ask, reply in backend.ask(asks, GREEDY)}


@pytest.mark.parametrize("finish", [None, "stop", "STOP", "eos", "eos_token", "end_turn"])
def test_an_answer_that_ended_is_one(finish: str | None) -> None:
    assert read_completion(completion({"content": "A"}, finish_reason=finish)) == Reply("A")


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded"])
def test_an_answer_that_was_cut_is_truncated(finish: str) -> None:
    assert read_completion(completion({"content": "A"}, finish_reason=finish)) == Reply("A", "truncated")


@pytest.mark.parametrize(
    "finish", ["content_filter", "safety", "SAFETY", "refusal", "sensitive", "content-filter"]
)
def test_an_answer_that_was_withheld_is_refused(finish: str) -> None:
    assert read_completion(completion({"content": "A"}, finish_reason=finish)) == Reply(
        "A", "refused", finish
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([{"type": "reasoning", "text": "A. "}, {"type": "text", "text": "B"}], Reply("B")),
        ([{"type": "thinking", "text": "A"}, {"type": "output_text", "text": "B"}], Reply("B")),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "A"}]}, "B"], Reply("B")),
        ([{"type": "refusal", "refusal": "I cannot"}], Reply("", "refused", "I cannot")),
    ],
)
def test_of_a_content_in_parts_only_what_is_said_counts(parts: list[Any], said: Reply) -> None:
    assert read_completion(completion({"content": parts}, finish_reason="stop")) == said


def test_an_error_by_another_name_beside_text_is_a_fault() -> None:
    beside = {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}
    read = read_completion(completion({"content": "A"}, beside=beside))
    assert isinstance(read, Fault) and read.word == "error_inside" and "rate limit" in read.detail
    beside = {"base_resp": {"status_code": 0, "status_msg": ""}}
    assert read_completion(completion({"content": "A"}, beside=beside)) == Reply("A")


@pytest.mark.parametrize(
    "finish", ["error", "abort", "tool_calls", "function_call", "soon", 3, {}, ["stop"], True]
)
def test_any_other_end_is_a_fault(finish: object) -> None:
    read = read_completion(completion({"content": "A"}, finish_reason=finish))
    assert isinstance(read, Fault) and read.word == "finish_reason"


@pytest.mark.parametrize("where", ["top", "choice", "message"])
def test_an_error_beside_text_is_a_fault(where: str) -> None:
    error = {"error": {"message": "engine died", "code": 502}}
    message = {"content": "A"} | (error if where == "message" else {})
    read = read_completion(
        completion(message, beside=error if where == "top" else None, **(error if where == "choice" else {}))
    )
    assert isinstance(read, Fault) and "engine died" in read.detail
    assert read_completion(completion({"content": "A"}, beside={"error": None})) == Reply("A")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_are_named_and_never_the_answer(name: str) -> None:
    thinking = {"content": None, name: "The answer is B"}
    empty = read_completion(completion(thinking, finish_reason="stop"))
    assert isinstance(empty, Fault) and empty.word == "empty" and f"only {name}" in empty.detail
    cut = read_completion(completion(thinking, finish_reason="length"))
    assert isinstance(cut, Reply) and (cut.text, cut.status) == ("", "truncated") and name in cut.error
    assert read_completion(completion({**thinking, "content": "A"})) == Reply("A")


def _busy_until(asked: int, wait: str) -> Callable[[str], tuple[int, dict[str, str], bytes] | None]:
    """A server that asks each question's first `asked` requests to `wait`."""
    heard: Counter[str] = Counter()

    def raw(text: str) -> tuple[int, dict[str, str], bytes] | None:
        heard[text] += 1
        return (429, {"Retry-After": wait}, b'{"error": {"message": "busy"}}') if heard[text] <= asked else None

    return raw


def test_a_long_wait_is_kept_and_what_is_left_of_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aot.backends.openai.pauses.SAID_FROM_S", 0.1)
    monkeypatch.setattr("aot.backends.openai.pauses.SAID_EVERY_S", 0.3)
    told, beats = list[str](), list[float]()
    monkeypatch.setattr("aot.backends.openai.pauses.beat", lambda: beats.append(time.monotonic()))
    with FaultServer(lambda *_: "A", raw=_busy_until(1, "2")) as server:
        started = time.monotonic()
        asks = [Ask(str(n), (f"question {n}",)) for n in range(4)]
        replies = replies_of(server, asks, attempts=2, say=told.append)
    assert {reply.text for reply in replies.values()} == {"A"} and time.monotonic() - started >= 2
    assert "429 at try 1 of 2, the server asks to wait 2 s; asking again then" in told[0]
    left = [line for line in told if "still waiting as asked" in line]
    assert 1 <= len(left) <= 8 and "s left" in left[0]  # not one for each of the four
    assert len(beats) > 10


def test_a_wait_that_is_too_long_leaves_the_question_to_the_next_run() -> None:
    ask, sampling = Ask("1", ("hello",)), Sampling()
    with FaultServer(lambda *_: "A", raw=_busy_until(1, "86400")) as server, AnswerStore() as store:
        backend = OpenAiBackend(server.url, "mini", timeout=30, longest_wait_s=60)
        [(_, lost)] = ask_all(backend, [ask], sampling, store)
        assert (lost.status, lost.attempts, lost.faults) == ("error", 1, ("429",))
        assert lost.error == "429: the server asks to wait 24 h 00 min, and 60 s is the most that is waited: busy"
        [(_, came)] = ask_all(backend, [ask], sampling, store)
    assert (came.status, came.text) == ("answered", "A")


def test_a_server_that_is_busy_for_too_long_ends_the_run_with_the_next_step() -> None:
    with FaultServer(lambda *_: "A", raw=_busy_until(9, "86400")) as server:
        backend = OpenAiBackend(server.url, "mini", timeout=30, concurrency=2)
        asks = [Ask(str(n), (f"question {n}",)) for n in range(40)]
        with pytest.raises(AotError, match="asks to wait 24 h 00 min, and 30 min is the most") as ended:
            list(backend.ask(asks, Sampling()))
    assert ended.value.hint is not None and "--longest-wait" in ended.value.hint
    assert server.requests.total() <= 12


@pytest.mark.parametrize(("tried", "longest"), [(1, 0.5), (2, 1.0), (5, 8.0), (40, LONGEST_BACKOFF_S)])
def test_pauses_double_up_to_a_bound_unless_the_server_names_one(tried: int, longest: float) -> None:
    for _ in range(20):
        assert longest / 2 <= pause_s(None, 0.5, tried) <= longest
        assert 3 <= pause_s(3.0, 0.5, tried) <= 3 + longest / 4
        assert 86400 <= pause_s(86400.0, 0.5, tried) <= 86400 + longest / 4


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (402, "Insufficient credits. Add more"),
        (404, "No endpoints found that support image input"),
        (400, "This model does not support image input"),
        (400, "image_url is not supported by this model"),
        (400, "mini is not a multimodal model"),
    ],
)
def test_what_every_question_will_meet_ends_the_run(status: int, told: str) -> None:
    with FaultServer(lambda *_: "A", raw=lambda _: refusing(status, told)) as server:
        with pytest.raises(AotError, match="next: ") as error:
            replies_of(server, [Ask(str(i), (f"question {i}",)) for i in range(30)], concurrency=2)
        assert told in str(error.value) and server.requests.total() < 10


def succeeding(error: Any) -> tuple[int, dict[str, str], bytes]:
    """An error in the body of a success, as routers send what their provider said."""
    return 200, {"Content-Type": "application/json"}, json.dumps({"choices": [], "error": error}).encode()


@pytest.mark.parametrize(
    "error",
    [
        {"code": 401, "message": "No auth credentials found"},
        {"code": "401", "message": "key revoked"},
        {"code": "invalid_api_key", "message": "Incorrect key"},
        {"code": 402, "message": "Add more"},
        {"code": "insufficient_quota", "message": "see your plan"},
        {"code": 404, "message": "No endpoints found that support image input"},
        {"message": "This model does not support image input"},
    ],
)
def test_an_error_inside_a_success_ends_the_run_as_its_status_would(error: dict[str, Any]) -> None:
    with FaultServer(lambda *_: "A", raw=lambda _: succeeding(error)) as server:
        with pytest.raises(AotError, match="next: ") as told:
            replies_of(server, [Ask(str(i), (f"question {i}",)) for i in range(30)], concurrency=2)
        assert error["message"] in str(told.value) and server.requests.total() < 10


@pytest.mark.parametrize(
    "error", [{"code": 502, "message": "engine died"}, "busy", {"code": 429, "message": "slow"}]
)
def test_another_error_inside_a_success_is_tried_again(error: Any) -> None:
    with FaultServer(lambda *_: "A", raw=lambda _: succeeding(error)) as server:
        reply = replies_of(server, [Ask("1", ("is it 402 or 401?",))], attempts=3)["1"]
    assert (reply.status, reply.attempts) == ("error", 3)


@pytest.mark.parametrize(
    "question", ["Does not support image?", "A safety vest, flagged?", "Which seed? Line\ntwo"]
)
def test_what_only_repeats_the_question_is_an_error(question: str) -> None:
    with FaultServer(lambda *_: "A", raw=lambda text: refusing(400, f"bad request: {text!r}")) as server:
        reply = replies_of(server, [Ask("1", (question,))])["1"]
    assert reply.status == "error" and reply.attempts == 1


def test_a_wrong_key_in_mid_run_keeps_what_came(tmp_path: Path) -> None:
    begun = {8: threading.Event(), 9: threading.Event()}

    def raw(text: str) -> tuple[int, dict[str, str], bytes] | None:
        number = int(text.split()[-1])
        if number == 7:  # the key is refused while two others are under way
            assert all(event.wait(20) for event in begun.values())
            return refusing(401, "key revoked")
        if number in begun:
            begun[number].set()
            time.sleep(0.4)
        return None

    with FaultServer(lambda *_: "A", raw=raw) as server, AnswerStore(tmp_path / "s") as store:
        backend = OpenAiBackend(server.url, "mini", timeout=20, concurrency=4)
        asks = [Ask(str(i), (f"question {i}",)) for i in range(100)]
        with pytest.raises(AotError, match="key revoked"):
            list(ask_all(backend, asks, GREEDY, store))
        assert len(store) == server.delivered.total() >= 9


@pytest.mark.parametrize("how", ["gzip", "declared gzip of zeros", "other encoding", "long"])
def test_an_answer_without_bound_is_not_read(how: str) -> None:
    zeros = b" " * (256 << 20 if "zeros" in how else 20 << 20)
    body = gzip.compress(zeros, 1) if "gzip" in how else zeros
    del zeros
    headers = {"Content-Encoding": "gzip" if "gzip" in how else "br"} if how != "long" else {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with FaultServer(lambda *_: "A", raw=lambda _: (200, headers, body)) as server:
        reply = replies_of(server, [Ask("1", ("hello",))])["1"]
    assert reply.status == "error" and reply.faults == ("connection",) * 2 and LARGEST_ANSWER_BYTES < 20 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000


def test_a_packed_answer_of_normal_size_is_read() -> None:
    packed = gzip.compress(completion({"content": "A"}))
    with FaultServer(lambda *_: "", raw=lambda _: (200, {"Content-Encoding": "gzip"}, packed)) as server:
        assert replies_of(server, [Ask("1", ("hello",))])["1"].text == "A"


def test_missing_probabilities_are_told_once() -> None:
    told: list[str] = []
    with FaultServer(lambda *_: "A") as server:
        asks = [Ask(str(i), (f"question {i}",), ("A", "B")) for i in range(9)]
        assert {reply.text for reply in replies_of(server, asks, say=told.append).values()} == {"A"}
    assert len(told) == 1 and "probabilities" in told[0]


def test_a_run_without_an_answer_is_an_error() -> None:
    check_answered({}, [], Path("x"))
    check_answered({"answered": 1, "error": 9}, ["500"], Path("x"))
    with pytest.raises(AotError, match=r"9 error, 1 refused\), mostly: 500: it broke"):
        check_answered({"refused": 1, "error": 9}, ["", "500: it broke", "500: it broke", "no"], Path("x"))


def test_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((FOLDER / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(AotError, match=r"pickles \(pytorch_model.bin\)(.|\n)*next: "):
        load_model(str(tmp_path), "auto")


@pytest.mark.parametrize(
    "junk", [b"", b"[1, 2]", b'{"a": 1}', b"\xff\xfe", b"null", b'{"model": {"type": "BPE"}}']
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_junk_in_a_folder_is_told(tmp_path: Path, name: str, junk: bytes) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    (folder / name).write_bytes(junk)
    with pytest.raises(AotError, match="next: ") as error:
        any_processor(str(folder), load_model(str(folder), "auto").config.model_type)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("junk", [b"[1, 2]", b"\xff\xfe", b"{"])
def test_junk_in_what_a_folder_may_leave_out_is_told(tmp_path: Path, junk: bytes) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    (folder / "tokenizer_config.json").write_bytes(junk)
    with pytest.raises(AotError, match="next: "):
        any_processor(str(folder), load_model(str(folder), "auto").config.model_type)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for %}", "fails: "),
        ("{{ raise_exception('no lists') }}", "fails: no lists"),
        ("{% for i in range(100000000) %}x{% endfor %}", "fails: "),
        ("{{ messages[0].content.strip() }}", "fails: "),
        ("{% for m in messages %}{{ m['role'] }}{% endfor %}", "leaves out the question"),
        ("{% for p in messages[0].content %}{{ p.text }}{% endfor %}", "leaves out images"),
    ],
)
def test_a_chat_template_that_cannot_ask_is_told_once(tmp_path: Path, template: str, told: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(AotError, match=f"chat template {told}(.|\n)*next: "):
        any_processor(str(folder), "qwen2_5_vl")


# Streams that nobody asked for.

PIECES = [{"role": "assistant", "content": ""}, {"content": "The answer "}, {"content": "is B"}, {}]


def stream(*, end: str = "data: [DONE]\n\n", finish: str | None = "stop", comment: str = "", **more: object) -> bytes:
    lines = [comment]
    for n, delta in enumerate(PIECES):
        last = n == len(PIECES) - 1
        choice = {"index": 0, "delta": delta, "finish_reason": finish if last else None, **more}
        lines.append(f"data: {json.dumps({'choices': [choice]})}\n\n")
    lines.append(f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 7, 'completion_tokens': 3}})}\r\n\r\n")
    return ("".join(lines) + end).encode()


@pytest.mark.parametrize("comment", ["", ": PROCESSING\n\n", "event: message\n"])
def test_a_stream_is_the_answer_that_it_makes(comment: str) -> None:
    said = Reply("The answer is B", prompt_tokens=7, completion_tokens=3)
    assert read_completion(stream(comment=comment)) == said
    assert read_completion(stream(finish="length")) == Reply(
        "The answer is B", "truncated", prompt_tokens=7, completion_tokens=3
    )


def test_a_stream_that_was_cut_off_is_no_answer() -> None:
    cut = stream(end="", finish=None)
    assert isinstance(read_completion(cut), Fault)
    assert isinstance(read_completion(cut[: len(cut) // 2]), Fault)
    failed = stream(end="", finish=None) + b'data: {"error": {"message": "overloaded", "code": 529}}\n\n'
    read = read_completion(failed)
    assert isinstance(read, Fault) and "overloaded" in read.detail


def test_comments_before_a_completion_are_left_out() -> None:
    assert read_completion(b": PROCESSING\n\n" + completion({"content": "A"}, finish_reason="stop")) == Reply("A")


@pytest.mark.parametrize("finish", ["stop_sequence", "COMPLETE", "completed"])
def test_other_words_for_an_answer_that_ended(finish: str) -> None:
    assert read_completion(completion({"content": "A"}, finish_reason=finish)) == Reply("A")


# What a refusal asks for.


def test_a_parameter_that_changes_nothing_is_left_out() -> None:
    def raw(_: str) -> tuple[int, dict[str, str], bytes] | None:
        asked = server.bodies[-1]
        return refusing(400, "Unsupported parameter: 'top_p' is not supported.") if "top_p" in asked else None

    with FaultServer(lambda *_: "A", raw=raw) as server:
        found = replies_of(server, [Ask("0", ("q",)), Ask("1", ("q2",))], concurrency=1)
        assert [reply.text for reply in found.values()] == ["A", "A"] and len(server.bodies) == 3
        assert server.bodies[-1]["temperature"] == 0


@pytest.mark.parametrize(
    "told",
    [
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "`temperature` is deprecated for this model.",
    ],
)
def test_a_model_of_one_temperature_ends_the_run_with_a_step(told: str) -> None:
    with FaultServer(lambda *_: "A", raw=lambda _: refusing(400, told)) as server:
        with pytest.raises(AotError, match="HTTP 400") as raised:
            replies_of(server, [Ask("0", ("q",))])
        assert raised.value.hint and "--temperature 1" in raised.value.hint


def test_an_address_that_leads_elsewhere_is_told() -> None:
    moved = (302, {"Location": "/login?next=1"}, b"")
    with (
        FaultServer(lambda *_: "A", raw=lambda _: moved) as server,
        pytest.raises(AotError, match=r"redirects to \S+/login"),
    ):
        replies_of(server, [Ask("0", ("q",))])


def test_a_model_that_is_listed_is_not_named_as_the_next_step() -> None:
    with FaultServer(lambda *_: "A", raw=lambda _: refusing(404, "Not Found")) as server:
        with pytest.raises(AotError, match="HTTP 404") as raised:
            replies_of(server, [Ask("0", ("q",))])
        assert raised.value.hint and "has no chat at this address" in raised.value.hint


def test_a_wait_in_milliseconds_is_kept() -> None:
    def raw(_: str) -> tuple[int, dict[str, str], bytes] | None:
        told = (429, {"retry-after-ms": "400"}, b"{}")
        return told if len(server.bodies) == 1 else None

    with FaultServer(lambda *_: "A", raw=raw) as server:
        started = time.monotonic()
        assert replies_of(server, [Ask("0", ("q",))])["0"].text == "A"
        assert time.monotonic() - started >= 0.4


def test_that_there_are_no_probabilities_is_only_told_of_answers() -> None:
    said: list[str] = []
    with FaultServer(lambda *_: "A", raw=lambda _: (200, {}, b"<html>")) as server:
        replies_of(server, [Ask("0", ("q",), options=("A", "B"))], say=said.append)
    assert not said
