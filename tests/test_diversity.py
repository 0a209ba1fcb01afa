"""Laws of the weight on rewards for edits that differ from the others, and what an edit is said to have done."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aot.rl.diversity import DiversitySettings, Trait, diverse_rewards, rarities
from aot.train.attacker.evolve import AttackerTraining
from aot.train.attacker.reinforcement.attack_environment import GRADED, EnvironmentSettings
from aot.train.attacker.reinforcement.traits import pixel_traits, trait_of_pixels, weigh_diversity
from aot.types import Attack, Box, EditKind, Episode, Finding, Question, Scene, Verdict
from aot.world import edits, scenes
from aot.world.edit_traits import trait_of_edit, world_traits
from aot.world.recognise import read

word = st.sampled_from("abc")
trait = st.none() | st.builds(Trait, word, word, word, word)
batches = st.lists(st.tuples(trait, st.integers(0, 2), st.floats(0, 2)), max_size=12)
A, B = Trait("add", "0,0", "14", "red cup"), Trait("scale", "1,1", "10", "blue bus")
SEMI = Trait("add", "0,0", "10", "blue bus")


@given(batches, st.floats(0, 3), st.sampled_from(["group", "batch"]), st.randoms())
def test_laws(batch, weight, among, random):
    settings = DiversitySettings(weight=weight, among=among)

    def paid(some):
        columns = [list(column) for column in zip(*some, strict=True)] or [[], [], []]
        return diverse_rewards(columns[2], columns[0], columns[1], settings)

    rewards = paid(batch)
    for (_, _, reward), got in zip(batch, rewards, strict=True):
        assert reward <= got <= reward * (1 + weight) * (1 + 1e-9)
    # Equal edits of one group have the same factor; a refused one has none.
    rare = rarities([t for t, _, _ in batch], [0 if among == "batch" else g for _, g, _ in batch])
    for (t, g, reward), r, got in zip(batch, rare, rewards, strict=True):
        assert got == pytest.approx(reward * (1 + weight * r))
        assert t is not None or got == reward
        for (other, its, _), its_r in zip(batch, rare, strict=True):
            assert not (t == other and (g == its or among == "batch")) or r == pytest.approx(its_r)
    order = list(range(len(batch)))
    random.shuffle(order)
    assert paid([batch[i] for i in order]) == pytest.approx([rewards[i] for i in order])


@pytest.mark.parametrize(
    ("given_traits", "groups", "wanted"),
    [
        ([A, A, A], [0, 0, 0], [0, 0, 0]),
        ([A, B], [0, 0], [1, 1]),
        ([A, A, B], [0, 0, 0], [0.5, 0.5, 1]),
        ([A, SEMI], [0, 0], [0.5, 0.5]),
        ([A, None], [0, 0], [0, 0]),
        ([A, None, A, B], [0, 0, 1, 1], [0, 0, 1, 1]),
        ([], [], []),
    ],
)
def test_rarity_by_hand(given_traits, groups, wanted):
    assert rarities(given_traits, groups) == pytest.approx(wanted)


def test_a_batch_is_compared_as_a_whole_and_zero_reward_stays_zero():
    settings = DiversitySettings(weight=1.0, among="batch")
    assert diverse_rewards([1.0, 1.0, 0.0], [A, A, B], [0, 1, 2], settings) == pytest.approx([1.5, 1.5, 0.0])
    assert diverse_rewards([1.0, 1.0, 0.0], [A, A, B], [0, 1, 2], DiversitySettings(weight=1.0)) == [1.0, 1.0, 0.0]


# What an edit did.


@pytest.mark.parametrize("kind", ["add", "remove", "replace", "hybrid", "scale", "texture", "occlude"])
def test_edits_of_the_world_are_described_as_made(kind: EditKind):
    rng = np.random.default_rng(0)
    clean = scenes.draw_scenes(40, 6)
    made = [(s, e[0]) for s in clean if (e := edits.distractor_candidates(s, rng, 1, kind=kind))]
    attacks = [Attack(s.id, "x", "any", scenes.render(layout)) for s, (_, layout, _) in made]
    for (_, (_, layout, sentence)), told in zip(made, world_traits([s for s, _ in made], attacks), strict=True):
        assert told.kind == kind
        if kind != "texture":
            row, col = map(int, told.place.split(","))
            assert 0 <= row < 4 and 0 <= col < 4
        if kind == "occlude" and layout.patches[0].name != told.target:
            assert f"the {told.target.split()[1]}" in sentence or f"the {told.target} " in sentence
        elif kind in ("add", "replace", "hybrid", "texture"):
            assert told.target in sentence
    scene = clean[0]
    assert trait_of_edit(scene, read(scene.image[None], [scene], also_wide=True)[0]).kind == "none"


def photo(objects: tuple[Box, ...] = ()) -> Scene:
    image = np.full((40, 80, 3), 100, np.uint8)
    return Scene("p", image, Question("Is there a cup?", ("yes", "no"), 1), objects=objects, source="own")


def test_edits_of_other_images_are_described_by_their_changed_pixels():
    scene = photo((Box(60, 0, 80, 20, "cat"), Box(0, 30, 10, 40, "dog")))
    image = scene.image.copy()
    image[5:15, 62:78] = 200
    image[30:, :10] += np.uint8(10)  # not visible
    told = pixel_traits([scene], [Attack("p", "x", "replace", image)])[0]
    assert told == Trait("replace", "1,3", "-4", "cat")
    image[5:15, 62:78] = 100
    image[:10, 20:40] = 0
    assert trait_of_pixels(scene, Attack("p", "x", "any", image)) == Trait("any", "0,1", "-4", "")
    assert trait_of_pixels(scene, Attack("p", "x", "any", scene.image)) == Trait("any", "", "", "")


# In training.


def episodes_of(images, valid):
    verdicts = [Verdict((Finding("x", ok, 1.0),)) for ok in valid]
    return [Episode(photo(), Attack("p", "x", "any", i), v) for i, v in zip(images, verdicts, strict=True)]


def test_rewards_of_a_rollout_are_weighed_only_when_asked():
    images = [photo().image.copy() for _ in range(4)]
    for image, x in zip(images, (0, 0, 40, 60), strict=True):
        image[:10, x : x + 10] = 0
    met = episodes_of(images, [True, True, True, False])
    rewards, index = torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.zeros(4, dtype=torch.int64)
    same, told = weigh_diversity(rewards, met, index, DiversitySettings())
    assert same is rewards and told == {}
    got, told = weigh_diversity(rewards, met, index, DiversitySettings(weight=0.4))
    # Of four fields only the place differs.
    assert got.tolist() == pytest.approx([1.05, 1.05, 1.1, 0.0])
    assert told == {"diversity": pytest.approx((0.05 + 0.05 + 0.1) / 3)}


def test_the_setting_is_told_only_where_it_is_on():
    assert "diversity" not in EnvironmentSettings().model_dump() and "diversity" not in GRADED.model_dump()
    on = EnvironmentSettings(diversity=DiversitySettings(weight=0.3))
    assert on.model_dump()["diversity"] == {"weight": 0.3, "among": "group"}
    with pytest.raises(ValidationError, match="no reward for environment"):
        AttackerTraining(method="rejection_sampling", rejection_sampling={"environment": on})
