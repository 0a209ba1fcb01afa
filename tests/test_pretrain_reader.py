"""The condition encoder's pretraining: its labels say what the sentence says; it learns, and resumes exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aot.miniature.pretrain.reader import (
    ALL_VERBS,
    DETAILS,
    READINGS,
    TASKS,
    VERBS,
    WIDE_READINGS,
    ReaderSettings,
    attack_example,
    examples,
    last_states,
    plain_example,
    pretrain_reader,
)
from aot.miniature.tokenizer import build_tokenizer
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.prompts import EDIT_TEMPLATE, EDIT_VERBS
from aot.runs.checkpoints import Checkpoint
from aot.runs.train_log import TrainLog
from aot.world.edits import WIDE_KINDS, WIDE_MIX
from aot.world.questions import PHRASES, WORDS
from aot.world.scenes import draw_scenes
from aot.world.sprites import COLOURS, KINDS

TINY = ReaderSettings(steps=6, batch=8, warmup=2)


@pytest.fixture(scope="module")
def tiny() -> QwenDefender:
    shape = DefenderShape(
        hidden=32, layers=1, heads=2, mlp=32, vision_hidden=16, vision_depth=1, vision_mlp=16
    )
    return QwenDefender.new(shape, build_tokenizer(WORDS, PHRASES), seed=0)


def read(labels: list[int]) -> dict[str, int]:
    return dict(zip(READINGS, labels, strict=True))


def test_plain_tasks_are_labelled_with_what_their_sentence_says():
    rng = np.random.default_rng(0)
    verbs = set()
    for scene in draw_scenes(60, 0):
        _, sentence, labels = plain_example(scene, rng)
        said = read(labels)
        verb = VERBS[said["verb"]]
        verbs.add(verb)
        assert said["task"] == 0
        if verb == "remove":
            assert said["first_kind"] == said["first_cell"] == 0
        else:
            come = f"{COLOURS[said['first_colour'] - 1]} {KINDS[said['first_kind'] - 1]}"
            assert come in sentence and bool(said["first_cell"]) == (verb == "replace")
        if verb == "add":
            assert said["second_kind"] == 0
        else:
            cell = divmod(said["second_cell"] - 1, 4)
            (gone,) = (o for o in scene.layout.objects if (o.row, o.col) == cell)
            assert gone.kind in sentence and COLOURS.index(gone.colour) + 1 == said["second_colour"]
    assert verbs == {"add", "remove", "replace", "hybrid"}


def test_attacks_are_labelled_with_the_objects_in_question():
    rng = np.random.default_rng(0)
    for scene in draw_scenes(40, 1):
        _, sentence, labels = attack_example(scene, rng)
        said = read(labels)
        assert TASKS[said["task"]] == (scene.query.kind, scene.query.axis)
        assert scene.question.text in sentence
        for place, name in (("first", scene.query.subject), ("second", scene.query.other)):
            assert said[f"{place}_kind"] == (KINDS.index(name.kind) + 1 if name else 0)
            there = [b for b in scene.objects if name and b.label == name.kind]
            colour = COLOURS.index(there[0].attribute) + 1 if there else 0
            assert said[f"{place}_colour"] == colour and bool(said[f"{place}_cell"]) == bool(there)


def test_examples_depend_on_nothing_but_their_arguments_and_hold_every_task():
    one, again, other = (examples(0, step, 64) for step in (3, 3, 4))
    assert [x[1:] for x in one] == [x[1:] for x in again] != [x[1:] for x in other]
    assert len({x[2][1] for x in one}) >= 7  # plain, relation and side by axis, colour, existence


def test_last_state_is_the_stock_models(tiny: QwenDefender):
    batch = examples(0, 0, 6)
    ours = last_states(tiny.model, tiny.encoder, EDIT_TEMPLATE, batch)
    for (image, sentence, _), state in zip(batch, ours, strict=True):
        prompts = tiny.encoder.encode_texts([image], [EDIT_TEMPLATE.format(sentence)])
        stock = tiny.model.model(
            input_ids=prompts.input_ids,
            attention_mask=prompts.attention_mask.long(),
            pixel_values=prompts.pixel_values,
            image_grid_thw=prompts.image_grid_thw,
        ).last_hidden_state[0, -1]
        torch.testing.assert_close(state, stock, atol=1e-5, rtol=1e-4)


def test_it_learns_and_resumes_exactly(tiny: QwenDefender, tmp_path: Path):
    before = [p.clone() for p in tiny.model.parameters()]
    whole, metrics = pretrain_reader(
        tiny, EDIT_TEMPLATE, TINY, seed=1, checkpoint=Checkpoint(None), log=TrainLog()
    )
    assert set(metrics) == set(READINGS)
    assert all(map(torch.equal, before, tiny.model.parameters())), "the defender itself is left alone"
    mine, theirs = dict(whole.named_parameters()), dict(tiny.model.named_parameters())
    changed = {name for name in mine if not torch.equal(mine[name], theirs[name])}
    assert changed and not any("visual" in name for name in changed)

    class Killed(Exception):
        pass

    class Killer(TrainLog):
        def write(self, step, **metrics):
            raise Killed

    longer = ReaderSettings(steps=12, batch=8, warmup=2)
    with pytest.raises(Killed):
        pretrain_reader(tiny, EDIT_TEMPLATE, longer, seed=1, checkpoint=Checkpoint(tmp_path, 4), log=Killer())
    longer_whole, _ = pretrain_reader(
        tiny, EDIT_TEMPLATE, longer, seed=1, checkpoint=Checkpoint(None), log=TrainLog()
    )
    resumed, _ = pretrain_reader(
        tiny, EDIT_TEMPLATE, longer, seed=1, checkpoint=Checkpoint(tmp_path, 4), log=TrainLog()
    )
    assert all(map(torch.equal, longer_whole.parameters(), resumed.parameters()))


def test_wider_tasks_are_labelled_with_their_details_too():
    rng = np.random.default_rng(0)
    details = set()
    for scene in draw_scenes(120, 0):
        _, sentence, labels = plain_example(scene, rng, WIDE_MIX)
        said = dict(zip(WIDE_READINGS, labels, strict=True))
        verb = ALL_VERBS[said["verb"]]
        assert bool(said["detail"]) == (verb in WIDE_KINDS)
        if said["detail"]:
            details.add(said["detail"])
            assert DETAILS[said["detail"] - 1] in sentence
        if verb == "scale":
            assert said["first_kind"] == said["second_kind"] > 0 and said["first_cell"] == said["second_cell"] > 0
    assert len(details) > 8
    _, sentence, labels = attack_example(draw_scenes(1, 0)[0], np.random.default_rng(0), WIDE_MIX)
    assert len(labels) == len(WIDE_READINGS)
    assert [x[1:] for x in examples(0, 1, 8)] == [x[1:] for x in examples(0, 1, 8, kinds={})]


def test_the_vocabulary_stays_and_reads_wider_sentences():
    tokenizer = build_tokenizer(WORDS, PHRASES)
    text = "Make the cup smaller."
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer(f"{EDIT_VERBS['scale']} ").input_ids) > len(tokenizer(f"{EDIT_VERBS['any']} ").input_ids) == 1


def test_the_reader_learns_wider_tasks(tiny: QwenDefender):
    kept = Checkpoint(None)
    _, metrics = pretrain_reader(tiny, EDIT_TEMPLATE, TINY, seed=1, checkpoint=kept, log=TrainLog(), kinds=WIDE_MIX)
    assert set(metrics) == set(WIDE_READINGS)


def test_an_anchored_reader_says_of_the_usual_kinds_what_it_said(tiny: QwenDefender):
    usual = examples(3, 0, 24, "validation")
    before = last_states(tiny.model, tiny.encoder, EDIT_TEMPLATE, usual)
    moved = []
    for anchor in (0.0, 300.0):
        settings = TINY.model_copy(update={"anchor": anchor})
        given = {"seed": 1, "checkpoint": Checkpoint(None), "log": TrainLog(), "kinds": WIDE_MIX}
        model, _ = pretrain_reader(tiny, EDIT_TEMPLATE, settings, **given)
        after = last_states(model, tiny.encoder, EDIT_TEMPLATE, usual)
        moved.append(float((after - before).square().mean().detach()))
    assert 0 < moved[1] < moved[0] / 2


def test_what_an_anchor_weighs_is_told_only_where_there_is_one():
    assert "anchor" not in ReaderSettings().model_dump()
    assert ReaderSettings(anchor=2.0).model_dump()["anchor"] == 2.0
