"""A model behind an OpenAI-compatible URL (`vllm serve`, a hosted one), asked by the official client library.

    OpenAiBackend(url, model, *, api_key_env="OPENAI_API_KEY", concurrency=8, requests_per_minute=None, timeout=60,
                  attempts=6, backoff_s=0.5)

The library's own retries are off and ours on, so that every request and every fault is counted. Nothing leaves but the
requests; the key is read from the environment, never shown or stored. What is tried again, how often and how long in
between is *ours*.
"""

from __future__ import annotations

import asyncio
import atexit
import queue
import random
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from typing import Any

import openai

from aot.backends.address import api_key, checked_url, listed_models, models_hint
from aot.backends.base import Ask, Reply, Sampling
from aot.backends.chat import Fault, chat_body, error_text, read_completion, retry_after_s, user_turn
from aot.data.decoding import BadPicture
from aot.errors import AotError

EMPTY_ATTEMPTS = 3
"""A model that says nothing mostly says nothing again."""
LONGEST_WAIT_S, LONGEST_BACKOFF_S = 600.0, 30.0
LARGEST_ANSWER_BYTES = 64 << 20
FILTERED = re.compile(r"content.?filter|content.?policy|content management|moderation|flagged|safety", re.IGNORECASE)
LOST_IN_A_ROW = 4
"""At least so many questions (else as many as are asked at once) are lost in a row before a server that still answers
something counts as broken."""


class OpenAiBackend:
    """Asks `concurrency` questions at once. At most twice as many are taken ahead of the consumer."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        timeout: float = 60,
        attempts: int = 6,
        backoff_s: float = 0.5,
    ):
        self.url, self.shown_url = checked_url(url)
        self.model = self.name = model
        self.concurrency, self.timeout, self.attempts, self.backoff_s = concurrency, timeout, attempts, backoff_s
        if min(concurrency, attempts) < 1 or timeout <= 0 or (requests_per_minute or 1) <= 0:
            raise AotError("concurrency, attempts, timeout and requests a minute are above 0", where=self.shown_url)
        self.interval_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self.api_key_env, self._key = api_key_env, api_key(api_key_env)
        self.without: set[str] = set()  # parameters that the server has refused
        self._next_turn = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "openai", "url": self.shown_url, "model": self.model}

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        """As `Backend.ask`. Raises `AotError` for a wrong key, URL or model, and when nobody answers any more."""
        source, waiting = iter(asks), 0
        done: queue.SimpleQueue[Future[tuple[Ask, Reply]]] = queue.SimpleQueue()
        with closing(_Session(self, sampling)) as session:
            while True:
                # Images are prepared here, in the consumer's thread: the others are on their way meanwhile.
                while waiting < 2 * self.concurrency and (ask := next(source, None)) is not None:
                    try:
                        messages = user_turn(ask, sampling)
                    except BadPicture as error:
                        yield ask, Reply("", "error", f"{error.word}: {error}", attempts=0)
                        continue
                    future = asyncio.run_coroutine_threadsafe(session.reply(ask, messages), session.loop)
                    future.add_done_callback(done.put)
                    waiting += 1
                if not waiting:
                    return
                yield done.get().result()
                waiting -= 1

    def clean(self, text: str) -> str:
        """Without the key, which some servers repeat in what they say, and without what no UTF-8 can hold."""
        shown = text.replace(self._key, "***") if self._key and len(self._key) >= 8 else text
        return shown.encode("utf-8", "replace").decode()


class _Session:
    """One call of `ask`: an event loop in a thread of its own, a client, and what was heard of the server."""

    def __init__(self, backend: OpenAiBackend, sampling: Sampling):
        self.backend, self.sampling = backend, sampling
        self.client = openai.AsyncOpenAI(
            base_url=backend.url,
            api_key=backend._key or "none",
            max_retries=0,
            timeout=backend.timeout,
            default_headers={"Accept-Encoding": "identity"},  # a small file could unpack to a large one
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [_refuse_the_huge]}),
        )
        self.slots = asyncio.Semaphore(backend.concurrency)
        self.answered_at, self.lost_in_a_row = 0.0, 0
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="questions", daemon=True)
        self._thread.start()
        # A program that ends by an error elsewhere drops its iterators when no thread runs any more: too late to wait.
        atexit.register(self.close)

    def close(self) -> None:
        """Cancels what is under way (an error, Ctrl-C, a consumer that has enough) and closes the connections."""
        atexit.unregister(self.close)
        if self.loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(10):
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            # A cancellation that falls into the closing of a connection may be lost: it is then repeated.
            _, tasks = await asyncio.wait(tasks, timeout=0.1)
        await self.client.close()

    async def reply(self, ask: Ask, messages: list[dict[str, Any]]) -> tuple[Ask, Reply]:
        """Asks until there is a reply, at most `attempts` times."""
        backend, faults = self.backend, list[str]()
        async with self.slots:
            started, requests, refused = time.monotonic(), 0, set[str]()
            while True:
                body = chat_body(ask, messages, backend.model, self.sampling, backend.without)
                await self._turn()
                requests += 1
                outcome = await self._attempt(body, ask.options, refused)
                if isinstance(outcome, Reply):
                    self._heard()
                    reply = replace(outcome, text=backend.clean(outcome.text), error=backend.clean(outcome.error))
                    break
                faults.append(outcome.word)
                if outcome.word == "parameter":
                    continue
                tried = requests - faults.count("parameter")
                if tried >= backend.attempts or faults.count("empty") >= EMPTY_ATTEMPTS:
                    if outcome.word == "empty":
                        self._heard()
                    else:
                        await self._check_alive(started, outcome)
                    reply = Reply("", "error", backend.clean(f"{outcome.word}: {outcome.detail}"))
                    break
                await asyncio.sleep(self._pause_s(outcome, tried))
        seconds = time.monotonic() - started
        return ask, replace(reply, seconds=seconds, attempts=requests, faults=tuple(faults))

    def _heard(self) -> None:
        self.answered_at, self.lost_in_a_row = time.monotonic(), 0

    async def _turn(self) -> None:
        """Waits for the rate limit: requests leave evenly spaced."""
        if self.backend.interval_s:
            now = time.monotonic()
            turn = max(now, self.backend._next_turn)
            self.backend._next_turn = turn + self.backend.interval_s
            await asyncio.sleep(turn - now)

    def _pause_s(self, fault: Fault, tried: int) -> float:
        """As long as the server asks for; else twice as long each time. Jitter, so that not all come back at once."""
        longest = min(LONGEST_BACKOFF_S, self.backend.backoff_s * 2 ** (tried - 1))
        if fault.wait_s is not None:
            return min(fault.wait_s, LONGEST_WAIT_S) + random.uniform(0, longest / 4)
        return random.uniform(longest / 2, longest)

    async def _attempt(self, body: dict[str, Any], options: tuple[str, ...], refused: set[str]) -> Reply | Fault:
        """One request. `refused` remembers the parameters that this question was refused for."""
        try:
            async with asyncio.timeout(self.backend.timeout):
                response = await self.client.chat.completions.with_raw_response.create(**body)
        except (TimeoutError, openai.APITimeoutError):
            return Fault("timeout", f"no answer within {self.backend.timeout:g} s")
        except openai.APIStatusError as error:
            return await self._status(error, body, refused)
        except openai.APIConnectionError as error:
            return Fault("connection", str(error.__cause__ or error)[:200])
        return read_completion(response.http_response.content, options)

    async def _status(self, error: openai.APIStatusError, body: dict[str, Any], refused: set[str]) -> Reply | Fault:
        """What an HTTP status of 400 and above means."""
        backend, status, told = self.backend, error.status_code, self.backend.clean(error_text(error.body))
        if status < 500 and status != 429 and (parameter := _blamed(told, body)) and parameter not in refused:
            refused.add(parameter)
            backend.without.add(parameter)
            return Fault("parameter", told)
        if status == 429 and "insufficient_quota" in told:
            raise AotError(f"HTTP 429: {told}", where=backend.shown_url, hint="see to the account's quota")
        if status in (408, 409, 425, 429) or status >= 500:
            wait_s = retry_after_s(error.response.headers.get("retry-after"), time.time())
            return Fault(str(status), told, wait_s)
        if FILTERED.search(told):
            return Reply("", "refused", f"{status}: {told}")
        if status in (401, 403):
            hint = f"put the right key into the environment as {backend.api_key_env}"
            raise AotError(f"HTTP {status}, not allowed: {told}", where=backend.shown_url, hint=hint)
        if status == 404:
            what = f"HTTP 404, no model {backend.model!r} at this address: {told}"
            raise AotError(what, where=backend.shown_url, hint=models_hint(await self._offered()))
        return Reply("", "error", f"{status}: {told}")

    async def _offered(self) -> list[str] | None:
        """As `offered_models`."""
        try:
            async with asyncio.timeout(min(self.backend.timeout, 10)):
                response = await self.client.models.with_raw_response.list()
        except openai.APIStatusError:
            return []
        except (TimeoutError, openai.APIConnectionError):
            return None
        return listed_models(response.http_response.content)

    async def _check_alive(self, started: float, last: Fault) -> None:
        """Raises `AotError` where a lost question means a dead server: nobody was answered since it was first asked,
        and /models does not answer either, or several in a row were lost so."""
        if self.answered_at > started:
            return
        backend = self.backend
        self.lost_in_a_row += 1
        few = self.lost_in_a_row < max(LOST_IN_A_ROW, backend.concurrency)
        if few and await self._offered() is not None:
            return
        raise AotError(
            f"the server does not answer any more, {backend.attempts} times in a row (last: "
            f"{backend.clean(last.word)}, {backend.clean(last.detail)})",
            where=backend.shown_url,
            hint="see to the server" + (", or give it more time" if last.word == "timeout" else ""),
        )


def _blamed(told: str, body: dict[str, Any]) -> str | None:
    """The parameter that a refused request can do without, if the message is about one."""
    if "logprobs" in body and "logprobs" in told:
        return "logprobs"
    if "max_tokens" in body and "max_completion_tokens" in told and "support" in told:
        return "max_tokens"
    if "seed" in body and re.search(r"\bseed\b", told):
        return "seed"
    return None


async def _refuse_the_huge(response: Any) -> None:
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > LARGEST_ANSWER_BYTES:
        raise openai.APIConnectionError(message=f"an answer of {declared} bytes", request=response.request)
