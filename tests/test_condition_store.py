"""Conditions on disk: a training that reads them is the training that computes them, without a text encoder."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.make import Stages
from aot.errors import AotError
from aot.players.attacker.buckets import BucketedConditions
from aot.players.attacker.condition_store import INDEX, read_conditions, write_conditions
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.lora import WEIGHTS
from aot.players.settings import AttackerSettings
from aot.prompts import attack_instruction
from aot.runs.run import Run
from aot.world.scenes import draw_scenes
from tiny_editors import tiny_editor


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_editor(tmp_path_factory.mktemp("editors") / "base", layers=1)


@pytest.fixture(scope="module")
def attacker(folder) -> EditAttacker:
    return EditAttacker.load(folder)


@pytest.fixture(scope="module")
def edits():
    """Images of two sizes, one of them no multiple of 16, and their sentences."""
    scenes = draw_scenes(7, 11, "train")
    scenes = [replace(scene, image=scene.image[:40]) if i % 3 == 1 else scene for i, scene in enumerate(scenes)]
    return [scene.image for scene in scenes], [attack_instruction(scene) for scene in scenes]


def of_size(edits, index):
    return [edits[0][i] for i in index], [edits[1][i] for i in index]


def assert_equal(a, b):
    assert np.array_equal(a.images, b.images) and np.array_equal(a.lengths, b.lengths)
    for name in ("source", "text", "unconditional"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_what_is_read_is_what_was_computed(attacker, edits, tmp_path):
    """In any order, with repeats, of any size; bits of float32 stay."""
    write_conditions(tmp_path, attacker, *edits, dtype=torch.float32, at_once=2)
    stored, computed = read_conditions(tmp_path, *edits), BucketedConditions.of(attacker, *edits)
    assert len(stored) == 7 and torch.equal(stored.bucket, computed.bucket)
    for index in ([0, 2, 3, 5, 6], [1, 4], [6, 0, 6, 3], [2]):
        numbers = torch.tensor(index)
        (taken, wanted) = (some.take(numbers) for some in (stored, computed))
        # Padded texts of a batch and computed in other batches: equal but for rounding.
        assert np.array_equal(taken.images, wanted.images) and np.array_equal(taken.lengths, wanted.lengths)
        for name in ("source", "text", "unconditional"):
            torch.testing.assert_close(getattr(taken, name), getattr(wanted, name), atol=1e-5, rtol=1e-5)
        assert np.array_equal(stored.images(numbers), computed.images(numbers))
        assert_equal(stored.chosen(index).take(torch.arange(len(index))), taken)
    with pytest.raises(ValueError, match="2 sizes"):
        stored.take(torch.tensor([0, 1]))


def test_bfloat16_is_what_the_transformer_reads_anyway(folder, edits, tmp_path):
    attacker = EditAttacker.load(folder, dtype=torch.bfloat16)
    some = of_size(edits, [0, 2, 3])
    write_conditions(tmp_path, attacker, *some, dtype=torch.bfloat16)
    stored, computed = read_conditions(tmp_path, *some).take(torch.arange(3)), attacker.conditions(*some)
    assert stored.text.dtype is stored.source.dtype is torch.bfloat16
    noise = attacker.noise(computed, torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = (attacker.velocity(c, noise, torch.tensor([0.9, 0.5, 0.2])) for c in (stored, computed))
    assert torch.equal(a, b)
    per_edit = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors")) / 3
    plain = sum(t.nbytes for t in (computed.source, computed.text, computed.unconditional)) / 3
    assert per_edit < 0.55 * plain + 64 * 64 * 3 + 2000


def test_a_killed_writer_goes_on_and_stale_or_damaged_files_are_told(attacker, edits, tmp_path):
    calls = []

    class Killed(Exception):
        pass

    class Killable(EditAttacker):
        def conditions(self, images, sentences):
            calls.append(len(images))
            if len(calls) == 2:
                raise Killed
            return super().conditions(images, sentences)

    killable = copy.copy(attacker)
    killable.__class__ = Killable
    some = of_size(edits, [0, 2, 3, 5])
    with pytest.raises(Killed):
        write_conditions(tmp_path, killable, *some, dtype=torch.float32, at_once=2)
    with pytest.raises(AotError, match="no such file"):
        read_conditions(tmp_path, *some)
    write_conditions(tmp_path, killable, *some, dtype=torch.float32, at_once=2)
    assert calls == [2, 2, 2] and len(read_conditions(tmp_path, *some)) == 4
    with pytest.raises(AotError, match="of other edits"):
        read_conditions(tmp_path, some[0], [*some[1][:3], "another sentence"])
    with pytest.raises(AotError, match="of other edits"):
        read_conditions(tmp_path, [*some[0][:3], edits[0][6]], some[1])
    first = tmp_path / "000_00000.safetensors"
    first.write_bytes(first.read_bytes()[:-100])
    with pytest.raises(AotError, match="stored conditions cannot be read"):
        read_conditions(tmp_path, *some)
    (tmp_path / INDEX).write_text("{}")
    with pytest.raises(AotError, match="lacks buckets, edits"):
        read_conditions(tmp_path, *some)


def test_whoever_has_no_text_encoder_says_so(folder, edits):
    attacker = EditAttacker.load(folder, without=("text_encoder",))
    assert attacker.text_encoder is None and attacker.device.type == "cpu"
    with pytest.raises(AotError, match="no text encoder in memory"):
        attacker.conditions(*of_size(edits, [0]))
    with pytest.raises(ValueError, match="are for adapters"):
        AttackerSettings(conditions="disk")


SMALL: dict[str, Any] = {
    "game": {"train_scenes": 8, "held_out_scenes": 8},
    "attacker": {"flow_grpo": {"updates": 1, "groups": 3, "group_size": 3, "steps": 3, "window": 1}},
    "processes": 1,
    **{"warm_up": {"steps": 0}, "hits": {"steps": 0}, "sft_scripted_steps": 0, "best_response_updates": 0},
    "referee": {
        **{"local_ssim_min": -1, "global_ssim_min": -1, "overlap_max": 1, "area_min": 0, "area_max": 1},
        **{"preserve_answer": False, "object_edits_only": False},
    },
}


def test_in_a_run_they_are_a_stage_and_the_attacker_is_the_same(folder, tmp_path, monkeypatch):
    trained, opened, load = {}, [], EditAttacker.load.__func__

    def watched(cls, *args, **how):
        opened.append(how.get("without"))
        return load(cls, *args, **how)

    monkeypatch.setattr(EditAttacker, "load", classmethod(watched))
    for conditions in ("memory", "disk"):
        # One at a time: in memory only scenes that are worth attacking are encoded, and batches round as they are cut.
        player = {"model": str(folder), "lora": {"rank": 2}, "guidance": 1, "conditions": conditions, "encode_batch": 1}
        recipe = smoke().changed(**SMALL, players={"attacker": player})
        game = open_game(recipe.game, recipe.referee, seed=recipe.seed)
        with Run(tmp_path / conditions, {}, say=lambda _: None) as run:
            stage = Stages(recipe, run, game).make("iteration_1/attacker")
            assert "skipped" not in stage.metrics and stage.metrics["grad_norm"] > 0
            trained[conditions] = load_file(stage.folder / WEIGHTS) | {"norm": torch.tensor(stage.metrics["grad_norm"])}
    # Not to the bit: how a processor rounds may depend on where in memory a tensor begins.
    torch.testing.assert_close(trained["memory"]["norm"], trained["disk"]["norm"], rtol=1e-3, atol=0)
    for name, weight in trained["memory"].items():
        assert (weight - trained["disk"][name]).norm() <= 5e-2 * weight.norm(), name
    assert (tmp_path / "disk/conditions/iteration_1" / INDEX).is_file()
    assert not (tmp_path / "memory/conditions").exists()
    assert opened[-2:] == [("transformer",), ("text_encoder",)]
