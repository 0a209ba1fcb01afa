"""Settings of any class as the command line changes them (`--set a.b=c`), with mistakes told by name."""

from __future__ import annotations

import difflib
import json
import math
import os
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from annotated_types import Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from aot.errors import AotError
from aot.runs.limits import LEAST, MOST

RENAMED = {
    "own_hits": "rejection_sampling",
    "forward_process": "diffusion_nft",
    "practice": "environment",
    "lora_rank": "players.defender.lora.rank, for all trainings of the defender",
    "gradient_checkpointing": "players.defender.gradient_checkpointing",
}
"""Settings, and values of settings, under the names that they had once -> their names today."""

LARGEST = 2**63
"""Tensors and arrays hold no larger integer."""
Settings = TypeVar("Settings", bound=BaseModel)


def overridden(
    model: type[Settings],
    settings: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    where: str,
    hint: str | None = None,
) -> Settings:
    """`settings` of any class with overrides like "a.b=c" applied in order. Raises like `validated`."""
    for override in overrides:
        dotted, equals, value = override.partition("=")
        if not equals or not dotted:
            raise AotError(
                "not of the form setting=value", where=f"--set {override}", hint="e.g. --set seed=1"
            )
        change: Any = _value(value)
        for part in reversed(dotted.strip().split(".")):
            change = {part: change}
        settings = merged(settings, change)
        where += f" --set {override}"
    return validated(model, settings, where=where, hint=hint)


def validated(model: type[Settings], values: Any, *, where: str, hint: str | None = None) -> Settings:
    """`values` as settings of `model`. Raises `AotError` that names each bad setting (the first five), what is allowed
    there, and `hint`."""
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        told = [_explained(model, detail) for detail in error.errors(include_url=False)[:5]]
        raise AotError("\n  ".join(told), where=where, hint=hint) from error
    if useless := [*_useless(settings.model_dump()), *_too_large(settings)][:5]:
        raise AotError("\n  ".join(useless), where=where, hint=hint)
    return settings


def _useless(value: Any, name: str = "") -> Iterator[str]:
    """Settings of the right type that nothing can be made with, and why."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _useless(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _useless(item, name)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{name}: must be a finite number"
    elif isinstance(value, int) and abs(value) >= LARGEST:
        yield f"{name}: must be below 2^63"
    elif isinstance(value, str) and "\0" in value:
        yield f"{name}: must not have the character of code 0, which no file name or program may have"


def _too_large(settings: BaseModel, name: str = "") -> Iterator[str]:
    """Numbers above `MOST` whose settings have no limit of their own, and such as hardly differ from 0; seeds are no
    number of things."""
    for key, field in type(settings).model_fields.items():
        dotted, value = f"{name}.{key}" if name else key, getattr(settings, key)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                yield from _too_large(one, dotted)
            elif not isinstance(one, int | float) or not abs(one) < LARGEST or key == "seed":
                continue
            elif one > MOST and not _has_limit(field):
                yield f"{dotted}: must be at most {MOST} (given: {one})"
            elif 0 < abs(one) < LEAST:
                yield f"{dotted}: must be 0, or at least {LEAST:g} (given: {one})"


def _has_limit(field: FieldInfo) -> bool:
    return any(isinstance(rule, Le | Lt) for rule in field.metadata)


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, mapping by mapping; neither is altered. Settings that have a `model` take a
    plain text as that alone: "players.defender=FOLDER" leaves how it is loaded."""
    result = dict(base)
    for name, value in change.items():
        before = result.get(name)
        if isinstance(value, str) and isinstance(before, Mapping) and "model" in before:
            value = {"model": value}
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = merged(before, value) if both else value  # type: ignore[arg-type]
    return result


MISSING = object()
"""Stands in `differences` for the value of a setting that one side does not have."""


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], name: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted names of the settings that differ, in their order, with both values."""
    for key in [*first, *(key for key in second if key not in first)]:
        one, other = first.get(key, MISSING), second.get(key, MISSING)
        dotted = f"{name}.{key}" if name else str(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, dotted)
        elif one is MISSING or other is MISSING or one != other:
            yield dotted, one, other


def _value(text: str) -> Any:
    """JSON where it looks like it (a list, object, null, quoted text); else text, for the setting to read. A shell
    takes "~" for the home folder at the beginning of a word alone, not behind "=": that is done here."""
    if text == "null" or text[:1] in '[{"':
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return os.path.expanduser(text) if text.startswith("~/") else text


def _explained(model: type[BaseModel], detail: Any) -> str:
    """One pydantic error in a line: the setting's dotted name, what is wrong, what is allowed."""
    path = [str(part) for part in detail["loc"]]
    name = ".".join(path) or "the recipe"
    if detail["type"] == "extra_forbidden":
        owner = _model_at(model, path[:-1])
        fields = list(owner.model_fields) if owner else []
        close = difflib.get_close_matches(path[-1], fields, n=3)
        guess = f"did you mean {' or '.join(close)}? " if close else ""
        if path[-1] in RENAMED:
            return f"{name}: this setting is now called {RENAMED[path[-1]]}"
        return f"{name}: no such setting; {guess}allowed here: {', '.join(fields)}"
    message = detail["msg"].removeprefix("Value error, ")
    given = detail["input"]
    if isinstance(given, str) and given in RENAMED:
        return f"{name}: {given} is now called {RENAMED[given]}"
    shown = f" (given: {given!r})" if given is None or isinstance(given, str | int | float | bool) else ""
    return f"{name}: {message[:1].lower()}{message[1:]}{shown}"


def _model_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """The settings class that the dotted `path` leads to, through optional and union fields."""
    for part in path:
        field = model.model_fields.get(part)
        if field is None:
            continue  # the tag that pydantic adds for a member of a union
        inner = _models_in(field.annotation)
        if not inner:
            return None
        model = inner[0]
    return model


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [m for option in typing.get_args(annotation) for m in _models_in(option)]
    return []
