"""Plans of any vision-language model, from folders without weights: parameters, image tokens and memory are those of
the stock class with its weights."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

import tiny_models
import tiny_others
from aot.coevolve.recipes.load import load_recipe
from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.miniature.world.scenes import draw_scenes
from aot.plan import defender_plan
from aot.plan.full_size import defender_without_data
from aot.plan.live_memory import LiveMemory, Measured
from aot.plan.phases import Hardware
from aot.plan.recipe_plan import DEFENDER, EVALUATION, stage_need
from aot.plan.stock_answers import stock_answering
from aot.plan.table import stage_table
from aot.plan.without_data import META, without_data
from aot.players.defender.opening import open_defender
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import Row, StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.players.hub import hub_cache
from aot.players.settings import DefenderSettings, LoraSettings
from aot.train.defender.dapo.settings import DapoSettings, TrlOptions
from aot.train.defender.dapo.trl.engine import build_trainer
from aot.train.defender.dapo.trl.forward import completion_loss, with_trls_head
from aot.train.defender.sft import DefenderSftSettings
from conftest import Ended
from test_plan import allocated

BUILDERS = tiny_models.BUILDERS | tiny_others.OTHERS
MODELS = sorted(BUILDERS)
PX = (96, 128)
LORA = LoraSettings(rank=4)
SFT = DefenderSftSettings(per_forward=4)
TRL = DapoSettings(
    engine="trl", groups=2, group_size=4, max_completion_tokens=12, trl=TrlOptions(completions_per_forward=4)
)
Work = Callable[[LiveMemory, Any], Measured]
WORKS: dict[str, tuple[dict[str, Any], Work]] = {
    "sft": ({}, lambda live, d: defender_plan.sft(live, d, SFT, PX)),
    "sft of adapters": (
        {"lora": LORA, "gradient_checkpointing": True, "dtype": "bfloat16"},
        lambda live, d: defender_plan.sft(live, d, SFT, PX),
    ),
    "dapo": ({}, lambda live, d: defender_plan.dapo(live, d, TRL, PX)),
    "dapo of adapters": (
        {"lora": LORA, "gradient_checkpointing": True},
        lambda live, d: defender_plan.dapo(live, d, TRL, PX),
    ),
    "last token": ({}, lambda live, d: defender_plan.generated(live, d, PX, 4, 40).write),
}
OF_EACH = ("sft", "dapo of adapters", "last token")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By name, with weights; and below "bare" the same without."""
    root = tmp_path_factory.mktemp("tiny")
    for name, build in BUILDERS.items():
        build(root / name)
        shutil.copytree(root / name, root / "bare" / name, ignore=shutil.ignore_patterns("*.safetensors"))
    return root


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW's step on all weights at once, as on a GPU, also here; and TRL's head for the CPU, in plans too."""
    monkeypatch.setattr(sys.modules["torch.optim.optimizer"], "_get_foreach_kernels_supported_devices", lambda: ["cpu"])
    monkeypatch.setattr(defender_plan, "as_on_a_gpu", nullcontext)


def opened(folders: Path, name: str, **settings: Any) -> tuple[LiveMemory, TrainedDefender]:
    real = open_defender(folders / name, DefenderSettings(model=str(folders / name), **settings), name="d")
    live = LiveMemory("cpu")
    live.watch(real.model)
    return live, real


def bare(folders: Path, name: str, **settings: Any) -> tuple[LiveMemory, TrainedDefender]:
    with without_data():
        planned = defender_without_data(DefenderSettings(model=str(folders / "bare" / name), **settings))
    live = LiveMemory(META)
    live.watch(planned.model)
    return live, planned


@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_answers_are_those_of_the_whole_folder(folders: Path, name: str) -> None:
    live, real = opened(folders, name)
    without, planned = bare(folders, name)
    assert type(planned) is type(real) and isinstance(planned, QwenDefender) == (name == "qwen2_5_vl")
    sizes = [{key: tuple(p.shape) for key, p in d.model.named_parameters()} for d in (real, planned)]
    assert sizes[0] == sizes[1] and without.now == live.now
    assert planned.eos_ids.tolist() == real.eos_ids.tolist() and planned.suppressed_ids == real.suppressed_ids
    learning = [
        sum(p.numel() for p in d.begin_training(seed=0))
        for d in (opened(folders, name, lora=LORA)[1], bare(folders, name, lora=LORA)[1])
    ]
    assert learning[0] == learning[1] > 0


@pytest.mark.parametrize("name", MODELS)
def test_image_tokens_are_as_many_as_the_model_makes(folders: Path, name: str) -> None:
    _, real = opened(folders, name)
    _, planned = bare(folders, name)
    stock, token = defender_plan._stock(planned), real.model.config.image_token_id
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    text = real.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    for size in [(64, 64), (70, 90), (90, 200)]:
        image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        counted = int((stock.processed([(image, "What?")])["input_ids"] == token).sum())
        inputs = real.processor(text=[text], images=[[PilImage.fromarray(image)]], return_tensors="pt")
        others = {k: v for k, v in inputs.items() if k in ("image_grid_thw", "image_sizes", "pixel_attention_mask")}
        with torch.no_grad():
            features = real.model.model.get_image_features(inputs["pixel_values"], **others).pooler_output
        assert counted == sum(f.shape[:-1].numel() for f in features) > 0


@pytest.mark.parametrize(
    ("name", "work"),
    [(name, work) for name in MODELS for work in WORKS if name == "gemma3" or work in OF_EACH],
)
def test_planned_memory_is_that_of_the_trainings(folders: Path, name: str, work: str) -> None:
    settings, do = WORKS[work]
    found = do(*opened(folders, name, **settings))
    with without_data():
        planned = do(*bare(folders, name, **settings))
    assert planned.total == pytest.approx(found.total, rel=0.05)
    kept = ("weights", "gradients", "optimizer")
    assert sum(planned.peak[kind] for kind in kept) == pytest.approx(sum(found.peak[kind] for kind in kept), rel=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_planned_operations_are_those_of_the_trainings(folders: Path, name: str) -> None:
    """By eager attention: of the CPU's own kernels of attention torch counts no operations."""
    found = defender_plan.sft(*opened(folders, name, attention="eager"), SFT, PX)  # type: ignore[misc]
    with without_data():
        planned = defender_plan.sft(*bare(folders, name, attention="eager"), SFT, PX)  # type: ignore[misc]
    assert planned.flops == pytest.approx(found.flops, rel=0.01) and found.flops > 0


@pytest.mark.parametrize("name", ["qwen3_vl", "llava", "gemma3"])
def test_planned_memory_is_what_the_allocator_gives(folders: Path, name: str) -> None:
    """Of a step of SFT: forward, backward, optimizer."""

    class Asking(LiveMemory):
        given = 0

        def measure(self, work: Callable[[], object]) -> Measured:
            self.given = self.total + allocated(work)
            return super().measure(work)

    _, real = opened(folders, name)
    live = Asking("cpu")
    live.watch(real.model)
    defender_plan.sft(live, real, SFT, PX)
    stock, rows = asked(real, SFT.per_forward)
    live.given += stock.processed(rows)["pixel_values"].nbytes  # by NumPy, which allocates for itself
    with without_data():
        planned = defender_plan.sft(*bare(folders, name), SFT, PX)  # type: ignore[misc]
    assert planned.total == pytest.approx(live.given, rel=0.08)


@pytest.mark.parametrize("name", ["qwen3_vl", "llava"])
def test_the_plan_of_dapo_is_trls_own_step(folders: Path, name: str, tmp_path: Path) -> None:
    """Its trainer's loss on a batch that it wrote, beside ours on one of the same sizes."""
    rows = [CurriculumRow(s.id, s.image, s.question) for s in draw_scenes(8, 0)]
    settings = TRL.model_copy(update={"trl": TrlOptions(completions_per_forward=8)})
    theirs, defender = opened(folders, name)
    trainer = build_trainer(defender, rows, settings, seed=0, folder=tmp_path)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    drawn = trainer._draw(2)
    batch = super(type(trainer), trainer)._generate_and_score_completions(drawn)
    batch["num_items_in_batch"] = batch["completion_mask"].sum()
    found = theirs.measure(lambda: trainer.compute_loss(trainer.model, batch).backward())

    ours, again = opened(folders, name)
    with_trls_head(again.model, settings.temperature)
    asked = [rows[one["row"]] for one in drawn]  # type: ignore[call-overload]
    inputs = defender_plan._stock(again).inputs([(r.image, again.prompt(r.question)) for r in asked])
    tokens = batch["completion_ids"].shape[1]
    planned = ours.measure(lambda: completion_loss(again.model, inputs, tokens).backward())
    assert planned.total == pytest.approx(found.total, rel=0.05)
    assert planned.flops == pytest.approx(found.flops, rel=0.05)


def asked(defender: TrainedDefender, n: int) -> tuple[StockDefender, list[Row]]:
    stock = defender_plan._stock(defender)
    images, questions = defender_plan._asked(PX, n)
    return stock, [(i, stock.prompt(q)) for i, q in zip(images, questions, strict=True)]


TOKENS, ANSWERS = 40, 4


def generation(defender: TrainedDefender, live: LiveMemory) -> Measured:
    """All tokens of all answers, none of which ends early."""
    stock, rows = asked(defender, ANSWERS)
    stock.model.generation_config.eos_token_id = None
    return live.measure(lambda: stock._generate(rows, torch.full((ANSWERS, TOKENS), 0.5), 1.0))


@pytest.mark.parametrize("name", MODELS)
def test_planned_memory_is_that_of_answers_written_to_their_end(folders: Path, name: str) -> None:
    live, real = opened(folders, name)
    found = generation(real, live)
    without, planned = bare(folders, name)
    with without_data():
        made = stock_answering(without, *asked(planned, ANSWERS), TOKENS)
    assert max(made.read.total, made.write.total) == pytest.approx(found.total, rel=0.05)
    assert made.answers == ANSWERS and 0 < made.cache == made.write.peak["cache"]


@pytest.mark.parametrize(("name", "heads", "head"), [("llava", 1, 16), ("gemma3", 1, 16), ("qwen3_vl", 1, 8)])
def test_the_cache_has_grouped_heads_and_windows(folders: Path, name: str, heads: int, head: int) -> None:
    without, planned = bare(folders, name)
    stock, rows = asked(planned, ANSWERS)
    with without_data():
        made = stock_answering(without, stock, rows, TOKENS)
    length = stock.processed(rows)["input_ids"].shape[1] + TOKENS - 1  # nothing reads the last token
    kinds = getattr(planned.model.config.get_text_config(), "layer_types", None) or ["full_attention"] * 2
    # The window's last tokens are a view of what they were joined to a new one in.
    kept = [min(length, 64) if kind == "sliding_attention" else length for kind in kinds]
    assert length > 64 and ("sliding_attention" in kinds) == (name == "gemma3")
    assert made.cache == 2 * 4 * ANSWERS * heads * head * sum(kept)


# --- what cannot be exact is said -------------------------------------------------------------------------


def changed(folders: Path, name: str, to: Path, **config: Any) -> Path:
    """A bare folder with another configuration; None takes a key out."""
    shutil.copytree(folders / "bare" / name, to)
    saved = {**json.loads((to / "config.json").read_text()), **config}
    (to / "config.json").write_text(json.dumps({k: v for k, v in saved.items() if v is not None}))
    return to


RECIPE = ["dapo.engine=trl", "dapo.groups=2", "dapo.group_size=2", "dapo.trl.completions_per_forward=2"]


def told(folder: Path, stage: str = DEFENDER) -> str:
    from rich.console import Console

    need = stage_need(load_recipe("smoke", [*RECIPE, f"players.defender.model={folder}"]), stage)
    console = Console(width=400)
    with console.capture() as shown:
        console.print(stage_table(need, Hardware()))
    return shown.get()


def test_weights_stored_in_fewer_bits_are_an_upper_bound(folders: Path, tmp_path: Path) -> None:
    exact = told(folders / "bare/llava")
    shown = told(changed(folders, "llava", tmp_path / "m", quantization_config={"quant_method": "awq"}))
    assert "~" not in exact
    assert "~ upper bound: its weights are stored in awq, and are counted in float32" in shown
    assert shown.count("~") == 1 + 3  # reading, writing, the update


def test_a_class_that_cannot_run_without_data_is_a_lower_bound(
    folders: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_folder_that_cannot_be_planned_is_one_error(folders: Path, tmp_path: Path) -> None:
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
    assert "adapters" in refused(adapters).message


def test_a_hub_model_is_planned_without_its_weights(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_the_packed_engine_is_refused_before_a_run(folders: Path) -> None:
    with pytest.raises(AotError, match="written for Qwen") as caught:
        stage_need(load_recipe("smoke", [f"players.defender.model={folders / 'bare/llava'}"]), DEFENDER)
    assert "dapo.engine=trl" in str(caught.value.hint)


def test_the_command_plans_another_defender(
    folders: Path, aot: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aot.plan.recipe_plan.stage_needs", lambda recipe: [stage_need(recipe, DEFENDER)])
    flags = [word for setting in RECIPE for word in ("--set", setting)]
    done = aot("plan", "smoke", *flags, "--set", f"players.defender.model={folders / 'bare/gemma3'}")
    assert done.returncode == 0 and "update" in done.stdout and "write answers" in done.stdout
    done = aot("plan", "smoke", "--set", "players.defender.model=/no/such/folder")
    assert done.returncode == 2 and "config.json is missing" in done.stderr
