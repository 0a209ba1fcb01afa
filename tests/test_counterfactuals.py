"""Counterfactual pairs: both answers are right by a reader of the pixels, and SFT takes the hardest of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aot.coevolve.recipes.load import load_recipe
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.scenes.game import Game, open_game
from aot.coevolve.scenes.scripted import ScriptedAttackSettings, referee_of_run
from aot.coevolve.stages import defender as stages
from aot.coevolve.stages.sft_batches import counterfactual_batches
from aot.data.photos.counterfactuals import scenes_of_edit
from aot.data.photos.photo import AnnotatedScene
from aot.data.photos.questions import Contents
from aot.errors import AotError
from aot.experiment.settings import COUNTERFACTUAL, headline
from aot.miniature.scripted import WorldReader
from aot.players.defender.qwen import QwenDefender
from aot.runs.checkpoints import Checkpoint
from aot.train.defender.command import DefenderSftRunSettings, sft_defender
from aot.train.defender.sft.examples import PairBatches, in_epochs
from aot.train.defender.sft.losses import answer_losses
from aot.train.defender.sft.selection import hardest_pairs
from aot.train.defender.sft.settings import DefenderSftSettings
from aot.train.defender.sft.train import train_defender_sft
from aot.types import Attack, Box, CounterfactualPair, Question, Scene
from aot.world.counterfactuals import counterfactual
from aot.world.questions import answer_from
from aot.world.scenes import WorldScene, draw_scenes
from aot.world.sprites import TILE_PX
from test_defender_sft import DEFENDER, EXAMPLES, FAST, dataset, weights  # noqa: F401 (a fixture)

COCO = Path(__file__).resolve().parents[2] / "shared/data/coco_photos"


def paired(scenes: Sequence[Scene]) -> CounterfactualPair:
    one, other = scenes
    return CounterfactualPair((one.image, other.image), (one.question, other.question))


def world_pairs(count: int, seed: int = 3) -> list[tuple[WorldScene, WorldScene]]:
    rng = np.random.default_rng(seed)
    made = (counterfactual(scene, rng) for scene in draw_scenes(3 * count, seed, "train"))
    return [pair for pair in made if pair][:count]


PAIRS = [paired(scenes) for scenes in world_pairs(12)]


def test_both_answers_are_those_of_a_reader_of_the_image_and_the_rest_of_it_is_the_same() -> None:
    scenes, reader = world_pairs(150), WorldReader()
    pairs = list(map(paired, scenes))
    assert len(pairs) == 150
    for scene in (scene for both in scenes for scene in both):
        answer = answer_from(scene.query, scene.objects)
        assert answer is not None and scene.query.values[answer] == scene.question.right
        assert set(scene.protected) == {box for name in scene.query.names for box in name.among(scene.objects)}
    for pair in pairs:
        one, other = pair.questions
        assert (one.text, one.options, one.kind) == (other.text, other.options, other.kind)
        assert one.right != other.right and len(set(one.options)) == len(one.options)
        rows, columns = np.nonzero((pair.images[0] != pair.images[1]).any(2))
        tiles = set(zip((rows // TILE_PX).tolist(), (columns // TILE_PX).tolist(), strict=True))
        assert 1 <= len(tiles) <= 8, "two objects change their kinds; jitter reaches over to the next tiles"
    images = [image for pair in pairs for image in pair.images]
    questions = [question for pair in pairs for question in pair.questions]
    said = [answers[0].choice for answers in reader.answer(images, questions)]
    assert said == [question.answer for question in questions]
    kinds = Counter(question.kind for question in questions)
    assert set(kinds) == {"existence", "colour", "side", "relation"}
    rights = Counter(pair.questions[0].right for pair in pairs if pair.questions[0].kind == "existence")
    assert min(rights["yes"], rights["no"]) > 0.2 * sum(rights.values()), "what is there goes, and what is not comes"


CUP, DOG, BUS = Box(10, 10, 40, 40, "cup"), Box(60, 60, 90, 90, "dog"), Box(60, 10, 90, 40, "bus")


def edit(before: tuple[Box, ...], after: tuple[Box, ...] | None, *, complete: bool = True) -> CounterfactualPair | None:
    blank = np.zeros((100, 100, 3), np.uint8)
    contents = Contents(before, (100, 100), frozenset({"bus"}), complete)
    question = Question("Is there a cup?", ("yes", "no"), 0, "existence")
    scene = AnnotatedScene("p-0", blank, question, (CUP,), before, contents=contents, photo="p")
    made = scenes_of_edit(scene, Attack("p-0", "x", "add", blank + 1, "", objects=after), np.random.default_rng(0))
    if made is None:
        return None
    assert made[0].objects == before and made[1].objects == after and made[1].contents is not None
    assert all(box in one.objects for one in made for box in one.protected)
    return paired(made)


@pytest.mark.parametrize(
    ("before", "after", "complete", "asked", "rights"),
    [
        ((CUP,), (CUP, DOG), True, "Is there a dog?", ("no", "yes")),
        ((CUP, DOG), (CUP,), True, "Is there a dog?", ("yes", "no")),
        ((CUP, DOG), (CUP, DOG, DOG), True, "How many of these are there: dog?", ("1", "2")),
        ((CUP,), (CUP, DOG), False, None, None),  # a dog may have been there that nobody drew
        ((CUP,), (CUP, BUS), True, None, None),  # of a bus it is not known how often it is there
        ((CUP,), (CUP,), True, None, None),
        ((CUP,), None, True, None, None),
        ((CUP,), (CUP, Box(60, 60, 90, 90)), True, None, None),  # something without a name
        ((CUP,), (CUP, Box(60, 60, 64, 90, "dog")), True, None, None),  # too small to be seen
        ((DOG,) * 6, (DOG,) * 7, True, None, None),  # too many to be counted
    ],
)
def test_an_edit_of_a_photo_answers_another_question(
    before: tuple[Box, ...],
    after: tuple[Box, ...] | None,
    complete: bool,
    asked: str | None,
    rights: tuple[str, str] | None,
) -> None:
    pair = edit(before, after, complete=complete)
    assert (pair is not None) == (asked is not None)
    if pair is not None:
        assert [q.text for q in pair.questions] == [asked] * 2 and tuple(q.right for q in pair.questions) == rights
        assert pair.images[0].max() == 0 and pair.images[1].min() == 1


def test_the_pairs_of_the_highest_loss_are_taken_whole() -> None:
    defender = QwenDefender.load(DEFENDER)
    settings = DefenderSftSettings(batch=8, counterfactual_share=0.5)
    assert (settings.pairs, settings.single, settings.pairs_drawn) == (2, 4, 6)
    both = [answer_losses(defender, list(zip(p.images, p.questions, strict=True)))[0].sum().item() for p in PAIRS]
    seen = hardest_pairs(defender, PAIRS, settings)
    hardest = sorted(sorted(range(len(PAIRS)), key=lambda i: -both[i])[:2])
    assert [id(image) for image, _ in seen] == [id(image) for i in hardest for image in PAIRS[i].images]
    assert len(hardest_pairs(defender, PAIRS[:1], settings)) == 2, "as many as there are"


def test_training_on_them_resumes_to_the_same_bits(tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"batch": 8, "counterfactual_share": 0.5})
    batches = in_epochs(EXAMPLES, settings.single, seed=3)

    def pairs(step: int) -> list[CounterfactualPair]:
        return PAIRS[step % 2 :: 2]

    whole = QwenDefender.load(DEFENDER)
    metrics = train_defender_sft(whole, batches, settings, seed=1, pairs=pairs)
    assert metrics["counterfactual"] == 0.5
    part = settings.model_copy(update={"steps": 2})
    killed = QwenDefender.load(DEFENDER)
    with pytest.raises(RuntimeError, match="killed"):
        train_defender_sft(killed, batches, settings, seed=1, pairs=_ends(pairs, 3), checkpoint=Checkpoint(tmp_path, 2))
    resumed = QwenDefender.load(DEFENDER)
    train_defender_sft(resumed, batches, settings, seed=1, pairs=pairs, checkpoint=Checkpoint(tmp_path, 2))
    assert torch.equal(weights(whole), weights(resumed)) and part.key != FAST.key
    assert "counterfactual_share" not in FAST.key and "counterfactual_pool" not in FAST.key, "earlier stages stand"


@pytest.mark.parametrize(("batch", "share", "pairs"), [(64, 0.99, 31), (4, 0.99, 1), (3, 0.99, 1), (3, 0.34, 1)])
def test_a_batch_always_has_an_image_outside_of_pairs(batch: int, share: float, pairs: int) -> None:
    settings = FAST.model_copy(update={"steps": 1, "batch": batch, "counterfactual_share": share, "per_forward": 64})
    assert settings.pairs == pairs and settings.single == batch - 2 * pairs and settings.single >= 1
    if batch < 10:
        batches = in_epochs(EXAMPLES, settings.single, seed=3)
        made = train_defender_sft(QwenDefender.load(DEFENDER), batches, settings, seed=1, pairs=lambda _: PAIRS)
        assert made["counterfactual"] == 2 * pairs / batch


@pytest.mark.parametrize(("batch", "share"), [(64, 0.01), (2, 0.99), (1, 0.99), (2, 0.5)])
def test_a_share_of_less_than_a_pair_is_refused(batch: int, share: float) -> None:
    settings = [f"warm_up.batch={batch}", f"warm_up.counterfactual_share={share}"]
    with pytest.raises(AotError, match=f"of batch={batch} is less than one pair") as told:
        load_recipe("smoke", settings)
    assert "warm_up" in told.value.render()
    DefenderSftSettings(batch=batch, counterfactual_share=0)


def _ends(pairs: PairBatches, at: int) -> PairBatches:
    def of_step(step: int) -> Sequence[CounterfactualPair]:
        if step == at:
            raise RuntimeError("killed")
        return pairs(step)

    return of_step


def batches_of(game: Game, recipe: Recipe, offered: int) -> PairBatches:
    scripted = recipe.scripted_attacks
    referee = referee_of_run(game, recipe.referee, scripted)
    return counterfactual_batches(
        game, scripted.on_edited(game), referee, scripted.object_edits(game), offered, seed=5
    )


def with_families(*families: str) -> Recipe:
    return smoke().changed(scripted_attacks={"families": families, "composed_share": 1.0})


def test_batches_of_the_world_repeat_and_both_images_are_attacked_without_a_change_of_their_answers() -> None:
    recipe = with_families("distractor", "jpeg")
    game = open_game(recipe.game, recipe.referee, seed=0)
    batches = batches_of(game, recipe, 6)
    first, again, other = batches(1), batches(1), batches(2)
    assert len(first) == len(again) == len(other) == 6
    same = [all(map(np.array_equal, a.images, b.images)) for a, b in zip(first, again, strict=True)]
    assert all(same) and not np.array_equal(first[0].images[0], other[0].images[0])
    assert (first[0].images[0] != first[0].images[1]).any(2).mean() > 0.5, "JPEG changes an image as a whole"
    recipe = with_families("related", "occlusion")
    many = batches_of(game, recipe, 60)(1)
    images = [image for pair in many for image in pair.images]
    questions = [question for pair in many for question in pair.questions]
    said = [answers[0].choice for answers in WorldReader().answer(images, questions)]
    right = sum(choice == question.answer for choice, question in zip(said, questions, strict=True))
    assert right >= 0.97 * len(said) and len(said) == 120, "a patch may hide a part of what the reader looks for"


@pytest.mark.skipif(not COCO.is_dir(), reason="the photos are not here")
def test_batches_of_own_photos_are_made_by_their_objects(tmp_path: Path) -> None:
    recipe = with_families("distractor", "jpeg")
    game = open_game(recipe.game, recipe.referee, seed=0, data=COCO, photos=tmp_path)
    pairs = batches_of(game, recipe, 4)(1)
    assert pairs, "objects come and go on these photos"
    for pair in pairs:
        one, other = pair.questions
        assert one.kind in ("existence", "count") and one.right != other.right and one.options == other.options
        assert pair.images[0].shape == pair.images[1].shape and not np.array_equal(*pair.images)
    assert with_families("distractor").scripted_attacks.on_edited(game) is None, "nothing that changes it as a whole"


def test_a_dataset_has_none_and_says_so(dataset: Path, tmp_path: Path) -> None:  # noqa: F811
    settings = DefenderSftRunSettings.model_validate(
        {"sft": {"counterfactual_share": 0.5}, "defender": {"model": "miniature"}}
    )
    with pytest.raises(AotError, match="no counterfactual pairs") as told:
        sft_defender(dataset, tmp_path / "out", settings, say=lambda _: None)
    assert told.value.where == "sft.counterfactual_share" and not (tmp_path / "out").exists()


def test_the_experiment_has_the_baseline_with_them_and_the_others_without() -> None:
    settings = headline()
    assert COUNTERFACTUAL in settings.names()
    listed = {each.name: each.sft for each in settings.recipe_of("baselines", 0).baselines}
    warm_up = settings.recipe.warm_up
    assert listed[COUNTERFACTUAL].pairs == warm_up.pairs > 0
    assert {name for name, sft in listed.items() if sft.pairs} == {COUNTERFACTUAL}


def test_photos_that_allow_no_pair_are_trained_on_in_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = with_families("distractor", "jpeg")
    world = open_game(recipe.game, recipe.referee, seed=0)
    settings = DefenderSftSettings(batch=8, counterfactual_share=0.5)

    def single(game: Game, pairs: Sequence[CounterfactualPair]) -> int:
        monkeypatch.setattr(stages, "_pairs", lambda *_: lambda step: pairs)
        return stages._possible(recipe, Inputs("warm_up", 0, game, {}, {}), settings).single

    assert single(world, []) == 4, "the world always has some"
    photos = replace(world, is_world=False)
    assert single(photos, PAIRS[:1]) == 8, "nobody knows their objects"
    monkeypatch.setattr(ScriptedAttackSettings, "object_edits", lambda *_: object())
    assert single(photos, PAIRS[:1]) == 4 and single(photos, []) == 8, "their annotations do not say enough"
