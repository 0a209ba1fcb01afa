"""From a forged dataset to an attacker: one pipeline for the miniature's cold start and for everybody's own images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image as PillowImage

from aot.data.images.reading import square
from aot.errors import AotError
from aot.forge.pipeline import ForgeSettings, forge
from aot.forge.split import split_of
from aot.forge.world import WorldSettings
from aot.miniature.cell_heads import CellHeads
from aot.miniature.pairs import instruction_pairs
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.lora import WEIGHTS
from aot.players.base_players import SHIPPED
from aot.players.settings import AttackerSettings
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.train.attacker.sft.cold_start import ColdStartPairs, ColdStartSettings, cold_start, held_out_loss
from aot.train.attacker.sft.command import SftRunSettings, sft
from aot.train.attacker.sft.edit_sets import EditPair, EditSet, EditSets
from aot.train.attacker.sft.flow_matching import SftSettings, token_weights, train_sft
from aot.train.attacker.sft.pairs import QUESTION_TYPE_ROTATION, forged_pairs
from aot.train.editor_trainer import OptimizerSettings
from aot.world.scenes import draw_scenes
from tiny_editors import tiny_editor

ATTACKER = SHIPPED / "attacker"
FAST = SftSettings(steps=4, batch=8, optimizer=OptimizerSettings(warmup_steps=1, ema=0.5))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("forged")
    settings = ForgeSettings(world=WorldSettings(scenes=20, kinds=QUESTION_TYPE_ROTATION), held_out_share=0.3)
    forge(None, out, settings, say=lambda _: None)
    return out


def weights(attacker: EditAttacker) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in attacker.transformer.parameters()])


def test_a_dataset_becomes_pairs_told_as_attacks(dataset: Path) -> None:
    train, held_out = (forged_pairs(dataset, split, named_kind=0, seed=0) for split in ("train", "held_out"))
    assert len(train) > len(held_out) > 5
    assert all(p.source.shape == p.target.shape == (64, 64, 3) for p in train)
    assert all((p.source != p.target).any() for p in train)
    start = "Edit the image so that this question is answered wrongly: "
    assert all(p.sentence.startswith(start) for p in train)
    # The world's scenes come back to the bit, and name what must not be touched with its colour.
    scene = draw_scenes(20, 0, "train", kinds=QUESTION_TYPE_ROTATION)
    by_image = {s.image.tobytes(): s for s in scene}
    for pair in train + held_out:
        asked = by_image[pair.source.tobytes()]
        assert pair.sentence.startswith(start + asked.question.text)
        assert all(f"{box.attribute} {box.label}" in pair.sentence for box in asked.protected)
    named = forged_pairs(dataset, named_kind=1, seed=0)
    assert not any(p.sentence.startswith(start) for p in named)
    small = forged_pairs(dataset, named_kind=0, seed=0, fit=square(32))
    assert small[0].target.shape == (32, 32, 3)


def test_the_pair_source_asks_in_the_rotation_that_it_is_given(dataset: Path) -> None:
    rows = [s.question.kind for s in draw_scenes(20, 0, "train", kinds=QUESTION_TYPE_ROTATION)]
    assert rows.count("relation") == 8 and rows.count("existence") == 2
    assert {split_of(f"train-0-{n:06d}", 0.3, 0) for n in range(20)} == {"train", "held_out"}


def test_a_cold_start_resumes_to_the_bit_and_learns_from_both_kinds(dataset: Path, tmp_path: Path) -> None:
    settings = ColdStartSettings(retention=0.5, sft=FAST)
    plain = instruction_pairs(draw_scenes(30, 3, "train"), seed=3)
    whole = EditAttacker.load(ATTACKER)
    pairs = ColdStartPairs.of(dataset, settings, seed=0, plain=plain)
    metrics = cold_start(whole, pairs, settings, seed=0)
    assert metrics["plain"] == 30 and metrics["examples"] == metrics["pairs"] + 30
    assert metrics["held_out_loss"] != metrics["held_out_loss_before"]

    class Killer(TrainLog):
        def write(self, step: int, **values: object) -> None:
            raise KeyboardInterrupt

    killed, checkpoint = EditAttacker.load(ATTACKER), Checkpoint(tmp_path, 2)
    with pytest.raises(KeyboardInterrupt):
        cold_start(killed, pairs, settings, seed=0, checkpoint=checkpoint, log=Killer())
    resumed = EditAttacker.load(ATTACKER)
    cold_start(resumed, pairs, settings, seed=0, checkpoint=Checkpoint(tmp_path, 2))
    assert torch.equal(weights(whole), weights(resumed))


def test_the_held_out_loss_is_a_measure(dataset: Path) -> None:
    attacker = EditAttacker.load(ATTACKER)
    examples = EditSets.of(attacker, forged_pairs(dataset, "held_out", named_kind=0, seed=0))
    assert held_out_loss(attacker, examples, FAST) == held_out_loss(attacker, examples, FAST) > 0


def test_the_throw_away_heads_hear_the_whole_batch() -> None:
    """However many lengths the texts have: a network called part by part would be heard in part."""
    attacker = EditAttacker.load(ATTACKER)
    attacker.text_encoder.requires_grad_(False)
    examples = EditSet.of(attacker, instruction_pairs(draw_scenes(64, 5, "train"), seed=5))
    batch = examples.take(torch.arange(48))
    assert len(batch.conditions.by_length()) > 1
    shape = attacker.transformer.config
    with CellHeads(attacker.transformer, shape.num_attention_heads * shape.attention_head_dim, seed=0) as heads:
        settings = SftSettings(steps=1, batch=48, optimizer=OptimizerSettings(warmup_steps=0))
        assert np.isfinite(train_sft(attacker, examples, settings, seed=0, heads=heads)["heads_loss"])


def test_no_pairs_are_a_users_mistake(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(AotError, match="no pairs of the split train here"):
        forged_pairs(tmp_path, named_kind=0, seed=0)


def test_the_command_trains_an_attacker_that_the_game_can_load(
    dataset: Path, tmp_path: Path, aot: Callable[..., Any]
) -> None:
    steps = ["--set", "cold_start.sft.steps=2", "--set", "cold_start.sft.batch=8"]
    done = aot("sft", "--data", dataset, "--out", "run", *steps)
    assert done.returncode == 0, done.stderr
    assert "play it: aot coevolve --set players.attacker=run/attacker" in done.stdout
    metrics = json.loads((tmp_path / "run/attacker/manifest.json").read_text())["metrics"]
    assert metrics["pairs"] > 10 and metrics["held_out"] > 5
    EditAttacker.load(tmp_path / "run/attacker")
    missing = aot("sft", "--data", "nowhere", "--out", "other")
    assert missing.returncode == 2 and "no dataset here" in missing.stderr and "Traceback" not in missing.stderr


@pytest.mark.slow  # a cold start; trainings of adapters resume in `test_lora.py`
def test_an_editor_learns_by_an_adapter_from_what_is_on_disk(dataset: Path, tmp_path: Path) -> None:
    """A real editor's cold start: as from memory but for rounding, and no text encoder where it is trained."""
    folder, made = tiny_editor(tmp_path / "editor", layers=1), {}
    for conditions in ("memory", "disk"):
        how = {"lora": {"rank": 2}, "conditions": conditions, "encode_batch": 16, "guidance": 1}
        player = AttackerSettings(model=str(folder), **how)
        settings = SftRunSettings(
            attacker=player, cold_start={"sft": FAST.model_copy(update={"steps": 2, "micro_batch": 3})}
        )
        made[conditions] = sft(dataset, tmp_path / conditions, settings, say=lambda _: None)
    assert all((stage.folder / WEIGHTS).is_file() for stage in made.values())
    assert made["disk"].metrics == pytest.approx(made["memory"].metrics, rel=1e-4)
    assert (tmp_path / "disk/conditions/train/conditions.json").is_file()


def test_tokens_that_an_edit_changes_weigh_more_whatever_the_autoencoder_codes(dataset: Path, tmp_path: Path) -> None:
    """A stock one's latents are nowhere zero: there the pixels say what is changed."""
    pairs = forged_pairs(dataset, named_kind=0, seed=0)[:3]
    pairs[0] = EditPair(pairs[0].source, pairs[0].source, pairs[0].sentence)
    noisy = np.clip(pairs[1].target.astype(int) + 5, 0, 255).astype(np.uint8)
    for attacker in (EditAttacker.load(ATTACKER), EditAttacker.load(tiny_editor(tmp_path / "editor", layers=1))):
        weights = token_weights(EditSet.of(attacker, pairs), 4.0)
        assert torch.equal(weights[0], torch.ones(16)), "a null edit changes nothing"
        changed = [(p.source != p.target).any(-1).reshape(4, 16, 4, 16).any((1, 3)).flatten() for p in pairs]
        assert np.array_equal(weights[1:].numpy() == 4, np.stack(changed[1:]))
    shifted = EditSet.of(attacker, [EditPair(pairs[1].source, noisy, "")])
    assert torch.equal(token_weights(shifted, 4.0)[0], weights[1]), "what a JPEG may change is no edit"


def png(grey: int, side: int = 16, high: int | None = None) -> bytes:
    buffer = BytesIO()
    PillowImage.fromarray(np.full((high or side, side, 3), grey, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def shard(folder: Path, rows: list[dict], number: int = 0) -> Path:
    (folder / "data").mkdir(exist_ok=True)
    file = folder / f"data/train-{number:05}-of-00009.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


ROW = {
    "id": "a", "question": "Which?", "options": ["red", "blue"], "answer": "B", "kind": "add", "box_labels": ["cup"],
    "clean": {"bytes": png(0)}, "attacked": {"bytes": png(9)},
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": None}, "kind is missing"),
        ({"kind": "paint"}, "no edit"),
        ({"answer": None}, "answer is missing"),
        ({"answer": "C"}, "no letter of its options"),
        ({"options": None}, "options is missing"),
        ({"options": []}, "different options"),
        ({"options": ["red"]}, "different options"),
        ({"options": ["blue", "blue"]}, "different options"),
        ({"options": ["", " "]}, "different options"),
        ({"options": [str(n) for n in range(12)]}, "different options"),
        ({"options": ["red", "", "blue"]}, "an empty option"),
        ({"question": " "}, "question is missing"),
        ({"id": "0"}, "the id '0' occurs twice"),
        ({"clean": {"bytes": png(0, 800, 2)}, "attacked": {"bytes": png(9, 800, 2)}}, "so long and narrow"),
        ({"options": ["red", None]}, "no text"),
        ({"box_labels": None}, "box_labels is missing"),
        ({"clean": None}, "clean is missing"),
        ({"attacked": {"bytes": None}}, "attacked is missing"),
        ({"attacked": {"bytes": b"junk"}}, "cannot be read"),
        ({"attacked": {"bytes": png(9, 32)}}, "differ in size"),
    ],
)
def test_a_row_that_lacks_something_is_refused_and_the_others_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict, reason: str
) -> None:
    rows = [ROW | {"id": "0"}, ROW | {"id": "1"} | change, ROW | {"id": "2"}]
    shard(tmp_path, rows)
    assert len(forged_pairs(tmp_path, named_kind=0, seed=0)) == 2
    said = capsys.readouterr().err
    assert "refused rows" in said and "row 1: " in said and reason in said
    shard(tmp_path, [rows[0], rows[1]] if change == {"id": "0"} else rows[1:2])
    if change != {"id": "0"}:
        with pytest.raises(AotError, match=r"no pairs .* \(1 rows refused\)"):
            forged_pairs(tmp_path, named_kind=0, seed=0)


@pytest.mark.parametrize("change", [{"kind": 3}, {"answer": 1}, {"options": "red, blue"}, {"clean": png(0)}])
def test_a_column_of_another_type_is_refused_row_by_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict
) -> None:
    shard(tmp_path, [ROW | change])
    with pytest.raises(AotError, match="no pairs"):
        forged_pairs(tmp_path, named_kind=0, seed=0)
    assert "row 0: " in capsys.readouterr().err


def test_a_shard_that_cannot_be_read_is_refused_and_the_others_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard(tmp_path, [ROW])
    cut = shard(tmp_path, [ROW | {"id": "b"}], 1)
    cut.write_bytes(cut.read_bytes()[:-200])
    shard(tmp_path, [{"a": 1}], 2)
    os.mkfifo(tmp_path / "data/train-00003-of-00009.parquet")
    (tmp_path / "data/train-00004-of-00009.parquet").mkdir()
    (tmp_path / "data/train-00005-of-00009.parquet").symlink_to("nowhere")
    assert len(forged_pairs(tmp_path, named_kind=0, seed=0)) == 1
    said = capsys.readouterr().err
    assert "refused rows" in said and ": 5" in said
    assert "cannot be read" in said and "other columns" in said and said.count("no ordinary file") == 3
