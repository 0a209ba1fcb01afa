"""Whether a player's folder is complete: configurations, tokenizer, every shard of the weights, each of its length.

Only headers are read: a folder of 60 GB takes milliseconds. A hub id is looked for where the hub's client keeps what it
fetched; nothing is downloaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aot.doctor.finding import Finding, as_size
from aot.errors import AotError
from aot.players.adapter_folder import ADAPTER, adapter_config, check_adapter_weights
from aot.players.base_players import (
    BASE,
    EDITOR_ADAPTER,
    ENTRIES,
    SHIPPED,
    Role,
    base_at,
    base_named,
    instead,
)
from aot.players.hub import check_whole, fetched, is_hub_id
from aot.players.settings import PlayerSettings
from aot.runs.files import read_json

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
CONFIGS = {"scheduler": ("scheduler_config.json",), "processor": PROCESSORS, "tokenizer": ("tokenizer_config.json",)}
"""Files of a pipeline's component of which one must be there; of any other: config.json and weights."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a player lies: its folder, None where it is not on this machine, and the command that fetches it. `fault`:
    why it is not there."""

    name: str
    folder: Path | None
    fetch: str
    fault: str = ""


def place_of(settings: PlayerSettings, role: Role) -> Place:
    """The folder behind a recipe's player: shipped, a folder, or a hub id in the hub's cache."""
    name = settings.model
    if name == "miniature":
        return Place(name, SHIPPED / role, "pip install --force-reinstall aot-vlm")
    if not is_hub_id(name):
        return Place(name, Path(name), f"hf download OWNER/NAME --local-dir {name}")
    fetch = f"hf download {name}" + (f" --revision {settings.revision}" if settings.revision else "")
    try:
        return Place(name, fetched(name, revision=settings.revision, offline=True), fetch)
    except AotError as error:
        return Place(name, None, fetch, error.message)


def player_complete(settings: PlayerSettings, role: Role, *, is_base: bool = False) -> Finding:
    """Whether the player's folder has all that a run reads, and so the base of adapters; `is_base`: it is that."""
    place = place_of(settings, role)
    check = f"{role} {place.name}"
    if place.folder is None:
        may_ask = not settings.offline and os.environ.get("HF_HUB_OFFLINE", "") in ("", "0")
        if may_ask and "damaged" not in place.fault:
            return Finding(check, "not (whole) on this machine: the run fetches it", "doubtful", place.fetch)
        return Finding(check, place.fault, "wrong", place.fetch)
    if not place.folder.is_dir():
        what = "a file, no folder" if place.folder.is_file() else "no such folder"
        return Finding(check, what, "wrong", instead(place.folder, role) or place.fetch)
    if faults := list(_faults(place.folder, role)):
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        pull = f"git -C {place.folder} lfs pull" if any("Git LFS" in fault for fault in faults) else ""
        mend = pull or ("is missing" in faults[0] and instead(place.folder, role)) or place.fetch
        return Finding(check, "; ".join(faults[:3]) + more, "wrong", mend)
    if begun := sorted(place.folder.rglob("*.incomplete")):
        return Finding(check, f"a download has not ended: {begun[0].name}", "doubtful", place.fetch)
    complete = f"complete, {as_size(weight_bytes(place.folder))} of weights"
    if (base := base_settings(settings, place.folder, role)) is None:
        return Finding(check, complete)
    if is_base:
        return Finding(check, "adapters or a reference itself, no whole model", "wrong", place.fetch)
    below = player_complete(base, role, is_base=True)
    return Finding(check, f"{complete}; its base {base.model}: {below.what}", below.state, below.mend)


def base_settings(settings: PlayerSettings, folder: Path, role: Role) -> PlayerSettings | None:
    """Those of the base that a player's folder refers to; None of a whole model. Raises `AotError` for a damaged
    reference."""
    if (base := base_at(folder)) is not None:
        named = base.model, base.revision
    elif role == "defender" and (folder / ADAPTER).is_file():
        named = base_named(folder)
    else:
        return None
    return settings.model_copy(update={"model": named[0], "revision": named[1]})


def model_type_of(settings: PlayerSettings) -> str:
    """The type of a defender, its base's if it is adapters; "" where no configuration on this machine says it."""
    try:
        folder = place_of(settings, "defender").folder
        if folder is not None and (base := base_settings(settings, folder, "defender")) is not None:
            folder = place_of(base, "defender").folder
        if folder is None:
            return ""
        return str(read_json(folder / "config.json", hint="", needs=("model_type",))["model_type"])
    except AotError:
        return ""


def _faults(folder: Path, role: Role) -> Iterator[str]:
    found = [entry for entry in ENTRIES[role] if (folder / entry).is_file()]
    if not found:
        is_alone = (folder / EDITOR_ADAPTER).is_file()
        told = f", and nothing says which editor {EDITOR_ADAPTER} is for" if is_alone else ""
        yield f"{ENTRIES[role][0]} is missing{told}"
        return
    if found[0] != ENTRIES[role][0]:
        yield from _adapter_faults(folder, role)
        return
    try:
        check_whole(folder)
    except AotError as error:
        yield error.message
    yield from _model_faults(folder) if role == "defender" else _pipeline_faults(folder)


def _adapter_faults(folder: Path, role: Role) -> Iterator[str]:
    """Of adapters, or of a reference alone; the base that they lead to is looked at for itself."""
    try:
        check_whole(folder)
        if role == "defender" and (folder / ADAPTER).is_file():
            check_adapter_weights(folder)
            if not (folder / BASE).is_file():
                adapter_config(folder)
        base_at(folder)
    except AotError as error:
        yield error.message


def _model_faults(folder: Path) -> Iterator[str]:
    yield from _weight_faults(folder)
    yield from _one_of(folder, PROCESSORS)
    yield from _tokenizer_faults(folder)


def _pipeline_faults(folder: Path) -> Iterator[str]:
    try:
        index = read_json(folder / "model_index.json", hint="", needs=["transformer", "vae"])
    except AotError as error:
        yield f"model_index.json: {error.message}"
        return
    for name, value in index.items():
        if not (isinstance(value, list) and value and value[0]):  # [library, class]; [null, null] is left out
            continue
        part = folder / name
        if name in CONFIGS:
            yield from _one_of(part, CONFIGS[name])
        else:
            yield from _one_of(part, ("config.json",))
            yield from _weight_faults(part)
        if name == "tokenizer":
            yield from _tokenizer_faults(part)


def _weight_faults(folder: Path) -> Iterator[str]:
    if not any(folder.glob("*.safetensors")):
        pickles = any(folder.glob("*.bin"))
        yield f"{folder.name}: {'its weights are pickles; only safetensors are read' if pickles else 'no weights'}"


def _one_of(folder: Path, names: tuple[str, ...]) -> Iterator[str]:
    if not any((folder / name).is_file() for name in names):
        yield f"{folder.name}: {' or '.join(names)} is missing"


def _tokenizer_faults(folder: Path) -> Iterator[str]:
    if not (folder / "tokenizer.json").is_file():
        yield from (
            f"{folder.name}: {n} is missing" for n in ("vocab.json", "merges.txt") if not (folder / n).is_file()
        )


def weight_bytes(folder: Path) -> int:
    """Bytes of all weights in a player's folder and those of its components."""
    return sum(path.stat().st_size for part in parts(folder) for path in part.glob("*.safetensors"))


def shapes(folder: Path) -> list[tuple[int, ...]]:
    """Shapes of all weights that lie in a folder, by their headers; of damaged files none."""
    found: list[tuple[int, ...]] = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            found += [tuple(map(int, t["shape"])) for name, t in header.items() if name != "__metadata__"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError):
            continue
    return found


def parts(folder: Path) -> list[Path]:
    """A player's folder and those of its components."""
    return [folder, *sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))]
