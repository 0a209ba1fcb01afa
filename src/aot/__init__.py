"""Adversarial Opponent Training: an image editor and a question answerer that grow by playing each other."""

__version__ = "0.1.0"

_LAZY = {
    "ResidualAutoencoder": "aot.miniature.autoencoder",
    "ModelMixin": "diffusers",
}
"""The miniature attacker's `model_index.json` names its autoencoder as ("aot", class): diffusers looks it up here, and
beside it the base class that says how it is loaded."""


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from importlib import import_module  # every command begins here: until `__main__` hears of Ctrl-C

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'aot' has no attribute {name!r}")
