"""Law: a training that is killed and resumed ends bit-identical to one that was not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aot.errors import AotError
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog


class Training:
    """A small training with all that has state: two optimizers, a schedule, an average, two generators."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 4))
        self.average = torch.optim.swa_utils.AveragedModel(self.model, use_buffers=True)
        matrices = [p for p in self.model.parameters() if p.ndim == 2]
        vectors = [p for p in self.model.parameters() if p.ndim == 1]
        self.muon = torch.optim.Muon(matrices, lr=0.02)
        self.adamw = torch.optim.AdamW(vectors, lr=0.02)
        self.schedule = torch.optim.lr_scheduler.LinearLR(self.adamw, 1.0, 0.1, 20)
        self.noise, self.rng = torch.Generator().manual_seed(1), np.random.default_rng(2)
        self.state = (
            {"model": self.model, "average": self.average, "absent": None},
            {"muon": self.muon, "adamw": self.adamw, "schedule": self.schedule},
            {"noise": self.noise, "rng": self.rng, "dropout": torch.default_generator},
        )

    def run(self, folder: Path | None, steps: int = 20) -> int:
        checkpoint = Checkpoint(folder, every_steps=6)
        start = checkpoint.restore(*self.state)
        with TrainLog(folder and folder / "log.jsonl", steps, "test", quiet=True) as log:
            log.resume(start)
            for step in range(start + 1, steps + 1):
                inputs = torch.randn(5, 4, generator=self.noise) * float(self.rng.normal())
                loss = self.model(inputs).square().mean()
                loss.backward()
                for optimizer in (self.muon, self.adamw):
                    optimizer.step()
                    optimizer.zero_grad()
                self.schedule.step()
                self.average.update_parameters(self.model)
                log.write(step, loss=loss.detach(), lr=self.schedule.get_last_lr()[0])
                checkpoint.save(step, *self.state, {"seen": step})
        assert checkpoint.extra == ({"seen": start} if start else None)
        return start

    def weights(self) -> list[torch.Tensor]:
        return [*self.model.state_dict().values(), *self.average.state_dict().values()]


@pytest.mark.parametrize("killed_after", [5, 6, 13, 19])
def test_resumed_training_is_bit_identical(tmp_path: Path, killed_after: int) -> None:
    whole = Training()
    assert whole.run(tmp_path / "whole") == 0
    Training().run(tmp_path / "killed", steps=killed_after)
    with (tmp_path / "killed/log.jsonl").open("a") as log:
        log.write('{"step": 99, "lo')  # the line it was writing when it was killed
    resumed = Training()
    assert resumed.run(tmp_path / "killed") == killed_after // 6 * 6
    for one, other in zip(whole.weights(), resumed.weights(), strict=True):
        assert torch.equal(one, other)
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "killed")]
    assert logs[0] == logs[1]
    assert [json.loads(line)["step"] for line in logs[0].splitlines()] == list(range(1, 21))
    without = Training()
    without.run(None)
    assert all(torch.equal(a, b) for a, b in zip(whole.weights(), without.weights(), strict=True))


def test_only_the_newest_state_is_kept(tmp_path: Path) -> None:
    Training().run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "latest.json",
        "log.jsonl",
        "step_00000018.safetensors",
    ]


def test_no_folder_keeps_nothing_and_starts_at_zero() -> None:
    model = nn.Linear(2, 2)
    checkpoint = Checkpoint(None, 1)
    assert not checkpoint.save(1, {"model": model}, force=True)
    assert checkpoint.restore({"model": model}) == 0


def test_force_saves_between_due_steps(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, 10)
    assert not checkpoint.save(3)
    assert checkpoint.save(3, extra=[1, "two", None], force=True)
    assert Checkpoint(tmp_path).restore() == 3


def test_tied_weights_and_views_survive(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        model = nn.ModuleDict({"embed": nn.Embedding(7, 3), "head": nn.Linear(3, 7, bias=False)})
        model["head"].weight = model["embed"].weight
        model.register_buffer("part", torch.arange(10.0)[2:5])
        return model

    torch.manual_seed(0)
    before = tied()
    Checkpoint(tmp_path, 1).save(1, {"model": before})
    after = tied()
    after["embed"].weight.data.zero_()
    Checkpoint(tmp_path, 1).restore({"model": after})
    assert torch.equal(after["head"].weight, before["embed"].weight)
    assert after["head"].weight is after["embed"].weight
    size = sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
    assert size < 2 * 7 * 3 * 4 + 3 * 4 + 400


@pytest.mark.parametrize("make", [np.random.PCG64, np.random.Philox, np.random.MT19937, np.random.SFC64])
def test_every_numpy_generator_goes_on_where_it_was(tmp_path: Path, make: type) -> None:
    before = np.random.Generator(make(5))
    before.normal(size=7)
    Checkpoint(tmp_path, 1).save(1, generators={"rng": before})
    after = np.random.Generator(make(6))
    Checkpoint(tmp_path, 1).restore(generators={"rng": after})
    assert np.array_equal(before.normal(size=20), after.normal(size=20))


def test_what_cannot_be_kept_is_our_own_mistake(tmp_path: Path) -> None:
    class Odd:
        def state_dict(self) -> dict[str, object]:
            return {"function": print}

        def load_state_dict(self, state: object) -> None: ...

    with pytest.raises(TypeError, match=r"modules\.odd\.function"):
        Checkpoint(tmp_path, 1).save(1, {"odd": Odd()})


def damage_tensors(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def latest(folder: Path, **changes: Any) -> None:
    path = folder / "latest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGE = {
    "one bit changed": (damage_tensors, "damaged"),
    "tensors missing": (lambda folder: next(folder.glob("*.safetensors")).unlink(), "missing"),
    "json cut off": (lambda folder: (folder / "latest.json").write_text('{"step": 1'), "JSON"),
    "not ours": (lambda folder: (folder / "latest.json").write_text("{}"), "lacks step"),
    "a list": (lambda folder: (folder / "latest.json").write_text("[1]"), "holds a list"),
    "null": (lambda folder: (folder / "latest.json").write_text("null"), "holds a NoneType"),
    "nested deep": (lambda folder: (folder / "latest.json").write_text("[" * 100_000), "JSON"),
    "another step": (lambda folder: latest(folder, step=999), "do not agree"),
    "step as text": (lambda folder: latest(folder, step="1"), "do not agree"),
    "a path": (lambda folder: latest(folder, tensors="../step_00000001.safetensors"), "do not agree"),
    "state is a list": (lambda folder: latest(folder, state=[]), "does not fit"),
    "state is null": (lambda folder: latest(folder, state=None), "does not fit"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_names_the_file_and_the_next_step(tmp_path: Path, name: str) -> None:
    damage, expected = DAMAGE[name]
    model = nn.Linear(2, 2)
    Checkpoint(tmp_path, 1).save(1, {"model": model})
    damage(tmp_path)
    with pytest.raises(AotError, match=expected) as caught:
        Checkpoint(tmp_path, 1).restore({"model": model})
    assert caught.value.where is not None and str(tmp_path) in caught.value.where
    assert f"delete {tmp_path}" in (caught.value.hint or "")


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path, 1).save(1, {"model": nn.Linear(2, 2)})
    for modules in ({"model": nn.Linear(3, 2)}, {"other": nn.Linear(2, 2)}):
        with pytest.raises(AotError, match="does not fit"):
            Checkpoint(tmp_path, 1).restore(modules)


def test_log_makes_plain_numbers_and_null_of_what_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = TrainLog(path, 2, "t", quiet=True)
    log.write(1, a=torch.tensor(0.5), b=np.float32(0.25), c=float("nan"), d="word", e=None, f=np.int64(3))
    log.write(2)
    expected = {"step": 1, "a": 0.5, "b": 0.25, "c": None, "d": "word", "e": None, "f": 3}
    assert [json.loads(line) for line in path.read_text().splitlines()] == [expected]


def test_log_off_a_terminal_speaks_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("aot.runs.train_log.time.monotonic", lambda: now[0])
    log = TrainLog(None, 100, "defender 1")
    for step in range(1, 41):
        now[0] += 0.5
        log.write(step, reward=step / 100)
    log.stop("no informative group left")
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "  defender 1: 20/100, 40 s left  reward 0.2",
        "  defender 1: 40/100, 30 s left  reward 0.4",
        "  defender 1: ended early: no informative group left",
    ]
    assert log.reason == "no informative group left"


def test_log_on_a_terminal_draws_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with TrainLog(None, 3, "attacker 2") as log:
        for step in (1, 2, 3):
            log.write(step, reward=0.5)
    assert "attacker 2" in capsys.readouterr().err


def test_what_a_killed_save_left_is_swept_by_the_next(tmp_path: Path) -> None:
    model, checkpoint = nn.Linear(2, 2), Checkpoint(tmp_path, 1)
    (tmp_path / ".step_00000001.safetensors.4242.tmp").write_bytes(b"half")
    checkpoint.save(1, {"model": model})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.json", "step_00000001.safetensors"]
