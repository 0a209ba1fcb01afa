"""The scenes of the arena: the held-out scenes of the first run that no other run has trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from aot.arena.players.pool import RunFolder
from aot.coevolve.scenes.game import Game, open_game, split_by_image
from aot.data.sources import load_scenes
from aot.errors import AotError
from aot.types import Scene


def arena_scenes(runs: Sequence[RunFolder], most: int, photos: Path) -> tuple[Game, list[Scene], list[str]]:
    """The first run's game, its held-out scenes (the first `most`; 0: all), and what a reader must know of them.

    Scenes of the world are held out of every run: those of training are drawn from another stream. Own images are split
    by each run's seed: one that another run has trained on is left out. `photos`: as `open_game`. Raises `AotError`
    where runs of the world and of own images are mixed, or no scene is left.
    """
    first = runs[0]
    for run in runs[1:]:
        if (run.data is None) != (first.data is None):
            kinds = ["the miniature world" if one.data is None else "own images" for one in (first, run)]
            what = f"{first.label} was played on {kinds[0]}, {run.label} on {kinds[1]}"
            raise AotError(what, where=str(run.folder), hint="give runs on the same kind of scenes")
    recipe = first.recipe
    game = game_of(first, photos)
    scenes, notes = list(game.held_out), []
    trained: set[str] = set()
    for run in runs[1:]:
        if run.data is not None:
            trained |= _trained_on(run)
        elif (run.recipe.seed, run.recipe.game) != (recipe.seed, recipe.game):
            notes.append(f"{run.label} was evaluated on other held-out scenes; here it meets those of {first.label}")
        if run.recipe.referee != recipe.referee:
            notes.append(f"{run.label} was played under another referee; here that of {first.label} judges")
    fair = [scene for scene in scenes if _image(scene) not in trained]
    if len(fair) < len(scenes):
        gone = len(scenes) - len(fair)
        notes.append(f"{gone} of {len(scenes)} held-out scenes are left out: another run trained on them")
    if not fair:
        hint = "give runs of one seed: each seed holds other images out"
        raise AotError("no scene is held out of all runs", where=", ".join(run.label for run in runs), hint=hint)
    return game, fair[: most or None], notes


def game_of(run: RunFolder, photos: Path | None = None) -> Game:
    """What the run was played on, as `aot coevolve` opened it. `photos`: as `open_game`."""
    recipe = run.recipe
    free_text = bool(recipe.judge.player)
    return open_game(recipe.game, recipe.referee, seed=recipe.seed, data=run.data, free_text=free_text, photos=photos)


def _trained_on(run: RunFolder) -> set[str]:
    """The images that the run may have trained on."""
    assert run.data is not None
    scenes, _ = load_scenes(run.data, fit=run.recipe.game.fit, free_text=bool(run.recipe.judge.player))
    train, _ = split_by_image(scenes, run.recipe.game.held_out_share, seed=run.recipe.seed)
    return {_image(scene) for scene in train}


def _image(scene: Scene) -> str:
    return hashlib.sha256(scene.image.tobytes()).hexdigest()


def units_of(scenes: Sequence[Scene]) -> list[str]:
    """By scene what was drawn independently: its image."""
    return [_image(scene) for scene in scenes]
