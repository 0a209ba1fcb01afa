"""Recipes: every one is valid, a file and an override change them, a mistake is named with the next step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from aot.coevolve.recipes.load import FREE, RECIPES, load_recipe, recipe_of
from aot.coevolve.recipes.miniature import miniature, smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.errors import AotError
from aot.runs.files import canonical_hash, write_json
from aot.runs.overrides import MISSING, differences, merged, validated


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_carry_their_name_and_survive_json(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.model_dump(mode="json") | {"data": "photos"}))
    assert load_recipe(str(path)) == recipe  # a run's own recipe.json


MADE = smoke().model_dump(mode="json") | {"data": None}
"""What a run's recipe.json holds."""


def _run_of(folder: Path, recipe: dict, *stages: str) -> Path:
    """Finished stages, as far as their manifests name the recipe."""
    digest = canonical_hash({name: value for name, value in recipe.items() if name not in FREE})
    for stage in stages:
        write_json(folder / stage / "manifest.json", {"recipe": digest})
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"name": "other"},
        {"data": "photos"},
        {"game": MADE["game"] | {"held_out_scenes": 400}},
        {"attacker": MADE["attacker"] | {"method": "rejection_sampling"}},
    ],
)
def test_a_recipe_that_was_changed_by_hand_is_noticed(changes: dict, tmp_path: Path) -> None:
    _run_of(tmp_path, MADE, "base/defender", "evaluation/attacks/clean")
    _run_of(tmp_path, MADE | changes, "superseded/warm_up-0123abcd", "superseded/iteration_1/defender-0123abcd")
    write_json(tmp_path / "recipe.json", MADE | changes)
    with pytest.raises(AotError, match="changed since the run's stages were made\n  next: put it back"):
        recipe_of(tmp_path)
    write_json(tmp_path / "recipe.json", MADE)
    assert recipe_of(tmp_path) == (smoke(), None)


def test_what_may_change_in_a_recipe_is_no_fault(tmp_path: Path) -> None:
    free = {"compute": {"launch": "python"}, "track": "tensorboard"}
    write_json(tmp_path / "recipe.json", MADE | {"seed": 3})
    assert recipe_of(tmp_path)[0].seed == 3  # no stage is finished
    _run_of(tmp_path, MADE, "base/defender")
    _run_of(tmp_path, MADE | {"seed": 5}, "clean_rl/1")  # of another run, linked
    (tmp_path / "warm_up").mkdir()
    (tmp_path / "warm_up/manifest.json").write_text("{")  # its own fault, told where it is needed
    shuffled = dict(reversed((MADE | free).items()))
    (tmp_path / "recipe.json").write_text(json.dumps(shuffled, indent=7))
    assert recipe_of(tmp_path)[0].compute.launch == "python"
    older = {name: value for name, value in MADE.items() if name != "clean_guard"}  # before there was such a setting
    _run_of(tmp_path, older, "sft_scripted")
    write_json(tmp_path / "recipe.json", older)
    assert recipe_of(tmp_path)[0].clean_guard == Recipe.model_fields["clean_guard"].default


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValidationError):
        miniature().seed = 1  # type: ignore[misc]


def test_overrides_are_read_by_the_type_of_their_setting() -> None:
    changes = ["seed=7", "dapo.learning_rate=2e-3", "dapo.engine=trl", "curriculum.rows=null", "seed=8"]
    changes += ["curriculum.balance_question_types=false", 'curriculum={"clean_share": 0.5}', "name=007"]
    recipe = load_recipe("miniature", changes)
    assert (recipe.seed, recipe.dapo.learning_rate, recipe.dapo.engine) == (8, 2e-3, "trl")
    assert recipe.curriculum.rows is None and not recipe.curriculum.balance_question_types
    assert recipe.curriculum.clean_share == 0.5
    assert recipe.curriculum.earlier_share == miniature().curriculum.earlier_share
    assert recipe.name == "007"


def test_the_home_folder_is_found_behind_an_equals_sign_and_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    changes = ["players.defender=~/model", "players.attacker.model=~/editor", "compute.vllm.command=~/env/bin/vllm"]
    recipe = load_recipe("single_gpu", changes)
    assert recipe.players.defender.model == f"{tmp_path}/model"
    assert recipe.players.attacker.model == f"{tmp_path}/editor"
    assert recipe.compute.vllm.command == f"{tmp_path}/env/bin/vllm"
    path = tmp_path / "mine.json"
    path.write_text('{"base": "smoke", "players": {"defender": "~/model"}}')
    assert load_recipe(str(path)).players.defender.model == f"{tmp_path}/model"


def test_settings_that_fit_only_together_may_be_given_together() -> None:
    recipe = load_recipe("miniature", ["curriculum.max_fooled=0.2", "curriculum.min_fooled=0.1"])
    assert recipe.curriculum.max_fooled == 0.2


def test_a_file_names_its_base_and_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"base": "smoke", "dapo": {"updates": 9}}')
    recipe = load_recipe(str(path), ["seed=5"])
    assert recipe == load_recipe("smoke").changed(name="mine", seed=5, dapo={"updates": 9})


MISTAKES = {
    "close recipe": (("minature", []), r"--recipe minature: no such recipe\n.*did you mean miniature\?"),
    "unknown recipe": (("zzz", []), r"recipes: miniature, miniature_long, smoke, paper"),
    "no equals": (("smoke", ["seed"]), r"--set seed: not of the form setting=value"),
    "unknown key": (("smoke", ["dapo.update=1"]), r"dapo\.update: no such setting; did you mean updates"),
    "unknown top": (("smoke", ["daop.updates=1"]), r"daop: no such setting; did you mean dapo\?"),
    "too small": (("smoke", ["dapo.updates=0"]), r"dapo\.updates: .*greater than 0 \(given: '0'\)"),
    "wrong type": (("smoke", ["seed=two"]), r"seed: .*valid integer.*\(given: 'two'\)"),
    "wrong choice": (("smoke", ["dapo.engine=jax"]), r"dapo\.engine: .*'packed' or 'trl' \(given: 'jax'\)"),
    "broken json": (("smoke", ["curriculum={a"]), r"curriculum: .*\(given: '\{a'\)"),
    "two at once": (("smoke", ["seed=-1", "iterations=0"]), r"(?s)seed: .*iterations: "),
    "together": (("smoke", ["curriculum.clean_share=.9"]), r"clean_share \+ easy_share \+ earlier_share must leave"),
    "below a leaf": (("smoke", ["seed.x=1"]), r"seed: .*valid integer"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_name_the_setting_and_what_is_allowed(name: str) -> None:
    arguments, expected = MISTAKES[name]
    with pytest.raises(AotError, match=expected) as caught:
        load_recipe(*arguments)
    assert caught.value.hint


FILES = {
    "absent": (None, "no such file"),
    "cut off": ('{"seed": ', "cannot be read as JSON"),
    "a list": ("[]", "holds one JSON object"),
    "base": ('{"base": "huge"}', "no such base recipe: 'huge'"),
    "base of another kind": ('{"base": []}', "no such base recipe: "),
    "value": ('{"seed": "x"}', "seed: .*valid integer"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files_are_named(name: str, tmp_path: Path) -> None:
    text, expected = FILES[name]
    path = tmp_path / "mine.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AotError, match=expected) as caught:
        load_recipe(str(path))
    assert caught.value.where == str(path)


def test_unknown_settings_are_explained_within_optional_and_union_fields() -> None:
    class Inner(BaseModel, extra="forbid"):
        rate: float = 0.1

    class Outer(BaseModel, extra="forbid"):
        inner: Inner | None = None

    with pytest.raises(
        AotError, match=r"inner\.rat: no such setting; did you mean rate\? allowed here: rate"
    ):
        validated(Outer, {"inner": {"rat": 1}}, where="x")


def test_merging_alters_neither_side() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": [1]}
    assert merged(base, {"a": {"b": 3}, "d": []}) == {"a": {"b": 3, "c": 2}, "d": []}
    assert base == {"a": {"b": 1, "c": 2}, "d": [1]}


def test_differences_laid_over_one_side_give_the_other() -> None:
    first, second = (load_recipe(name).model_dump() for name in ("smoke", "paper"))
    change: dict[str, object] = {}
    for dotted, one, other in differences(first, second):
        assert one != other
        for part in reversed(dotted.split(".")):
            other = {part: other}
        change = merged(change, other)
    assert merged(first, change) == second


def test_a_setting_that_one_side_does_not_have_differs() -> None:
    assert list(differences({"a": {"b": 1}}, {"a": {"b": 1, "c": None}})) == [("a.c", MISSING, None)]
    assert list(differences({"a": 1}, {"a": {"b": 1}})) == [("a", 1, {"b": 1})]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("attacker.method=own_hits", "own_hits is now called rejection_sampling"),
        ("attacker.own_hits.rounds=2", "this setting is now called rejection_sampling"),
        ("attacker.forward_process.updates=2", "this setting is now called diffusion_nft"),
        ("attacker.flow_grpo.practice.answers=2", "this setting is now called environment"),
    ],
)
def test_a_setting_under_its_earlier_name_is_refused_with_the_new_one(setting: str, told: str) -> None:
    with pytest.raises(AotError, match=told):
        load_recipe("smoke", [setting])


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_a_setting_that_is_not_finite_is_refused(value: str) -> None:
    with pytest.raises(AotError, match=r"dapo\.learning_rate"):
        load_recipe("smoke", [f"dapo.learning_rate={value}"])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (f"dapo.updates={2**63}", r"dapo\.updates: must be below 2\^63"),
        ('players.defender="folder\\u0000"', r"players\.defender\.model: must not have the character of code 0"),
    ],
)
def test_a_setting_that_nothing_can_be_made_with_is_refused(setting: str, told: str) -> None:
    with pytest.raises(AotError, match=told):
        load_recipe("smoke", [setting])
    load_recipe("smoke", [f"seed={2**63 - 1}"])
