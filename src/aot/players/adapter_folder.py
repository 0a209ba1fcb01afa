"""The folder of PEFT adapters: its configuration (`adapter_config.json`), and which of its files belong to the
adapters.

Reads only JSON and file names. What a trainer leaves beside the adapters (optimizer, checkpoints, pickled arguments) is
neither read nor copied nor part of their digest.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from aot.errors import AotError, shown
from aot.players.hub import FILES
from aot.runs.files import read_json

ADAPTER, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
IMAGE_PARTS = ("visual", "vision_tower", "vision_model", "multi_modal_projector", "connector")
"""Modules that are no part of a language model, by their names in the families."""
BASE_NAME = "base_model_name_or_path"
AS_SAVED = "take the adapters as peft's save_pretrained wrote them"
MERGE = "merge them into their base (peft's merge_and_unload), save that, and give its folder"
TASKS = ("", "CAUSAL_LM")
"""Task types under which peft leaves the model's own head in place; "": none is said."""
BEYOND_LAYERS = ("alora_invocation_tokens", "layer_replication", "megatron_config")
"""Settings that need more than changed layers: a scan of the prompt, additional layers, another program."""


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """`kind`: peft's type, such as "LORA". `base`, `revision`: what the adapters were trained on, as they name it."""

    kind: str
    base: str
    revision: str


def adapter_config(folder: Path) -> AdapterConfig:
    """The adapters' configuration in `folder`. Raises `AotError` where it is damaged, names no base, or is for another
    task than generating text."""
    path = folder / ADAPTER
    saved = read_json(path, hint=AS_SAVED, needs=("peft_type",))
    named = {key: saved.get(key) or "" for key in ("peft_type", BASE_NAME, "revision", "task_type")}
    if wrong := [key for key, value in named.items() if not isinstance(value, str)]:
        raise AotError(f"{wrong[0]} is no text", where=str(path), hint=AS_SAVED)
    if not named[BASE_NAME]:
        hint = f"write the folder or hub id of what they were trained on there: {BASE_NAME}"
        raise AotError("these adapters name no base model", where=str(path), hint=hint)
    if named["task_type"] not in TASKS:
        what = f"these adapters are for the task {shown(named['task_type'], 40)}, and a defender writes answers"
        hint = "give adapters of CAUSAL_LM, or of no task type"
        raise AotError(what, where=str(path), hint=hint)
    if needed := [key for key in BEYOND_LAYERS if saved.get(key)]:
        raise AotError(f"adapters with {needed[0]} are not read here", where=str(path), hint=MERGE)
    return AdapterConfig(named["peft_type"], named[BASE_NAME], named["revision"])


def check_adapter_weights(folder: Path) -> None:
    """Raises `AotError` where there are no weights as safetensors."""
    if (folder / WEIGHTS).is_file():
        return
    what = f"the adapters' weights are missing ({WEIGHTS}); others than safetensors are not read"
    hint = "peft's save_pretrained writes it"
    if (folder / PICKLE).is_file():
        what = f"the adapters' weights are a pickle ({PICKLE}), which could run code; only safetensors are read"
        hint = f"where you trust it, open it by peft there and save_pretrained again: that writes {WEIGHTS}"
    raise AotError(what, where=str(folder), hint=hint)


def is_adapter_file(name: str) -> bool:
    """Whether a file of an adapter folder, by its name from there, is read: weights, configurations, vocabularies."""
    return "/" not in name and any(fnmatch(name, pattern) for pattern in FILES)


def copy_adapters(source: Path, folder: Path) -> None:
    """The adapters' own files, copied into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and is_adapter_file(path.name):
            shutil.copyfile(path, folder / path.name)
