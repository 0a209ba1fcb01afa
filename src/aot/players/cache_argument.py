"""What transformers calls keys and values of earlier tokens: "cache" from 5.24, before that "past_key_values".

The older name warns from 5.24 and goes in 5.40, where whatever a forward pass does not know is dropped in silence.
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
