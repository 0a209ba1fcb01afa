"""Trainings by two ranks are those of one: weights, metrics, and what a killed one leaves to other numbers of ranks."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aot.miniature.world.scenes import draw_scenes
from aot.players.base_players import SHIPPED
from aot.players.defender import QwenDefender
from aot.runs import ranks
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.defender.clean_guard import missed
from aot.train.defender.sft import DefenderSftSettings, SftExample, train_defender_sft
from aot.train.defender.sft_examples import in_epochs
from aot.train.ranks import Draws, gather_values, share, sum_gradients
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
    """Two ranks equal one; killed at the second step's end (one rank, with SIGKILL) one rank goes on, then three."""
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
            if saved and step == 2 and ranks.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return saved

    def until_killed() -> None:
        train(Dies(tmp_path / "state", 1), TrainLog())

    assert on_ranks(2, until_killed, dies=(1,))[1] == -signal.SIGKILL
    assert json.loads((tmp_path / "state/latest.json").read_text())["step"] == 2
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
    """With attacks whose losses are compared; seven scenes a step cannot be shared evenly."""
    examples = [SftExample(s.image, s.question, tuple(o.image for o in SCENES[: i % 4])) for i, s in enumerate(SCENES)]
    settings = DefenderSftSettings(steps=3, batch=7, candidates=2, warmup_steps=1, ema=0.5, per_forward=2)

    def train(checkpoint: Checkpoint, log: TrainLog) -> tuple[torch.nn.Module, dict[str, Any]]:
        defender = QwenDefender.load(SHIPPED / "defender")
        batches = in_epochs(examples, settings.batch, seed=1)
        metrics = train_defender_sft(defender, batches, settings, seed=1, checkpoint=checkpoint, log=log)
        return defender.model, metrics

    check_training(train, tmp_path)


def test_clean_scenes_that_are_missed_are_found_by_all_ranks(tmp_path: Path) -> None:
    defender = QwenDefender.load(SHIPPED / "defender")
    with torch.no_grad():
        for parameter in defender.model.lm_head.parameters():
            parameter.mul_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(1)))
    alone = [scene.id for scene in missed(defender, SCENES)]
    assert alone
    on_ranks(2, lambda: [scene.id for scene in missed(defender, SCENES)] == alone or os._exit(4))
