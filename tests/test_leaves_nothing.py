"""A command whose first argument is wrong ends with what is wrong, and without a new file or folder."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Reply
from aot.cli import app
from aot.errors import AotError
from aot.runs.files import held
from aot.runs.run import Run

OUT = ["--out", "made/of/it"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "words", "plain"):
        Path(name).mkdir()
    Path("words/a.txt").write_text("hello\n")
    Path("some.json").write_text('{"a": 1}')
    for n in range(2):
        PillowImage.new("RGB", (64, 64), (90 * n, 9, 9)).save(f"plain/{n}.png")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        *(["forge", "--data", data] for data in ("missing", "empty", "words", "some.json", "plain")),
        ["forge", "--data", "plain", "--set", "photos.implanter=attacker", "--set", "photos.attacker_folder=missing"],
        ["forge", "--data", "plain", "--set", "photos.extender=generator", "--set", "photos.generator_folder=missing"],
        *(["audit", "--defender", "miniature", "--data", data] for data in ("missing", "some.json", "plain")),
        *(["eval", "--benchmark", f"custom:mine={data}"] for data in ("empty", "words", "some.json")),
        *(["coevolve", "--recipe", "smoke", "--data", data] for data in ("missing", "plain")),
        ["coevolve", "--recipe", "smoke", "--set", "pairs=missing"],
        ["experiment", "smoke", "--seeds", "1", "--runs", "runs", "--set", "recipe.players.defender=missing"],
    ],
)
def test_nothing_is_left(here: Path, words: list[str]) -> None:
    before = sorted(here.rglob("*"))
    ended = CliRunner().invoke(app, [*words, *OUT])
    assert isinstance(ended.exception, AotError) and ended.exception.hint
    assert sorted(here.rglob("*")) == before


def failing() -> None:
    raise AotError("later")


def make(folder: Path) -> None:
    (folder / "result.txt").write_text("good")


def test_what_was_there_or_was_made_stays(here: Path) -> None:
    Path("mine").mkdir()
    with pytest.raises(AotError, match="later"), Run("mine", {"name": "r"}, say=lambda _: None):
        failing()
    assert Path("mine/recipe.json").exists()
    with ExitStack() as stack:
        run = stack.enter_context(Run("new", {"name": "r"}, say=lambda _: None))
        run.stage("first", make)
        stack.enter_context(pytest.raises(AotError, match="later"))
        stack.enter_context(held(Path("new/inner")))
        failing()
    assert Path("new/first/result.txt").read_text() == "good" and not Path("new/inner").exists()
    for name in ("result.txt", "deep/result.txt"):
        with ExitStack() as stack:
            stack.enter_context(pytest.raises(AotError, match="later"))
            stack.enter_context(held(Path("other")))
            Path("other", name).parent.mkdir(exist_ok=True)
            make(Path("other", name).parent)
            failing()
        assert Path("other", name).exists()
        shutil.rmtree("other")


def stored(path: Path, replies: int) -> None:
    with AnswerStore(path) as store:
        for n in range(replies):
            store.put(f"key {n}", Reply("A"))
        failing()


def test_replies_stay_and_a_store_without_any_goes(here: Path) -> None:
    for replies in (0, 1):
        with pytest.raises(AotError):
            stored(here / f"{replies}.sqlite", replies)
    assert not (here / "0.sqlite").exists()
    with pytest.raises(AotError):
        stored(here / "1.sqlite", 0)
    assert (here / "1.sqlite").exists()
