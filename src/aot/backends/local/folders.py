"""A multimodal model to be asked: a folder of its own, adapters over one, or a hub id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from aot.players.base_players import Place, base_identity, placed, player_folder
from aot.players.defender.lora import attached
from aot.players.hub import commit_of, is_hub_id
from aot.players.model_folder import read_model, read_processor


def load_model(folder: str, dtype: torch.dtype | str) -> Any:
    """A multimodal model on the CPU. Raises `AotError` for what is missing, damaged, or not safetensors."""
    place = _place(folder)
    model = read_model(place.whole, dtype=dtype)
    if is_hub_id(folder):  # tells its replies from those of other revisions
        model.config._commit_hash = commit_of(place.adapters or place.whole)
    if place.adapters is not None:
        attached(model, place.adapters)
    return model


def any_processor(folder: str, model_type: str) -> Any:
    """With its text half padding on the left, as generation needs it."""
    return read_processor(_place(folder).processor, model_type)


def base_of(name: str) -> dict[str, str]:
    """`base_identity` of what `load_model` opens."""
    return base_identity(_folder(name))


def _place(name: str) -> Place:
    return placed(_folder(name))


def _folder(name: str) -> Path:
    return player_folder(name, "defender") if is_hub_id(name) else Path(name)
