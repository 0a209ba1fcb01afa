"""A model behind an OpenAI-compatible URL (`vllm serve`, a hosted one), asked by the official client library.

    OpenAiBackend(url, model, *, api_key_env="OPENAI_API_KEY", concurrency=8, requests_per_minute=None, timeout=60,
                  attempts=6, backoff_s=0.5, longest_wait_s=1800, say=...)    `say`: told what the user should know

The library's own retries are off and ours on, so that every request and every fault is counted. Nothing leaves but the
requests; the key is read from the environment, never shown or stored. What is tried again, how often and how long in
between is *ours*.
"""

from __future__ import annotations

import asyncio
import atexit
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import closing
from dataclasses import replace
from typing import Any

import openai

from aot.backends.base.backend import Ask, Reply, Sampling
from aot.backends.openai import address, refusals
from aot.backends.openai.capped import keep_small_async
from aot.backends.openai.chat import Fault, chat_body, read_completion, user_turn
from aot.backends.openai.error_bodies import error_text, wait_of
from aot.backends.openai.pauses import LONGEST_WAIT_S, Pauses, RateLimit
from aot.data.images.decoding import BadPicture
from aot.errors import AotError
from aot.runs.progress import duration
from aot.runs.terminal import warn

EMPTY_ATTEMPTS = 3
"""A model that says nothing mostly says nothing again."""
LAST_REPLIES_S = 5.0
"""After a mistake that ends the run, replies under way are waited for so long: they are paid for."""
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
        longest_wait_s: float = LONGEST_WAIT_S,
        say: Callable[[str], None] | None = None,
    ):
        self.given_url, (self.url, self.shown_url) = url, address.checked_url(url)
        self.model = self.name = model
        self.concurrency, self.timeout, self.attempts, self.backoff_s = concurrency, timeout, attempts, backoff_s
        self.longest_wait_s = longest_wait_s
        if min(concurrency, attempts) < 1 or timeout <= 0 or (requests_per_minute or 1) <= 0:
            raise AotError("concurrency, attempts, timeout and requests a minute are above 0", where=self.shown_url)
        self.rate_limit = RateLimit(requests_per_minute)
        self.api_key_env, self._key = api_key_env, address.api_key(api_key_env)
        self.say = say or warn
        self.without: set[str] = set()  # parameters that the server has refused
        self._said: set[str] = set()

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
                waiting -= 1
                try:
                    reply = done.get().result()
                except AotError:
                    session.ending = True
                    yield from _last_replies(done, waiting, min(self.timeout, LAST_REPLIES_S))
                    raise
                yield reply

    def say_once(self, text: str) -> None:
        """Tells the user, the first time."""
        if text not in self._said:
            self._said.add(text)
            self.say(f"{self.shown_url}: {text}")

    def clean(self, text: str) -> str:
        """Without the key, which some servers repeat in what they say, and without what no UTF-8 can hold."""
        shown = text.replace(self._key, "***") if self._key and len(self._key) >= 8 else text
        return shown.encode("utf-8", "replace").decode()


class _Session:
    """One call of `ask`: an event loop in a thread of its own, a client, and what was heard of the server."""

    def __init__(self, backend: OpenAiBackend, sampling: Sampling):
        self.backend, self.sampling = backend, sampling
        connection = address.client_settings(backend.given_url, backend._key)
        connection["default_headers"] |= {"Accept-Encoding": "identity"}  # a small file could unpack to a large one
        http = address.http_client(openai.DefaultAsyncHttpxClient, backend.url, keep_small_async)
        self.client = openai.AsyncOpenAI(**connection, timeout=backend.timeout, http_client=http)
        self.slots = asyncio.Semaphore(backend.concurrency)
        self.answered_at, self.lost_in_a_row = 0.0, 0
        self.pauses = Pauses(backend.backoff_s, lambda said: backend.say(f"{backend.shown_url}: {said}"))
        self.ending = False  # a mistake ends the run: nothing more is asked
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
                await backend.rate_limit.turn()
                if self.ending:
                    raise asyncio.CancelledError
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
                too_long = (outcome.wait_s or 0) > backend.longest_wait_s
                if too_long:
                    outcome = replace(outcome, detail=self._too_long(outcome))
                if too_long or tried >= backend.attempts or faults.count("empty") >= EMPTY_ATTEMPTS:
                    if outcome.word == "empty":
                        self._heard()
                    else:
                        await self._check_alive(started, outcome)
                    reply = Reply("", "error", backend.clean(f"{outcome.word}: {outcome.detail}"))
                    break
                heard = f"{outcome.word} at try {tried} of {backend.attempts}"
                await self.pauses.until_next(outcome.wait_s, tried, heard)
        return ask, replace(reply, seconds=time.monotonic() - started, attempts=requests, faults=tuple(faults))

    def _heard(self) -> None:
        self.answered_at, self.lost_in_a_row = time.monotonic(), 0

    def _too_long(self, fault: Fault) -> str:
        asked, most = duration(fault.wait_s or 0), duration(self.backend.longest_wait_s)
        return f"the server asks to wait {asked}, and {most} is the most that is waited: {fault.detail}"

    async def _attempt(self, body: dict[str, Any], options: tuple[str, ...], refused: set[str]) -> Reply | Fault:
        """One request. `refused` remembers the parameters that this question was refused for."""
        try:
            async with asyncio.timeout(self.backend.timeout):
                response = await self.client.chat.completions.with_raw_response.create(**body)
        except (TimeoutError, openai.APITimeoutError):
            return Fault("timeout", f"no answer within {self.backend.timeout:g} s")
        except openai.APIStatusError as error:
            address.check_not_moved(error.response, self.backend.shown_url)
            return await self._status(error.status_code, error.body, error.response.headers, body, refused)
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            return Fault("connection", str(cause)[:200] or type(cause).__name__)
        except UnicodeEncodeError as error:
            hint = "see --model, and OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS in the environment"
            raise AotError(f"no request can be made ({error})", where=self.backend.shown_url, hint=hint) from None
        address.check_not_moved(response.http_response, self.backend.shown_url)
        content = response.http_response.content
        found = read_completion(content, options)
        if isinstance(found, Reply) and "logprobs" in body and b'"top_logprobs"' not in content:
            self.backend.say_once(refusals.NO_PROBABILITIES)
        if isinstance(found, Fault) and (status := refusals.status_inside(found.error, body)):
            return await self._status(status, found.error, {}, body, refused)
        return found

    async def _status(
        self, status: int, error: object, headers: Mapping[str, str], body: dict[str, Any], refused: set[str]
    ) -> Reply | Fault:
        """What an HTTP status of 400 and above means, or one in the body of a success."""
        backend, told = self.backend, self.backend.clean(error_text(error))
        own_words = refusals.without_question(told, body)
        came, status, wait_s = status, refusals.meant(status, own_words), wait_of(headers, own_words, time.time())
        parameter = refusals.blamed(own_words, body) if status < 500 and status != 429 else None
        if parameter and parameter not in refused:
            refused.add(parameter)
            backend.without.add(parameter)
            if parameter == "logprobs":
                backend.say_once(refusals.NO_PROBABILITIES)
            return Fault("parameter", told)
        if hint := refusals.next_step(status, own_words, wait_s):
            raise AotError(f"HTTP {came}: {told}", where=backend.shown_url, hint=hint)
        if status in refusals.PASSING or status >= 500:
            return Fault(str(status), told, wait_s)
        if refusals.is_filtered(own_words, error, body):
            return Reply("", "refused", f"{came}: {told}")
        if status in (401, 403):
            hint = address.key_hint(backend.api_key_env, backend._key)
            raise AotError(f"HTTP {came}, not allowed: {told}", where=backend.shown_url, hint=hint)
        if status == 404:
            what = f"HTTP {came}, no model {backend.model!r} at this address: {told}"
            hint = address.models_hint(await self._offered(), backend.model, is_found=came not in (404, 405))
            raise AotError(what, where=backend.shown_url, hint=hint)
        return Reply("", "error", f"{came}: {told}")

    async def _offered(self) -> list[str] | None:
        """As `offered_models`."""
        try:
            async with asyncio.timeout(min(self.backend.timeout, 10)):
                response = await self.client.models.with_raw_response.list()
        except openai.APIStatusError:
            return []
        except (TimeoutError, openai.APIConnectionError):
            return None
        return address.listed_models(response.http_response.content)

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
        said = backend.clean(f"{last.word}, {last.detail}")
        if (last.wait_s or 0) > backend.longest_wait_s:
            what, hint = said, refusals.LATER
        else:
            what = f"the server does not answer any more, {backend.attempts} times in a row (last: {said})"
            hint = refusals.WAY_ON.get(last.word, "see to the server")
        raise AotError(what, where=backend.shown_url, hint=hint)


def _last_replies(
    done: queue.SimpleQueue[Future[tuple[Ask, Reply]]], waiting: int, seconds: float
) -> Iterator[tuple[Ask, Reply]]:
    """Of `waiting` questions the replies that are there, or come within `seconds`."""
    until = time.monotonic() + seconds
    for _ in range(waiting):
        try:
            yield done.get(timeout=max(0.0, until - time.monotonic())).result()
        except queue.Empty:
            return
        except (AotError, CancelledError):
            continue
