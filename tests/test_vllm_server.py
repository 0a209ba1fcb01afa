"""`vllm serve` started and stopped by us, against a fake one: its command, its health, its end; whoever dies first, no
server is left and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from aot.backends.frozen import check_source, frozen_defender
from aot.backends.vllm.command import Served, serve_command, serve_environment, served
from aot.backends.vllm.server import VllmServer, free_port
from aot.backends.vllm.settings import AskingSettings, VllmSettings
from aot.errors import AotError
from aot.players.base_players import player_folder, reference_to
from aot.players.settings import DefenderSettings
from aot.runs.files import write_json
from aot.types import Image, Question
from fake_vllm import Upstream

PLAYER = DefenderSettings(dtype="bfloat16", max_new_tokens=40)
ASKING = AskingSettings(attempts=2, concurrency=4, timeout_s=20)


def says_a(folder: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"text": "\\boxed{A}"}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(says_a) as running:
        yield running
        deadline = time.monotonic() + 5
        while (left := [pid for pid in running.pids if runs(pid)]) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert left == [], "a server, or a process that it started, is left"


def runs(pid: int) -> bool:
    """Whether the process is there, and not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def model(tmp_path: Path) -> Served:
    folder = tmp_path / "defender"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return Served("iteration_1/defender-abc", folder)


def settings_of(upstream: Upstream, tmp_path: Path, **changes: Any) -> VllmSettings:
    return VllmSettings(command=str(upstream.install(tmp_path / "bin")), **{"stop_timeout_s": 5, **changes})


def pairs(n: int) -> tuple[list[Image], list[Question]]:
    images = [np.full((8, 8, 3), i, np.uint8) for i in range(n)]
    return images, [Question("Which?", ("a", "b"), 0)] * n


def test_the_command_makes_answers_those_of_the_model_in_this_process(model: Served) -> None:
    plain = serve_command(["vllm"], model, VllmSettings(arguments="--max-num-seqs 8"), PLAYER, port=5)
    assert plain[:7] == ["vllm", "serve", str(model.folder), "--host", "127.0.0.1", "--port", "5"]
    given = dict(pairwise(plain))
    assert given["--served-model-name"] == model.name and given["--dtype"] == "bfloat16"
    assert given["--generation-config"] == "vllm", "no repetition penalty of the folder's own"
    assert given["--gpu-memory-utilization"] == "0.35" and plain[-2:] == ["--max-num-seqs", "8"]
    assert not {"--enable-lora", "--enable-sleep-mode", "--data-parallel-size", "--quantization"} & set(plain)

    adapters = Served("it", Path("/run/a=b"), "Qwen/Qwen2.5-VL-7B-Instruct", 24)
    player = DefenderSettings.model_validate({"quantization": "nf4", "lora": {"rank": 24}, "max_pixels": 100})
    own = VllmSettings(placement="own_gpus", gpus="2,3,4,5", tensor_parallel=2, max_model_len=4096)
    words = serve_command(["vllm"], adapters, own, player, port=5)
    given = dict(pairwise(words))
    assert words[2] == adapters.base and given["--served-model-name"] == "base-of-it"
    assert given["--max-lora-rank"] == "32"
    assert json.loads(given["--lora-modules"]) == {"name": "it", "path": "/run/a=b"}
    assert json.loads(given["--mm-processor-kwargs"]) == {"max_pixels": 100}
    assert (given["--data-parallel-size"], given["--tensor-parallel-size"]) == ("2", "2")
    assert (given["--quantization"], given["--gpu-memory-utilization"]) == ("bitsandbytes", "0.9")


def test_the_server_is_no_rank_of_ours() -> None:
    here = {"RANK": "1", "MASTER_PORT": "2", "TORCHELASTIC_RUN_ID": "x", "PATH": "p", "CUDA_VISIBLE_DEVICES": "0"}
    found = serve_environment(VllmSettings(placement="time_shared"), here)
    assert not {"RANK", "MASTER_PORT", "TORCHELASTIC_RUN_ID"} & set(found)
    assert (found["PATH"], found["CUDA_VISIBLE_DEVICES"], found["VLLM_SERVER_DEV_MODE"]) == ("p", "0", "1")
    own = serve_environment(VllmSettings(placement="own_gpus", gpus="6,7"), here)
    assert own["CUDA_VISIBLE_DEVICES"] == "6,7" and "VLLM_SERVER_DEV_MODE" not in own


def test_what_a_folder_holds(tmp_path: Path, model: Served) -> None:
    assert served(model.folder, "x") == Served("x", model.folder)
    (model.folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Q", "r": 64}')
    assert served(model.folder, "x") == Served("x", model.folder, "Qwen/Q", 64)
    whole = player_folder("miniature", "defender")
    reference = tmp_path / "reference"
    write_json(reference / "base.json", reference_to(whole).model_dump())
    assert served(reference, "x") == Served("x", whole)
    shutil.copy(model.folder / "adapter_config.json", reference)
    assert served(reference, "x") == Served("x", reference, str(whole), 64)
    for wrong in ({"base_model_name_or_path": None, "r": 8}, {"r": 8}, [], {"base_model_name_or_path": "Q", "r": 0}):
        (model.folder / "adapter_config.json").write_text(json.dumps(wrong))
        with pytest.raises(AotError, match="next: "):
            served(model.folder, "x")
    with pytest.raises(AotError, match="no defender here"):
        served(tmp_path, "x")


def test_adapters_that_vllm_would_leave_out_are_refused(model: Served) -> None:
    (model.folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Q", "r": 4}')
    inside, lora = "base_model.model.model.", {"lora_A.weight": np.zeros((4, 8)), "lora_B.weight": np.zeros((8, 4))}

    def saved(*layers: str) -> None:
        weights = {f"{inside}{layer}.{half}": value for layer in layers for half, value in lora.items()}
        save_file(weights, model.folder / "adapter_model.safetensors")

    saved("language_model.layers.0.self_attn.q_proj", "lm_head")
    assert served(model.folder, "x").rank == 4
    saved("language_model.layers.0.self_attn.q_proj", "visual.blocks.1.attn.qkv")
    with pytest.raises(AotError, match=r"image encoder \(base_model\.model\.model\.visual\.blocks") as caught:
        served(model.folder, "x")
    assert caught.value.hint == "--set compute.answers=in_process"


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="own_gpus needs"):
        VllmSettings(placement="own_gpus")
    with pytest.raises(ValueError, match="copies of 2"):
        VllmSettings(gpus="0,1,2", tensor_parallel=2)


def test_a_server_is_there_while_it_is_asked_and_then_gone(upstream: Upstream, tmp_path: Path, model: Served) -> None:
    said: list[str] = []
    log = tmp_path / "logs/vllm.log"
    with VllmServer(model, settings_of(upstream, tmp_path), PLAYER, log=log, say=said.append) as server:
        assert server.runs and all(map(runs, upstream.pids)) and len(upstream.pids) == 2
        with socket.create_connection(("127.0.0.1", server.port), timeout=5):
            pass
    assert not server.runs and not any(map(runs, upstream.pids))
    assert "INFO loading" in log.read_text() and "starting" in said[0] and "ready" in said[-1]


def test_one_that_ignores_us_is_killed(
    upstream: Upstream, tmp_path: Path, model: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "deaf")
    with VllmServer(model, settings_of(upstream, tmp_path, stop_timeout_s=0.2), PLAYER, log=tmp_path / "log"):
        pass
    assert not any(map(runs, upstream.pids))


@pytest.mark.parametrize(
    ("mode", "timeout_s", "told"),
    [
        ("never", 1.5, r"not ready after 1.5 s(.|\n)*INFO loading(.|\n)*start_timeout_s=3"),
        ("exit", 30, r"ended with exit status 1 while it started(.|\n)*Free memory(.|\n)*vllm.memory(.|\n)*goes on"),
    ],
)
def test_one_that_does_not_get_ready_is_told(
    mode: str,
    timeout_s: float,
    told: str,
    upstream: Upstream,
    tmp_path: Path,
    model: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_VLLM", mode)
    settings = settings_of(upstream, tmp_path, start_timeout_s=timeout_s)
    server = VllmServer(model, settings, PLAYER, log=tmp_path / "log")
    with pytest.raises(AotError, match=told):
        server.start()
    assert not server.runs


def test_a_port_that_is_taken_is_told_before(upstream: Upstream, tmp_path: Path, model: Served) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(AotError, match=rf"port {taken} is taken(.|\n)*port=0"):
            VllmServer(model, settings_of(upstream, tmp_path, port=taken), PLAYER, log=tmp_path / "log").start()
    assert upstream.commands == []


def test_a_missing_vllm_is_told_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(AotError, match=r'no program(.|\n)*pip install "aot-vlm\[vllm\]"'):
        check_source("vllm", VllmSettings(command=str(tmp_path / "nothing")))
    with pytest.raises(AotError, match="not a URL"):
        check_source("http:///v1", VllmSettings())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_server_outlives_its_run(how: signal.Signals, upstream: Upstream, tmp_path: Path, model: Served) -> None:
    """Killed outright, or by Ctrl-C: the parent's own code may not run at all."""
    settings = settings_of(upstream, tmp_path)
    program = (
        "import signal, sys, time\nfrom pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from aot.backends.vllm.server import VllmServer\nfrom aot.backends.vllm.command import served\n"
        "from aot.backends.vllm.settings import VllmSettings\nfrom aot.players.settings import DefenderSettings\n"
        f"model = served(Path({str(model.folder)!r}), 'x')\n"
        f"settings = VllmSettings.model_validate_json({settings.model_dump_json()!r})\n"
        f"with VllmServer(model, settings, DefenderSettings(), log=Path({str(tmp_path / 'log')!r})):\n"
        "    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    assert all(map(runs, upstream.pids)) and len(upstream.pids) == 2
    run.send_signal(how)
    run.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while any(map(runs, upstream.pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(runs, upstream.pids))


def test_one_that_dies_loses_nothing(
    upstream: Upstream, tmp_path: Path, model: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, images, questions = settings_of(upstream, tmp_path), *pairs(12)
    how: dict[str, Any] = {"name": "current", "weights": model.name, "state": tmp_path / "checkpoint"}
    how |= {"log": tmp_path / "log", "say": lambda _: None}
    monkeypatch.setenv("FAKE_VLLM", "die:8")
    told = r"vLLM ended with exit status 1 while it was asked(.|\n)*out of memory(.|\n)*replies are stored"
    with (
        pytest.raises(AotError, match=told) as error,
        frozen_defender(model.folder, PLAYER, "vllm", ASKING, settings, **how) as defender,
    ):
        defender.answer(images, questions)
    assert "the same command then goes on" in str(error.value) and "Traceback" not in str(error.value)
    before = len(upstream.asked)
    assert 4 <= before < 12
    monkeypatch.delenv("FAKE_VLLM")
    with frozen_defender(model.folder, PLAYER, "vllm", ASKING, settings, **how) as defender:
        assert [answer.choice for (answer,) in defender.answer(images, questions)] == [0] * 12
    assert len(upstream.asked) <= 12 + ASKING.concurrency, "only what was under way is asked again"


def test_sleep_is_between_questions(upstream: Upstream, tmp_path: Path, model: Served) -> None:
    from aot.backends.frozen import _ours

    settings, (images, questions) = settings_of(upstream, tmp_path, placement="time_shared"), pairs(2)
    how: dict[str, Any] = {"name": "d", "weights": model.name, "log": tmp_path / "log", "say": lambda _: None}
    for stage in ("one", "two"):
        with frozen_defender(model.folder, PLAYER, "vllm", ASKING, settings, state=tmp_path / stage, **how) as defender:
            defender.answer(images, questions)
    _ours.stop()
    assert len(upstream.commands) == 1 and "--enable-sleep-mode" in upstream.commands[0]
    asleep, awake = "/sleep?level=1", "/wake_up"
    assert upstream.steered == [asleep, awake, asleep, awake, asleep]
    assert upstream.environments[0]["VLLM_SERVER_DEV_MODE"] == "1"


def test_adapters_of_one_base_share_a_server(upstream: Upstream, tmp_path: Path) -> None:
    from aot.backends.frozen import _ours

    settings = settings_of(upstream, tmp_path, placement="own_gpus", gpus="1")
    images, questions = pairs(1)
    for number, rank in enumerate((16, 16, 64)):
        folder = tmp_path / f"adapters_{number}"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Q", "r": rank}))
        how: dict[str, Any] = {"name": "d", "weights": f"w{number}", "log": tmp_path / "log", "state": folder / "s"}
        with frozen_defender(folder, PLAYER, "vllm", ASKING, settings, **how, say=lambda _: None) as defender:
            defender.answer(images, questions)
    _ours.stop()
    assert [name for name, _ in upstream.asked] == ["w0", "w1", "w2"]
    assert upstream.steered == ["/v1/load_lora_adapter"], "the third needs room for a higher rank: a new start"
    assert len(upstream.commands) == 2


def test_ranks_of_a_machine_share_a_server(
    upstream: Upstream, tmp_path: Path, model: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, (images, questions) = settings_of(upstream, tmp_path, start_timeout_s=10), pairs(3)
    how: dict[str, Any] = {"name": "d", "weights": model.name, "log": tmp_path / "log", "say": lambda _: None}
    how["state"] = tmp_path / "checkpoint"
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with frozen_defender(model.folder, PLAYER, "vllm", ASKING, settings, **how) as first:
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("LOCAL_RANK", "1")
        with frozen_defender(model.folder, PLAYER, "vllm", ASKING, settings, **how) as second:
            assert first.answer(images[:1], questions[:1]) + second.answer(images[1:], questions[1:])
    assert len(upstream.commands) == 1 and len(upstream.asked) == 3
    assert sorted(path.name for path in how["state"].glob("answers*")) == ["answers_0.sqlite", "answers_1.sqlite"]
    by_turns = settings.model_copy(update={"placement": "time_shared"})
    with (
        pytest.raises(AotError, match="time_shared is for one rank"),
        frozen_defender(model.folder, PLAYER, "vllm", ASKING, by_turns, **how),
    ):
        pass


def test_a_server_of_the_user_must_have_the_very_weights(upstream: Upstream, tmp_path: Path, model: Served) -> None:
    images, questions = pairs(2)
    how: dict[str, Any] = {"name": "d", "log": tmp_path / "log", "say": lambda _: None}
    with VllmServer(model, settings_of(upstream, tmp_path), PLAYER, log=tmp_path / "log") as server:
        of = {"state": tmp_path / "a", "weights": model.name}
        with frozen_defender(model.folder, PLAYER, server.url, ASKING, VllmSettings(), **how, **of) as defender:
            assert defender.answer(images, questions)[0][0].choice == 0
        told = r"does not have the defender other(.|\n)*vllm serve .*--served-model-name other"
        of = {"state": tmp_path / "b", "weights": "other"}
        with (
            pytest.raises(AotError, match=told),
            frozen_defender(model.folder, PLAYER, server.url, ASKING, VllmSettings(), **how, **of),
        ):
            pass
        (model.folder / "adapter_config.json").write_text('{"base_model_name_or_path": "Qwen/Q", "r": 8}')
        with frozen_defender(model.folder, PLAYER, server.url, ASKING, VllmSettings(), **how, **of) as defender:
            defender.answer(images, questions)
        assert upstream.asked[-1][0] == "other"
    with (
        pytest.raises(AotError, match="nobody answers"),
        frozen_defender(model.folder, PLAYER, server.url, ASKING, VllmSettings(), **how, **of),
    ):
        pass
    assert free_port() and os.environ.get("FAKE_VLLM") is None
