"""Frozen defenders behind a server: a vLLM that we start, or the user's URL. *Ours.*

    check_source(source, vllm)         before a run: is there a vLLM, is it a URL
    with frozen_defender(folder, player, source, asking, vllm, name="current", weights="iteration_1/defender-3f2a",
                         state=FOLDER/"checkpoint", log=RUN/"logs/vllm.log") as defender:
        defender.answer(...)

What a server answered is kept in `state` until the stage is finished: a stage whose server died asks only what is
missing. A server of ours is kept for the next defender of this process where that saves a start. Of several ranks the
first of each machine starts one, the others of the machine ask it, too.
"""

from __future__ import annotations

import atexit
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aot.backends.asking.defender import BackendDefender, gold_answers
from aot.backends.asking.sight import SightChecked
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Backend, Reply, Sampling
from aot.backends.openai.address import api_key, checked_url, offered_models
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.vllm.command import Served, served, vllm_program
from aot.backends.vllm.server import AGAIN, VllmServer, load_adapters
from aot.backends.vllm.settings import IN_PROCESS, VLLM, AskingSettings, VllmSettings
from aot.errors import AotError
from aot.players.base import Defender
from aot.players.base_players import token_limit
from aot.players.settings import DefenderSettings
from aot.runs import ranks
from aot.runs.files import read_json, write_json
from aot.runs.heartbeat import beat
from aot.runs.terminal import warn

STORE = "answers_{rank}.sqlite"


def check_source(source: str, vllm: VllmSettings) -> None:
    """Raises `AotError` for what no defender can be asked at: told before a run begins."""
    if source == VLLM:
        vllm_program(vllm)
    elif source != IN_PROCESS:
        checked_url(source)


@contextmanager
def frozen_defender(
    folder: Path,
    player: DefenderSettings,
    source: str,
    asking: AskingSettings,
    vllm: VllmSettings,
    *,
    name: str,
    weights: str,
    state: Path,
    log: Path,
    say: Callable[[str], None] = warn,
) -> Iterator[Defender]:
    """The defender of `folder`, called `name`. `source`: "vllm" or a URL. `weights` names what the folder holds: no
    other defender has this name. `state`: a folder for answers until the stage is finished; `log`: a server's.

    Raises `AotError` where the folder holds no defender, or its server is missing, ends, or has other weights.
    """
    model = served(folder, weights, offline=player.offline)
    sampling = Sampling(max_new_tokens=token_limit(player))
    how: dict[str, Any] = {"completions": gold_answers, "name": name, "abstain": player.abstain}
    with AnswerStore(state / STORE.format(rank=ranks.rank())) as store:
        how["store"] = store
        if source == VLLM:
            with server_here(model, vllm, player, state, log, say) as (url, server):
                backend = FrozenBackend(asked_at(url, model, asking, say), model, server)
                yield BackendDefender(backend, sampling, **how)
        else:
            find_at(source, model, asking)
            low, high = player.min_pixels or None, player.max_pixels or None  # we do not know how it was started
            sampling = replace(sampling, min_pixels=low, max_pixels=high)
            seeing = SightChecked(asked_at(source, model, asking, say), say=say, hint="start it anew")
            asked = FrozenBackend(seeing, model)
            yield BackendDefender(asked, sampling, **how)


@contextmanager
def server_here(
    model: Served,
    settings: VllmSettings,
    player: DefenderSettings,
    state: Path,
    log: Path,
    say: Callable[[str], None],
) -> Iterator[tuple[str, VllmServer | None]]:
    """The URL of this machine's server with the model, and where this process started it, the server. Raises `AotError`
    where it cannot be started, or sleeps by turns though several ranks would have to agree on them."""
    host = socket.gethostname()
    meeting = state / f"server_{host}.json"
    if settings.sleeps and ranks.local_world_size() > 1:
        hint = "with several ranks on a machine take shared, or own_gpus"
        raise AotError("time_shared is for one rank", where="compute.vllm.placement", hint=hint)
    if ranks.local_rank():
        yield _told_at(meeting, model, settings), None
        return
    if ranks.rank():
        log = log.with_name(f"vllm.{host}.log")
    server = _ours.take(model, settings, player, log, say)
    write_json(meeting, {"url": server.url, "launcher": os.getppid()})
    try:
        yield server.url, server
    finally:
        _ours.give_back()


def _told_at(meeting: Path, model: Served, settings: VllmSettings) -> str:
    """The URL that the machine's first rank, which has the same launcher, leaves in the file once it is ready."""
    until = time.monotonic() + settings.start_timeout_s + 60  # its own time-out comes first, and has more to say
    while time.monotonic() < until:
        beat()
        if meeting.exists():
            told = read_json(meeting, hint="delete it", needs=("url", "launcher"))
            if told["launcher"] == os.getppid() and model.name in (offered_models(told["url"]) or []):
                return str(told["url"])
        time.sleep(0.2)
    raise AotError("the machine's first rank has started no vLLM", where=str(meeting), hint="see its log")


def asked_at(url: str, model: Served, asking: AskingSettings, say: Callable[[str], None]) -> OpenAiBackend:
    return OpenAiBackend(
        url,
        model.name,
        api_key_env=asking.api_key_env,
        concurrency=asking.concurrency,
        timeout=asking.timeout_s,
        attempts=asking.attempts,
        longest_wait_s=asking.longest_wait_s,
        say=say,
    )


def find_at(url: str, model: Served, asking: AskingSettings) -> None:
    """Sees to it that the user's server has these very weights: it lists their name, or loads the adapters now. Raises
    `AotError` with the command that starts one that does."""
    base, shown = checked_url(url)
    listed = offered_models(url, api_key_env=asking.api_key_env)
    if listed is None:
        raise AotError("nobody answers at this address", where=shown, hint="start the server, or check the address")
    if model.name in listed:
        return
    if model.rank:
        load_adapters(base, model, key=api_key(asking.api_key_env))
        return
    command = ["vllm", "serve", model.loaded, "--served-model-name", model.name, "--generation-config", "vllm"]
    what = f"the server does not have the defender {model.name} (it has {', '.join(listed[:5]) or 'no models'})"
    raise AotError(what, where=shown, hint=f"start it with: {shlex.join(command)}; {AGAIN}")


class FrozenBackend:
    """`backend`, asked for one set of weights: its replies are stored under their name, wherever they came from, and a
    question that a server fails to answer ends the stage. `server`: ours, which is watched, and sleeps meanwhile where
    it shares its GPUs by turns."""

    def __init__(self, backend: Backend, model: Served, server: VllmServer | None = None):
        self.backend, self.model, self.server = backend, model, server
        self.name = model.name

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "frozen", "weights": self.model.name}

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        with self._awake():
            try:
                for ask, reply in self.backend.ask(asks, sampling):
                    if reply.status == "error" and reply.attempts:
                        what = f"a question was not answered ({reply.error}), tried {reply.attempts} times"
                        raise AotError(what, where=self._where(), hint="see to the server")
                    yield ask, reply
            except AotError:
                if self.server is not None:
                    self.server.check("while it was asked", wait_s=1.0)  # its end is the reason
                raise

    def _where(self) -> str:
        return str(self.server.log if self.server else self.backend.identity.get("url", ""))

    @contextmanager
    def _awake(self) -> Iterator[None]:
        if self.server is None or not self.server.settings.sleeps:
            yield
            return
        if torch := sys.modules.get("torch"):
            torch.cuda.empty_cache()  # what the trainer keeps for later and does not use now
        self.server.wake()
        try:
            yield
        finally:
            if self.server.runs:
                self.server.sleep()


class _Ours:
    """The one server that this process has running."""

    def __init__(self) -> None:
        self.server: VllmServer | None = None
        self.process = 0

    def take(
        self, model: Served, settings: VllmSettings, player: DefenderSettings, log: Path, say: Callable[[str], None]
    ) -> VllmServer:
        """A server that has the model: the running one, or a new one in its place."""
        if self.process != os.getpid():  # what a forked process was born with belongs to its parent
            self.server, self.process = None, os.getpid()
            atexit.register(self.stop)
        server = self.server
        if server is not None and server.runs and (server.settings, server.player) == (settings, player):
            if server.settings.sleeps and server.model.rank:
                server.wake()  # adapters are loaded into the GPU
            if server.serve(model):
                return server
        self.stop()
        server = VllmServer(model, settings, player, log=log, say=say)
        server.start()
        self.server = server
        if settings.sleeps:
            server.sleep()
        return server

    def give_back(self) -> None:
        """Nobody asks for now. A server that holds memory of the trainer's GPUs all the time ends."""
        if self.server is not None and self.server.settings.placement == "shared":
            self.stop()

    def stop(self) -> None:
        if self.process == os.getpid() and self.server is not None:
            server, self.server = self.server, None
            server.stop()


_ours = _Ours()
