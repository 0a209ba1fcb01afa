"""JSON of a known shape from disk: whoever reads it need not ask again what is in it. *Ours.*"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from aot.errors import AotError
from aot.runs.files import read_json

Shape = TypeVar("Shape", bound=BaseModel)


def read_shaped(path: Path, shape: type[Shape], *, hint: str) -> Shape:
    """The file as `shape`; keys that it does not have are left out, nothing is converted. Raises `AotError` that names
    the first place that does not fit, with `hint` as the next step; as `read_json` does, too."""
    value = read_json(path, hint=hint)
    try:
        return shape.model_validate(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        what = first["msg"].removeprefix("Value error, ")
        raise AotError(f"is not as it was written ({place}: {what})", where=str(path), hint=hint) from error
