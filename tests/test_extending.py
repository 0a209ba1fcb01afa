"""What docs/architecture.md says about adding a player, a check, a reader or a benchmark: each is shown here."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from aot.backends.asking.defender import BackendDefender
from aot.backends.base.backend import Ask, Backend, Reply, Sampling
from aot.bench.evaluation.grading import grade
from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.questions import lmu_item
from aot.bench.reading.rows import Row
from aot.data.annotations import readers
from aot.data.annotations.base.image_record import Annotation, ImageRecord, source_of
from aot.data.annotations.base.named_images import files_below
from aot.data.images.reading import Fit
from aot.data.photos.photo import Source
from aot.data.sources import load_scenes
from aot.errors import AotError
from aot.game.episodes import play
from aot.game.referee import RefereeSettings, build_referee
from aot.miniature.scripted import Oracle
from aot.players.base import Attacker, Defender
from aot.scores.official import choice
from aot.types import Answer, Attack, EditKind, Finding, Image, Question, Scene
from aot.world.scenes import draw_scenes

SCENES = draw_scenes(6, seed=3)


class Stamp:
    """An attacker of one's own: a white square in the corner."""

    name = "stamp"

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        attacks = []
        for scene in scenes:
            image = scene.image.copy()
            image[:6, :6] = 255
            attacks.append(Attack(scene.id, self.name, "add", image))
        return attacks


class LooksAtTheCorner:
    """A defender of one's own: right until the corner is white."""

    name = "corner"

    def answer(
        self,
        images: Sequence[Image],
        questions: Sequence[Question],
        *,
        k: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[tuple[Answer, ...]]:
        return [(best,) * k for best, _ in self.answer_with_logprobs(images, questions)]

    def option_logprobs(self, images: Sequence[Image], questions: Sequence[Question]) -> list[np.ndarray]:
        return [logs for _, logs in self.answer_with_logprobs(images, questions)]

    def answer_with_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, np.ndarray]]:
        weighed = []
        for image, question in zip(images, questions, strict=True):
            n = len(question.options)
            chosen = (question.answer + int((image[:6, :6] == 255).all())) % n
            logs = np.log(np.where(np.arange(n) == chosen, 0.9, 0.1 / max(1, n - 1)))
            weighed.append((Answer(question.options[chosen], chosen), logs))
        return weighed


class NothingWhite:
    """A check of one's own: no more white pixels than before."""

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        more = [int((a.image == 255).sum()) - int((s.image == 255).sum()) for s, a in zip(scenes, attacks, strict=True)]
        return [Finding("nothing_white", count <= 0, float(count), "white") for count in more]


def test_an_attacker_and_a_defender_of_ones_own_play() -> None:
    assert isinstance(Stamp(), Attacker) and isinstance(LooksAtTheCorner(), Defender)
    referee = build_referee(RefereeSettings(local_ssim_min=0, overlap_max=1, area_min=0))
    won = [e.success for e in play(SCENES, Stamp(), referee, LooksAtTheCorner())]
    assert all(won)
    assert not any(e.success for e in play(SCENES, Stamp(), referee, Oracle()))


def test_a_check_of_ones_own_refuses() -> None:
    settings = RefereeSettings(local_ssim_min=0, overlap_max=1, area_min=0)
    episodes = play(SCENES, Stamp(), build_referee(settings, [NothingWhite()]), LooksAtTheCorner())
    assert [e.verdict.refused_by for e in episodes] == [("white",)] * len(SCENES)
    assert not any(e.success for e in episodes)


class SaysTheFirst:
    """A backend of one's own: a model that is only asked."""

    name = "first"

    @property
    def identity(self) -> dict[str, Any]:
        return {"kind": "first"}

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        for ask in asks:
            yield ask, Reply("A")


def test_a_backend_of_ones_own_defends() -> None:
    backend: Backend = SaysTheFirst()
    answers = BackendDefender(backend).answer([s.image for s in SCENES], [s.question for s in SCENES])
    assert [best.choice for (best,) in answers] == [0] * len(SCENES)


def lists(path: Path) -> list[Path]:
    return [file for file in files_below(path, ".json") if b'"my_boxes"' in file.read_bytes()]


def read_lists(path: Path, fit: Fit) -> Source:
    records = []
    for file in lists(path):
        for name, boxes in json.loads(file.read_text())["my_boxes"].items():
            records.append(ImageRecord(file, name, [Annotation(label, box) for label, *box in boxes]))
    return source_of(records, (path,), fit, path, "see the program's manual")


def test_a_reader_of_ones_own_gives_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PillowImage.new("RGB", (64, 64), "white").save(tmp_path / "a.png")
    (tmp_path / "boxes.json").write_text(json.dumps({"my_boxes": {"a.png": [["cup", 4, 4, 20, 20]]}}))
    with pytest.raises(AotError, match="of no known format"):
        load_scenes(tmp_path)
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, (lists, read_lists)))
    scenes, refused = load_scenes(tmp_path)
    assert scenes and not refused
    assert any("cup" in (scene.question.text + " ".join(scene.question.options)) for scene in scenes)


def mine(row: Row) -> Item:
    return lmu_item(row, category="mine")


def test_a_benchmark_of_ones_own_is_read_and_scored(tmp_path: Path) -> None:
    buffer = BytesIO()
    PillowImage.fromarray(SCENES[0].image).save(buffer, "PNG")
    image = base64.b64encode(buffer.getvalue()).decode()
    rows = [f"{n}\t{image}\tWhat is it?\tcup\tbucket\t{answer}" for n, answer in enumerate("AB")]
    path = tmp_path / "mine.tsv"
    path.write_text("\n".join(["index\timage\tquestion\tA\tB\tanswer", *rows]))
    benchmark = Benchmark("Mine", "own data", choice, mine)
    items = [item for item in benchmark.read(path) if isinstance(item, Item)]
    results = [grade(item, Ask(item.id, ()), Reply("The answer is B.")) for item in items]
    assert [(r.given, r.gold, r.right) for r in results] == [("B", "A", False), ("B", "B", True)]
    accuracy = next(m for m in benchmark.metric(results) if m.name == "accuracy")
    assert accuracy.tally(results, True).point == 0.5
