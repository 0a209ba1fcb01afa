"""How much a run writes: players, and the checkpoint of the stage that is being made."""

from __future__ import annotations

import math

from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    BASELINE,
    BEST_RESPONSE,
    CLEAN_RL,
    SFT_SCRIPTED,
    WARM_UP,
    attacker_of,
    defender_of,
    stage_names,
)
from aot.doctor.folders import Place, parts, shapes, weight_bytes
from aot.players.base_players import COPIED_BYTES, Role
from aot.players.hub import is_hub_id
from aot.players.published import PUBLISHED, Size
from aot.players.settings import PlayerSettings

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
ADAMW_BYTES = 8
"""A parameter's two moments in float32."""


def bytes_written(recipe: Recipe, places: dict[Role, Place]) -> tuple[int, int]:
    """Of all players together, and of checkpoints while the largest is written; images and answers, small beside
    weights, are left out. Players that are not on this machine count by their published sizes, others nothing."""
    players, checkpoint = 0, 0
    for role, settings in players_of(recipe):
        size = _size(places[role], role)
        if size is None:
            continue
        rank = settings.lora.rank
        # Adapters of every matrix: more than the targets that are chosen.
        trained = rank * size.sides if rank else size.trained
        saved = trained if rank else size.parameters
        width = 4 if rank else BYTES[settings.dtype]
        stages = [name for name in stage_names(recipe) if _saves(name, role)]
        folder = places[role].folder
        copied = weight_bytes(folder) if folder is not None else COPIED_BYTES + 1
        players += (copied if copied <= COPIED_BYTES and not rank else 0) + len(stages) * saved * width
        checkpoint = max(checkpoint, trained * (width + ADAMW_BYTES))
    return players, 2 * checkpoint  # the newest is whole before the one before it goes


def downloads(recipe: Recipe, places: dict[Role, Place]) -> tuple[int, list[str]]:
    """Bytes that the run fetches from the hub, each model once; and the models among them whose size is not known."""
    wanted = {settings.model for role, settings in players_of(recipe) if _is_fetched(settings, places[role])}
    known = [PUBLISHED[name].download_bytes for name in wanted if name in PUBLISHED]
    return sum(known), sorted(wanted - PUBLISHED.keys())


def _is_fetched(settings: PlayerSettings, place: Place) -> bool:
    return place.folder is None and is_hub_id(settings.model) and not settings.offline


def _size(place: Place, role: Role) -> Size | None:
    """By the headers of its files, or as published."""
    folder = place.folder
    if folder is None or not folder.is_dir():
        return PUBLISHED.get(place.name)
    network = shapes(folder / "transformer" if role == "attacker" else folder)
    everything = sum(math.prod(shape) for part in parts(folder) for shape in shapes(part))
    return Size(everything, sum(map(math.prod, network)), sum(sum(shape) for shape in network if len(shape) == 2))


def players_of(recipe: Recipe) -> list[tuple[Role, PlayerSettings]]:
    return [("attacker", recipe.players.attacker), ("defender", recipe.players.defender)]


def _saves(name: str, role: Role) -> bool:
    """Whether a stage trains, and saves, a player of this role."""
    if role == "attacker":
        return name.startswith(f"{BEST_RESPONSE}/") or (name.endswith("/attacker") and name != attacker_of(0))
    if name.endswith("/defender"):
        return name != defender_of(0)
    return name.startswith((WARM_UP, SFT_SCRIPTED, CLEAN_RL, f"{BASELINE}/"))
