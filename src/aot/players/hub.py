"""A player on the Hugging Face Hub as a folder on this machine: found in the cache, or downloaded into it.

    is_hub_id(name)   fetched(id, revision="", offline=False) -> folder   check_whole(folder)   commit_of(folder)
    configured(id, "config.json") -> folder, weights or not

Safetensors, configurations and tokenizers are fetched; pickles, code and other formats never. Every failure ends in an
`AotError` with the command that mends it.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

from aot.errors import AotError, first_line

FETCH_AGAIN = "fetch the folder again"
"""The next step where a model's folder is damaged; `aot doctor` puts the command in its place."""
FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken"]
"""Files that a player is read from: weights, configurations, templates, vocabularies."""
OTHERS = ["original/*", "consolidated*", "*.fp16.safetensors", "onnx/*", "openvino/*"]
"""Copies of the weights in layouts that are not read here."""
INDEX = "*.safetensors.index.json"
READ = ("*config.json", "tokenizer.json", "vocab.json", "model_index.json", "editor.json")
"""Files of JSON that a player is opened by."""
SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}\.safetensors")
POINTER = b"version https://git-lfs"
_PART = r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9_])?"
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_id(name: str) -> bool:
    """Whether a player's name is a hub id OWNER/NAME: neither that path nor the folder OWNER exists on this disk."""
    if re.fullmatch(f"{_PART}/{_PART}", name) is None:
        return False
    return not Path(name).exists() and not Path(name).parent.is_dir()


def hub_cache() -> Path:
    """Where `huggingface_hub` keeps what it fetches."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def fetched(model: str, *, revision: str = "", offline: bool = False) -> Path:
    """The folder of a hub id at a revision ("": the default branch), in the cache of `huggingface_hub`. What is there
    already is not loaded again; `offline` loads nothing. Raises `AotError` where there is no such model, it is gated,
    or it is not whole on this machine and the hub cannot be reached."""
    from huggingface_hub import errors, snapshot_download

    command = f"hf download {model}" + (f" --revision {revision}" if revision else "")
    page = f"https://huggingface.co/{model}"
    load = partial(snapshot_download, model, revision=revision or None, allow_patterns=FILES, ignore_patterns=OTHERS)
    try:
        if _COMMIT.fullmatch(revision):  # a commit never changes: no need to ask the hub where it is cached
            try:
                return checked(Path(load(local_files_only=True)), command)
            except errors.LocalEntryNotFoundError:
                pass
        folder = Path(load(local_files_only=offline))
    except errors.GatedRepoError as error:
        hint = f"accept its licence at {page}, then `hf auth login` and `{command}`"
        raise AotError("the model is gated: the hub wants to know who loads it", where=model, hint=hint) from error
    except errors.RepositoryNotFoundError as error:
        what = "there is neither such a folder nor such a model on the Hugging Face Hub"
        hint = f"check the name at {page}; a private model needs `hf auth login`"
        raise AotError(what, where=model, hint=hint) from error
    except errors.RevisionNotFoundError as error:
        hint = f"its branches, tags and commits: {page}/tree/main"
        raise AotError(f"the model has no revision {revision}", where=model, hint=hint) from error
    except errors.IncompleteSnapshotError as error:
        what = f"the model is half downloaded: {first_line(error)}"
        raise AotError(what, where=model, hint=f"`{command}`") from error
    except errors.LocalEntryNotFoundError as error:
        why = "offline" if offline else f"the hub cannot be reached: {first_line(error.__cause__ or error)}"
        hint = f"where there is a network: `{command}`; HF_HOME says where that puts it"
        what = f"no such folder, and no such model on this machine ({why})"
        raise AotError(what, where=model, hint=hint) from error
    except (errors.HTTPError, errors.HFValidationError, OSError) as error:
        hint = f"`{command}` goes on where it was"
        raise AotError(f"the model cannot be downloaded: {first_line(error)}", where=model, hint=hint) from error
    return checked(folder, command)


def configured(model: str, entry: str, *, revision: str = "") -> Path | None:
    """The folder of a hub id in the cache that holds `entry` ("config.json"), whatever else of it is there; None where
    it is not on this machine. The hub is not asked."""
    from huggingface_hub import errors, try_to_load_from_cache

    try:
        found = try_to_load_from_cache(model, entry, revision=revision or None)
    except errors.HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def checked(folder: Path, command: str) -> Path:
    """`folder`, after `check_whole`; `command` fetches what is missing."""
    check_whole(folder, hint=f"`{command}`")
    return folder


def commit_of(folder: Path) -> str:
    """The commit whose snapshot in the hub's cache the folder is; "" of any other folder."""
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else ""


def hub_id_of(folder: Path) -> str:
    """The hub id whose snapshot in the hub's cache the folder is; "" of any other folder."""
    _, *parts = folder.parent.parent.name.split("--", 2)
    return "/".join(parts) if commit_of(folder) and len(parts) == 2 else ""


def check_whole(folder: Path, *, hint: str = FETCH_AGAIN) -> None:
    """Raises `AotError` where a part of the weights is missing or cut off, or what should be JSON is something else.
    Reads names, sizes and the headers of safetensors, no weights."""
    parts = [folder, *(path for path in folder.glob("*/") if (folder / "model_index.json").is_file())]
    for part in parts:
        for file in sorted(file for name in READ for file in part.glob(name)):
            if damage := _no_json(file):
                raise AotError(f"damaged: {damage}", where=str(file), hint=_next(damage, file, hint))
    weights = sorted(folder.rglob("*.safetensors"))
    indices = {file.with_name(f"{found[1]}{INDEX[1:]}") for file in weights if (found := SHARD.fullmatch(file.name))}
    missing = [
        (index.parent / shard).relative_to(folder).as_posix()
        for index in sorted(folder.rglob(INDEX))
        for shard in _shards(index, hint)
        if not (index.parent / shard).exists()
    ] + [index.relative_to(folder).as_posix() for index in sorted(indices) if not index.exists()]
    if missing or not any(file.exists() for file in weights):
        parts = [file for place in _downloads(folder) for file in place.glob("*.incomplete")]
        if missing or parts or weights:  # a folder of other things is for its reader to refuse
            first = missing[0] if missing else "model.safetensors"
            begun = f", {len(parts)} downloads are begun" if parts else ""
            what = f"half downloaded: {first} is missing ({len(missing) or 1} in all{begun})"
            raise AotError(what, where=str(folder), hint=hint)
    for file in weights:
        if damage := _damage(file):
            again = hint.replace("hf download", "hf download --force-download")
            raise AotError(f"damaged weights: {damage}", where=str(file), hint=_next(damage, file, again))


def _downloads(folder: Path) -> tuple[Path, Path]:
    """Where `huggingface_hub` keeps what it is loading: for its cache, and for a folder of the user's."""
    return folder.parent.parent / "blobs", folder / ".cache/huggingface/download"


def _shards(index: Path, hint: str) -> list[str]:
    """The files that an index of weights names, once each."""
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AotError("damaged: this index of weights cannot be read", where=str(index), hint=hint) from error


def _next(damage: str, file: Path, hint: str) -> str:
    return f"git -C {file.parent} lfs pull" if "Git LFS" in damage else hint


def _no_json(path: Path) -> str:
    """What is wrong with a file of JSON, by its first and last characters; "" where nothing is."""
    try:
        text = path.read_bytes().strip()
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"
    if text.startswith(POINTER):
        return f"{path.name} is a pointer of Git LFS, not the file itself"
    if not text:
        return f"{path.name} is empty"
    return "" if text[:1] + text[-1:] in (b"{}", b"[]") else f"{path.name} is no JSON, or cut off"


def _damage(path: Path) -> str:
    """What is wrong with a safetensors file, by its header and size; "" where nothing is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            return "a pointer of Git LFS, not the file itself"
        file.seek(0)
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            return f"cut off within its header, at {size} bytes"
        try:
            header = json.loads(file.read(length))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            whole = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return "its header cannot be read"
    return "" if size == whole else f"{size} bytes where its header says {whole}"
