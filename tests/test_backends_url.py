"""A model behind a URL, against a real server that fails in every way: same answers, every fault counted, nothing
asked twice."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest

from aot.backends.asking.ask_all import ask_all
from aot.backends.asking.counts import AskedCounts
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Reply, Sampling, reply_key
from aot.backends.base.pictures import png
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.openai.chat import read_completion
from aot.backends.openai.error_bodies import retry_after_s
from aot.backends.openai.option_probabilities import option_probabilities
from aot.errors import AotError
from conftest import further
from fault_server import FAULTS, FaultServer

GREEDY = Sampling()
KEY = "sk-very-secret-123456"


def asks(n: int) -> list[Ask]:
    return [Ask(str(i), (f"question {i}",)) for i in range(n)]


def echo(content: tuple[str | bytes, ...], body: dict) -> str:
    return f"the answer to {content[-1]!r}"


def backend_of(server: FaultServer, **settings: object) -> OpenAiBackend:
    return OpenAiBackend(server.url, "mini", **{"timeout": server.timeout_s, "backoff_s": 0.01, **settings})  # type: ignore[arg-type]


def one(server: FaultServer, ask: Ask | None = None, sampling: Sampling = GREEDY, **settings: object) -> Reply:
    [(_, reply)] = backend_of(server, **settings).ask([ask or Ask("1", ("hello",))], sampling)
    return reply


def test_a_run_with_faults_answers_as_one_without() -> None:
    with FaultServer(echo) as server:
        calm = {ask.id: reply for ask, reply in ask_all(backend_of(server, timeout=20), asks(120), GREEDY)}
    counts = AskedCounts()
    with FaultServer(echo, rate=0.3, timeout_s=0.8, seed=1) as server:
        rough = {ask.id: reply for ask, reply in ask_all(backend_of(server), asks(120), GREEDY, counts=counts)}
    assert {reply.status for reply in calm.values()} == {"answered"}
    assert all(reply.text == calm[i].text for i, reply in rough.items() if reply.status == "answered")
    assert set(server.faults) == set(FAULTS)
    # Every fault that is not an answer is counted by its word; a refusal is a reply, a stall only takes time.
    words = {"truncated_json": "invalid_json", "refusal": None, "stall": None}
    expected = Counter({words.get(w, w): n for w, n in server.faults.items() if words.get(w, w)})
    slow = counts.faults.pop("timeout") - expected.pop("timeout")  # a loaded machine may cause some of its own
    assert 0 <= slow <= 3 and counts.faults == expected
    assert counts.statuses["refused"] == server.faults["refusal"] and counts.statuses["answered"] >= 100
    assert counts.requests == counts.asked + sum(counts.faults.values()) + server.faults["timeout"] + slow - (
        counts.statuses["error"]
    )


def test_a_stall_is_waited_for() -> None:
    """A second and a half; others go on meanwhile."""
    with FaultServer(echo, rate=0.4, faults=["stall"], long_stalls=1, long_stall_s=1.5, timeout_s=30) as server:
        order = [(ask.id, reply) for ask, reply in backend_of(server).ask(asks(30), GREEDY)]
    assert {reply.status for _, reply in order} == {"answered"} and order[-1][1].seconds > 1.4
    assert sum(reply.seconds > 1.4 for _, reply in order) == 1


RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background job ignores, its children do, too
from aot.backends.asking.ask_all import ask_all
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Sampling
from aot.backends.openai.backend import OpenAiBackend
backend = OpenAiBackend(sys.argv[1], "mini", timeout=30, concurrency=4, backoff_s=.01)
asks = (Ask(str(i), (f"question {i}",)) for i in range(int(sys.argv[3])))
with AnswerStore(sys.argv[2]) as store:
    for ask, reply in ask_all(backend, asks, Sampling(), store):
        print(ask.id, flush=True)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, *further(signal.SIGINT)])
def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path: Path, blow: signal.Signals) -> None:
    path, faults = tmp_path / "replies.sqlite", ["429", "500", "truncated_json", "empty", "stall"]
    over = threading.Event()

    def halting(content: tuple[str | bytes, ...], body: dict) -> str:
        """On a busy machine the run would be over before it is struck."""
        if sum(server.delivered.values()) >= 40:
            over.wait(60)
        return echo(content, body)

    with FaultServer(halting, rate=0.3, faults=faults, delay_s=0.03) as server:
        command = [sys.executable, "-c", RUN, server.url, str(path), "60"]
        run = subprocess.Popen(
            command, env=os.environ | {"OPENAI_API_KEY": KEY}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert run.stdout is not None
        handed_out = [run.stdout.readline().strip() for _ in range(25)]
        struck = time.monotonic()
        run.send_signal(blow)
        run.communicate()
        over.set()
        assert time.monotonic() - struck < 60 and run.returncode != 0  # far less; the machine may be busy
        with AnswerStore(path) as store:
            identity = backend_of(server).identity
            kept = {a.id for a in asks(60) if store.get(reply_key(identity, a, GREEDY))}
            assert kept >= set(handed_out) and len(kept) < 60
            before = len(server.bodies)
            given = {a.id: r for a, r in ask_all(backend_of(server, timeout=5), asks(60), GREEDY, store)}
        again = {body["messages"][0]["content"][0]["text"].split()[-1] for body in server.bodies[before:]}
    assert not again & kept and again == set(given) - kept
    assert {i: r.text for i, r in given.items()} == {a.id: echo(a.content, {}) for a in asks(60)}
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_concurrency_and_laziness() -> None:
    taken = 0

    def many():
        nonlocal taken
        for taken, ask in enumerate(asks(120), 1):  # noqa: B007
            yield ask

    with FaultServer(echo, delay_s=0.002) as server:
        counts = AskedCounts()
        replies = ask_all(backend_of(server, concurrency=5, timeout=20), many(), GREEDY, counts=counts)
        for handed_out, _ in enumerate(replies, 1):
            assert taken <= handed_out + 2 * 5
    assert server.most_at_once <= 5 < server.most_at_once + 3 and counts.requests == 120 == counts.statuses["answered"]


def test_the_rate_limit_holds_retries_included() -> None:
    with FaultServer(echo, rate=0.5, faults=["500"]) as server:
        assert len(list(backend_of(server, requests_per_minute=1200, timeout=20).ask(asks(15), GREEDY))) == 15
    gaps = np.diff(sorted(server.arrivals))
    assert len(server.arrivals) > 18 and gaps.mean() >= 0.049
    assert (np.array(sorted(server.arrivals)[10:]) - np.array(sorted(server.arrivals)[:-10])).min() > 0.4


def test_the_budget_holds_behind_a_url() -> None:
    with FaultServer(echo) as server:
        given = [reply for _, reply in ask_all(backend_of(server, timeout=20), asks(30), GREEDY, budget=12)]
    assert server.requests.total() == 12 and sum(reply.error == "budget" for reply in given) == 18


@pytest.mark.parametrize("header", ["0.4", lambda: formatdate(time.time() + 2, usegmt=True)])
def test_retry_after_is_honoured(header) -> None:
    text = header if isinstance(header, str) else header()
    with FaultServer(echo, rate=1, faults=["429"], retry_after=text, seed=3) as server:
        server.fault = lambda content, nth: "429" if nth == 1 else None  # type: ignore[method-assign]
        reply = one(server, timeout=20)
    assert reply.status == "answered" and reply.faults == ("429",) and reply.attempts == 2
    first, second = server.arrivals
    assert second - first >= (0.4 if isinstance(header, str) else 0.9)


def test_identical_questions_in_flight_are_asked_once() -> None:
    with FaultServer(echo, delay_s=0.02) as server:
        twins = [Ask(str(i), (f"question {i // 4}",)) for i in range(60)]
        given = {ask.id: reply.text for ask, reply in ask_all(backend_of(server, timeout=20), twins, GREEDY)}
    assert given == {ask.id: echo(ask.content, {}) for ask in twins} and set(server.requests.values()) == {1}


def test_retry_after_is_read() -> None:
    assert retry_after_s("3", 0) == 3 and retry_after_s("-3", 0) == 0
    date = "Thu, 01 Jan 1970 00:01:00 GMT"
    assert retry_after_s(date, 50) == 10 and retry_after_s(date, 90) == 0
    assert [retry_after_s(odd, 0) for odd in (None, "", "soon", "nan", "inf", "Thu, 99 Foo 1970")] == [None] * 6


def completion(message: object, **choice: object) -> bytes:
    return json.dumps({"choices": [{"message": message, **choice}]}).encode()


HOSTILE = {
    "huge": b'{"choices": "' + b"x" * 5_000_000 + b'"}',
    "binary": bytes(range(256)) * 100,
    "page": b"<!doctype html><title>502</title>",
    "nothing": b"",
    "null": b"null",
    "list": b"[1, 2]",
    "error inside": b'{"error": {"message": "engine died"}}',
    "no choices": b'{"choices": []}',
    "choices of text": b'{"choices": "A"}',
    "null message": completion(None),
    "null content": completion({"content": None}),
    "number": completion({"content": 7}),
    "object": completion({"content": {"text": "A"}}),
    "deep": b"[" * 100_000,
    "bad utf-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "endless": completion({"content": "A" * 2_000_000}),
    "odd usage": b'{"choices": [{"message": {"content": "  "}}], "usage": [3], "logprobs": 4}',
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_answers_are_faults(what: str) -> None:
    with FaultServer(echo, raw=lambda _: (200, {}, HOSTILE[what])) as server:
        reply = one(server, attempts=2, timeout=20)
    assert reply.status == "error" and len(reply.faults) == reply.attempts == 2
    assert set(reply.faults) <= {"invalid_json", "wrong_shape", "empty", "too_long"} and len(reply.error) < 400


def test_what_is_declared_too_large_is_not_read() -> None:
    with FaultServer(echo, raw=lambda _: (200, {"Content-Length": str(10**12)}, b"{")) as server:
        reply = one(server, attempts=2, timeout=20)
    assert reply.status == "error" and reply.faults == ("connection",) * 2 and "1000000000000 bytes" in reply.error


def test_answers_are_read() -> None:
    parts = [{"type": "text", "text": "The "}, {"type": "image"}, "answer", 3, {"text": None}]
    assert read_completion(completion({"content": parts})) == Reply("The answer")
    assert read_completion(completion({"content": "A.."}, finish_reason="length")) == Reply("A..", "truncated")
    assert read_completion(completion({"content": None}, finish_reason="length")) == Reply("", "truncated")
    assert read_completion(completion({"content": ""}, finish_reason="content_filter")) == Reply(
        "", "refused", "content_filter"
    )
    assert read_completion(completion({"content": None, "refusal": "No."})) == Reply("", "refused", "No.")
    told = json.loads(completion({"content": "A"}))
    told["usage"] = {"prompt_tokens": 9, "completion_tokens": -1, "prompt_tokens_details": {"image_tokens": 4}}
    read = read_completion(json.dumps(told).encode())
    assert isinstance(read, Reply)
    assert (read.prompt_tokens, read.completion_tokens, read.visual_tokens) == (9, None, 4)


def tokens(*said: str, top: dict[str, float] | None = None) -> list[dict]:
    listed = [{"token": t, "logprob": float(np.log(p))} for t, p in (top or {}).items()]
    return [{"token": token, "logprob": -1.0, "top_logprobs": listed} for token in said]


@pytest.mark.parametrize(
    "said",
    [
        ("B",),
        (" B", "."),
        ("(", "B", ")"),
        ("\\", "boxed", "{", "B", "}"),
        ("The answer", " is", " B", "\n"),
        ("B", "\n\nI"),
    ],
)
def test_probabilities_come_from_the_first_letter(said: tuple[str, ...]) -> None:
    top = {"B": 0.4, " B": 0.2, "A": 0.2, "dog": 0.1}
    assert option_probabilities(tokens(*said, top=top), "ABC") == pytest.approx((0.25, 0.75, 0.0))


@pytest.mark.parametrize(
    "said",
    [("A", " car", " is"), ("A", "nd"), ("Well", ",", " B"), ("dog",), (), ("A", "'s"), ("It", " is ", "A", " dog")],
)
def test_what_is_no_answer_has_no_probabilities(said: tuple[str, ...]) -> None:
    assert option_probabilities(tokens(*said, top={"A": 0.5, "B": 0.5}), "AB") is None


ODD = [None, float("nan"), 10**400, -(10**400), float("-inf"), 3, "much", True]


@pytest.mark.parametrize(
    "odd",
    [None, 3, "B", [None], [{"token": "B"}], [{"token": "B", "top_logprobs": [{"token": 3}]}]]
    + [[{"token": "B", "top_logprobs": [{"token": "B", "logprob": value}]}] for value in ODD],
)
def test_odd_probabilities_are_none(odd: object) -> None:
    assert option_probabilities(odd, "AB") is None
    assert option_probabilities(tokens("B", top={"B": 1.0}), ("yes", "no")) is None


GOLD = ("left of it \\boxed{A}", "left behind \\boxed{B}", "right \\boxed{C}")


def spoken(*steps: tuple[str, dict[str, float]]) -> list[dict]:
    """Tokens, each with its alternatives' probabilities, its own among them."""
    return [
        {
            "token": token,
            "logprob": math.log(top[token]),
            "top_logprobs": [{"token": each, "logprob": math.log(p)} for each, p in top.items()],
        }
        for token, top in steps
    ]


def test_whole_answers_weigh_by_where_they_branch_off() -> None:
    rest = [(" it", {" it": 1.0}), (" \\boxed{", {" \\boxed{": 1.0}), ("A", {"A": 1.0, "B": 1e-9}), ("}", {"}": 1.0})]
    branches = spoken(("left", {"left": 0.75, "right": 0.2, "cat": 0.05}), (" of", {" of": 0.8, " beh": 0.2}), *rest)
    wanted = np.array([0.75 * 0.8, 0.75 * 0.2, 0.2])
    assert option_probabilities(branches, GOLD) == pytest.approx(wanted / wanted.sum())
    ended = [*branches, *spoken(("<|im_end|>", {"<|im_end|>": 1.0}))]
    assert option_probabilities(ended, GOLD) == option_probabilities(branches, GOLD)
    whole = spoken(("right \\boxed{C}", {"right \\boxed{C}": 0.6, "le": 0.3, " left": 0.1, "": 0.1}))
    assert option_probabilities(whole, GOLD) == pytest.approx((0.2, 0.2, 0.6)), "shared by those it leads to"
    letter = spoken(("\\boxed{", {"\\boxed{": 0.9}), ("B", {"B": 0.5, "A": 0.25, "C": 0.25}), ("}", {"}": 1.0}))
    assert option_probabilities(letter, GOLD) == pytest.approx((0.25, 0.5, 0.25)), "the letter alone, where it is said"
    for other in ("left", "maybe right \\boxed{C}"):
        assert option_probabilities(spoken((other, {other: 1.0})), GOLD) is None
    for other in ([], {}, [3]):
        assert option_probabilities(other, GOLD) is None
    assert option_probabilities([{"token": "right \\boxed{C}"}], GOLD) is None
    assert option_probabilities(branches, ("left \\boxed{A}", "right \\boxed{A}")) is None, "no letter of their own"


def test_the_request_holds_what_was_asked() -> None:
    image = png(np.zeros((30, 40, 3), np.uint8))
    ask = Ask("1", ("Look:", image, "Which?", "\ud800"), ("A", "B"), trial=2)
    with FaultServer(lambda content, body: str([len(part) for part in content])) as server:
        drawn = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=33, seed=5, max_pixels=300)
        one(server, ask, drawn, timeout=20)
        one(server, Ask("1", ("Which?",), ("yes", "no")), timeout=20)
    body, plain = server.bodies
    sent = body["messages"][0]["content"]
    assert [part["type"] for part in sent] == ["text", "image_url", "text", "text"] and sent[3]["text"] == "?"
    assert sent[1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("mini", 0.7, 0.9, 33)
    assert isinstance(body["seed"], int) and body["logprobs"] is True and body["top_logprobs"] == 20
    assert "seed" not in plain and "logprobs" not in plain and plain["temperature"] == 0


def test_refused_parameters_are_left_out_from_then_on() -> None:
    def strict(content: tuple[str | bytes, ...], body: dict) -> dict:
        message = {"message": {"content": "A"}, "logprobs": {"content": tokens("A", top={"A": 1.0})}}
        return {"choice": message}

    def refuse(body: dict) -> tuple[int, dict[str, str], bytes] | None:
        for name, told in (
            ("logprobs", "This model does not support logprobs."),
            ("max_tokens", "Unsupported parameter: use max_completion_tokens, max_tokens is not supported."),
            ("seed", "Unknown field: seed"),
        ):
            if name in body:
                return 400, {}, json.dumps({"error": {"message": told}}).encode()
        return None

    with FaultServer(strict) as server:
        server.raw = lambda _: refuse(server.bodies[-1])
        backend = backend_of(server, timeout=20, concurrency=1)
        asked = [Ask(str(i), (f"Which {i}?",), ("A", "B")) for i in range(3)]
        given = [reply for _, reply in backend.ask(asked, Sampling(temperature=1.0))]
    assert [reply.status for reply in given] == ["answered"] * 3
    assert [reply.faults for reply in given] == [("parameter",) * 3, (), ()]
    assert server.bodies[-1]["max_completion_tokens"] == 1024 and "seed" not in server.bodies[-1]


@pytest.mark.parametrize(
    ("status", "told", "becomes"),
    [
        (400, {"error": {"message": "image too large"}}, "error"),
        (413, "<html>too large</html>", "error"),
        (422, [], "error"),
        (400, {"error": {"message": "no", "code": "content_filter"}}, "refused"),
        (403, {"error": {"message": "Your input was flagged by moderation"}}, "refused"),
    ],
)
def test_a_request_that_is_refused_is_that_items_reply(status: int, told: object, becomes: str) -> None:
    def raw(text: str) -> tuple[int, dict[str, str], bytes] | None:
        return (status, {}, json.dumps(told).encode()) if text == "question 1" else None

    with FaultServer(echo, raw=raw) as server:
        given = {ask.id: reply for ask, reply in backend_of(server, timeout=20).ask(asks(4), GREEDY)}
    assert [given[i].status for i in "0123"] == ["answered", becomes, "answered", "answered"]
    assert given["1"].attempts == 1 and str(status) in given["1"].error


def test_a_picture_that_cannot_be_sent_is_that_items_reply() -> None:
    with FaultServer(echo) as server:
        bad = Ask("bad", (b"no picture", "Which?"))
        given = {ask.id: reply for ask, reply in backend_of(server, timeout=20).ask([*asks(2), bad], GREEDY)}
    assert given["bad"].status == "error" and given["bad"].error.startswith("unreadable_image") and len(given) == 3
    assert given["bad"].attempts == 0 and server.requests.total() == 2


@pytest.mark.parametrize(
    ("given", "model", "says"),
    [("sk-wrong-key-000000", "mini", "401.*OPENAI_API_KEY"), (KEY, "maxi", "404.*maxi.*--model, one of: mini, midi")],
)
def test_a_wrong_key_or_model_ends_the_run(
    given: str, model: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", given)
    with FaultServer(echo, api_key=KEY, models=("mini", "midi")) as server, AnswerStore(tmp_path / "s") as store:
        backend = OpenAiBackend(server.url, model, timeout=20)
        with pytest.raises(AotError, match="(?s)" + says) as error:
            list(ask_all(backend, asks(50), GREEDY, store))
        assert server.url in str(error.value) and given not in str(error.value) and len(server.arrivals) < 30


def test_a_right_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    told = f"your key is {KEY} \ud800"
    with FaultServer(lambda *_: told, api_key=KEY) as server, AnswerStore(tmp_path / "s") as store:
        [(_, reply)] = ask_all(backend_of(server, api_key_env="MY_KEY", timeout=20), asks(1), GREEDY, store)
    assert reply.text == "your key is *** ?"
    assert all(KEY.encode() not in file.read_bytes() for file in tmp_path.iterdir())
    backend = OpenAiBackend("https://me:pass-word@host:99/v1/?key=abc", "m")
    assert backend.identity == {"kind": "openai", "url": "https://host:99/v1", "model": "m"}


@pytest.mark.parametrize("how", ["closed", "stalls", "page"])
def test_a_dead_server_ends_the_run_and_says_what_is_kept(how: str, tmp_path: Path) -> None:
    dead = False

    def raw(_: str) -> tuple[int, dict[str, str], bytes] | None:
        if dead and how == "stalls":
            time.sleep(0.5)
        return (502, {}, b"<html>bad gateway</html>") if dead else None

    with FaultServer(echo, raw=raw) as server, AnswerStore(tmp_path / "s") as store:
        backend = backend_of(server, attempts=2, concurrency=2, timeout=20)
        replies, started = ask_all(backend, asks(40), GREEDY, store), time.monotonic()
        for _ in range(10):
            next(replies)
        backend.timeout, dead = 0.2, True
        if how == "closed":
            server.stop()
        with pytest.raises(AotError, match=r"does not answer any more(.|\n)*replies are stored(.|\n)*goes on"):
            list(replies)
        assert len(store) >= 10 and time.monotonic() - started < 60


def test_one_question_that_kills_its_connection_does_not_end_the_run() -> None:
    def raw(text: str) -> tuple[int, dict[str, str], bytes] | None:
        return (200, {"Content-Length": "999"}, b"{") if text == "question 1" else None

    with FaultServer(echo, raw=raw) as server:
        backend = backend_of(server, attempts=2, concurrency=1, timeout=0.4)
        given = {ask.id: reply.status for ask, reply in backend.ask(asks(4), GREEDY)}
    assert given == {"0": "answered", "1": "error", "2": "answered", "3": "answered"}


@pytest.mark.parametrize("url", ["", "ftp://x/v1", "host/v1", "http://", "http://a:b:c/v1", "http://[1/v1"])
def test_what_is_no_url_says_so(url: str) -> None:
    with pytest.raises(AotError, match="not a URL"):
        OpenAiBackend(url, "m")


@pytest.mark.parametrize("end", ["raise SystemExit(7)", *further("1 / 0")])
def test_a_program_that_ends_meanwhile_ends_at_once(end: str) -> None:
    code = (
        "import sys; from aot.backends.base.backend import Ask, Sampling\n"
        "from aot.backends.openai.backend import OpenAiBackend\n"
        "backend = OpenAiBackend(sys.argv[1], 'mini', timeout=60)\n"
        "replies = backend.ask((Ask(str(i), (f'question {i}',)) for i in range(50)), Sampling())\n"
        f"for ask, reply in replies:\n    {end}"
    )

    def slow_but_first(text: str) -> None:
        time.sleep(0 if text == "question 0" else 30)

    with FaultServer(echo, raw=slow_but_first) as server:
        done = subprocess.run([sys.executable, "-c", code, server.url], capture_output=True, text=True, timeout=120)
    assert done.returncode == (1 if "/" in end else 7) and "Exception ignored" not in done.stderr


def test_an_abandoned_iterator_leaves_nothing_running() -> None:
    import threading

    with FaultServer(echo, delay_s=0.05) as server:
        replies = backend_of(server, timeout=20).ask(asks(100), GREEDY)
        next(replies)
        replies.close()  # type: ignore[attr-defined]
        assert not [thread for thread in threading.enumerate() if thread.name == "questions"]
        assert server.requests.total() < 40
