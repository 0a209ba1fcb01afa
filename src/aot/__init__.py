"""Adversarial Opponent Training: an image editor and a question answerer that grow by playing each other."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "ResidualAutoencoder": "aot.miniature.autoencoder",
    "ModelMixin": "diffusers",
}
"""The miniature attacker's `model_index.json` names its autoencoder as ("aot", class): diffusers looks it up here, and
beside it the base class that says how it is loaded."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'aot' has no attribute {name!r}")
