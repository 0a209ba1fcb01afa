"""Plans of any vision-language model, from folders without weights: parameters, image tokens and memory are those of
the stock class with its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from aot.data.episodes.curriculum import CurriculumRow
from aot.plan import defender_plan
from aot.plan.live_memory import LiveMemory, Measured
from aot.plan.stock_answers import stock_answering
from aot.plan.without_data import without_data
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import Row, StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.train.defender.dapo.settings import DapoSettings, TrlOptions
from aot.train.defender.dapo.trl.engine import build_trainer
from aot.train.defender.dapo.trl.forward import completion_loss, with_trls_head
from aot.world.scenes import draw_scenes
from conftest import further
from plan_folders import BUILDERS, LORA, PX, SFT, bare, built, opened, step_as_on_a_gpu
from test_plan import allocated
from tiny_models import Built

MODELS = sorted(BUILDERS)
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
OTHERS = [("qwen3_vl", "sft"), ("idefics3", "sft"), ("qwen3_vl_moe", "dapo of adapters"), ("llava_next", "last token")]
"""What Gemma's pass has not: features for later layers, tiles, experts. `test_plan.py` plans the shipped Qwen2.5-VL."""
OF_EACH = ("sft", "dapo of adapters", "last token")
SHOWN = ("sft", "dapo of adapters", "last token")
"""Works of Gemma 3 that another model, or more of its own, shows."""
FURTHER = [(name, work) for name in MODELS if name != "gemma3" for work in OF_EACH if (name, work) not in OTHERS]
FURTHER += [("gemma3", work) for work in SHOWN]


def members(*names: str) -> list[Any]:
    """All models, of which these stay in `make test`."""
    return [*names, *further(*(name for name in MODELS if name not in names))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    step_as_on_a_gpu(monkeypatch)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_answers_are_those_of_the_whole_folder(folders: Built, name: str) -> None:
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
def test_image_tokens_are_as_many_as_the_model_makes(folders: Built, name: str) -> None:
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
    [*(("gemma3", work) for work in WORKS if work not in SHOWN), *OTHERS, *further(*FURTHER)],
)
def test_planned_memory_is_that_of_the_trainings(folders: Built, name: str, work: str) -> None:
    settings, do = WORKS[work]
    found = do(*opened(folders, name, **settings))
    with without_data():
        planned = do(*bare(folders, name, **settings))
    assert planned.total == pytest.approx(found.total, rel=0.05)
    kept = ("weights", "gradients", "optimizer")
    assert sum(planned.peak[kind] for kind in kept) == pytest.approx(sum(found.peak[kind] for kind in kept), rel=0.02)


@pytest.mark.parametrize(
    ("name", "n"),
    [
        *(("qwen3_vl", 1), ("gemma3", 4)),
        *further(*((name, n) for name in ("qwen2_5_vl", "llava") for n in (1, 4)), ("qwen3_vl", 4), ("gemma3", 1)),
    ],
)
def test_planned_memory_is_that_of_attacks_on_pixels(folders: Built, name: str, n: int) -> None:
    """Of images of any number, with what the attack keeps of the processor beside the model."""
    found = defender_plan.pixels(*opened(folders, name), SFT, PX, n)  # type: ignore[misc]
    with without_data():
        planned = defender_plan.pixels(*bare(folders, name), SFT, PX, n)  # type: ignore[misc]
    assert not planned.inexact and planned.total == pytest.approx(found.total, rel=0.05)


@pytest.mark.parametrize("name", members("qwen3_vl_moe"))
def test_planned_operations_are_those_of_the_trainings(folders: Built, name: str) -> None:
    """By eager attention: of the CPU's own kernels of attention torch counts no operations."""
    found = defender_plan.sft(*opened(folders, name, attention="eager"), SFT, PX)  # type: ignore[misc]
    with without_data():
        planned = defender_plan.sft(*bare(folders, name, attention="eager"), SFT, PX)  # type: ignore[misc]
    assert planned.flops == pytest.approx(found.flops, rel=0.01) and found.flops > 0


@pytest.mark.parametrize("name", ["qwen3_vl", *further("llava", "gemma3")])
def test_planned_memory_is_what_the_allocator_gives(folders: Built, name: str) -> None:
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


@pytest.mark.parametrize("name", ["llava", *further("qwen3_vl")])
def test_the_plan_of_dapo_is_trls_own_step(folders: Built, name: str, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", members("gemma3"))
def test_planned_memory_is_that_of_answers_written_to_their_end(folders: Built, name: str) -> None:
    live, real = opened(folders, name)
    found = generation(real, live)
    without, planned = bare(folders, name)
    with without_data():
        made = stock_answering(without, *asked(planned, ANSWERS), TOKENS)
    assert max(made.read.total, made.write.total) == pytest.approx(found.total, rel=0.05)
    assert made.answers == ANSWERS and 0 < made.cache == made.write.peak["cache"]


@pytest.mark.parametrize(
    ("name", "heads", "head"), [("gemma3", 1, 16), ("qwen3_vl", 1, 8), *further(("llava", 1, 16))]
)
def test_the_cache_has_grouped_heads_and_windows(folders: Built, name: str, heads: int, head: int) -> None:
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
