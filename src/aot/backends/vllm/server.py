"""`vllm serve`, started and stopped by us: it is there while somebody asks, and never longer than this process.

    with VllmServer(model, settings, player, log=RUN/"logs/vllm.log") as server:
        OpenAiBackend(server.url, server.model.name)
    server.check()          raises `AotError` with its last lines where it has ended
    server.serve(other)     adapters over the same base, loaded while it runs
    server.sleep(), server.wake()

The server runs under `end_with_parent`, which ends its whole process group when it is told to, or when this process has
ended.
It listens on 127.0.0.1 only, and is asked past any proxy that the environment names. *Ours.*
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from types import TracebackType

from aot.backends.openai.address import checked_url, is_local, listed_models
from aot.backends.vllm import end_with_parent
from aot.backends.vllm.command import Served, base_name, serve_command, serve_environment, vllm_program
from aot.backends.vllm.settings import VllmSettings
from aot.errors import AotError
from aot.players.settings import DefenderSettings
from aot.runs.files import disk_errors
from aot.runs.heartbeat import beat
from aot.runs.terminal import warn

LOOKS_EVERY_S, SPEAKS_EVERY_S = 0.25, 10.0
SHOWN = 12
"""Last lines of the log that an error quotes."""
AGAIN = "the same command goes on from what is stored"
HINTS = {
    ("out of memory", "Free memory on device", "No available memory for the cache"): (
        "give it another share of the GPU's memory (compute.vllm.memory), other GPUs (compute.vllm.gpus), or shorter "
        "answers (compute.vllm.max_model_len)"
    ),
    ("ddress already in use",): "--set compute.vllm.port=0 takes a free port",
    ("unrecognized arguments", "invalid choice"): "this vLLM does not know an argument; the log says which",
}
"""What a log says -> the next step."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class VllmServer:
    """One server; a context manager. Raises `AotError` where vLLM is missing, the port is taken, or the server ends or
    is not ready in time."""

    def __init__(
        self,
        model: Served,
        settings: VllmSettings,
        player: DefenderSettings,
        *,
        log: Path,
        say: Callable[[str], None] = warn,
    ):
        self.model, self.settings, self.player, self.log, self.say = model, settings, player, log, say
        self.names = {base_name(model), model.name}
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> VllmServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server answers and lists the model."""
        program, s = vllm_program(self.settings), self.settings
        self.port = s.port or free_port()
        if s.port and is_taken(s.port):
            hint = "--set compute.vllm.port=0 takes a free one; or end what listens there"
            raise AotError(f"port {s.port} is taken", where="compute.vllm.port", hint=hint)
        words = serve_command(program, self.model, s, self.player, port=self.port)
        guarded = [sys.executable, "-I", end_with_parent.__file__, str(os.getpid()), str(s.stop_timeout_s), *words]
        with disk_errors(self.log, "finished stages are kept"):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                log.write(f"$ {shlex.join(words)}\n".encode())
                log.flush()
                self._process = subprocess.Popen(
                    guarded,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=serve_environment(s, os.environ),
                    start_new_session=True,  # Ctrl-C reaches only us: the server ends when we say so
                )
        with ExitStack() as unready:
            unready.callback(self.stop)  # also on Ctrl-C
            self._wait_ready()
            unready.pop_all()

    def _wait_ready(self) -> None:
        s = self.settings
        begun = spoke = time.monotonic()
        self.say(f"vllm: starting {self.model.name} on 127.0.0.1:{self.port}; its log: {self.log}")
        while True:
            beat()
            self.check("while it started", again=f"; {AGAIN}")
            if self._is_ready():
                self.say(f"vllm: ready after {time.monotonic() - begun:.0f} s")
                return
            now = time.monotonic()
            if now - begun > s.start_timeout_s:
                hint = f"--set compute.vllm.start_timeout_s={2 * s.start_timeout_s:g}, or see the log; {AGAIN}"
                what = f"vLLM is not ready after {s.start_timeout_s:g} s"
                raise AotError(what + self._quoted(), where=str(self.log), hint=hint)
            if now - spoke >= SPEAKS_EVERY_S:
                spoke, last = now, self._last_lines(1)
                told = f": {last[0][:150]}" if last else ""
                self.say(f"vllm: {now - begun:.0f} of at most {s.start_timeout_s:.0f} s{told}")
            time.sleep(LOOKS_EVERY_S)

    def _is_ready(self) -> bool:
        try:
            self._request("/health")
            listed = listed_models(self._request("/v1/models"))
        except OSError:  # nobody there yet; or it is there, and not ready
            return False
        if self.model.name in listed:
            return True
        what = f"another server answers on port {self.port}: it has {', '.join(listed[:5]) or 'no models'}"
        raise AotError(what, where=self.url, hint="--set compute.vllm.port=0 takes a free port")

    def check(self, when: str = "", *, wait_s: float = 0.0, again: str = "") -> None:
        """Raises `AotError` where the server has ended, or ends within `wait_s`, with its last lines."""
        if self._process is None:
            return
        try:
            status = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return
        how = f"was killed ({_signal(status)})" if status > 128 else f"ended with exit status {status}"
        lines = self._last_lines(200)
        steps = (step for words, step in HINTS.items() if any(word in line for word in words for line in lines))
        hint = next(steps, "see the log") + again
        raise AotError(f"vLLM {how} {when}".rstrip() + self._quoted(), where=str(self.log), hint=hint)

    def serve(self, model: Served) -> bool:
        """Makes `model` the one that is served, where that needs no other process: it is served already, or it is
        adapters over the base that is loaded. Says whether it is."""
        if model.name not in self.names:
            if not (model.rank and self.model.rank and model.base == self.model.base):
                return False
            if model.rank > self.model.rank:
                return False
            load_adapters(self.url, model)
            self.names.add(model.name)
        self.model = model
        return True

    def sleep(self) -> None:
        """Frees the GPU's memory; the weights wait in the machine's."""
        self._steer("/sleep?level=1")

    def wake(self) -> None:
        """The weights go back to the GPU."""
        self._steer("/wake_up")

    def _steer(self, path: str) -> None:
        self.check()
        try:
            self._request(path, data=b"", timeout_s=600)
        except OSError as error:
            self.check()
            hint = "--set compute.vllm.placement=shared does without vLLM's sleep mode"
            raise AotError(f"vLLM refuses {path} ({error})", where=self.url, hint=hint) from error

    def stop(self) -> None:
        """Ends the server and all that it started; returns when they have ended."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(self.settings.stop_timeout_s + 10)
        except subprocess.TimeoutExpired:  # `end_with_parent` goes on trying
            self.say(f"vllm: it does not end, even killed (process {process.pid} tries on)")

    def _request(self, path: str, *, data: bytes | None = None, timeout_s: float = 5) -> bytes:
        """The answer of a path that is no question. Raises `OSError` where there is none."""
        try:
            with DIRECT.open(f"http://127.0.0.1:{self.port}{path}", data=data, timeout=timeout_s) as answer:
                return bytes(answer.read(1 << 20))
        except HTTPException as error:  # something else than HTTP, or an answer that breaks off
            raise OSError(f"no answer of a server ({error!r})") from error

    def _last_lines(self, n: int) -> list[str]:
        """Of the log, since this server was started."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - (1 << 16)))
                lines = deque(log.read().decode(errors="replace").splitlines(), maxlen=n)
        except OSError:
            return []
        kept = list(lines)
        begun = [i for i, line in enumerate(kept) if line.startswith("$ ")]
        return [line for line in (kept[begun[-1] + 1 :] if begun else kept) if line.strip()]

    def _quoted(self) -> str:
        return "".join(f"\n    {line}" for line in self._last_lines(SHOWN))


def load_adapters(url: str, model: Served, *, key: str = "") -> None:
    """Has a running vLLM load adapters under their name. Raises `AotError` with what it says where it does not."""
    body = json.dumps({"lora_name": model.name, "lora_path": str(model.folder.absolute())}).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(f"{url}/load_lora_adapter", body, headers)
    opened = DIRECT.open if is_local(url) else urllib.request.urlopen
    hint = (
        "start it with --enable-lora, --max-lora-rank as large as the adapters' and VLLM_ALLOW_RUNTIME_LORA_UPDATING="
        "True in its environment, on a machine that sees the run's folder"
    )
    try:
        with opened(request, timeout=300):
            return
    except urllib.error.HTTPError as error:
        told = error.read(1000).decode(errors="replace")
        if "already been loaded" in told:
            return
        what = f"the server does not load the adapters {model.name} (HTTP {error.code}: {told})"
        raise AotError(what, where=checked_url(url)[1], hint=hint) from error
    except (OSError, HTTPException, ValueError) as error:
        raise AotError(f"the server does not load adapters ({error})", where=checked_url(url)[1], hint=hint) from error


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was just closed is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _signal(status: int) -> str:
    try:
        return signal.Signals(status - 128).name
    except ValueError:
        return f"status {status}"
