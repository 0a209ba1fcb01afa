"""The defender's warm-up: the stock model's loss, mining, bits, adapters, the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, get_scheduler

from aot.errors import AotError
from aot.forge.pipeline import ForgeSettings, forge
from aot.forge.read_pairs import dataset_pairs
from aot.forge.world import WorldSettings
from aot.players.base_players import SHIPPED
from aot.players.defender.qwen import QwenDefender
from aot.prompts import gold_answer, question_prompt
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.defender.optimizer import adamw
from aot.train.defender.sft.examples import SftExample, dataset_examples, in_epochs, joined
from aot.train.defender.sft.losses import answer_losses
from aot.train.defender.sft.selection import choose_images
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.world.scenes import draw_scenes
from conftest import Ended
from stock_classes import named_as_stock

DEFENDER = SHIPPED / "defender"
SCENES = draw_scenes(24, 11, "train")
EXAMPLES = [
    SftExample(scene.image, scene.question, tuple(other.image for other in SCENES[: i % 4]))
    for i, scene in enumerate(SCENES)
]
FAST = DefenderSftSettings(steps=4, batch=6, candidates=2, warmup_steps=1, ema=0.5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("forged")
    forge(None, out, ForgeSettings(world=WorldSettings(scenes=16), held_out_share=0.3), say=lambda _: None)
    return out


def weights(defender: QwenDefender) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in defender.model.parameters()])


def test_the_loss_is_the_stock_models_cross_entropy() -> None:
    defender = QwenDefender.load(DEFENDER)
    seen = [(scene.image, scene.question) for scene in SCENES[:5]]
    sums, tokens = answer_losses(defender, seen)
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(DEFENDER)
    with named_as_stock():
        processor = AutoProcessor.from_pretrained(DEFENDER)
    for (image, question), ours, count in zip(seen, sums.tolist(), tokens.tolist(), strict=True):
        asked = [{"type": "image", "image": image}, {"type": "text", "text": question_prompt(question)}]
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": gold_answer(question)}]
        whole = processor.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")
        prompt = processor.apply_chat_template(
            turns[:1], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )
        start, ids = prompt.input_ids.shape[1], whole.input_ids[0]
        end = start + count  # end-of-turn is the last token that counts; the template writes a line break behind it
        assert ids[end - 1] == defender.eos_ids[0]
        with torch.no_grad():
            logits = stock(**whole).logits[0]
        expected = F.cross_entropy(logits[start - 1 : end - 1], ids[start:end], reduction="sum")
        assert ours == pytest.approx(float(expected), abs=2e-4, rel=1e-4)


def test_mining_takes_the_hardest_of_what_it_is_given_and_nothing_else() -> None:
    defender = QwenDefender.load(DEFENDER)
    settings = DefenderSftSettings(batch=24, attacked_share=1.0, candidates=3)
    seen, attacked = choose_images(defender, EXAMPLES, settings, np.random.default_rng(0))
    assert attacked == [bool(example.attacked) for example in EXAMPLES] and sum(attacked) == 18
    for example, (image, question) in zip(EXAMPLES, seen, strict=True):
        assert question is example.question
        if not example.attacked:
            assert image is example.clean
            continue
        losses = answer_losses(defender, [(each, question) for each in example.attacked])[0].tolist()
        hardest = example.attacked[int(np.argmax(losses))]
        assert image is hardest or losses[[each is image for each in example.attacked].index(True)] == max(losses)
    _, half = choose_images(
        defender, EXAMPLES, settings.model_copy(update={"attacked_share": 0.5}), np.random.default_rng(0)
    )
    assert sum(half) == 12
    clean, none = choose_images(
        defender, EXAMPLES, settings.model_copy(update={"attacked_share": 0.0}), np.random.default_rng(0)
    )
    assert not any(none) and all(image is e.clean for e, (image, _) in zip(EXAMPLES, clean, strict=True))


def test_a_pool_leaves_the_scenes_of_the_highest_loss() -> None:
    defender = QwenDefender.load(DEFENDER)
    settings = DefenderSftSettings(batch=8, attacked_share=0.75, candidates=1, pool=3)
    assert settings.drawn() == (18, 2) and settings.drawn(4) == (9, 1)
    others = (scene.image for scene in draw_scenes(24, 12, "train"))
    one_each = [replace(e, attacked=(other,) if e.attacked else ()) for e, other in zip(EXAMPLES, others, strict=True)]
    seen, edited = choose_images(defender, one_each, settings, np.random.default_rng(0))
    assert len(seen) == 8 and sum(edited) == 6
    losses = {
        id(each.attacked[0]): float(answer_losses(defender, [(each.attacked[0], each.question)])[0])
        for each in one_each
        if each.attacked
    }
    kept = {id(image) for (image, _), is_edited in zip(seen, edited, strict=True) if is_edited}
    assert min(losses[i] for i in kept) >= max(loss for i, loss in losses.items() if i not in kept) - 1e-5
    clean = [image for (image, _), is_edited in zip(seen, edited, strict=True) if not is_edited]
    assert all(any(image is each.clean for each in one_each if not each.attacked) for image in clean)


@pytest.mark.parametrize("muon_lr", [0.0, 0.01])
def test_killed_and_resumed_is_the_same_to_the_bit(muon_lr: float, tmp_path: Path) -> None:
    settings, batches = FAST.model_copy(update={"muon_lr": muon_lr}), in_epochs(EXAMPLES, FAST.batch, seed=3)
    whole = QwenDefender.load(DEFENDER)
    before = weights(whole)
    train_defender_sft(whole, batches, settings, seed=1)

    class Killer(TrainLog):
        def write(self, step: int, **values: object) -> None:
            raise KeyboardInterrupt

    killed = QwenDefender.load(DEFENDER)
    with pytest.raises(KeyboardInterrupt):
        train_defender_sft(killed, batches, settings, seed=1, checkpoint=Checkpoint(tmp_path, 2), log=Killer())
    resumed = QwenDefender.load(DEFENDER)
    train_defender_sft(resumed, batches, settings, seed=1, checkpoint=Checkpoint(tmp_path, 2))
    assert torch.equal(weights(whole), weights(resumed)) and not torch.equal(before, weights(whole))
    whole.save(tmp_path / "saved")
    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    assert torch.equal(torch.cat([p.flatten() for p in stock.parameters()]), weights(whole))


ENDS = [("linear", 0.0, 0.0), ("linear", 0.6, 0.6), ("constant", 0.0, 1.0)]


@pytest.mark.parametrize(("schedule", "final", "end"), ENDS)
def test_a_schedule_ends_at_its_final_rate(schedule: Any, final: float, end: float) -> None:
    weight = torch.nn.Parameter(torch.zeros(3))
    how: dict[str, Any] = {"schedule": schedule, "warmup": 4, "steps": 20, "final": final}
    optimizer, rate = adamw([weight], learning_rate=2.0, weight_decay=0.0, **how)
    rates = []
    for _ in range(21):
        rates += rate.get_last_lr()
        optimizer.step()
        rate.step()
    assert rates[:5] == [0.0, 0.5, 1.0, 1.5, 2.0] and rates[20] == pytest.approx(2 * end)
    assert np.diff(rates[4:]).max() <= 0 and np.ptp(np.diff(rates[4:])) < 1e-9  # in a line


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_schedules_are_those_of_transformers(schedule: Any) -> None:
    optimizer, ours = adamw(
        [torch.nn.Parameter(torch.zeros(3))], learning_rate=0.7, weight_decay=0.0, schedule=schedule, warmup=7, steps=40
    )
    other = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(3))], lr=0.7)
    theirs = get_scheduler(schedule if schedule == "linear" else "constant_with_warmup", other, 7, 40)
    for _ in range(45):
        assert ours.get_last_lr() == theirs.get_last_lr()
        for each in (optimizer, ours, other, theirs):
            each.step()


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest() -> None:
    settings = FAST.model_copy(update={"muon_lr": 0.01, "learning_rate": 1e-30, "ema": 0.0})
    defender = QwenDefender.load(DEFENDER)
    before = {name: p.detach().clone() for name, p in defender.model.named_parameters()}
    train_defender_sft(defender, in_epochs(EXAMPLES, FAST.batch, seed=3), settings, seed=1)
    moved = {name for name, p in defender.model.named_parameters() if not torch.allclose(p, before[name], atol=1e-12)}
    inside = {name for name, p in before.items() if not any(word in name for word in ("embed", "lm_head"))}
    assert moved == {name for name in inside if before[name].ndim == 2}
    assert "muon_lr" not in FAST.key and "pixel" not in FAST.key, "stages of earlier versions stand"


def test_it_learns_whatever_the_size_of_a_forward_pass_and_no_step_changes_nothing() -> None:
    ends = []
    for per_forward in (6, 2):
        defender = QwenDefender.load(DEFENDER)
        settings = DefenderSftSettings(steps=3, batch=6, per_forward=per_forward, candidates=1)
        train_defender_sft(defender, in_epochs(EXAMPLES[:6], 6, seed=0), settings, seed=0)
        ends.append(weights(defender))
    torch.testing.assert_close(ends[0], ends[1], atol=2e-5, rtol=0)
    defender = QwenDefender.load(DEFENDER)
    before = weights(defender).clone()
    assert train_defender_sft(defender, lambda step: [], DefenderSftSettings(steps=0), seed=0) == {}
    assert torch.equal(before, weights(defender))
    many = DefenderSftSettings(steps=30, batch=24, candidates=1, learning_rate=1e-3)
    losses = [float(answer_losses(defender, [(e.attacked[0], e.question) for e in EXAMPLES if e.attacked])[0].sum())]
    train_defender_sft(defender, in_epochs(EXAMPLES, 24, seed=0), many, seed=0)
    losses += [float(answer_losses(defender, [(e.attacked[0], e.question) for e in EXAMPLES if e.attacked])[0].sum())]
    assert losses[1] < losses[0] / 2


def test_a_dataset_is_seen_in_epochs(dataset: Path) -> None:
    pairs = dataset_pairs(dataset)
    examples = dataset_examples(pairs)
    assert sum(len(example.attacked) for example in examples) == len(pairs) > len(examples)
    batches = in_epochs(examples, 4, seed=0)
    seen = [example for step in range(1, len(examples) + 1) for example in batches(step)]
    assert all(sum(each is example for each in seen) == 4 for example in examples)
    assert [id(e) for e in batches(3)] == [id(e) for e in in_epochs(examples, 4, seed=0)(3)]
    assert len(joined(batches, batches)(1)) == 8


def test_the_command_warms_a_defender_up_that_the_game_can_load(
    dataset: Path, tmp_path: Path, aot: Callable[..., Ended]
) -> None:
    few = ["--set", "sft.steps=2", "--set", "sft.batch=8"]
    done = aot("sft", "--defender", "miniature", "--data", dataset, "--out", "run", *few)
    assert done.returncode == 0 and "play it: aot coevolve --set players.defender=run/defender" in done.stdout
    metrics = json.loads((tmp_path / "run/defender/manifest.json").read_text())["metrics"]
    assert metrics["pairs"] > metrics["scenes"] > 5 and 0 <= metrics["held_out_attacked"] <= 1
    QwenDefender.load(tmp_path / "run/defender")
    assert "kept from before" in aot("sft", "--defender", "miniature", "--data", dataset, "--out", "run", *few).stdout
    both = aot("sft", "--defender", "miniature", "--attacker", "miniature", "--data", dataset)
    assert both.returncode == 2 and "one player learns at a time" in both.stderr
    with pytest.raises(AotError, match="no pairs of the split train here"):
        dataset_pairs(tmp_path)
