"""What a training tells while it lasts: its log, a tracker, pictures, and how far the step under way is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image as PilImage

from aot.coevolve.recipes.load import load_recipe, smoke
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.make import Stages
from aot.errors import AotError
from aot.runs import progress, train_log
from aot.runs.manifest import SAMPLES
from aot.runs.progress import Part, advance, duration, part, titled
from aot.runs.run import Run, Stage
from aot.runs.tracking import tracked
from aot.runs.train_log import TrainLog
from aot.train.defender.dapo.trl.callbacks import ProgressCallback
from aot.train.trackers import check_tracker, opening_of
from aot.types import Image


class Recorded:
    """A tracker that remembers what it was told."""

    def __init__(self, name: str, folder: Path, step: int):
        self.opened = (name, folder, step)
        self.figures: list[tuple[int, dict[str, float]]] = []
        self.pictures: list[tuple[int, str, int]] = []
        self.finished = False

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self.figures.append((step, dict(figures)))

    def show(self, name: str, images: list[Image], step: int) -> None:
        self.pictures.append((step, name, len(images)))

    def finish(self) -> None:
        self.finished = True


def test_a_tracker_is_told_what_the_log_is(tmp_path: Path) -> None:
    made: list[Recorded] = []

    def opening(*how: Any) -> Recorded:
        made.append(Recorded(*how))
        return made[-1]

    images = [np.zeros((4, 6, 3), np.uint8), np.full((8, 5, 3), 9, np.uint8)]
    path = tmp_path / "iteration_1/attacker/log.jsonl"
    with tracked(tmp_path, opening), TrainLog(path, 3, "attacker", quiet=True) as log:
        log.resume(1)
        log.write(2, reward=0.5, note="so", missing=float("nan"))
        log.show("sde", images, 2)
        log.write(3)
    [tracker] = made
    assert tracker.opened == ("iteration_1/attacker", tmp_path, 2) and tracker.finished
    assert tracker.figures == [(2, {"reward": 0.5})] and tracker.pictures == [(2, "sde", 2)]
    assert json.loads(path.read_text()) == {"step": 2, "reward": 0.5, "note": "so", "missing": None}
    picture = np.array(PilImage.open(path.parent / SAMPLES / "000002_sde.png"))
    assert picture.shape == (8, 6 + 2 + 5, 3) and picture[:, 8:].min() == 9 and picture[4:, :8].max() == 0

    with tracked(tmp_path, opening):
        for elsewhere in (None, tmp_path.parent / "other/log.jsonl"):
            with TrainLog(elsewhere, 1, quiet=True) as log:
                log.write(1, loss=1.0)
                log.show("sde", images, 1)
    with TrainLog(path, 3, quiet=True) as log:
        log.write(1, loss=1.0)
    assert len(made) == 1, "only trainings below the run's folder, while it is tracked"


def test_pictures_are_no_part_of_what_a_stage_made() -> None:
    files: dict[str, Any] = {"model.safetensors": {"sha256": "a"}, "log.jsonl": {"sha256": "b"}}
    more = {"samples/000001_sde.png": {"sha256": "c"}, "hits/log.jsonl": {"sha256": "d"}}
    other = {"weights/samples.bin": {"sha256": "e"}}
    one, same, another = (
        Stage("s", Path(), {"key": "k", "files": made}).hash for made in (files, files | more, files | other)
    )
    assert one == same != another


def test_pictures_change_no_bit_of_a_training(tmp_path: Path) -> None:
    """Those of both kinds of samples, of the scenes beside them; a training that nobody looks at ends alike."""
    small: dict[str, Any] = {
        "game": {"train_scenes": 8, "held_out_scenes": 4},
        "attacker": {"flow_grpo": {"updates": 2, "groups": 2, "group_size": 4}},
        "warm_up": {"steps": 0},
        "processes": 1,
    }
    made = {}
    for name, pictures in (("blind", {}), ("seen", {"every": 1, "scenes": 3})):
        recipe = smoke().changed(**small, pictures=pictures)
        game = open_game(recipe.game, recipe.referee, seed=0)
        with Run(tmp_path / name, {}, say=lambda _: None) as run:
            made[name] = Stages(recipe, run, game).make("iteration_1/attacker")
    assert made["blind"].hash == made["seen"].hash and made["blind"].metrics == made["seen"].metrics
    assert not (made["blind"].folder / SAMPLES).exists()
    shown = {path.name: np.array(PilImage.open(path)) for path in (made["seen"].folder / SAMPLES).iterdir()}
    assert sorted(shown) == [f"00000{kind}.png" for kind in ("1_ode", "1_sde", "1_source", "2_ode", "2_sde")]
    assert {picture.shape for picture in shown.values()} == {(64, 3 * 64 + 2 * 2, 3)}
    assert (shown["000001_ode.png"] != shown["000001_source.png"]).any()
    assert (shown["000001_ode.png"] != shown["000001_sde.png"]).any()


class Writer:
    """Stands for TensorBoard's."""

    made: ClassVar[list[Writer]] = []

    def __init__(self, folder: str, purge_step: int | None = None):
        self.folder, self.purge_step = folder, purge_step
        self.scalars: list[tuple[str, float, int]] = []
        self.images: list[tuple[str, Any, int]] = []
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, global_step: int) -> None:
        self.scalars.append((name, value, global_step))

    def add_images(self, name: str, images: Any, global_step: int, dataformats: str) -> None:
        self.images.append((name, (images.shape, dataformats), global_step))

    def flush(self) -> None: ...

    def close(self) -> None: ...


def library(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """A module in place of a library that is not installed here."""
    import importlib.machinery

    module = ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)
    if parent := name.rpartition(".")[0]:
        monkeypatch.setattr(sys.modules[parent], name.rpartition(".")[2], module, raising=False)


class Service:
    """Stands for trackio and wandb: what they were begun with and told."""

    def __init__(self) -> None:
        self.begun: dict[str, Any] = {}
        self.told: list[tuple[dict[str, Any], int]] = []
        self.finished = False

    def init(self, **how: Any) -> Service:
        self.begun = how
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        self.told.append((values, step))

    def finish(self) -> None:
        self.finished = True


def test_tensorboard_goes_on_in_its_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    library(monkeypatch, "tensorboardX", SummaryWriter=Writer)
    library(monkeypatch, "torch.utils.tensorboard", SummaryWriter=Writer)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "tensorboardX" else None)
    opening = opening_of("tensorboard", "smoke")
    assert opening is not None
    tracker = opening("iteration_1/attacker", tmp_path, 11)
    tracker.log({"reward": 0.25}, 11)
    tracker.show("ode", [np.zeros((4, 4, 3), np.uint8)] * 2, 11)
    tracker.finish()
    writer = Writer.made[-1]
    assert Path(writer.folder) == tmp_path / "logs/tensorboard/iteration_1/attacker" and writer.purge_step == 11
    assert writer.scalars == [("reward", 0.25, 11)] and writer.images == [("ode", ((2, 4, 4, 3), "NHWC"), 11)]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_services_go_on_in_their_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    library(monkeypatch, name, init=service.init, Image=lambda image: ("picture", image.shape))
    opening = opening_of("wandb" if name == "wandb" else "trackio", "smoke")
    assert opening is not None
    tracker = opening("iteration_1/attacker", tmp_path, 11)
    tracker.log({"reward": 0.25}, 11)
    tracker.show("ode", [np.zeros((4, 4, 3), np.uint8)], 11)
    tracker.finish()
    assert service.begun["project"] == "smoke" and service.begun["resume"] == "allow" and service.finished
    shown = {"ode": [("picture", (4, 4, 3))]} if name == "wandb" else {"ode/0": ("picture", (4, 4, 3))}
    assert service.told == [({"reward": 0.25}, 11), (shown, 11)]
    before = dict(service.begun)
    opening("iteration_1/attacker", tmp_path, 1)
    assert service.begun == before, "the same run when it goes on"
    opening("iteration_2/attacker", tmp_path, 1)
    assert service.begun != before


def test_a_missing_library_is_told_with_the_command(aot: Callable[..., Any], tmp_path: Path) -> None:
    check_tracker("none")
    with pytest.raises(AotError, match=r"track=trackio: trackio is not installed\n.*pip install trackio"):
        check_tracker("trackio")
    ended = aot("coevolve", "--recipe", "smoke", "--set", "track=wandb", "--out", tmp_path / "run")
    assert ended.returncode == 2 and "pip install wandb" in ended.stderr and not (tmp_path / "run").exists()
    assert load_recipe("smoke").track == "none"
    with pytest.raises(AotError, match=r"track: .*'tensorboard'"):
        load_recipe("smoke", ["track=mlflow"])


def test_work_under_way_is_told_with_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    advance("answers", 3)  # nobody knows how many there are: nobody is told
    with titled("evaluation/base/clean"), part("answers", 400):
        for _ in range(40):
            now[0] += 1.0
            advance("answers", 4)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  evaluation/base/clean: answers 40/400, 2 min left" and len(lines) == 4

    with TrainLog(tmp_path / "log.jsonl", 9, "attacker, flow_grpo") as log, titled("s"):
        log.write(2, reward=0.5)
        with part("edit steps", 100, "edit steps sampled"), part("answers", 7):
            now[0] += 30
            advance("edit steps", 25)
            advance("edit steps", 25)
            now[0] += 11
            advance("answers", 7)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "  attacker, flow_grpo: 2/9; edit steps sampled 25/100, 2 min left"
    assert told[1:] == ["  attacker, flow_grpo: 2/9; answers 7/7"]
    assert [duration(s) for s in (0, 89, 90, 3600, 9000)] == ["0 s", "89 s", "2 min", "60 min", "2 h 30 min"]
    assert str(Part("answers", 8)) == "answers 0/8" and train_log.QUIET_SECONDS >= 1


def test_trls_update_is_told_by_its_passes() -> None:
    told: list[str] = []
    args = SimpleNamespace(per_device_train_batch_size=2, gradient_accumulation_steps=3)
    callback = ProgressCallback()
    with progress.told_to(lambda now: told.append(f"{now.done:.0f}/{now.total:.0f}")):
        for update in range(2):
            callback.on_step_begin(args, None, None)
            callback.on_substep_end(args, None, None)
            callback.on_substep_end(args, None, None)
            if update == 0:
                callback.on_step_end(args, None, None)
        callback.close()  # broken off
        callback.on_substep_end(args, None, None)
    assert told == ["2/6", "4/6", "6/6", "2/6", "4/6"]
