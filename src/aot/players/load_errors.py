"""Errors of the libraries that read a user's model folder, turned into one `AotError`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from aot.errors import AotError, first_line
from aot.players.hub import FETCH_AGAIN

DAMAGED = (
    SafetensorError,
    StrictDataclassError,  # a configuration's value of another type
    OSError,
    ValueError,
    RuntimeError,  # RecursionError and NotImplementedError among them
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    AssertionError,
    ImportError,
    ZeroDivisionError,
    re.error,  # a pattern of layers' names
)
"""What transformers, diffusers, tokenizers and safetensors raise on junk in a configuration, a tokenizer or weights."""


@contextmanager
def no_future_warnings() -> Iterator[None]:
    """Silences deprecation warnings that the libraries cause in each other, which no user can mend."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|trl|accelerate)\.")
        yield


REMAKE = f"{FETCH_AGAIN}; one that a stage made: delete the stage's folder and run again"


@contextmanager
def reading(what: str, folder: Path | str, *, hint: str) -> Iterator[None]:
    """Turns what the libraries raise on a damaged model folder into an `AotError`; `what` is read ("the defender")."""
    try:
        yield
    except AotError:
        raise
    except Exception as error:
        # tokenizers raises the bare class; any other that is not listed is a mistake of ours and keeps its traceback.
        if not isinstance(error, DAMAGED) and type(error) is not Exception:
            raise
        reason = first_line(error)
        if "ignore_mismatched_sizes" in str(error):  # an advice to the libraries' callers
            reason = "weights have other shapes than its configuration says"
        raise AotError(f"{what} cannot be read: {reason}", where=str(folder), hint=hint) from error


def whole(loaded: tuple[Any, dict[str, Any]], folder: Path | str) -> Any:
    """The model of `from_pretrained(..., output_loading_info=True)`. Raises `AotError` where some of its weights are
    not in the folder: the libraries draw those at random, and only warn."""
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise AotError(f"weights are missing: {missing[0]}{more}", where=str(folder), hint=FETCH_AGAIN)
    return model


def package_of(model_type: str) -> str:
    """The extra package that transformers needs to build the processor of such models; "" where it needs none."""
    return "num2words" if model_type == "smolvlm" else ""  # for timestamps of videos, which are not used here
