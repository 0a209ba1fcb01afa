"""`aot pretrain`: two players with a gate each; they are shipped only if both pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aot.errors import AotError
from aot.forge.models import DefenderFolder
from aot.forge.pipeline import ForgeSettings
from aot.game.referee import RefereeSettings
from aot.miniature.pairs import instruction_pairs
from aot.miniature.pretrain import run as module
from aot.miniature.pretrain.editor import AttackerGate
from aot.miniature.pretrain.run import PretrainSettings, defender_metrics, pretrain, wide_settings
from aot.miniature.scripted import AlwaysLetter, Oracle, WorldReader
from aot.miniature.tokenizer import build_tokenizer
from aot.players.base_players import player_folder
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.runs.overrides import overridden
from aot.train.attacker.sft import cold_start as cold_start_module
from aot.train.attacker.sft.cold_start import ColdStartPairs
from aot.train.attacker.sft.edit_sets import EditPair
from aot.world.preserved import world_referee
from aot.world.questions import PHRASES, WORDS
from aot.world.scenes import draw_scenes

GOOD = {"add": 0.95, "remove": 0.95, "replace": 0.7, "integrity": 0.99, "valid_success": 0.25}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Instant trainings in place of the real ones; the names of those that ran."""
    ran: list[str] = []

    class FakeAttacker:
        def save(self, folder: Path, **_: Any) -> None:
            (folder / "transformer").mkdir(exist_ok=True)
            (folder / "transformer/weights.safetensors").write_text("weights")

        @classmethod
        def load(cls, folder: Path) -> FakeAttacker:
            assert (folder / "transformer/weights.safetensors").exists()
            return cls()

    def make_defender(*_: Any, **__: Any) -> QwenDefender:
        ran.append("defender")
        return QwenDefender.new(DefenderShape(), build_tokenizer(WORDS, PHRASES), seed=0)

    def make_editor(*_: Any, folder: Path, **__: Any) -> tuple[FakeAttacker, dict[str, Any]]:
        ran.append("editor")
        (folder / "painting/checkpoint").mkdir(parents=True)
        (folder / "painting/log.jsonl").touch()
        return FakeAttacker(), {}

    def forge(_: None, out: Path, settings: ForgeSettings, *, defender: DefenderFolder, **__: Any) -> None:
        assert defender.load().name == "base" and settings.effect.answers == 1
        (out / "data").mkdir(parents=True, exist_ok=True)

    def forged_pairs(dataset: Path, **_: Any) -> list[EditPair]:
        assert dataset.name == "pairs"
        return instruction_pairs(draw_scenes(4, 1, "train"), seed=1)

    def cold_start(attacker: FakeAttacker, pairs: ColdStartPairs, *_: Any, **__: Any) -> dict[str, Any]:
        ran.append("cold start")
        assert len(pairs.train) == 4 + pairs.plain and 0 < pairs.plain <= 8
        return {}

    monkeypatch.setattr(module, "pretrain_defender", make_defender)
    monkeypatch.setattr(module, "pretrain_editor", make_editor)
    monkeypatch.setattr(module, "EditAttacker", FakeAttacker)
    monkeypatch.setattr(module, "forge", forge)
    monkeypatch.setattr(cold_start_module, "forged_pairs", forged_pairs)
    monkeypatch.setattr(module, "cold_start", cold_start)
    monkeypatch.setattr(module, "edits_as_instructed", lambda *_, **__: {})
    monkeypatch.setattr(module, "attacker_metrics", lambda *_, **__: dict(GOOD))
    monkeypatch.setattr(
        module, "defender_metrics", lambda *_, **__: {"clean": 0.98, "clean_by_type": {"side": 0.97}}
    )
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    return ran


def said() -> tuple[list[str], Callable[[str], None]]:
    lines: list[str] = []
    return lines, lines.append


def test_players_that_pass_are_shipped_and_made_once(calls: list[str], tmp_path: Path) -> None:
    lines, say = said()
    settings = PretrainSettings(plain_scenes=8)
    assert pretrain(settings, tmp_path / "run", ship=True, say=say)
    assert pretrain(settings, tmp_path / "run", say=say)
    assert calls == ["defender", "editor", "cold start"]
    assert (tmp_path / "shipped/attacker/transformer/weights.safetensors").read_text() == "weights"
    assert QwenDefender.load(tmp_path / "shipped/defender").name == "defender"
    left = {path.name for path in (tmp_path / "shipped").rglob("*")}
    assert not left & {"manifest.json", "log.jsonl", "checkpoint", "started.json"}
    assert "  gate of the defender: passed" in lines and "  gate of the attacker: passed" in lines


def test_players_that_miss_their_gate_are_not_shipped(calls: list[str], tmp_path: Path) -> None:
    lines, say = said()
    settings = overridden(
        PretrainSettings,
        PretrainSettings().model_dump(),
        ["attacker_gate.replace=0.9", "defender_gate.clean=.99", "plain_scenes=8"],
        where="t",
    )
    assert not pretrain(settings, tmp_path / "run", ship=True, say=say)
    assert "  gate of the defender: MISSED: clean 0.980 < 0.99" in lines
    assert "  gate of the attacker: MISSED: replace 0.700 < 0.9" in lines
    assert not (tmp_path / "shipped").exists()


def test_the_wider_attacker_is_made_alone_beside_the_shipped_defender(calls: list[str], tmp_path: Path) -> None:
    lines, say = said()
    begin = wide_settings().model_dump()
    settings = overridden(PretrainSettings, begin, ["plain_scenes=4", "told_scenes=4"], where="t")
    assert pretrain(settings, tmp_path / "run", say=say)
    assert calls == ["editor", "cold start"]
    defender = tmp_path / "run/defender/model.safetensors"
    assert defender.read_bytes() == (player_folder("miniature", "defender") / "model.safetensors").read_bytes()
    assert "  gate of the attacker: passed" in lines
    with pytest.raises(AotError, match="base pair alone"):
        pretrain(settings, tmp_path / "run", ship=True, say=say)


def test_the_gate_asks_for_the_wider_kinds_only_of_who_learns_them() -> None:
    gate = AttackerGate()
    assert gate.failures(GOOD) == []
    assert gate.failures(GOOD | {"scale": 0.1, "texture": 0.9}) == ["scale 0.100 < 0.6"]


def test_a_setting_that_does_not_exist_is_named() -> None:
    with pytest.raises(AotError, match=r"defender\.image: no such setting; did you mean images\?"):
        overridden(PretrainSettings, {}, ["defender.image=3"], where="pretrain")


def test_figures_of_scripted_defenders_are_what_they_must_be() -> None:
    referee = world_referee(RefereeSettings())
    assert defender_metrics(Oracle(), referee, n=24, seed=0)["best_of_8"] == 1.0
    reader = defender_metrics(WorldReader(shortsighted=True), referee, n=60, seed=0)
    assert reader["clean"] >= 0.95
    assert reader["best_of_8"] < reader["random_distractor"] <= reader["clean"]
    chance = defender_metrics(AlwaysLetter("A"), referee, n=100, seed=0)
    assert set(chance["clean_by_type"]) == {"relation", "side", "colour", "existence"}
    assert chance["clean_by_type"]["side"] == pytest.approx(0.5, abs=0.25)
    assert chance["clean_by_type"]["colour"] == pytest.approx(0.25, abs=0.2)


def test_one_changed_setting_leaves_its_neighbours() -> None:
    changed = overridden(PretrainSettings, PretrainSettings().model_dump(), ["editor.painting.steps=7"], where="t")
    assert changed.editor.painting.steps == 7
    assert changed.editor.painting.optimizer == PretrainSettings().editor.painting.optimizer
