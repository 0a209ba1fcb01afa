"""The name of transformers' key/value cache argument: "cache" from 5.24 on, "past_key_values" before.

The older name warns from 5.24 and is removed in 5.40, after which a forward pass would ignore it silently.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any


def cache_argument(module: Any) -> str:
    """The name of a model's or layer's argument; a model's output has it under the same one."""
    return _of(type(module))  # type: ignore[arg-type]


@cache
def _of(kind: Any) -> str:
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"
