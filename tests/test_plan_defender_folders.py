"""Plans of other defenders: what cannot be exact is said, and a folder that cannot be planned is one error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aot.coevolve.recipes.load import load_recipe
from aot.errors import AotError
from aot.plan import defender_plan
from aot.plan.full_size import defender_without_data
from aot.plan.phases import Hardware
from aot.plan.recipe_plan import DEFENDER, EVALUATION, stage_need
from aot.plan.table import stage_table
from aot.plan.without_data import without_data
from aot.players.defender.stock import StockDefender
from aot.players.hub import hub_cache
from aot.players.settings import DefenderSettings
from conftest import Ended
from plan_folders import LORA, PX, SFT, bare, built, opened, step_as_on_a_gpu
from tiny_models import Built

RECIPE = ["dapo.engine=trl", "dapo.groups=2", "dapo.group_size=2", "dapo.trl.completions_per_forward=2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    step_as_on_a_gpu(monkeypatch)


def changed(folders: Built, name: str, to: Path, **config: Any) -> Path:
    """A bare folder with another configuration; None takes a key out."""
    shutil.copytree(folders / f"bare/{name}", to)
    saved = {**json.loads((to / "config.json").read_text()), **config}
    (to / "config.json").write_text(json.dumps({k: v for k, v in saved.items() if v is not None}))
    return to


def told(folder: Path, stage: str = DEFENDER) -> str:
    from rich.console import Console

    need = stage_need(load_recipe("smoke", [*RECIPE, f"players.defender.model={folder}"]), stage)
    console = Console(width=400)
    with console.capture() as shown:
        console.print(stage_table(need, Hardware()))
    return shown.get()


def test_weights_stored_in_fewer_bits_are_an_upper_bound(folders: Built, tmp_path: Path) -> None:
    exact = told(folders / "bare/llava")
    shown = told(changed(folders, "llava", tmp_path / "m", quantization_config={"quant_method": "awq"}))
    assert "~" not in exact
    assert "~ upper bound: its weights are stored in awq, and are counted in float32" in shown
    assert shown.count("~") == 1 + 3  # reading, writing, the update


def test_a_class_that_cannot_run_without_data_is_a_lower_bound(
    folders: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlavaModel

    without, planned = bare(folders, "llava", lora=LORA)

    def fails(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("no kernel on meta")

    monkeypatch.setattr(LlavaModel, "forward", fails)
    with without_data():
        found = defender_plan.sft(without, planned, SFT, PX)
    trained = sum(p.numel() for p in planned.model.parameters() if p.requires_grad)
    assert found.peak["gradients"] == 4 * trained and found.peak["optimizer"] >= 8 * trained
    assert found.peak["weights"] == without.now["weights"] and found.flops == 0
    assert "lower bound" in found.inexact[0] and "no kernel on meta" in found.inexact[0]
    shown = told(folders / "bare/llava", EVALUATION)
    assert "lower bound: activations, cache and operations are not counted" in shown
    with pytest.raises(NotImplementedError):  # with data it is a mistake, and no bound
        defender_plan.sft(*opened(folders, "llava"), SFT, PX)  # type: ignore[misc]


# --- one clear error --------------------------------------------------------------------------------------


def refused(folder: Path | str) -> AotError:
    with pytest.raises(AotError) as caught:
        defender_without_data(DefenderSettings(model=str(folder)))
    return caught.value


def test_a_folder_that_cannot_be_planned_is_one_error(folders: Built, tmp_path: Path) -> None:
    assert "config.json is missing" in refused(tmp_path / "nowhere").message
    damaged: dict[str, dict[str, Any]] = {
        "lacks model_type": {"model_type": None},
        "Unrecognized model": {"model_type": "nonsense"},
        "Unrecognized configuration class": {"model_type": "llama"},
        "configuration cannot be read": {"vision_config": {"hidden_size": "x"}},
    }
    for i, (what, config) in enumerate(damaged.items()):
        assert what in refused(changed(folders, "llava", tmp_path / str(i), **config)).message
    cut = changed(folders, "llava", tmp_path / "e") / "config.json"
    cut.write_bytes(cut.read_bytes()[:100])
    assert "cannot be read as JSON" in refused(cut.parent).message
    half = changed(folders, "gemma3", tmp_path / "f")
    for name in ("tokenizer.json", "processor_config.json"):
        (half / name).unlink()
    error = refused(half)
    assert "processor cannot be read" in error.message
    assert "must hold the processor and the tokenizer" in str(error.hint)
    adapters = tmp_path / "g"
    adapters.mkdir()
    (adapters / "adapter_config.json").write_text("{}")
    assert "lacks peft_type" in refused(adapters).message


def test_a_hub_model_is_planned_without_its_weights(
    folders: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert hub_cache() == tmp_path
    assert "its config.json is not on this machine" in refused("some/model").message
    place = tmp_path / "models--some--model"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("0" * 40)
    snapshot = place / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_text("{}")
    assert "hf download some/model --include '*.json'" in str(refused("some/model").hint)
    shutil.copytree(folders / "bare/llava", snapshot, dirs_exist_ok=True)
    (snapshot / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    planned = defender_without_data(DefenderSettings(model="some/model"))
    assert isinstance(planned, StockDefender) and planned.max_new_tokens == 1024


def test_the_packed_engine_is_refused_before_a_run(folders: Built) -> None:
    with pytest.raises(AotError, match="written for Qwen") as caught:
        stage_need(load_recipe("smoke", [f"players.defender.model={folders / 'bare/llava'}"]), DEFENDER)
    assert "dapo.engine=trl" in str(caught.value.hint)


def test_the_command_plans_another_defender(
    folders: Built, aot: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aot.plan.recipe_plan.stage_needs", lambda recipe: [stage_need(recipe, DEFENDER)])
    flags = [word for setting in RECIPE for word in ("--set", setting)]
    done = aot("plan", "smoke", *flags, "--set", f"players.defender.model={folders / 'bare/gemma3'}")
    assert done.returncode == 0 and "update" in done.stdout and "write answers" in done.stdout
    done = aot("plan", "smoke", "--set", "players.defender.model=/no/such/folder")
    assert done.returncode == 2 and "config.json is missing" in done.stderr
