"""Adapters of a defender: what is trained, kept and served is them alone; the base is named and never changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText

import tiny_models
from aot.backends.base.backend import Ask, Sampling
from aot.backends.base.pictures import png
from aot.backends.local.backend import LocalBackend
from aot.backends.vllm.command import served
from aot.coevolve.recipes.load import load_recipe
from aot.data.episodes.curriculum import CurriculumRow
from aot.errors import AotError
from aot.players.base_players import BASE, SHIPPED, keep_player
from aot.players.defender.lora import WEIGHTS, adapted_layers, new_adapters
from aot.players.defender.opening import open_defender
from aot.players.defender.stock import StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.players.digests import player_digests
from aot.players.settings import DefenderSettings, LoraSettings
from aot.prompts import question_prompt
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import read_json, write_json
from aot.runs.train_log import TrainLog
from aot.train.defender.clean_guard import CleanGuardSettings, keep_clean
from aot.train.defender.dapo.settings import DapoSettings, TrlOptions
from aot.train.defender.dapo.train import train_dapo
from aot.train.defender.sft.examples import SftExample, in_epochs
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.world.scenes import draw_scenes

MINIATURE = SHIPPED / "defender"
SCENES = draw_scenes(8, 5)
IMAGES, QUESTIONS = [scene.image for scene in SCENES], [scene.question for scene in SCENES]
EXAMPLES = [SftExample(scene.image, scene.question) for scene in SCENES]
ROWS = [CurriculumRow(scene.id, scene.image, scene.question) for scene in SCENES]
LORA = LoraSettings(rank=4, alpha=32)
SETTINGS = DefenderSettings(max_new_tokens=5, lora=LORA)
SFT = DefenderSftSettings(steps=4, batch=4, learning_rate=1e-2, warmup_steps=0, ema=0.5)
PARTS = {"adapter_config.json", WEIGHTS, BASE, "chat_template.jinja", "processor_config.json"}
WORDS = {"tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another family's model, which knows the form of an answer."""
    root = tmp_path_factory.mktemp("tiny")
    tiny_models.qwen3_vl(root / "new")
    tiny_models.guesser(root / "new", root / "guesser", SCENES)
    return root / "guesser"


def opened(folder: Path, **settings: Any) -> TrainedDefender:
    return open_defender(folder, SETTINGS.model_copy(update=settings), name="tiny")


def trained(folder: Path, **others: Any) -> TrainedDefender:
    defender = opened(folder)
    train_defender_sft(defender, in_epochs(EXAMPLES, 4, seed=3), SFT, seed=1, **others)
    return defender


def frozen(defender: TrainedDefender) -> dict[str, torch.Tensor]:
    """The base's weights, by their names without adapters."""
    state = defender.model.state_dict()
    return {name.replace(".base_layer", ""): value for name, value in state.items() if ".lora_" not in name}


@pytest.mark.parametrize("name", ["miniature", "qwen3_vl"])
def test_only_adapters_are_trained_kept_and_read_by_the_stock_classes(name: str, whole: Path, tmp_path: Path) -> None:
    place = MINIATURE if name == "miniature" else whole
    defender = trained(place)
    defender.save(tmp_path / "stage")
    assert {path.name for path in (tmp_path / "stage").iterdir()} == PARTS | WORDS
    before = AutoModelForImageTextToText.from_pretrained(place)
    plain = before.state_dict()
    assert all(torch.equal(plain[key], value) for key, value in frozen(defender).items())
    assert all("language_model" in key for key in defender.learned.state_dict())
    ours = np.concatenate(defender.option_logprobs(IMAGES, QUESTIONS))
    assert not np.allclose(ours, np.concatenate(opened(place).option_logprobs(IMAGES, QUESTIONS)), atol=1e-3)

    stock = PeftModel.from_pretrained(before, tmp_path / "stage").get_base_model()
    for model in (stock, AutoModelForImageTextToText.from_pretrained(tmp_path / "stage")):
        other = StockDefender(model, defender.processor, max_new_tokens=5)
        np.testing.assert_allclose(np.concatenate(other.option_logprobs(IMAGES, QUESTIONS)), ours, atol=2e-5)
        assert other.answer(IMAGES, QUESTIONS) == defender.answer(IMAGES, QUESTIONS)
    again = np.concatenate(opened(tmp_path / "stage").option_logprobs(IMAGES, QUESTIONS))
    np.testing.assert_array_equal(again, ours)
    config = read_json(tmp_path / "stage/adapter_config.json", hint="")
    assert config["base_model_name_or_path"] == str(place) and config["r"] == 4 and config["lora_alpha"] == 32
    model = served(tmp_path / "stage", "x")
    assert (model.rank, Path(model.base)) == (4, place)


def test_a_backend_asks_adapters_over_their_base(tmp_path: Path) -> None:
    defender = trained(MINIATURE)
    defender.save(tmp_path)
    asks = [Ask(str(i), (png(IMAGES[i]), question_prompt(QUESTIONS[i]))) for i in range(4)]
    replies = {ask.id: reply.text for ask, reply in LocalBackend(tmp_path).ask(asks, Sampling(max_new_tokens=5))}
    assert [replies[str(i)] for i in range(4)] == [a[0].text for a in defender.answer(IMAGES[:4], QUESTIONS[:4])]


class Killed(TrainLog):
    def write(self, step: int, **values: object) -> None:
        raise KeyboardInterrupt


def test_the_next_stage_goes_on_with_the_same_adapters_and_resumes_to_the_bit(whole: Path, tmp_path: Path) -> None:
    first = trained(whole)
    first.save(tmp_path / "first")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "first", checkpoint=Checkpoint(tmp_path / "state", 2), log=Killed())
    kept = sum(path.stat().st_size for path in (tmp_path / "state").iterdir())
    assert kept < 8 * (tmp_path / "first" / WEIGHTS).stat().st_size  # and two moments, an average
    resumed, straight = (
        trained(tmp_path / "first", checkpoint=Checkpoint(tmp_path / "state", 2)),
        opened(tmp_path / "first"),
    )
    for name, value in straight.learned.state_dict().items():
        assert torch.equal(value, first.learned.state_dict()[name])
    straight = trained(tmp_path / "first")
    for name, value in straight.learned.state_dict().items():
        assert torch.equal(value, resumed.learned.state_dict()[name]), name
    resumed.save(tmp_path / "second")
    assert (tmp_path / "second" / BASE).read_bytes() == (tmp_path / "first" / BASE).read_bytes()


DAPO = DapoSettings(
    groups=2, group_size=2, updates=2, max_draws=8, warmup_updates=0, trl=TrlOptions(checkpoint_every=1)
)


def test_dapo_by_trl_trains_adapters_and_resumes(whole: Path, tmp_path: Path) -> None:
    settings = DAPO.model_copy(update={"engine": "trl", "ema": 0.5})

    def train(where: str) -> TrainedDefender:
        defender = opened(whole)
        train_dapo(defender, ROWS, settings, seed=2, checkpoint=Checkpoint(tmp_path / where))
        return defender

    one = train("whole")
    before = frozen(opened(whole))
    assert all(torch.equal(value, before[key]) for key, value in frozen(one).items())
    assert any(value.abs().sum() > 0 for key, value in one.learned.state_dict().items() if "lora_B" in key)
    left = tmp_path / "whole/checkpoint-1"  # all that one killed in its second update would have left
    assert (left / WEIGHTS).is_file() and not (left / "model.safetensors").exists()
    shutil.copytree(left, tmp_path / "killed/checkpoint-1")
    resumed = train("killed").learned.state_dict()
    for key, value in one.learned.state_dict().items():
        assert torch.equal(resumed[key], value), key


def test_packed_dapo_trains_adapters_with_activations_computed_again(tmp_path: Path) -> None:
    settings = DAPO.model_copy(update={"temperature": 2.0, "max_draws": 20, "groups": 1, "group_size": 8, "updates": 1})
    ends = []
    for checkpointing in (False, True):
        defender = opened(MINIATURE, gradient_checkpointing=checkpointing)
        train_dapo(defender, ROWS, settings, seed=2)
        assert any(value.abs().sum() > 0 for key, value in defender.learned.state_dict().items() if "lora_B" in key)
        ends.append(torch.cat([value.flatten() for value in defender.learned.state_dict().values()]))
    torch.testing.assert_close(ends[0], ends[1], atol=1e-6, rtol=1e-5)


def test_adapters_over_a_base_of_16_bits_are_float32_and_learn_from_small_steps(whole: Path) -> None:
    defender = opened(whole, dtype="bfloat16")
    parameters = defender.begin_training(seed=0)
    assert defender.model.dtype == torch.bfloat16 and {p.dtype for p in parameters} == {torch.float32}
    settings = SFT.model_copy(update={"learning_rate": 1e-6, "ema": 0.0, "steps": 2})
    before = defender.learned_copy()
    train_defender_sft(defender, in_epochs(EXAMPLES, 4, seed=3), settings, seed=1)
    assert all(
        not torch.equal(before[key], value) for key, value in defender.learned.state_dict().items() if "_B" in key
    )
    assert len(defender.answer_with_logprobs(IMAGES[:2], QUESTIONS[:2])) == 2


def test_a_base_that_was_not_trained_yet_is_named_alone(tmp_path: Path) -> None:
    keep_player(SETTINGS, "defender", tmp_path)
    defender = opened(tmp_path)
    assert defender.learned is defender.model and len(defender.answer(IMAGES[:1], QUESTIONS[:1])) == 1
    (tmp_path / "next").mkdir()
    defender.save(tmp_path / "next")
    assert [path.name for path in (tmp_path / "next").iterdir()] == [BASE]
    assert opened(tmp_path / "next").base == defender.base


def test_the_guard_goes_back_between_adapters(tmp_path: Path) -> None:
    defender = opened(MINIATURE)
    defender.begin_training(seed=0)
    before = defender.learned_copy()
    with torch.no_grad():
        for parameter in defender.learned.parameters.values():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    figures = keep_clean(defender, before, SCENES, 1.0, CleanGuardSettings(max_loss=0.0, rehearsals=0), lambda *_: None)
    assert figures["kept"] == 0.0 and figures["clean_train"] == 1.0
    assert all(torch.equal(before[key], value) for key, value in defender.learned.state_dict().items())


def other_base(folder: Path) -> None:
    write_json(folder / BASE, {**read_json(folder / BASE, hint=""), "digest": "0"})


def no_base(folder: Path) -> None:
    write_json(folder / BASE, {**read_json(folder / BASE, hint=""), "model": "/nowhere/at/all"})


def other_model(folder: Path) -> None:
    (folder / BASE).unlink()
    config = read_json(folder / "adapter_config.json", hint="")
    write_json(folder / "adapter_config.json", {**config, "base_model_name_or_path": str(MINIATURE)})


def as_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")


def of_another_kind(folder: Path) -> None:
    config = read_json(folder / "adapter_config.json", hint="")
    write_json(folder / "adapter_config.json", {"peft_type": "IA3", **{k: config[k] for k in ("target_modules",)}})


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (other_base, "is another one than was trained on"),
        (no_base, "no defender there"),
        (other_model, "the defender's adapters cannot be read"),
        (as_pickle, "only safetensors are read"),
        (lambda f: (f / WEIGHTS).write_bytes(b"junk" * 9), "damaged weights|cannot be read"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "cannot be read"),
        (lambda f: (f / BASE).write_text("[]"), "holds a list where an object is expected"),
        (of_another_kind, "cannot be read"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(
    whole: Path, tmp_path: Path, spoil: Callable[[Path], Any], told: str
) -> None:
    folder, defender = tmp_path / "adapters", opened(whole)
    defender.begin_training(seed=0)
    defender.save(folder)
    assert opened(folder, lora=LoraSettings()).adapters is not None  # rank 0: as they are
    spoil(folder)
    with pytest.raises(AotError, match=told) as error:
        opened(folder)
    assert error.value.hint


def test_settings_that_do_not_fit_are_refused(whole: Path, tmp_path: Path) -> None:
    defender = opened(whole)
    defender.begin_training(seed=0)
    defender.save(tmp_path)
    with pytest.raises(AotError, match="rank 4, and the settings ask for 8") as error:
        opened(tmp_path, lora=LoraSettings(rank=8))
    assert "players.defender.lora.rank=4" in str(error.value)
    wrong = opened(whole, lora=LoraSettings(rank=2, targets=("q_proj", "to_q")))
    with pytest.raises(AotError, match="no linear layer of the defender is called to_q") as error:
        wrong.begin_training(seed=0)
    assert "players.defender.lora.targets" in str(error.value) and "q_proj" in str(error.value.hint)
    for old in ("dapo.trl.lora_rank=4", "warm_up.lora_rank=4"):
        with pytest.raises(AotError, match=r"now called players\.defender\.lora\.rank"):
            load_recipe("smoke", [old])
    with pytest.raises(AotError, match=r"now called players\.defender\.gradient_checkpointing"):
        load_recipe("paper", ["dapo.trl.gradient_checkpointing=true"])


def test_targets_are_chosen_by_name_in_any_family(tmp_path: Path) -> None:
    tiny_models.llava(tmp_path / "llava")
    for folder in (tmp_path / "llava", MINIATURE):
        model = opened(folder, lora=LoraSettings()).model
        adapters = new_adapters(model, LoraSettings(rank=2), seed=0)
        layers = {name.rpartition(".lora_")[0] for name in adapters.parameters}
        assert len(layers) == 7 * model.config.get_text_config().num_hidden_layers
        assert all("language_model" in layer for layer in layers)
    model = opened(tmp_path / "llava", lora=LoraSettings()).model
    some = new_adapters(model, LoraSettings(rank=2, targets=("q_proj", "out_proj")), seed=0)
    assert any("vision" in name for name in some.parameters) and adapted_layers(model, ()) != []


def test_two_starts_differ_by_their_seed_alone(whole: Path) -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(3)
        defender = opened(whole)
        defender.begin_training(seed=seed)
        return defender.learned_copy()

    first, same, other = start(1), start(1), start(2)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_adapters_that_others_trained_are_opened(whole: Path, tmp_path: Path) -> None:
    trained(whole).save(tmp_path / "ours")
    shutil.copytree(tmp_path / "ours", tmp_path / "theirs")
    for name in (BASE, "processor_config.json", "chat_template.jinja", *WORDS):
        (tmp_path / "theirs" / name).unlink()
    theirs, ours = opened(tmp_path / "theirs"), opened(tmp_path / "ours")
    assert theirs.answer(IMAGES[:2], QUESTIONS[:2]) == ours.answer(IMAGES[:2], QUESTIONS[:2])
    theirs.save(tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / BASE).read_text()) == json.loads((tmp_path / "ours" / BASE).read_text())
    assert player_digests(tmp_path / "saved").keys() == player_digests(tmp_path / "ours").keys()
