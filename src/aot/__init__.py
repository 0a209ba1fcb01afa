"""Adversarial Opponent Training: an image editor and a question answerer that grow by playing each other."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "ResidualAutoencoder": "aot.miniature.autoencoder",
    "QwenProcessor": "aot.players.processor",
    "ModelMixin": "diffusers",
    "ProcessorMixin": "transformers",
}
"""A saved attacker's `model_index.json` names its autoencoder and processor as ("aot", class). After
`import aot` diffusers looks them up here, and beside them the base classes that say how they are loaded."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'aot' has no attribute {name!r}")
