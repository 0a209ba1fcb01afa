"""What providers and servers in use really send, by kind: what ends the run and how, what is asked again, what is left
out of the request. The bodies are of the forms that public documentation and issues show."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from aot.backends.base.backend import Ask, Reply, Sampling
from aot.backends.base.scripted import ScriptedBackend
from aot.backends.frozen import FrozenBackend
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.openai.chat import Fault, read_completion
from aot.backends.openai.error_bodies import error_text, wait_of
from aot.backends.opening import open_backend
from aot.backends.vllm.command import Served
from aot.errors import AotError
from fault_server import FaultServer

Response = tuple[int, dict[str, str], bytes]


def told(status: int, body: Any, **headers: str) -> Response:
    return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()


def error(status: int, message: str, **more: object) -> Response:
    return told(status, {"error": {"message": message, **more}})


def google(status: int, message: str, **more: object) -> Response:
    return told(status, [{"error": {"code": status, "message": message, **more}}])


def invalid(*place: str | int, message: str = "Extra inputs are not permitted") -> list[dict[str, Any]]:
    return [{"type": "x", "loc": list(place), "msg": message, "input": "iVBORw0KGgo" * 50}]


def page(title: str) -> bytes:
    style = "<style>body{margin:0}</style>" * 30
    return f"<!DOCTYPE html>\n<html><head>{style}<title>{title}</title></head><body>{title}</body></html>".encode()


def asked(server: FaultServer, n: int = 30, **settings: Any) -> list[Reply]:
    backend = OpenAiBackend(
        server.url, "mini", **{"timeout": 20, "backoff_s": 0.01, "attempts": 3, "concurrency": 2, **settings}
    )
    asks = [Ask(str(i), (f"question {i}",), ("A", "B")) for i in range(n)]
    return [reply for _, reply in backend.ask(asks, Sampling())]


KEY, MODEL, MONEY = "into the environment as", "--model", "account's credits"
SIGHT, ADDRESS = "a model that sees images", "check it (it mostly ends with /v1)"
ENDS = {
    "google key": (google(400, "API key not valid. Please pass a valid API key."), KEY),
    "google no key": (google(400, "Missing or invalid Authorization header."), KEY),
    "gateway key in a success": (told(200, {"success": False, "message": "invalid token", "code": 401}), KEY),
    "no key in a success": (told(200, {"detail": "Not authenticated"}), KEY),
    "openrouter model": (told(400, {"error": {"message": "q/x is not a valid model ID", "code": 400}}), MODEL),
    "deepseek model": (error(400, "Model Not Exist", code="invalid_request_error"), MODEL),
    "mistral model": (told(400, {"message": "Invalid model: x", "type": "invalid_model", "code": "1500"}), MODEL),
    "litellm model": (error(400, "You passed in model=x. There are no healthy deployments for this model."), MODEL),
    "zhipu model": (error(400, "模型不存在，请检查模型代码。", code="1211"), MODEL),
    "groq model": (error(400, "The model `x-v1.5-7b` has been decommissioned."), MODEL),
    "openai model": (error(403, "Project `p` does not have access", code="model_not_found"), MODEL),
    "anthropic money": (error(400, "Your credit balance is too low to access the API."), MONEY),
    "litellm money": (error(400, "Budget has been exceeded! Current cost: 2, Max budget: 1"), MONEY),
    "xai money": (told(403, {"error": "Your team has used all available credits or reached its limit."}), MONEY),
    "openai money": (error(429, "Your account is not active", code="billing_not_active"), MONEY),
    "moonshot money": (error(429, "see your plan", type="exceeded_current_quota_error"), MONEY),
    "zhipu money": (error(429, "余额不足或无可用资源包,请充值。", code="1113"), MONEY),
    "dashscope money": (error(400, "account not in good standing", code="Arrearage"), MONEY),
    "fireworks money": (error(412, "Account x is suspended, possibly due to failure to pay"), MONEY),
    "google none free": (google(429, "Quota exceeded for metric: x, limit: 0\nPlease retry in 20.04s."), MONEY),
    "llama.cpp sight": (error(500, "image input is not supported - hint: you may need to provide the mmproj"), SIGHT),
    "llama.cpp old sight": (error(500, 'Unsupported content part type: "image_url"'), SIGHT),
    "deepseek sight": (error(400, "messages[0]: unknown variant `image_url`, expected `text`"), SIGHT),
    "groq sight": (error(400, "messages[0].content must be a string"), SIGHT),
    "vllm sight": (told(400, {"message": "At most 0 image(s) may be provided in one prompt."}), SIGHT),
    "fastapi sight": (
        told(422, {"detail": invalid("body", "messages", 0, "content", message="Input should be a valid string")}),
        SIGHT,
    ),
    "lm studio address": (told(200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"}), ADDRESS),
    "fastapi address": (told(405, {"detail": "Method Not Allowed"}), ADDRESS),
    "a redirect to a page": (told(302, b"", Location="/v1/models"), "address that this leads to"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_every_question_will_meet_ends_the_run_with_the_step(name: str) -> None:
    response, step = ENDS[name]
    with FaultServer(lambda *_: "A", raw=lambda _: response) as server:
        with pytest.raises(AotError) as raised:
            asked(server)
        assert step in str(raised.value.hint) and server.requests.total() < 10


PASSES = {
    "google": google(429, "You exceeded your current quota, see billing. Quota: x, limit: 15\nPlease retry in 0.1s."),
    "groq": error(429, "Rate limit reached. Please try again in 50ms. See console/settings/billing", code="rate_limit"),
    "openai header": told(429, {"error": {"message": "You exceeded your current quota"}}, **{"Retry-After": "0.1"}),
    "tgi": told(424, {"error": "Request failed during generation", "error_type": "generation"}),
    "groq flex": error(498, "Flex tier capacity exceeded"),
    "google cancelled": google(499, "The operation was cancelled."),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_passes_is_asked_again(name: str) -> None:
    def raw(_: str) -> Response | None:
        return PASSES[name] if len(server.bodies) == 1 else None

    with FaultServer(lambda *_: "A", raw=raw) as server:
        assert [reply.text for reply in asked(server, 4)] == ["A"] * 4


REFUSES_PROBABILITIES = {
    "mistral": told(422, {"message": {"detail": invalid("body", "logprobs")}, "type": "invalid_request_error"}),
    "mistral now": told(422, {"detail": invalid("body", "logprobs"), "message": invalid("body", "logprobs")}),
    "mistral old": told(422, {"message": json.dumps({"detail": invalid("body", "logprobs")}), "code": "1000"}),
    "google": google(400, "Logprobs is not enabled for models/x"),
    "openai": error(400, "Unsupported parameter: 'logprobs' is not supported with this model."),
    "tgi": told(422, {"error": "Input validation error: `top_n_tokens` must be >= 0 and <= 5. Given: 20"}),
}


@pytest.mark.parametrize("name", REFUSES_PROBABILITIES)
def test_a_server_without_probabilities_answers_all_the_same(name: str) -> None:
    def raw(_: str) -> Response | None:
        return REFUSES_PROBABILITIES[name] if "logprobs" in server.bodies[-1] else None

    with FaultServer(lambda *_: "A", raw=raw) as server:
        assert {reply.status for reply in asked(server, 6, say=lambda _: None)} == {"answered"}


def test_a_server_that_lists_fewer_alternatives_is_asked_for_fewer() -> None:
    many = told(400, {"message": "Requested sample logprobs of 20, which is greater than max allowed: 5"})

    def reply(_: object, body: dict[str, Any]) -> dict[str, Any]:
        listed = [{"token": "A", "logprob": math.log(0.8)}, {"token": "B", "logprob": math.log(0.2)}]
        tokens = [{"token": "A", "logprob": math.log(0.8), "top_logprobs": listed[: body["top_logprobs"]]}]
        choice = {"message": {"content": "A"}, "finish_reason": "stop", "logprobs": {"content": tokens}}
        return {"choice": choice}

    said: list[str] = []
    with FaultServer(reply, raw=lambda _: many if server.bodies[-1]["top_logprobs"] > 5 else None) as server:
        replies = asked(server, 6, say=said.append)
    assert not said and all(reply.probabilities == pytest.approx((0.8, 0.2)) for reply in replies)


@pytest.mark.parametrize("finish", ["content_filter: PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "IMAGE_SAFETY"])
def test_google_words_for_what_was_withheld(finish: str) -> None:
    read = read_completion(json.dumps({"choices": [{"message": {}, "finish_reason": finish}]}).encode())
    assert isinstance(read, Reply) and read.status == "refused"


def test_of_several_choices_the_first_by_number_is_the_answer() -> None:
    choices = [{"index": n, "message": {"content": said}} for n, said in ((1, "B"), (0, "A"))]
    assert read_completion(json.dumps({"choices": choices}).encode()) == Reply("A")
    assert read_completion(json.dumps({"choices": choices[:1]}).encode()) == Reply("B")
    pieces = [{"index": n, "delta": {"content": said}} for n, said in ((1, "B"), (0, "A"), (1, "!"))]
    events = [f"data: {json.dumps({'choices': [piece]})}\n\n" for piece in pieces]
    assert read_completion(("".join(events) + "data: [DONE]\n\n").encode()) == Reply("A")


def test_a_page_is_told_by_its_words() -> None:
    assert error_text(page("502 Bad gateway").decode()) == "502 Bad gateway 502 Bad gateway"
    read = read_completion(page("Sign in"))
    assert isinstance(read, Fault) and "Sign in" in read.detail and "<" not in read.detail
    assert len(error_text("<html>" + "<" * 100_000)) <= 400


def test_a_validation_is_told_by_place_without_the_value() -> None:
    assert error_text({"detail": invalid("body", "n")}) == "body.n: Extra inputs are not permitted"
    assert error_text([{"error": {"message": "no", "code": 400}}]) == "no · 400"


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please retry in 20.04466179s.", 20.04466179),
        ("Please try again in 7m12s. Visit", 432),
        ("try again in 250ms", 0.25),
        ("Try again in 1h 2 minutes, 3 seconds", 3723),
        ("wait 6 seconds before", 6),
        ("please try again later", None),
        ("Limit 30000, requested 40000. Retry with less", None),
        ("retry in 5 months", None),
    ],
)
def test_a_wait_that_only_the_words_tell(words: str, seconds: float | None) -> None:
    assert wait_of({}, words, 0.0) == (None if seconds is None else pytest.approx(seconds))
    assert wait_of({"retry-after": "2"}, words, 0.0) == 2


@pytest.mark.parametrize(("reply", "ends"), [(Reply("", "error", "400: too long"), True), (Reply("A"), False)])
def test_a_frozen_defender_that_is_refused_a_question_ends_the_stage(reply: Reply, ends: bool) -> None:
    """At once or after tries: what a training learns from has an answer to each question."""
    model = Served("defender-1", Path("x"))
    backend = FrozenBackend(ScriptedBackend(lambda _: reply), model)
    with pytest.raises(AotError, match="400: too long") if ends else nullcontext():
        list(backend.ask([Ask("0", ("q",))], Sampling()))


# Addresses, keys, the environment.


def test_an_address_with_a_query_keeps_it() -> None:
    paths: list[str] = []
    headers: list[str] = []

    def play(connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        paths.append(request.split(b" ", 2)[1].decode())
        headers.append(request.lower().decode("latin-1"))
        body = b'{"data": [{"id": "only"}]}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with listening(play) as port:
        url = f"http://127.0.0.1:{port}/openai/deployments/x/chat/completions?api-version=2024-02-01"
        backend = open_backend(url)
    assert backend.name == "only" and paths == ["/openai/deployments/x/models?api-version=2024-02-01"]
    assert backend.identity["url"] == f"http://127.0.0.1:{port}/openai/deployments/x"


@contextmanager
def listening(play: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of one connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            play(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def test_a_key_that_lists_no_models_is_told_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    body = b'{"error": {"message": "No key"}}'
    answer = b"HTTP/1.1 401 X\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def play(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with listening(play) as port, pytest.raises(AotError, match="401, not allowed: No key") as raised:
        open_backend(f"http://127.0.0.1:{port}/v1")
    assert "OPENAI_API_KEY, which is not set" in str(raised.value.hint)


@pytest.mark.parametrize("url", ["http://a/\x00", "http://a/\udcff", "http://a:b/v1", "http://[::1/v1", "ftp://a"])
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(AotError, match="not a URL") as raised:
        OpenAiBackend(url, "mini")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "nonsense://x:1"), ("SSL_CERT_FILE", "/nonexistent"), ("OPENAI_ORG_ID", "ö")],
)
def test_an_environment_that_allows_no_request_is_told(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(AotError) as raised:
        list(OpenAiBackend("http://other.invalid/v1", "mini", attempts=1).ask([Ask("0", ("q",))], Sampling()))
    assert variable in str(raised.value.hint)


def test_a_model_name_that_no_request_can_hold_is_told() -> None:
    with FaultServer(lambda *_: "A") as server, pytest.raises(AotError, match="no request can be made"):
        list(OpenAiBackend(server.url, "m\udcff").ask([Ask("0", ("q",))], Sampling()))
