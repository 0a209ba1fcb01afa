"""Adversarial Opponent Training: an image editor and a question answerer that grow by playing each other."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "ResidualAutoencoder": "aot.players.autoencoder",
    "QwenProcessor": "aot.players.processor",
}
"""Classes that a saved attacker's `model_index.json` names as ("aot", class): diffusers looks them up here."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'aot' has no attribute {name!r}")
