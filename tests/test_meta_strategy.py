"""Players trained against a pool: mixtures of attackers and defenders, families by weight, the payoff of a run."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from pydantic import ValidationError

from aot.attacks.families import PIXEL
from aot.attacks.judging.referees import referees
from aot.coevolve.recipes.miniature import miniature, smoke
from aot.coevolve.recipes.stage_names import payoff_of, stage_names
from aot.coevolve.recipes.threats import with_threats
from aot.coevolve.rounds.attacks import round_episodes
from aot.coevolve.rounds.inputs import Inputs
from aot.coevolve.rounds.payoff import Payoff
from aot.coevolve.scenes.game import open_game
from aot.coevolve.scenes.scripted import ScriptedAttackSettings, referee_of_run
from aot.coevolve.stages.make import Stages
from aot.coevolve.stages.sft_batches import scripted_batches
from aot.errors import AotError
from aot.game.referee import RefereeSettings
from aot.miniature.scripted import AlwaysLetter, Oracle, RandomDistractor
from aot.players.mixture import AttackerMixture, DefenderMixture
from aot.runs.run import Run
from aot.world.scenes import draw_scenes

SCENES = draw_scenes(24, 7, "train")
IMAGES, QUESTIONS = [s.image for s in SCENES], [s.question for s in SCENES]


def test_a_mixed_defender_answers_by_the_mean_of_the_probabilities() -> None:
    oracle, letter = Oracle(), AlwaysLetter("A")
    mixed = DefenderMixture([oracle, letter], [3, 1])
    for question, logs, one, other in zip(
        QUESTIONS,
        mixed.option_logprobs(IMAGES, QUESTIONS),
        oracle.option_logprobs(IMAGES, QUESTIONS),
        letter.option_logprobs(IMAGES, QUESTIONS),
        strict=True,
    ):
        np.testing.assert_allclose(np.exp(logs), 0.75 * np.exp(one) + 0.25 * np.exp(other))
        assert np.exp(logs).sum() == pytest.approx(1) and len(logs) == len(question.options)
    assert [a[0].choice for a in mixed.answer(IMAGES, QUESTIONS)] == [q.answer for q in QUESTIONS]
    weighed = mixed.answer_with_logprobs(IMAGES, QUESTIONS)
    assert [a.choice for a, _ in weighed] == [q.answer for q in QUESTIONS]
    alone = DefenderMixture([oracle, letter], [1, 0]).answer(IMAGES, QUESTIONS, k=3, temperature=1.0, seed=5)
    assert all(answer.choice == q.answer for answers, q in zip(alone, QUESTIONS, strict=True) for answer in answers)


def test_its_samples_are_of_its_members_by_weight_and_do_not_depend_on_the_batch() -> None:
    mixed = DefenderMixture([Oracle(), AlwaysLetter("A")], [1, 1])
    not_a = [i for i, q in enumerate(QUESTIONS) if q.answer != 0]
    images, questions = [IMAGES[i] for i in not_a], [QUESTIONS[i] for i in not_a]
    how: dict[str, Any] = {"k": 40, "temperature": 1.0, "seed": 3}
    drawn = mixed.answer(images, questions, streams=not_a, **how)
    share = np.mean([a.choice == q.answer for answers, q in zip(drawn, questions, strict=True) for a in answers])
    assert 0.4 < share < 0.6
    assert mixed.answer(images[2:4], questions[2:4], streams=not_a[2:4], **how) == drawn[2:4]


def test_mixed_attackers_are_drawn_by_weight_and_scene() -> None:
    members = [RandomDistractor(name="one"), RandomDistractor(name="two")]
    mixed = AttackerMixture(members, [1, 3])
    many = [scene for scene in SCENES for _ in range(20)]
    attacks = mixed.attack(many, seed=2)
    assert 0.68 < np.mean([a.attacker == "two" for a in attacks]) < 0.82
    assert [a.scene_id for a in attacks] == [s.id for s in many]
    part = mixed.attack(SCENES[3:6], seed=2)
    whole = mixed.attack(SCENES, seed=2)[3:6]
    assert [a.attacker for a in part] == [a.attacker for a in whole]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(part, whole, strict=True))
    only = AttackerMixture(members, [1, 0]).attack(SCENES, seed=2)
    assert {a.attacker for a in only} == {"one"}


def test_families_are_mixed_and_each_is_judged_by_its_own_rule() -> None:
    recipe = smoke().changed(scripted_attacks={"families": ["occlusion", "distractor", "noise"], "composed_share": 0})
    game = open_game(recipe.game, recipe.referee, seed=0)
    scripted = recipe.scripted_attacks
    attacks = scripted.mixed(game).attack(SCENES, seed=4)
    assert {a.attacker for a in attacks} == {"occlusion", "distractor", "noise"}
    verdicts = referee_of_run(game, recipe.referee, scripted).judge(SCENES, attacks)
    rules = referees(RefereeSettings(), photos=False)
    rule = {family.name: rules[family.rule] for family in scripted.chosen(game)}
    alone = [rule[a.attacker].judge([s], [a])[0] for s, a in zip(SCENES, attacks, strict=True)]
    assert [(v.valid, v.refused_by) for v in verdicts] == [(v.valid, v.refused_by) for v in alone]
    # The world's own rule would refuse a patch: it reads no object back.
    assert any(v.valid for v, a in zip(verdicts, attacks, strict=True) if a.attacker == "occlusion")
    weighed = scripted.mixed(game, {"noise": 1.0}).attack(SCENES, seed=4)
    assert {a.attacker for a in weighed} == {"noise"}
    referee = referee_of_run(game, recipe.referee, scripted)
    batches = scripted_batches(game, scripted.mixed(game), referee, (8, 0), draws=3, seed=1)
    assert sum(len(example.attacked) for example in batches(1)) > 8
    with pytest.raises(AotError, match="no such attack"):
        ScriptedAttackSettings(families=("nose",))
    assert "families" not in ScriptedAttackSettings().key, "stages of earlier versions stand"


def test_a_family_is_drawn_as_often_as_its_weight_says() -> None:
    families = ("occlusion", "distractor", "noise")
    settings = ScriptedAttackSettings(families=families, weights=(("noise", 4.0), ("blur", 9.0)), composed_share=0.5)
    recipe = smoke().changed(scripted_attacks=settings.model_dump())
    game = open_game(recipe.game, recipe.referee, seed=0)
    many = [scene for scene in SCENES for _ in range(60)]
    made = Counter(attack.attacker for attack in settings.mixed(game).attack(many, seed=4))
    assert made["noise"] / len(many) == pytest.approx(0.5 * 4 / 6, abs=0.04)
    assert made["occlusion"] / len(many) == pytest.approx(0.5 / 6, abs=0.03)
    meta = Counter(attack.attacker for attack in settings.mixed(game, {"occlusion": 1.0}).attack(many, seed=4))
    assert set(meta) == {"occlusion"}, "a meta-strategy stands in their place"
    assert settings.key["weights"] == {"noise": 4.0}, "blur is not drawn"
    plain = settings.model_copy(update={"weights": (("blur", 9.0),)})
    assert plain.key == ScriptedAttackSettings(families=families, composed_share=0.5).key
    for wrong in ((("nose", 1.0),), (("noise", 0.0),), (("noise", -1.0),)):
        with pytest.raises((AotError, ValueError)):
            ScriptedAttackSettings(families=families, weights=wrong)


def test_scripted_attacks_have_strengths_of_their_own() -> None:
    plain = ScriptedAttackSettings(families=("noise",))
    strong = ScriptedAttackSettings.model_validate(plain.model_dump() | {"strengths": {"noise_levels": (20, 20)}})
    game = open_game(smoke().game, smoke().referee, seed=0)
    for settings, least, most in ((plain, 4, 8), (strong, 20, 20)):
        attacks = settings.mixed(game).attack(SCENES, seed=4)
        moved = [
            int(abs(a.image.astype(int) - s.image).max()) for a, s in zip(attacks, SCENES, strict=True)
        ]
        assert min(moved) >= least and max(moved) <= most
    assert plain.key != strong.key
    assert "strengths" not in ScriptedAttackSettings().key, "a distractor has none"


def test_a_share_of_the_attacks_are_compositions() -> None:
    settings = ScriptedAttackSettings(families=("occlusion", "distractor", "noise", "blur"), composed_share=0.5)
    recipe = smoke().changed(scripted_attacks=settings.model_dump())
    game = open_game(recipe.game, recipe.referee, seed=0)
    many = [scene for scene in SCENES for _ in range(60)]
    made = Counter(attack.attacker for attack in settings.mixed(game).attack(many, seed=4))
    joined = {name: count for name, count in made.items() if "+" in name}
    assert set(joined) == {f"{edit}+{after}" for edit in ("occlusion", "distractor") for after in ("noise", "blur")}
    assert sum(joined.values()) / len(many) == pytest.approx(0.5, abs=0.05)
    assert (made["noise"] + made["blur"]) / len(many) == pytest.approx(0.25, abs=0.04)
    weighed = settings.mixed(game, {"occlusion": 3.0, "noise": 1.0}).attack(many, seed=4)
    shares = Counter(attack.attacker for attack in weighed)
    assert set(shares) == {"occlusion", "occlusion+noise", "noise"}
    assert shares["occlusion"] / len(many) == pytest.approx(0.375, abs=0.05)
    verdicts = referee_of_run(game, recipe.referee, settings).judge(many, weighed)
    checks = [finding.check for finding in verdicts[[a.attacker for a in weighed].index("occlusion+noise")].findings]
    assert checks[-1] == "global_ssim" and len(checks) > 1, "the edit by its own rule, then the corruption by its"
    assert settings.trains("occlusion+blur") and not settings.trains("texture+blur")
    alone = settings.model_copy(update={"composed_share": 0.0})
    assert not alone.trains("occlusion+blur") and "composed_share" not in alone.key
    named = {player.name for player in settings.players(game)}
    assert named == set(settings.families), "the payoff matrix has them alone"


def test_a_run_by_equilibrium(tmp_path: Path) -> None:
    recipe = smoke().changed(
        meta={"rule": "nash", "scenes": 12, "floor": 0.5},
        scripted_attacks={"families": ["occlusion", "distractor"], "draws": 2},
        **{"iterations": 2, "processes": 1, "best_response_updates": 0, "sft_scripted_steps": 0, "clean_rl": False},
        players={"attacker": {"steps": 3}},
        attacker={"flow_grpo": {"updates": 1, "groups": 2, "group_size": 2, "steps": 4}},
        game={"train_scenes": 16, "held_out_scenes": 8},
    )
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed)
    with Run(tmp_path, {}, say=lambda _: None) as run:
        stages = Stages(recipe, run, game)
        stages.make("iteration_2/defender")
        matrices = [Payoff.read(run.stages[payoff_of(i, trained=t)].folder) for i in (1, 2) for t in (False, True)]
        assert [m.matrix.shape for m in matrices] == [(3, 1), (4, 1), (4, 2), (5, 2)]
        for before, after in pairwise(matrices):  # a cell is measured once, and stays
            assert all(after.payoff[a][d] == value for a, row in before.payoff.items() for d, value in row.items())
        weights = matrices[-1].attackers(recipe)
        assert sum(weights.values()) == pytest.approx(1) and min(weights.values()) >= 0.5 / 5 - 1e-12
        episodes = round_episodes(Inputs("x", 0, game, run.stages, {}), 2)
        pool = {"iteration_0", "iteration_1", "iteration_2", *recipe.scripted_attacks.families}
        assert {e.attack.attacker for e in episodes} <= pool
        assert len(episodes) == 16 * 3, "the newest on every scene, and two draws of the pool"
    names = stage_names(recipe)
    for stage in run.stages.values():
        assert stage.name in names


def test_a_mixture_is_asked_in_this_process_or_refused() -> None:
    with pytest.raises(ValidationError, match=r"set meta\.rule=newest"):
        smoke().changed(meta={"rule": "uniform"}, compute={"answers": "http://127.0.0.1:1/v1"})
    smoke().changed(compute={"answers": "http://127.0.0.1:1/v1"})


def test_a_recipe_for_chosen_threats() -> None:
    recipe = with_threats(smoke(), ["pixel", "occlusion"])
    assert recipe.name == "smoke_pixel_occlusion"
    assert recipe.scripted_attacks.families == ("occlusion", *PIXEL)
    assert recipe.warm_up.pixel.share == recipe.hits.pixel.share == 0.25
    for sft in (recipe.warm_up, recipe.hits, with_threats(miniature(), ["pixel"]).warm_up):
        assert sft.drawn()[1] >= sft.bounded == round(0.25 * sft.batch)  # so many are clean before PGD
    alone = with_threats(smoke(), ["look_alike+blur"])
    assert alone.scripted_attacks.families == ("look_alike+blur",) and alone.warm_up.pixel.share == 0
    for wrong, told in (([], "no threat is named"), (["occlusoin"], "did you mean occlusion")):
        with pytest.raises(AotError, match=told):
            with_threats(smoke(), wrong)
    with pytest.raises(AotError, match="no SFT on scripted attacks"):
        with_threats(smoke().changed(warm_up={"steps": 0}, hits={"steps": 0}), ["pixel"])


def test_a_pasted_sprite_stands_where_own_images_came_without_objects(tmp_path: Path) -> None:
    scripted = miniature().scripted_attacks
    table = tmp_path / "own.jsonl"
    lines = []
    for n, s in enumerate(SCENES[:4]):
        PilImage.fromarray(s.image).save(tmp_path / f"{n}.png")
        entry = {"image": f"{n}.png", "question": f"{n}: {s.question.text}", "options": list(s.question.options)}
        lines.append(json.dumps(entry | {"answer": s.question.options[0], "boxes": [[4, 4, 12, 12]]}))
    table.write_text("\n".join(lines))
    game = open_game(smoke().game, RefereeSettings(), seed=0, data=table, photos=tmp_path / "photos")
    names = [one.name for one in scripted.players(game)]
    corruptions = ["blur", "jpeg", "brightness", "shadow", "uneven_light", "tones", "viewpoint"]
    assert names == ["texture", "occlusion", *corruptions, "random_distractor"]
    attacks = scripted.mixed(game).attack(game.held_out * 9, seed=3)
    composed = {f"{edit}+{after}" for edit in names[:2] for after in corruptions}
    assert {a.attacker for a in attacks} <= {*names, *composed}
    assert [one.name for one in ScriptedAttackSettings().players(game)] == ["random_distractor"]
