"""The recipes by name and from files, and what a run folder says it plays.

A recipe is Python that derives from another one (`changed`); a recipe file is JSON with the settings that differ (a
run's `recipe.json` is one).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aot.coevolve.recipes.full_size import eight_gpus, paper, single_gpu, small_gpu
from aot.coevolve.recipes.miniature import miniature, miniature_long, smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.scenes.game import PHOTOS, Game, open_game
from aot.errors import AotError
from aot.runs.files import canonical_hash, read_json
from aot.runs.manifest import CHANGED, PUT_BACK, made_with
from aot.runs.overrides import merged, overridden, validated

RECIPES = {make.__name__: make for make in (miniature, miniature_long, smoke, paper, single_gpu, small_gpu, eight_gpus)}
FREE = ("compute", "track", "pictures")
"""Settings of a run that may change from one command to the next."""


def load_recipe(name_or_file: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name, or of a JSON file, with `overrides` like "dapo.updates=30" applied in order.

    A file may name the recipe that it changes as "base" (else `miniature`). Raises `AotError` naming the
    setting, what is allowed and close matches.
    """
    settings, where = _named_or_file(name_or_file)
    hint = "aot recipe NAME prints every setting of a recipe with its value"
    return overridden(Recipe, settings, overrides, where=where, hint=hint)


def _named_or_file(name_or_file: str) -> tuple[dict[str, Any], str]:
    if name_or_file in RECIPES:
        return RECIPES[name_or_file]().model_dump(), f"recipe {name_or_file}"
    path = Path(name_or_file)
    known = f"recipes: {', '.join(RECIPES)}"
    if path.suffix != ".json":
        close = difflib.get_close_matches(name_or_file, RECIPES, n=1)
        guess = f"did you mean {close[0]}? " if close else ""
        hint = f"{guess}{known}; or a .json file"
        raise AotError("no such recipe", where=f"--recipe {name_or_file}", hint=hint)
    change = read_json(path, hint=f"give the path of a JSON file, or one of the {known}")
    if not isinstance(change, dict):
        example = 'e.g. {"base": "miniature", "seed": 1}'
        raise AotError("a recipe file holds one JSON object", where=str(path), hint=example)
    base = change.pop("base", "miniature")
    change.pop("data", None)  # a run's own recipe.json names its data, which --data gives again
    if not isinstance(base, str) or base not in RECIPES:
        raise AotError(f"no such base recipe: {base!r}", where=str(path), hint=known)
    return merged(RECIPES[base]().model_dump(), {"name": path.stem, **change}), str(path)


def game_of(recipe: Recipe, data: Path | None, run: Path) -> Game:
    """The game that the recipe plays on `data` (None: the miniature world) in the folder `run`. Raises `AotError` as
    `open_game` does."""
    free_text, photos = bool(recipe.judge.player), run / PHOTOS
    return open_game(recipe.game, recipe.referee, seed=recipe.seed, data=data, free_text=free_text, photos=photos)


def recipe_of(run: Path) -> tuple[Recipe, Path | None]:
    """The recipe of a run folder and the data that it plays on (none: the miniature world). Raises `AotError` where
    there is no run, or one of a recipe that this version does not read, or that was changed by hand."""
    path, hint = run / "recipe.json", "`aot coevolve` begins a run"
    settings = read_json(path, hint=hint, needs=())
    digest = canonical_hash({name: value for name, value in settings.items() if name not in FREE})
    data = settings.pop("data", None)
    if not isinstance(data, str | None):
        raise AotError(f"data: a path is expected, or null (given: {data!r})", where=str(path), hint=hint)
    recipe = validated(Recipe, settings, where=str(path), hint=hint)
    if (made := made_with(run)) and digest not in made:
        raise AotError(CHANGED, where=str(path), hint=PUT_BACK)
    return recipe, Path(data) if data else None
