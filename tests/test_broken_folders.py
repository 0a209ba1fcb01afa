"""Folders of models that are no whole models: one message with the next step, by the doctor before a run and when they
are opened. Weights that are missing would else be drawn at random."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import tiny_models
from aot.doctor.folders import player_complete
from aot.doctor.opened import opened
from aot.errors import AotError
from aot.players.attacker.editor_folder import Loading, read_editor
from aot.players.base_players import Role, player_folder
from aot.players.defender.opening import open_defender
from aot.players.settings import AttackerSettings, DefenderSettings
from tiny_editors import tiny_editor

MODEL = "model.safetensors"
TRANSFORMER, VAE, ENCODER = (
    f"{part}/{name}.safetensors"
    for part, name in (
        ("transformer", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    )
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[Role, Path]:
    root = tmp_path_factory.mktemp("whole")
    tiny_models.qwen2_5_vl(root / "defender")
    return {"defender": root / "defender", "attacker": tiny_editor(root / "attacker", layers=1)}


def without_one(folder: Path, file: str) -> None:
    weights = load_file(folder / file)
    del weights[min(weights)]
    save_file(weights, folder / file, {"format": "pt"})


def other_shape(folder: Path, file: str) -> None:
    weights = load_file(folder / file)
    name = min(weights)
    weights[name] = weights[name][:-1].clone()
    save_file(weights, folder / file, {"format": "pt"})


def sharded(folder: Path, file: str) -> None:
    """In two files, without the index that says which holds what."""
    weights, stem = load_file(folder / file), (folder / file).with_suffix("")
    names = sorted(weights)
    for i, some in enumerate((names[::2], names[1::2]), start=1):
        shard = f"{stem}-0000{i}-of-00002.safetensors"
        save_file({name: weights[name] for name in some}, shard, {"format": "pt"})
    (folder / file).unlink()


def pointer(folder: Path, file: str) -> None:
    (folder / file).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 16594463\n")


def text(told: str) -> Callable[[Path, str], object]:
    return lambda folder, file: (folder / file).write_text(told)


def gone(folder: Path, file: str) -> None:
    (folder / file).unlink()


def one_below(folder: Path, file: str) -> None:
    files = list(folder.iterdir())
    (folder / file).mkdir()
    for path in files:
        path.rename(folder / file / path.name)


def only(folder: Path, file: str) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / file).touch()


def another_kind(folder: Path, file: str) -> None:
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}))


OTHER = '{"_class_name": "X", "vae": [], "transformer": []}'
DAMAGE: dict[str, tuple[Role, Callable[[Path, str], object], str, str]] = {
    "a weight is missing": ("defender", without_one, MODEL, "weights are missing: lm_head.weight"),
    "a weight's shape": ("defender", other_shape, MODEL, "other shapes than its configuration says"),
    "shards without index": ("defender", sharded, MODEL, "model.safetensors.index.json is missing"),
    "LFS weights": ("defender", pointer, MODEL, "a pointer of Git LFS"),
    "LFS configuration": ("defender", pointer, "config.json", "a pointer of Git LFS"),
    "LFS tokenizer": ("defender", pointer, "tokenizer.json", "a pointer of Git LFS"),
    "empty configuration": ("defender", text(" \n"), "config.json", "config.json is empty"),
    "a page of the hub": ("defender", text("<!doctype html>"), "processor_config.json", "is no JSON, or cut off"),
    "a cut configuration": ("defender", text('{"a": {}, "b": 1'), "config.json", "is no JSON, or cut off"),
    "no template": ("defender", gone, "chat_template.jinja", "no chat template"),
    "a model of texts": ("defender", another_kind, "config.json", "cannot be read: Unrecognized configuration class"),
    "one folder too high": ("defender", one_below, "checkpoint-10", "config.json is missing"),
    "GGUF": ("defender", only, "model-Q4_K_M.gguf", "config.json is missing"),
    "no weight of the editor": ("attacker", without_one, TRANSFORMER, "weights are missing"),
    "no weight of the autoencoder": ("attacker", without_one, VAE, "weights are missing"),
    "no weight of the encoder": ("attacker", without_one, ENCODER, "weights are missing"),
    "shape of the editor": ("attacker", other_shape, TRANSFORMER, "other shapes than its configuration says"),
    "shards of the editor": ("attacker", sharded, TRANSFORMER, "safetensors.index.json is missing"),
    "no encoder's configuration": ("attacker", gone, "text_encoder/config.json", "config.json is missing"),
    "no words": ("attacker", gone, "processor/tokenizer.json", "tokenizer is missing"),
    "LFS scheduler": ("attacker", pointer, "scheduler/scheduler_config.json", "a pointer of Git LFS"),
    "another pipeline": ("attacker", text(OTHER), "model_index.json", "a folder of X"),
}
NEXT = {
    "LFS weights": "git -C {} lfs pull",
    "one folder too high": "give the folder below it, {}/checkpoint-10",
    "GGUF": "GGUF is for llama.cpp",
}


def looked_at(folder: Path, role: Role) -> tuple[str, str, str]:
    settings = (AttackerSettings if role == "attacker" else DefenderSettings)(model=str(folder))
    found = opened(player_complete(settings, role), settings, role)
    return found.state, found.what, found.mend


def tried(folder: Path, role: Role) -> None:
    place = player_folder(str(folder), role)
    if role == "attacker":
        read_editor(place, Loading())
    else:
        open_defender(place, DefenderSettings(), name="base")


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_no_whole_model_is_told(name: str, whole: dict[Role, Path], tmp_path: Path) -> None:
    role, damage, file, told = DAMAGE[name]
    folder = tmp_path / "player"
    shutil.copytree(whole[role], folder)
    damage(folder, file)
    state, what, mend = looked_at(folder, role)
    assert state == "wrong" and told in what
    with pytest.raises(AotError) as caught:
        tried(folder, role)
    assert told in caught.value.message
    step = NEXT.get(name, "").format(folder)
    assert mend and step in mend and step in (caught.value.hint or "")


@pytest.mark.parametrize("role", ["attacker", "defender"])
def test_whole_ones_are_opened_without_reading_their_weights(role: Role, whole: dict[Role, Path]) -> None:
    assert looked_at(whole[role], role)[0] == "ok"
    assert str(next(read_editor(whole["attacker"], Loading(device="meta")).vae.parameters()).device) == "meta"


def test_a_file_in_a_folders_place(whole: dict[Role, Path]) -> None:
    state, what, mend = looked_at(whole["defender"] / MODEL, "defender")
    assert (state, what) == ("wrong", "a file, no folder") and mend.endswith(str(whole["defender"]))
    with pytest.raises(AotError) as caught:
        player_folder(os.fspath(whole["defender"] / MODEL), "defender")
    assert caught.value.hint == mend
