"""The base players that a run starts with: shipped in the package, in a folder, or on the hub; and how a run keeps
them, as a copy or as a reference (`base.json`) with their place and digest."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from aot.errors import AotError
from aot.players.adapter_folder import (
    ADAPTER,
    AS_SAVED,
    BASE_NAME,
    MERGE,
    adapter_config,
    check_adapter_weights,
    copy_adapters,
    is_adapter_file,
)
from aot.players.digests import player_digests
from aot.players.hub import check_whole, commit_of, fetched, hub_id_of, is_hub_id
from aot.players.settings import DefenderSettings, PlayerSettings
from aot.runs.files import canonical_hash, read_json, write_json
from aot.runs.overrides import validated

SHIPPED = Path(__file__).parents[1] / "miniature" / "assets"
"""The folders of the shipped miniature players, by role."""
Role = Literal["attacker", "defender"]
BASE = "base.json"
EDITOR_ADAPTER = "pytorch_lora_weights.safetensors"
"""An adapter of an attacker, as diffusers names it: beside `base.json`, or beside a whole pipeline."""
ENTRIES = {"attacker": ("model_index.json", BASE), "defender": ("config.json", ADAPTER, BASE)}
"""By role the files of which a player's folder holds at least one: a whole model, adapters, or a reference."""
MINIATURE_MAX_TOKENS, DEFAULT_MAX_TOKENS = 12, 1024
COPIED_BYTES = 1 << 30
"""Up to this size a run copies its base players; *ours*."""


class Base(BaseModel, frozen=True, extra="forbid"):
    """A reference to a base player that is not copied."""

    model: str  # "miniature", a folder's absolute path, or a hub id
    revision: str = ""  # of a hub id: its commit
    digest: str  # of the names and bytes of all its files


def player_folder(name: str, role: Role, *, option: str = "", revision: str = "", offline: bool = False) -> Path:
    """The folder of a base player; a hub id is found on this machine or downloaded (`fetched`). Raises `AotError` where
    there is no such player or its weights are not whole; `option` is how it is named, such as "--attacker FOLDER"."""
    if is_hub_id(name):
        folder = fetched(name, revision=revision, offline=offline)
    else:
        folder = SHIPPED / role if name == "miniature" else Path(name)
    if not any((folder / entry).is_file() for entry in ENTRIES[role]):
        if role == "attacker" and (folder / EDITOR_ADAPTER).is_file():
            hint = f"copy {EDITOR_ADAPTER} beside the model_index.json of its editor, and give that folder"
            raise AotError("an adapter alone, and nothing says of which editor", where=str(folder), hint=hint)
        known = f"give a model folder or hub id with {option or f'--set players.{role}=FOLDER'}"
        raise AotError(
            f"no {role} there: {ENTRIES[role][0]} is missing",
            where=name if is_hub_id(name) else str(folder),
            hint=instead(folder, role) or f"aot pretrain makes the miniature's players; or {known}",
        )
    check_whole(folder)
    return folder


def instead(folder: Path, role: Role) -> str:
    """The next step, by what lies in a folder that holds no player of this role; "" where nothing there tells it."""
    if folder.is_file():
        return f"give its folder, {folder.parent}"
    below = sorted(path.parent for entry in ENTRIES[role][:2] for path in folder.glob(f"*/{entry}"))
    if role == "defender" and (folder / "model_index.json").is_file():
        return "that is an image editor: give it as the attacker"
    if below:
        return f"give the folder below it, {below[-1]}"
    if any(folder.glob("*.gguf")):
        return "GGUF is for llama.cpp: give the folder of safetensors that it was made from, or a server's URL"
    if any(folder.rglob("*.distcp")) or any(folder.rglob("*_model_states.pt")):
        return "these are shards of a training: write a whole model first (accelerate merge-weights, zero_to_fp32.py)"
    return ""


def base_at(folder: Path) -> Base | None:
    """The reference in a folder; None where it has none. Raises `AotError` for a damaged one."""
    path = folder / BASE
    if not path.is_file():
        return None
    hint = f"delete {folder} and run the same command again"
    return validated(Base, read_json(path, hint=hint, needs=()), where=str(path), hint=hint)


def reference_to(folder: Path) -> Base:
    """The reference to the player in `folder`: one of the hub's cache by its id, a shipped one by its name."""
    named = hub_id_of(folder) or ("miniature" if folder.parent == SHIPPED else str(folder.resolve()))
    return Base(model=named, revision=commit_of(folder), digest=canonical_hash(player_digests(folder)))


def followed(folder: Path, role: Role, *, offline: bool = False) -> Path:
    """The folder that holds the weights of the base player: `folder` itself, or where its reference leads. Raises
    `AotError` where nothing is there, or another player than the reference was made for."""
    base = base_at(folder)
    if base is None:
        return folder
    target = player_folder(base.model, role, revision=base.revision, offline=offline)
    if canonical_hash(player_digests(target)) != base.digest:
        raise AotError(
            f"the base {role} {base.model} is another one than was trained on: its files have changed",
            where=str(folder / BASE),
            hint="bring the earlier files back, or begin a new run from the base of today",
        )
    return target


@dataclass(frozen=True)
class Place:
    """The folders of a defender's weights: a whole model, and adapters over it if there are any. `base`: the reference
    to the whole model, if there is one."""

    whole: Path
    adapters: Path | None = None
    base: Base | None = None

    @property
    def processor(self) -> Path:
        """The folder of the processor: the adapters', where they were saved with one, else the whole model's."""
        own = self.adapters is not None and any(self.adapters.glob("*processor_config.json"))
        return self.adapters if own and self.adapters else self.whole


def placed(folder: Path, *, offline: bool = False) -> Place:
    """The folders that a defender's folder holds or refers to. Raises `AotError` where a base is missing or has
    changed."""
    base, adapters = base_at(folder), folder if (folder / ADAPTER).is_file() else None
    if base is not None or adapters is None:
        return Place(followed(folder, "defender", offline=offline), adapters, base)
    return Place(named_base(adapters, offline=offline), adapters)


def base_named(adapters: Path) -> tuple[str, str]:
    """The base model named by adapters that were not trained here, and its revision: a hub id or a folder, whose
    relative path may start here or at the adapters' folder. Raises `AotError` where they name none."""
    config = adapter_config(adapters)
    beside = adapters / config.base
    name = config.base
    if not Path(name).exists() and beside.is_dir():
        name = str(beside.resolve())
    return name, config.revision


def named_base(adapters: Path, *, offline: bool = False) -> Path:
    """The folder of the whole model that adapters which were not trained here belong to. Raises `AotError` where it is
    missing, or no whole model."""
    name, revision = base_named(adapters)
    where = str(adapters / ADAPTER)
    try:
        whole = player_folder(name, "defender", revision=revision, offline=offline)
    except AotError as error:
        what = f"the base of these adapters, {name}, cannot be opened: {error.message}"
        fetch = error.hint if is_hub_id(name) else "bring it there"
        raise AotError(what, where=where, hint=f"{fetch}; or write where it is into {BASE_NAME}") from error
    if (whole / ADAPTER).is_file():
        raise AotError(f"the base of these adapters, {name}, is adapters itself", where=where, hint=MERGE)
    if not (whole / ENTRIES["defender"][0]).is_file():
        raise AotError(f"the base of these adapters, {name}, is no whole model", where=where, hint=AS_SAVED)
    return whole


def player_identity(folder: Path, *, offline: bool = False) -> dict[str, str]:
    """What identifies the player in `folder`: its `player_digests`; for adapters without a reference, the digests of
    their own files and the `base_identity`. Raises `AotError` where the base is missing."""
    found = player_digests(folder)
    if not (base := base_identity(folder, offline=offline)):
        return found
    return {name: digest for name, digest in found.items() if is_adapter_file(name)} | base


def base_identity(folder: Path, *, offline: bool = False) -> dict[str, str]:
    """What identifies the base of adapters without a reference: its commit on the hub, or the digests of its files,
    named "base/...". {} for any other folder. Raises `AotError` where it is missing."""
    if (folder / BASE).is_file() or not (folder / ADAPTER).is_file():
        return {}
    whole = named_base(folder, offline=offline)
    if commit := commit_of(whole):
        return {"base": f"{hub_id_of(whole)}@{commit}"}
    return {f"base/{name}": digest for name, digest in player_digests(whole).items()}


def player_key(settings: PlayerSettings, role: Role) -> dict[str, str]:
    """What identifies a base player in the keys of stages: id and revision on the hub, which is not contacted, else its
    files; and whether its prompt offers to abstain."""
    offered = {"abstain": "offered"} if isinstance(settings, DefenderSettings) and settings.abstain else {}
    if is_hub_id(settings.model):
        return {"model": settings.model, "revision": settings.revision} | offered
    return player_identity(player_folder(settings.model, role), offline=settings.offline) | offered


def token_limit(settings: DefenderSettings, folder: Path | None = None) -> int:
    """Maximum tokens of an answer: `max_new_tokens`, or a default for the model (the one in `folder`, if given);
    *ours*."""
    small = is_miniature(settings.model if folder is None else str(folder))
    return settings.max_new_tokens or (MINIATURE_MAX_TOKENS if small else DEFAULT_MAX_TOKENS)


def is_miniature(name: str) -> bool:
    """Whether a player's processor is made for this package's miniatures: one frame an image, where published models
    read two."""
    folder = SHIPPED / "defender" if name == "miniature" else Path(name)
    try:
        saved = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))
        return bool(saved["image_processor"]["temporal_patch_size"] == 1)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def keep_player(settings: PlayerSettings, role: Role, folder: Path) -> dict[str, Any]:
    """Keeps the base player in a stage's `folder`: small ones and adapters as a copy, so that the run is complete;
    those of the hub, large ones, and the bases of adapters as a reference. Its name, and its commit where it has
    one."""
    source = player_folder(settings.model, role, revision=settings.revision, offline=settings.offline)
    made = {"from": settings.model} | ({"commit": commit} if (commit := commit_of(source)) else {})
    if role == "defender" and (source / ADAPTER).is_file() and not (source / BASE).is_file():
        check_adapter_weights(source)
        copy_adapters(source, folder)
        write_json(folder / BASE, reference_to(named_base(source, offline=settings.offline)).model_dump())
        return made
    is_whole = (source / ENTRIES[role][0]).is_file()
    large = sum(path.stat().st_size for path in source.rglob("*") if path.is_file()) > COPIED_BYTES
    if is_whole and (is_hub_id(settings.model) or large or settings.lora.rank):
        write_json(folder / BASE, reference_to(source).model_dump())
        if role == "attacker" and (source / EDITOR_ADAPTER).is_file():  # a reference leads to the pipeline alone
            shutil.copyfile(source / EDITOR_ADAPTER, folder / EDITOR_ADAPTER)
    else:
        copy_player(source, folder)
    return made


def copy_player(source: Path, folder: Path) -> None:
    """All files of a player's folder, copied into `folder`."""
    for file in player_digests(source):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, folder / file)


def quiet_loading() -> None:
    """No progress bars for loading an attacker: a run loads small folders all the time, and has bars of its own.

    The hub's and transformers' bars heed the environment, which `aot.cli` sets; diffusers' do not."""
    import diffusers  # takes seconds, and most callers of this module only want a folder

    diffusers.utils.logging.disable_progress_bar()
