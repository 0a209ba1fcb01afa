"""A folder of PEFT adapters that others saved, as a defender: it answers as the merged model does, its base is found
and tells it from others, and what cannot be read is one error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

import tiny_models
from aot.backends.local.backend import LocalBackend
from aot.backends.vllm.command import served
from aot.doctor.folders import model_type_of, player_complete
from aot.errors import AotError
from aot.plan.full_size import defender_without_data
from aot.plan.without_data import without_data
from aot.players.adapter_folder import ADAPTER, PICKLE, WEIGHTS
from aot.players.base_players import BASE, keep_player, player_identity, player_key
from aot.players.defender.lora import INSIDE
from aot.players.defender.opening import open_defender
from aot.players.defender.trained import TrainedDefender
from aot.players.digests import player_digests
from aot.players.settings import DefenderSettings, LoraSettings
from aot.train.defender.sft.examples import SftExample, in_epochs
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.world.scenes import draw_scenes
from conftest import further

SCENES = draw_scenes(4, 5)
IMAGES, QUESTIONS = [scene.image for scene in SCENES], [scene.question for scene in SCENES]
SETTINGS = DefenderSettings(max_new_tokens=5)
FAMILIES = ["qwen2_5_vl", "llava"]
IN_TEXT = ["q_proj", "v_proj"]
KINDS: dict[str, Callable[[], PeftConfig]] = {
    "lora": lambda: LoraConfig(r=4, target_modules=[*IN_TEXT, "fc1"], rank_pattern={"v_proj": 2}),  # and of images
    "dora": lambda: LoraConfig(r=4, target_modules=IN_TEXT, use_dora=True, use_rslora=True, task_type="CAUSAL_LM"),
    "head": lambda: LoraConfig(r=4, target_modules=IN_TEXT, modules_to_save=["lm_head"]),
    "embeddings": lambda: LoraConfig(r=4, target_modules=[*IN_TEXT, "embed_tokens"]),
    "text": lambda: LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj)"),  # all that vLLM serves
    "ia3": lambda: IA3Config(target_modules=["v_proj", "down_proj"], feedforward_modules=["down_proj"]),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bases")
    for name in FAMILIES:
        tiny_models.BUILDERS[name](root / name)
    return root


def saved(base: Path, to: Path, kind: str = "lora") -> Any:
    """The adapters of a kind that do something, saved by peft, and its model with them."""
    model = get_peft_model(AutoModelForImageTextToText.from_pretrained(base), KINDS[kind]())
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter + 0.2 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(to)
    return model.eval()


def opened(folder: Path, **settings: Any) -> TrainedDefender:
    return open_defender(folder, SETTINGS.model_copy(update=settings), name="tiny")


def odds(defender: TrainedDefender) -> np.ndarray:
    return np.concatenate(defender.option_logprobs(IMAGES, QUESTIONS))


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        *(("qwen2_5_vl", "head"), ("llava", "lora"), ("llava", "embeddings"), ("llava", "ia3")),
        *further(("qwen2_5_vl", "lora"), ("llava", "dora"), ("llava", "head")),
    ],
)
def test_it_answers_as_the_merged_model_and_is_kept_as_it_is(
    bases: Path, tmp_path: Path, family: str, kind: str
) -> None:
    model = saved(bases / family, tmp_path / "theirs", kind)
    ours = opened(tmp_path / "theirs")
    merged = type(ours)(model.merge_and_unload(), ours.processor, max_new_tokens=5)
    np.testing.assert_allclose(odds(ours), odds(merged), atol=3e-5)
    assert ours.answer(IMAGES, QUESTIONS) == merged.answer(IMAGES, QUESTIONS)
    assert np.abs(odds(ours) - odds(opened(bases / family))).max() > 0.01, "the adapters do nothing"
    ours.save(tmp_path / "kept")
    np.testing.assert_array_equal(odds(opened(tmp_path / "kept")), odds(ours))


EARLIER = {
    "qwen2_5_vl": {"model.language_model.layers": "model.layers"},
    "llava": {
        "model.language_model.layers": "language_model.model.layers",
        "model.vision_tower.encoder": "vision_tower.vision_model.encoder",
    },
}
"""Names of layers before transformers 4.52, by what they are called now."""


@pytest.mark.parametrize("family", FAMILIES)
def test_names_of_an_earlier_transformers_find_their_places(bases: Path, tmp_path: Path, family: str) -> None:
    saved(bases / family, tmp_path)
    now = odds(opened(tmp_path))
    state = load_file(tmp_path / WEIGHTS)
    for new, old in EARLIER[family].items():
        state = {INSIDE + name.removeprefix(INSIDE).replace(new, old): weight for name, weight in state.items()}
    assert not any("language_model.layers" in name for name in state)
    save_file(state, tmp_path / WEIGHTS)
    np.testing.assert_array_equal(odds(opened(tmp_path)), now)


@pytest.mark.parametrize("kind", ["lora", "head", *further("ia3")])
def test_training_goes_on_with_them(bases: Path, tmp_path: Path, kind: str) -> None:
    saved(bases / "llava", tmp_path / "theirs", kind)
    before = load_file(tmp_path / "theirs" / WEIGHTS)
    defender = opened(tmp_path / "theirs")
    frozen = {n: p.clone() for n, p in defender.model.named_parameters() if not p.requires_grad}
    examples = [SftExample(scene.image, scene.question) for scene in SCENES]
    sft = DefenderSftSettings(steps=2, batch=2, learning_rate=1e-3, warmup_steps=0)
    train_defender_sft(defender, in_epochs(examples, 2, seed=0), sft, seed=0)
    assert all(torch.equal(frozen[n], p) for n, p in defender.model.named_parameters() if n in frozen)
    defender.save(tmp_path / "trained")
    after = load_file(tmp_path / "trained" / WEIGHTS)
    moved = {name: float((after[name] - before[name]).abs().max()) for name in before}
    assert after.keys() == before.keys() and 0 < max(moved.values()) < 5e-3  # a fresh start would be farther away
    np.testing.assert_array_equal(odds(opened(tmp_path / "trained")), odds(defender))


def test_a_relative_base_is_looked_for_beside_the_adapters_and_a_run_keeps_where_it_is(
    bases: Path, tmp_path: Path
) -> None:
    adapters = tmp_path / "theirs/checkpoint-3"
    saved(bases / "llava", adapters, "text")
    name_base(adapters, "../base")
    with pytest.raises(AotError, match=r"the base of these adapters, \.\./base, cannot be opened"):
        opened(adapters)
    shutil.copytree(bases / "llava", tmp_path / "theirs/base")
    for name in ("optimizer.pt", "training_args.bin", "README.md"):
        (adapters / name).write_text("a trainer's")
    (adapters / "checkpoint-1").mkdir()
    shutil.copyfile(adapters / WEIGHTS, adapters / "checkpoint-1" / WEIGHTS)
    settings = SETTINGS.model_copy(update={"model": str(adapters)})
    assert keep_player(settings, "defender", tmp_path / "run/base") == {"from": str(adapters)}
    assert {path.name for path in (tmp_path / "run/base").iterdir()} == {ADAPTER, WEIGHTS, BASE}
    np.testing.assert_array_equal(odds(opened(tmp_path / "run/base")), odds(opened(adapters)))
    whole = str(tmp_path / "theirs/base")
    assert served(adapters, "x").base == served(tmp_path / "run/base", "x").base == whole
    assert model_type_of(settings) == "llava" and player_complete(settings, "defender").state == "ok"
    (tmp_path / "theirs/base/chat_template.jinja").write_text("another")
    with pytest.raises(AotError, match="is another one than was trained on"):
        opened(tmp_path / "run/base")


def test_the_base_tells_one_defender_from_another(bases: Path, tmp_path: Path) -> None:
    shutil.copytree(bases / "llava", tmp_path / "base")
    adapters = tmp_path / "theirs"
    saved(tmp_path / "base", adapters)
    settings = SETTINGS.model_copy(update={"model": str(adapters)})
    key, asked = player_key(settings, "defender"), LocalBackend(adapters).identity
    assert key == player_identity(adapters) and {"base/model.safetensors", WEIGHTS} <= key.keys()
    (adapters / "optimizer.pt").write_text("no part of it")
    assert player_key(settings, "defender") == key
    state = load_file(tmp_path / "base/model.safetensors")
    doubled = {name: 2 * weight for name, weight in state.items()}
    save_file(doubled, tmp_path / "base/model.safetensors", {"format": "pt"})
    changed = player_key(settings, "defender")
    assert {name for name in key if key[name] != changed[name]} == {"base/model.safetensors"}
    assert LocalBackend(adapters).identity != asked
    assert player_identity(tmp_path / "base") == player_digests(tmp_path / "base")  # of a whole model: as ever


def test_a_plan_puts_them_into_their_base(bases: Path, tmp_path: Path) -> None:
    shutil.copytree(bases / "llava", tmp_path / "base")
    saved(tmp_path / "base", tmp_path / "theirs", "head")
    real = opened(tmp_path / "theirs")
    for weights in (tmp_path / "base/model.safetensors", tmp_path / "theirs" / WEIGHTS):
        weights.unlink()  # asked for by nobody
    settings = DefenderSettings(model=str(tmp_path / "theirs"))
    with without_data():
        planned = defender_without_data(settings)
        learning = [tuple(p.shape) for p in planned.begin_training(seed=0)]
    assert [tuple(p.shape) for p in real.begin_training(seed=0)] == learning
    assert {n: p.shape for n, p in planned.model.named_parameters()} == {
        n: p.shape for n, p in real.model.named_parameters()
    }
    with pytest.raises(AotError, match="rank 4, and the settings ask for 8"), without_data():
        defender_without_data(settings.model_copy(update={"lora": LoraSettings(rank=8)}))
    name_base(tmp_path / "theirs", "owner/base")
    with pytest.raises(AotError, match=r"config\.json is not on this machine") as error, without_data():
        defender_without_data(settings)
    assert "hf download owner/base" in str(error.value.hint)


# --- one clear error --------------------------------------------------------------------------------------


def change(folder: Path, **config: Any) -> None:
    saved = json.loads((folder / ADAPTER).read_text())
    (folder / ADAPTER).write_text(json.dumps({**saved, **config}))


def name_base(folder: Path, base: str) -> None:
    change(folder, base_model_name_or_path=base)


def reweigh(folder: Path, name: str, rows: int) -> None:
    save_file({**load_file(folder / WEIGHTS), name: torch.ones(rows, 32)}, folder / WEIGHTS)


def without_first(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    state.pop(min(state))
    save_file(state, folder / WEIGHTS)


def as_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / PICKLE)


def of_prefixes(folder: Path) -> None:
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    base = json.loads((folder / ADAPTER).read_text())["base_model_name_or_path"]
    config.base_model_name_or_path = base
    config.save_pretrained(folder)


EMBEDDINGS = "base_model.model.model.language_model.embed_tokens.weight"
UNKNOWN = "base_model.model.model.language_model.layers.9.self_attn.q_proj.lora_A.weight"
SPOILT: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no base there": (lambda f: name_base(f, "/nowhere/at/all"), "/nowhere/at/all, cannot be opened", "bring it there"),
    "base not fetched": (lambda f: name_base(f, "owner/base"), "no such model on this machine", "hf download"),
    "no base named": (lambda f: change(f, base_model_name_or_path=None), "name no base model", "hub id"),
    "base is no text": (lambda f: change(f, base_model_name_or_path=[1]), "is no text", "save_pretrained"),
    "base is adapters": (lambda f: name_base(f, str(f)), "is adapters itself", "merge_and_unload"),
    "another base": (lambda f: name_base(f, str(f.parent / "qwen")), "they are for another model", "name the base"),
    "layers that are not there": (lambda f: change(f, target_modules=["w1"]), "w1", "name the base"),
    "one layer too many": (lambda f: reweigh(f, UNKNOWN, 4), "no layer of this base", "name the base"),
    "a weight too few": (without_first, "they lack", "name the base"),
    "another rank": (lambda f: change(f, r=8), "and this base wants 8 x", "name the base"),
    "the base's own weights": (lambda f: reweigh(f, EMBEDDINGS, 409), "weights of the base itself", "merge"),
    "a pickle": (as_pickle, "are a pickle", "save_pretrained again"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "weights are missing", "save_pretrained writes it"),
    "another task": (lambda f: change(f, task_type="SEQ_CLS"), "for the task SEQ_CLS", "CAUSAL_LM"),
    "tokens before the prompt": (of_prefixes, "PREFIX_TUNING need more than", "merge"),
    "an unknown kind": (lambda f: change(f, peft_type="MAGIC"), "cannot be read", "name the base"),
    "more layers": (lambda f: change(f, layer_replication=[[0, 2], [1, 2]]), "layer_replication are not read", "merge"),
    "another program's": (lambda f: change(f, megatron_config={"a": 1}), "megatron_config are not read", "merge"),
    "a pattern that is none": (lambda f: change(f, target_modules="(("), "cannot be read", "name the base"),
    "junk": (lambda f: change(f, r="x"), "cannot be read", "name the base"),
    "no JSON": (lambda f: (f / ADAPTER).write_text("{"), "cannot be read as JSON", "save_pretrained"),
}


@pytest.fixture(scope="module")
def theirs(bases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    saved(bases / "llava", folder)
    return folder


@pytest.mark.parametrize("name", SPOILT)
def test_what_cannot_be_read_is_one_error(bases: Path, theirs: Path, tmp_path: Path, name: str) -> None:
    spoil, told, hint = SPOILT[name]
    shutil.copytree(theirs, tmp_path / "theirs")
    if name == "another base":
        (tmp_path / "qwen").symlink_to(bases / "qwen2_5_vl")
    spoil(tmp_path / "theirs")
    with pytest.raises(AotError) as error:
        opened(tmp_path / "theirs", offline=True)
    assert told in error.value.message and hint in str(error.value.hint)
    assert str(tmp_path / "theirs") in str(error.value.where)


def test_the_doctor_looks_at_adapters_and_their_base(theirs: Path, tmp_path: Path) -> None:
    shutil.copytree(theirs, tmp_path / "theirs")
    settings = DefenderSettings(model=str(tmp_path / "theirs"), offline=True)
    found = player_complete(settings, "defender")
    assert found.state == "ok" and "its base" in found.what
    name_base(tmp_path / "theirs", "owner/base")
    found = player_complete(settings, "defender")
    assert found.state == "wrong" and "owner/base" in found.what and found.mend == "hf download owner/base"
    name_base(tmp_path / "theirs", str(tmp_path / "theirs"))
    assert "no whole model" in player_complete(settings, "defender").what
    as_pickle(tmp_path / "theirs")
    assert "are a pickle" in player_complete(settings, "defender").what
