"""What would end a run is found before it: each fault by name, with the command that mends it."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import save_file

import tiny_models
from aot.coevolve.recipes.load import load_recipe
from aot.doctor import machine, packages
from aot.doctor.disk import bytes_written, downloads, players_of
from aot.doctor.examine import _disk, refuse_faults
from aot.doctor.finding import Finding
from aot.doctor.folders import Place, player_complete
from aot.errors import AotError
from aot.players.base_players import SHIPPED, Role
from aot.players.settings import PlayerSettings
from aot.runs.files import write_json
from conftest import Ended


def looked_at(folder: Path | str, role: Role = "defender", **settings: Any) -> Finding:
    return player_complete(PlayerSettings(model=str(folder), **settings), role)


def shard(folder: Path, name: str) -> None:
    """Splits a folder's weights in name only: an index that names its file and one more."""
    weights = json.dumps({"weight_map": {"a": "model.safetensors", "b": name}})
    (folder / "model.safetensors.index.json").write_text(weights)


LAUNCH = "compute.launch=torchrun --nnodes 2 --nproc-per-node 4"
RAY = "compute.launch=python -m aot.runs.ray_launch --workers"
DAMAGE: dict[str, tuple[Role, Callable[[Path], object], str]] = {
    "no config": ("defender", lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "no tokenizer": ("defender", lambda f: (f / "tokenizer.json").unlink(), "vocab.json is missing"),
    "no processor": ("defender", lambda f: (f / "processor_config.json").unlink(), "processor_config.json is missing"),
    "no weights": ("defender", lambda f: (f / "model.safetensors").unlink(), "no weights"),
    "missing shard": ("defender", lambda f: shard(f, "model-2.safetensors"), "model-2.safetensors is missing"),
    "broken index": ("defender", lambda f: (f / "model.safetensors.index.json").write_text("{"), "cannot be read"),
    "pickles": ("defender", lambda f: (f / "model.safetensors").rename(f / "model.bin"), "are pickles"),
    "empty": ("defender", lambda f: (f / "model.safetensors").write_bytes(b""), "cut off within its header"),
    "no index": ("attacker", lambda f: (f / "model_index.json").unlink(), "model_index.json is missing"),
    "no scheduler": ("attacker", lambda f: shutil.rmtree(f / "scheduler"), "scheduler_config.json is missing"),
    "no encoder": ("attacker", lambda f: shutil.rmtree(f / "text_encoder"), "text_encoder: no weights"),
    "no vocabulary": ("attacker", lambda f: (f / "tokenizer/tokenizer.json").unlink(), "vocab.json is missing"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_a_folder_lacks_is_named(name: str, tmp_path: Path) -> None:
    role, damage, told = DAMAGE[name]
    folder = tmp_path / "player"
    shutil.copytree(SHIPPED / role, folder)
    assert looked_at(folder, role).state == "ok"
    damage(folder)
    found = looked_at(folder, role)
    assert found.state == "wrong" and told in found.what
    assert found.mend.startswith("hf download") and str(folder) in found.mend


@pytest.mark.parametrize("bytes_lost", [1, 1000])
def test_weights_that_end_too_early_are_found_without_reading_them(bytes_lost: int, tmp_path: Path) -> None:
    folder = tmp_path / "player"
    shutil.copytree(SHIPPED / "attacker", folder)
    weights = folder / "transformer/diffusion_pytorch_model.safetensors"
    size = weights.stat().st_size
    with weights.open("r+b") as file:
        file.truncate(size - bytes_lost)
    found = looked_at(folder, "attacker")
    assert found.state == "wrong" and f"{size - bytes_lost} bytes where its header says {size}" in found.what


def test_a_pointer_of_git_lfs_is_no_weights(tmp_path: Path) -> None:
    folder = tmp_path / "player"
    shutil.copytree(SHIPPED / "defender", folder)
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "damaged weights" in looked_at(folder).what


def test_a_download_that_has_not_ended_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "player"
    shutil.copytree(SHIPPED / "defender", folder)
    cache = folder / ".cache/huggingface/download"
    cache.mkdir(parents=True)
    (cache / "x.incomplete").touch()
    assert looked_at(folder).state == "doubtful"
    (folder / "model.safetensors").unlink()
    found = looked_at(folder)
    assert found.state == "wrong" and "half downloaded: model.safetensors is missing" in found.what


def test_hub_ids_are_looked_for_in_the_hubs_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    absent = looked_at("some/model", revision="v2")
    assert (absent.state, absent.mend) == ("doubtful", "hf download some/model --revision v2")
    assert looked_at("some/model", offline=True).state == "wrong"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert looked_at("some/model").state == "wrong"
    repository, commit = tmp_path / "models--some--model", "a" * 40
    shutil.copytree(SHIPPED / "defender", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs/v2").write_text(commit)
    assert looked_at("some/model", revision="v2").state == "ok"
    assert looked_at("some/model").state == "wrong"  # another revision than the one that is here
    (repository / "snapshots" / commit / "model.safetensors").write_bytes(b"cut off")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert looked_at("some/model", revision="v2").state == "wrong"


@pytest.mark.parametrize(
    ("requirement", "state", "told"),
    [
        ("torch>=2", "ok", "(x needs >=2)"),
        ("torch<2,>=1", "wrong", "(x needs <2,>=1)"),
        (f"numpy=={metadata.version('numpy')}", "ok", metadata.version("numpy")),
        ("no-such-package>=3", "wrong", "not installed (x needs >=3)"),
    ],
)
def test_versions_are_held_to_ranges(requirement: str, state: str, told: str) -> None:
    found = packages.met(Requirement(requirement), by="x")
    assert found.state == state and told in found.what
    assert found.mend.startswith(f"pip install '{found.check}") == (state == "wrong")


def test_the_packages_own_ranges_are_read_from_its_metadata() -> None:
    plain = {requirement.name for requirement in packages.requirements(packages.OURS)}
    assert set(packages.CORE) <= plain and "vllm" not in plain
    assert {requirement.name for requirement in packages.requirements(packages.OURS, "vllm")} == {"vllm"}
    assert {finding.check for finding in packages.versions()} >= {"python", *packages.CORE}
    assert list(packages.requirements("no-such-package")) == []


def test_a_missing_module_is_wrong_unless_something_stands_in() -> None:
    assert packages.wanted("json", "why", "pip install json").state == "ok"
    missing = packages.wanted("no_such_module", "dapo.trl.vllm=server", "pip install it")
    assert (missing.state, missing.mend) == ("wrong", "pip install it")
    assert packages.wanted("no_such_module", "why", "pip install it", else_="slower").state == "doubtful"


def test_the_torchvision_of_this_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version_of", {"torch": "2.13.0+cpu"}.get)
    assert packages.torchvision_install() == "pip install torchvision==0.28.*"


def test_whether_a_server_answers() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert machine.answers("127.0.0.1", port)
    assert not machine.answers("127.0.0.1", port)


def test_room_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1000))  # type: ignore[attr-defined]
    out = tmp_path / "not/there/yet"
    assert [machine.room(out, n, of_what="x").state for n in (900, 950, 1001)] == ["ok", "doubtful", "wrong"]
    (tmp_path / "half").write_bytes(bytes(500))  # a run that is resumed has written some of it
    assert machine.room(tmp_path, 1400, of_what="x").state == "ok"
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert machine.room(out, 1, of_what="x").what == f"{tmp_path / 'file'} is a file, where a folder is needed"


def test_room_for_models_that_are_still_to_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recipe = load_recipe("single_gpu", ["players.defender.model=some/other"])
    monkeypatch.setattr("aot.doctor.examine.hub_cache", lambda: tmp_path / "hub")
    places = {role: Place(settings.model, None, "") for role, settings in players_of(recipe)}
    editor = 2 * (20_430_401_088 + 126_892_531 + 8_292_166_656)  # with its text encoder, in bfloat16
    assert downloads(recipe, places) == (editor, ["some/other"])
    written = sum(bytes_written(recipe, places))
    adapter = 64 * 9_247_616
    assert written == 4 * adapter * recipe.iterations + 2 * adapter * (4 + 8)  # three attackers, two checkpoints
    told = list(_disk(recipe, places, tmp_path / "run"))
    assert f"and models from the hub, need about {(written + editor) / 1e9:.1f} GB more" in told[0].what
    assert told[-1].state == "doubtful" and "some/other" in told[-1].what
    monkeypatch.setattr(machine, "same_disk", lambda one, other: False)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 40 * 10**9))  # type: ignore[attr-defined]
    run, hub, _ = _disk(recipe, places, tmp_path / "run")
    assert run.state == "ok" and hub.state == "wrong" and hub.check == "disk for downloads"
    assert hub.mend == "export HF_HOME=FOLDER_ON_A_LARGER_DISK" and "57.7 GB more" in hub.what
    there = {role: Place(settings.model, tmp_path, "") for role, settings in players_of(recipe)}
    assert downloads(recipe, there) == (0, [])


def test_a_recipe_that_can_run_is_begun_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()  # not the clock: others may use the machine, too
    refuse_faults(load_recipe("smoke"), tmp_path / "run")
    assert time.process_time() - began < 4  # 0.1 s on a free machine
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "told", "mend"),
    [
        (["players.defender=gone"], "defender gone: no such folder", "hf download OWNER/NAME --local-dir gone"),
        (["dapo.engine=trl", "dapo.trl.vllm=colocate"], "vllm: not installed", "aot-vlm[vllm]"),
        (["dapo.engine=trl", "dapo.trl.vllm=server"], "no server answers", "trl vllm-serve --model miniature"),
        (["judge.player=http://127.0.0.1:9/v1"], "nobody answers at 127.0.0.1:9", "--set judge.player=ANOTHER_URL"),
        (["compute.answers=http://127.0.0.1:9/v1"], "nobody answers at 127.0.0.1:9", "vllm serve miniature"),
        (["compute.answers=vllm", "compute.vllm.command=no-vllm"], "vLLM is not here", "compute.answers=in_process"),
        (["compute.launch=no-launcher -n 2"], "there is no program 'no-launcher'", "install it"),
        (["compute.launch=accelerate launch --config_file x.yaml"], "x.yaml: no such file", "accelerate config"),
        (["dapo.engine=trl", "dapo.groups=6", LAUNCH], "shared by 8 ranks in whole groups", "--set dapo.groups=8"),
        (["dapo.engine=trl", "dapo.groups=6", f"{RAY} 4"], "shared by 4 ranks", "--set dapo.groups=8"),
        (
            ["compute.answers=vllm", "compute.vllm.placement=time_shared", LAUNCH],
            "takes turns with one rank, and 8 are started",
            "--set compute.vllm.placement=shared",
        ),
        ([f"{RAY} 2"], "Ray: not installed", "ray[data]"),
        (["players.defender.device=cuda"], "players.defender.device=cuda needs one", "nvidia-smi"),
        (
            ['players.attacker={"quantization": "nf4", "lora": {"rank": 4}}'],
            "bitsandbytes: not installed",
            "pip install bitsandbytes",
        ),
    ],
)
def test_a_recipe_that_cannot_run_is_refused_before_anything_is_made(
    settings: list[str], told: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AotError) as caught:
        refuse_faults(load_recipe("smoke", settings), tmp_path / "run")
    assert told in caught.value.message and mend in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_does_not_know_the_model_is_told_before_the_run(tmp_path: Path) -> None:
    whole, adapters = tmp_path / "llava", tmp_path / "adapters"
    tiny_models.llava(whole)
    adapters.mkdir()
    write_json(adapters / "adapter_config.json", {})
    save_file({"lora": torch.zeros(1)}, adapters / "adapter_model.safetensors")
    write_json(adapters / "base.json", {"model": str(whole), "revision": "", "digest": ""})
    for folder in (whole, adapters):
        with pytest.raises(AotError, match="packed is written for Qwen2") as caught:
            refuse_faults(load_recipe("smoke", [f"players.defender={folder}"]), tmp_path / "run")
        assert "--set dapo.engine=trl" in str(caught.value.hint)
        refuse_faults(load_recipe("smoke", [f"players.defender={folder}", "dapo.engine=trl"]), tmp_path / "run")


def test_versions_out_of_their_range_are_told_and_do_not_end_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = Finding("trl", "2.0 (aot needs <1.17)", "wrong", "pip install 'trl<1.17'")
    monkeypatch.setattr(packages, "versions", lambda: [fault])
    refuse_faults(load_recipe("smoke"), tmp_path)
    assert "pip install 'trl<1.17'" in capsys.readouterr().err


def test_coevolve_asks_before_it_begins(aot: Callable[..., Ended], tmp_path: Path) -> None:
    done = aot("coevolve", "--recipe", "smoke", "--set", "judge.player=gone")
    assert done.returncode == 2 and "judge: no such folder" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_a_table_and_the_commands_that_mend(aot: Callable[..., Ended]) -> None:
    done = aot("doctor", "smoke", "--set", "players.defender=gone")
    assert done.returncode == 1
    assert "wrong" in done.stdout and "no such folder" in done.stdout
    assert "\nto mend it:\n  hf download OWNER/NAME --local-dir gone\n" in done.stdout
    well = aot("doctor", "smoke")
    assert well.returncode == 0 and "to mend it" not in well.stdout and "transformers" in well.stdout


def test_the_installation_alone(aot: Callable[..., Ended]) -> None:
    done = aot("doctor")
    assert done.returncode == 0 and "vllm" in done.stdout and "attacker" not in done.stdout
