"""A real HTTP server on 127.0.0.1 that speaks OpenAI's chat protocol and injects faults, for tests.

    with FaultServer(reply, rate=0.3, seed=0) as server:      # reply(content, body) -> str | dict
        OpenAiBackend(server.url, "mini", timeout=server.timeout_s, backoff_s=0.01)

`reply` gets the turn's parts (text, bytes of images) and the request's JSON; it returns the answer's text, or
the protocol's parts as {"choice": {...}, "usage": {...}}. `backed_by(backend)` makes one of a `Backend`.
`server.requests[content]` and `server.delivered[content]` count per content, `server.faults` by word;
`server.most_at_once` and `server.arrivals` (seconds) measure concurrency and rate.

Whether the n-th request of a content fails, and how, depends on seed, content and n alone, not on the order of arrival.
The first `long_stalls` stalls last `long_stall_s`, all others `stall_s`; a "timeout" lasts until `timeout_s` is over.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aot.backends.base.backend import Ask, Backend, Sampling

FAULTS = ("timeout", "429", "500", "truncated_json", "empty", "refusal", "stall")
Reply = Callable[[tuple[str | bytes, ...], dict[str, Any]], "str | dict[str, Any]"]


def backed_by(backend: Backend) -> Reply:
    """Answers by a backend, one request after the other (a model in this process has one copy)."""
    lock = threading.Lock()

    def reply(content: tuple[str | bytes, ...], body: dict[str, Any]) -> dict[str, Any]:
        sampling = Sampling(body["temperature"], body["top_p"], body["max_tokens"], body.get("seed", 0))
        with lock:
            [(_, said)] = backend.ask([Ask("0", content)], sampling)
        finish = {"truncated": "length", "refused": "content_filter"}.get(said.status, "stop")
        usage = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens}
        message = {"role": "assistant", "content": said.text}
        return {"choice": {"message": message, "finish_reason": finish}, "usage": usage}

    return reply


class QuietServer(ThreadingHTTPServer):
    """A client that goes away is part of the tests."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class FaultServer:
    """Runs between `with` and its end; see the module."""

    def __init__(
        self,
        reply: Reply,
        *,
        rate: float = 0.0,
        faults: Sequence[str] = FAULTS,
        seed: int = 0,
        timeout_s: float = 0.3,
        stall_s: float = 0.05,
        long_stall_s: float = 10.0,
        long_stalls: int = 0,
        retry_after: str = "0.02",
        models: Sequence[str] = ("mini",),
        api_key: str | None = None,
        delay_s: float = 0.0,
        raw: Callable[[str], tuple[int, dict[str, str], bytes] | None] | None = None,
        drops_images: bool = False,
        image_tokens: int | None = 64,
    ):
        self.reply, self.rate, self.kinds, self.seed = reply, rate, tuple(faults), seed
        self.timeout_s, self.stall_s = timeout_s, stall_s
        self.long_stall_s, self.long_stalls = long_stall_s, long_stalls
        self.retry_after, self.models, self.api_key, self.delay_s = (
            retry_after,
            tuple(models),
            api_key,
            delay_s,
        )
        self.raw, self.drops_images, self.image_tokens = raw, drops_images, image_tokens
        """Given the turn's text, a whole HTTP response in place of the protocol's, or None."""
        self.requests: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.arrivals: list[float] = []
        self.most_at_once = self._now = 0
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._http = QuietServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def fault(self, content: str, nth: int) -> str | None:
        """What goes wrong with the nth request of a content; None: nothing."""
        digest = hashlib.sha256(f"{self.seed}:{content}:{nth}".encode()).digest()
        draw = random.Random(digest)
        return draw.choice(self.kinds) if draw.random() < self.rate else None

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        """Status, headers and body; None: the connection is dropped."""
        key = hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()
        with self._lock:
            self.requests[key] += 1
            self.bodies.append(body)
            fault = self.fault(key, self.requests[key])
            if fault is not None:
                self.faults[fault] += 1
            stall_s = self.long_stall_s if self.faults["stall"] <= self.long_stalls else self.stall_s
        if self.delay_s:
            self._closing.wait(self.delay_s)
        content = tuple(_part(part) for part in body["messages"][-1]["content"])
        if self.drops_images:
            content = tuple(part for part in content if isinstance(part, str))
        if self.raw is not None:
            words = next((part for part in content if isinstance(part, str)), "")
            if (given := self.raw(words)) is not None:
                return given
        if fault == "timeout":
            self._closing.wait(3 * self.timeout_s)
            return None
        if fault == "429":
            told = {"error": {"message": "slow down", "code": "rate_limit"}}
            return _json(429, told, {"Retry-After": self.retry_after})
        if fault == "500":
            return _json(500, {"error": {"message": "the engine stumbled"}})
        if fault == "stall":
            self._closing.wait(stall_s)
        if fault == "refusal":
            choice: dict[str, Any] = {
                "message": {"role": "assistant", "content": None, "refusal": "I can't help with that."},
                "finish_reason": "stop",
            }
            usage: dict[str, Any] = {}
        elif fault == "empty":
            choice, usage = {"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}, {}
        else:
            said = self.reply(content, body)
            if isinstance(said, str):
                said = {"choice": {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}}
            choice, usage = said["choice"], said.get("usage", self._usage(content))
        status, headers, out = _json(
            200,
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, **choice}],
                "usage": usage,
            },
        )
        if fault == "truncated_json":
            return status, headers, out[: len(out) // 2]
        if fault != "empty":
            with self._lock:
                self.delivered[key] += 1
        return status, headers, out

    def _usage(self, content: tuple[str | bytes, ...]) -> dict[str, int]:
        """One token a word; `image_tokens` each image, None: the server counts nothing."""
        if self.image_tokens is None:
            return {}
        tokens = sum(len(part.split()) if isinstance(part, str) else self.image_tokens for part in content)
        return {"prompt_tokens": tokens, "completion_tokens": 1}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                if self.path == "/v1/models":
                    names = [{"id": name, "object": "model"} for name in server.models]
                    self._send(_json(200, {"object": "list", "data": names}))
                else:
                    self._send(_json(404, {"error": {"message": f"no {self.path}"}}))

            def do_POST(self) -> None:
                with server._lock:
                    server.arrivals.append(time.monotonic())
                    server._now += 1
                    server.most_at_once = max(server.most_at_once, server._now)
                try:
                    body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                    answer = self._answer(body)
                finally:
                    with server._lock:
                        server._now -= 1
                self._send(answer)

            def _answer(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
                if server.api_key and self.headers.get("Authorization") != f"Bearer {server.api_key}":
                    told = f"Incorrect API key provided: {self.headers.get('Authorization')}"
                    return _json(401, {"error": {"message": told, "code": "invalid_api_key"}})
                if self.path != "/v1/chat/completions":
                    return _json(404, {"error": {"message": f"no {self.path}"}})
                if body["model"] not in server.models:
                    return _json(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
                return server.answer(body)

            def _send(self, answer: tuple[int, dict[str, str], bytes] | None) -> None:
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                try:
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(body)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # the client has gone, as it does after its time-out
                    self.close_connection = True

        return Handler


def _json(status: int, value: object, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode()


def _part(part: dict[str, Any]) -> str | bytes:
    if part["type"] == "text":
        return str(part["text"])
    return base64.b64decode(part["image_url"]["url"].split(",", 1)[1])
