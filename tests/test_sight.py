"""Whether a model behind a URL sees is found out before the first question; what a real server says is what we say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from aot.backends.asking.sight import ImageEffect, SightChecked, why_blind
from aot.backends.base.backend import Ask, Reply, Sampling
from aot.backends.base.pictures import png
from aot.backends.local.backend import LocalBackend
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.opening import open_backend
from aot.errors import AotError
from aot.players.base_players import player_folder
from aot.prompts import question_prompt
from aot.world.scenes import draw_scenes
from conftest import Ended
from fault_server import FaultServer, backed_by

A, B, RED, BLUE = "\\boxed{A}", "\\boxed{B}", "a red circle", "It is blue."


def reply(text: str, tokens: int | None = None, status: str = "answered") -> Reply:
    return Reply(text, status, prompt_tokens=tokens)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("red", "blue", "bare", "sees"),
    [
        (reply(A, 80), reply(A, 80), reply(A, 16), True),  # a weak model, but its images are in the prompt
        (reply(A, 16), reply(A, 16), reply(A, 16), False),
        (reply("?", 16), reply("!", 16), reply("?", 16), False),  # other words, as sampling has it
        (reply(A, 19), reply(A, 19), reply(A, 16), False),  # "<image>" as words
        (reply(A, 16), reply(B, 16), reply(A, 16), True),  # the server does not count images
        (reply(RED, 16), reply(BLUE, 16), reply("", 16), True),
        (reply(B, 16), reply(A, 16), reply(A, 16), False),
        (reply(A), reply(A), reply(A), False),
        (reply(A), reply(B), reply(A), True),
        (reply("a ball"), reply("a moon"), reply(""), True),
        (reply("", None, "truncated"), reply("", None, "truncated"), reply(A), True),  # nothing is known
        (reply("", None, "error"), reply(A, 16), reply(A, 16), True),
        (reply(A, 80), reply(A, 80), reply("", None, "error"), False),  # no count without an image: the answers tell
    ],
)
def test_what_the_three_replies_say(red: Reply, blue: Reply, bare: Reply, sees: bool) -> None:
    assert (why_blind(red, blue, bare) is None) == sees


def test_before_the_first_question_and_once() -> None:
    heard: list[str] = []
    with FaultServer(lambda content, body: A, drops_images=True) as server:
        backend = OpenAiBackend(server.url, "mini", timeout=5)
        with pytest.raises(AotError, match="16 prompt tokens with an image and 16 without"):
            list(SightChecked(backend).ask([Ask("1", ("hello",))], Sampling()))
        assert server.requests.total() == 3
        blind = SightChecked(backend, blind=True, say=heard.append)
        for _ in range(2):
            assert [r.text for _, r in blind.ask([Ask("1", ("hello",))], Sampling())] == [A]
        assert server.requests.total() == 3 + 3 + 2 and len(heard) == 1
    with FaultServer(backed_by(open_backend("miniature")), rate=0.3, timeout_s=5) as server:
        backend = OpenAiBackend(server.url, "mini", timeout=5, backoff_s=0.01, attempts=20)
        assert len(list(SightChecked(backend).ask([Ask("1", ("hello",))], Sampling()))) == 1


def test_replies_that_the_image_never_changes_are_noticed() -> None:
    def effect(*said: tuple[str, bytes, str], right: bool = False) -> int:
        found = ImageEffect()
        for text, image, told in said:
            found.note(Ask("1", (image, text)), Reply(told), right)
        return found.unmoved

    same = (("cat?", b"1", "yes"), ("cat?", b"2", "yes"), ("dog?", b"1", "no"), ("dog?", b"3", "no"))
    assert effect(*same) == 2
    assert effect(*same, right=True) == 0  # a model that is always right may say the same, too
    assert effect(*same[:3], ("dog?", b"3", "yes")) == 0
    assert effect(("cat?", b"1", "yes"), ("dog?", b"2", "yes"), ("cat?", b"1", "yes")) == 0


@pytest.mark.parametrize("counts", [True, False])
def test_eval_and_audit_stop_at_a_blind_model_and_go_on_if_told(
    aot: Callable[..., Ended], tmp_path: Path, counts: bool
) -> None:
    with FaultServer(lambda content, body: A, drops_images=True, image_tokens=64 if counts else None) as server:
        asked = ["--defender", server.url, "--model", "mini"]
        audit = ["audit", *asked, "--data", "world", "--limit", "12", "--attacks", "blur", "--draws", "1"]
        status, _, told = aot(*audit, "--out", str(tmp_path / "audit"))
        assert status == 2 and "does not seem to see" in told and "--blind" in told
        assert server.requests.total() == 3 and not (tmp_path / "audit" / "audit.html").exists()
        status, said, _ = aot(*audit, "--blind", "--out", str(tmp_path / "audit"))
        assert status == 0 and "No answer changed with its image" in said
        page = (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")
        assert page.index("No answer changed") < page.index("Clean accuracy")


def test_the_stock_server_sees_what_we_see(tmp_path: Path) -> None:
    """`transformers serve` on the folder of a player: the answers of this process."""
    folder = str(player_folder("miniature", "defender"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, str(Path(__file__).with_name("stock_classes.py"))]
    command = [*launcher, "serve", folder, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=quiet)
    try:
        until = time.monotonic() + 180
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None and time.monotonic() < until, (tmp_path / "log").read_text()[-2000:]
            time.sleep(0.3)
        scenes = draw_scenes(12, 9, "test")
        asks = [Ask(s.id, (png(s.image), question_prompt(s.question))) for s in scenes]
        served = SightChecked(OpenAiBackend(f"http://127.0.0.1:{port}/v1", folder, timeout=60, concurrency=2))
        said = {ask.id: reply for ask, reply in served.ask(asks, Sampling(max_new_tokens=16))}
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    here = {ask.id: reply for ask, reply in LocalBackend(folder, batch=12).ask(asks, Sampling(max_new_tokens=16))}
    for name, reply in here.items():
        assert (said[name].text, said[name].status, said[name].prompt_tokens) == (
            reply.text,
            reply.status,
            reply.prompt_tokens,
        )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False
