"""Trainings by two ranks are those of one: weights, metrics, and what a killed one leaves to other numbers of ranks."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aot.errors import AotError
from aot.game.referee import RefereeSettings
from aot.miniature.pairs import instruction_pairs
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.opening import open_attacker_to_train
from aot.players.base_players import SHIPPED
from aot.players.defender.qwen import QwenDefender
from aot.players.settings import AttackerSettings
from aot.runs import ranks
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings
from aot.train.attacker.flow_grpo.train import train_flow_grpo
from aot.train.attacker.reinforcement.attack_environment import GRADED, AttackEnvironment, EnvironmentSettings
from aot.train.attacker.sft.edit_sets import EditSet
from aot.train.attacker.sft.flow_matching import SftSettings, train_sft
from aot.train.defender.clean_guard import wrongly_answered
from aot.train.defender.dapo.settings import DapoSettings
from aot.train.defender.dapo.trl.sharded import check_shardable, gather_weights, is_sharded
from aot.train.defender.sft.examples import SftExample, in_epochs
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.train.editor_trainer import OptimizerSettings
from aot.train.ranks import Draws, gather_values, share, sum_gradients
from aot.types import CounterfactualPair
from aot.world.preserved import world_referee
from aot.world.scenes import draw_scenes
from conftest import further
from ranks import on_ranks

Train = Callable[[Checkpoint, TrainLog], tuple[torch.nn.Module, dict[str, Any]]]
"""A training from its beginning, or from its checkpoint: what it trained and its metrics."""


def trained(train: Train, out: Path, state: Path | None = None) -> None:
    """By this rank: the weights and metrics in `out`, one file each a rank."""
    with TrainLog(out / "log.jsonl", 3, quiet=True) as log:
        model, metrics = train(Checkpoint(state, 1), log)
    weights = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(weights, out / f"{ranks.rank()}.safetensors")
    (out / f"{ranks.rank()}.json").write_text(json.dumps(metrics))


def assert_equal(one: Path, other: Path, *, rank: int = 0, atol: float = 2e-6) -> None:
    """The largest difference of a weight is the rounding of a sum in another order."""
    expected, found = load_file(one / "0.safetensors"), load_file(other / f"{rank}.safetensors")
    assert expected.keys() == found.keys()
    worst = max(float((found[name] - value).abs().max()) for name, value in expected.items())
    assert worst < atol, worst
    metrics, others = (json.loads((folder / f"{n}.json").read_text()) for folder, n in ((one, 0), (other, rank)))
    assert metrics == pytest.approx(others, rel=1e-3, abs=1e-4)


def check_training(train: Train, tmp_path: Path, *, atol: float = 2e-6) -> None:
    """Two ranks equal one; killed at the first step's end (one rank, with SIGKILL) one rank goes on, then three."""
    folders = {name: tmp_path / name for name in ("one", "two", "killed", "again", "more")}
    for folder in folders.values():
        folder.mkdir()
    trained(train, folders["one"])
    on_ranks(2, lambda: trained(train, folders["two"]))
    for rank in range(2):
        assert_equal(folders["one"], folders["two"], rank=rank, atol=atol)
    first, second = (load_file(folders["two"] / f"{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first), "ranks have gone apart"
    logs = [(folders[name] / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) > 0, "one rank writes"

    class Dies(Checkpoint):
        def save(self, step: int, *state: Any, **more: Any) -> bool:
            saved = super().save(step, *state, **more)
            ranks.barrier()
            if saved and step == 1 and ranks.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return saved

    def until_killed() -> None:
        train(Dies(tmp_path / "state", 1), TrainLog())

    assert on_ranks(2, until_killed, dies=(1,))[1] == -signal.SIGKILL
    assert json.loads((tmp_path / "state/latest.json").read_text())["step"] == 1
    kept = tmp_path / "state"
    shutil.copytree(kept, tmp_path / "copied")
    trained(train, folders["again"], kept)
    assert_equal(folders["one"], folders["again"], atol=atol)
    on_ranks(3, lambda: trained(train, folders["more"], tmp_path / "copied"))
    assert_equal(folders["one"], folders["more"], rank=2, atol=atol)


def test_shares_are_whole_and_even() -> None:
    def work() -> None:
        assert gather_values([float(i) for i in share(7)]) == [float(i) for i in range(7)]
        assert len(share(7)) in (2, 3) and len(share(1)) == (ranks.rank() == 0)
        whole = torch.randn((7, 2), generator=torch.Generator().manual_seed(0))
        mine = Draws(torch.Generator().manual_seed(0), 7, torch.tensor(list(share(7)))).randn(2)
        assert torch.equal(mine, whole[share(7).start : share(7).stop])
        used, unused, seldom = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
        used.grad = torch.full((3,), float(ranks.rank()))
        if ranks.rank() == 1:
            seldom.grad = torch.ones(3)
        sum_gradients([used, unused, seldom])
        assert used.grad.tolist() == [3.0] * 3 and unused.grad is None
        assert seldom.grad is not None and seldom.grad.tolist() == [1.0] * 3

    on_ranks(3, work)


SCENES = draw_scenes(16, 11, "train")


def test_the_defenders_sft(tmp_path: Path) -> None:
    """With attacks and counterfactual pairs whose losses are compared; seven images a step cannot be shared evenly."""
    pairs = [CounterfactualPair((a.image, b.image), (a.question, b.question)) for a, b in pairwise(SCENES[:6])]
    examples = [SftExample(s.image, s.question, tuple(o.image for o in SCENES[: i % 4])) for i, s in enumerate(SCENES)]
    settings = DefenderSftSettings(steps=2, batch=7, candidates=2, warmup_steps=1, ema=0.5, per_forward=2)
    settings = settings.model_copy(update={"counterfactual_share": 0.6})

    shipped = QwenDefender.load(SHIPPED / "defender")

    def train(checkpoint: Checkpoint, log: TrainLog) -> tuple[torch.nn.Module, dict[str, Any]]:
        defender = copy.deepcopy(shipped)
        batches = in_epochs(examples, settings.single, seed=1)
        metrics = train_defender_sft(
            defender, batches, settings, seed=1, pairs=lambda _: pairs, checkpoint=checkpoint, log=log
        )
        assert metrics["counterfactual"] == 4 / 7
        return defender.model, metrics

    check_training(train, tmp_path)


def test_clean_scenes_that_are_missed_are_found_by_all_ranks(tmp_path: Path) -> None:
    defender = QwenDefender.load(SHIPPED / "defender")
    with torch.no_grad():
        for parameter in defender.model.lm_head.parameters():
            parameter.mul_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(1)))
    alone = [scene.id for scene in wrongly_answered(defender, SCENES)]
    assert alone
    on_ranks(2, lambda: [scene.id for scene in wrongly_answered(defender, SCENES)] == alone or os._exit(4))


def tiny_attacker(*, adapters: bool = False) -> EditAttacker:
    """The miniature's editor, whole or with adapters before it, all of whose weights are trained."""
    settings = AttackerSettings(lora={"rank": 4 if adapters else 0})
    attacker = open_attacker_to_train(SHIPPED / "attacker", settings, name="a", seed=3)
    assert bool([name for name, p in attacker.transformer.named_parameters() if "lora" in name]) == adapters
    return attacker


QUICK = OptimizerSettings(muon_lr=0, adamw_lr=1e-3, warmup_steps=1, ema=0.5)


@pytest.mark.parametrize("micro_batch", [2, *further(0)])
def test_the_attackers_sft(micro_batch: int, tmp_path: Path) -> None:
    """Five examples a step; in passes or at once."""
    pairs = instruction_pairs(draw_scenes(8, 6, "train"), seed=1)
    settings = SftSettings(steps=2, batch=5, micro_batch=micro_batch, optimizer=QUICK)

    fresh = tiny_attacker()
    examples = EditSet.of(fresh, pairs)

    def train(checkpoint: Checkpoint, log: TrainLog) -> tuple[torch.nn.Module, dict[str, Any]]:
        attacker = copy.deepcopy(fresh)
        metrics = train_sft(attacker, examples, settings, seed=2, checkpoint=checkpoint, log=log)
        return attacker.transformer, metrics

    check_training(train, tmp_path, atol=1e-4)  # of two steps of 1e-3: Adam's first is as long for a tiny gradient


GRADED_BY_SHARE = EnvironmentSettings(answers=4, temperature=1.5)
FLOW = {
    "greedy, one optimizer step": FlowGrpoSettings(environment=GRADED, micro_batch=0),
    "sampled answers, two steps, in passes": FlowGrpoSettings(
        environment=GRADED_BY_SHARE, minibatch=5, micro_batch=3, share_noise=False, advantage_std="group"
    ),
}


@pytest.mark.parametrize("name", ["sampled answers, two steps, in passes", *further("greedy, one optimizer step")])
def test_flow_grpo(name: str, tmp_path: Path) -> None:
    """Three groups: with two ranks one has two of them, with three each one; a fourth would have none."""
    sizes = {"updates": 2, "groups": 3, "group_size": 3, "steps": 4, "window_last": 2, "optimizer": QUICK}
    settings = FLOW[name].model_copy(update=sizes)
    defender, scenes = QwenDefender.load(SHIPPED / "defender"), draw_scenes(8, 5, "train")
    fresh = tiny_attacker(adapters=True)

    def train(checkpoint: Checkpoint, log: TrainLog) -> tuple[torch.nn.Module, dict[str, Any]]:
        attacker = copy.deepcopy(fresh)
        referee = world_referee(RefereeSettings())
        environment = AttackEnvironment(attacker, scenes, referee, defender, settings.environment)
        metrics = train_flow_grpo(environment, settings, seed=4, checkpoint=checkpoint, log=log)
        return attacker.transformer, metrics

    check_training(train, tmp_path, atol=2e-5)


def test_answers_are_drawn_by_the_edit_and_not_by_its_place() -> None:
    defender = QwenDefender.load(SHIPPED / "defender")
    images, questions = [s.image for s in SCENES[:6]], [s.question for s in SCENES[:6]]
    how: dict[str, Any] = {"k": 3, "temperature": 3.0, "seed": 8}
    whole = defender.answer(images, questions, streams=range(6), **how)
    assert defender.answer(images[4:], questions[4:], streams=[4, 5], **how) == whole[4:]
    assert defender.answer(images, questions, **how) != whole


def test_sharded_weights_come_back_in_one_piece(tmp_path: Path) -> None:
    """accelerate shards nothing on a CPU: here it is what gathers, on the first rank alone as there."""
    trained_weights = QwenDefender.load(SHIPPED / "defender").model.state_dict()
    trained_weights = {
        name: value + 0.5 if value.is_floating_point() else value for name, value in trained_weights.items()
    }

    def work() -> None:
        defender = QwenDefender.load(SHIPPED / "defender")
        gathered = trained_weights if ranks.is_main() else {}
        accelerator = SimpleNamespace(get_state_dict=lambda _: dict(gathered), device=torch.device("cpu"))
        trainer = SimpleNamespace(accelerator=accelerator, model_wrapped=None, is_fsdp_enabled=True)
        assert is_sharded(trainer)
        check_shardable(defender, DapoSettings())
        gather_weights(trainer, defender, tmp_path)
        found = defender.model.state_dict()
        assert found.keys() == trained_weights.keys()
        assert all(torch.equal(found[name], value) for name, value in trained_weights.items())
        defender.answer([SCENES[0].image], [SCENES[0].question])

    on_ranks(2, work)
    assert not list(tmp_path.iterdir())
    with pytest.raises(AotError, match="not averaged"):
        check_shardable(QwenDefender.load(SHIPPED / "defender"), DapoSettings(ema=0.5))
