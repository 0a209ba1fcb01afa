"""Images that annotation files name as they were on another disk, server or web page: where they are below a folder."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import unquote

from aot.data.images.reading import found_in
from aot.data.photos.pictures import PICTURES
from aot.runs.files import read_whole

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_SAME_PART = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_Parts = tuple[str, ...]


def placed(
    spellings: Mapping[str, Sequence[str]],
    folder: Path,
    near: Sequence[Path],
    guesses: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, str]:
    """From the folder, the place of each image by its key; absent where it is not there. `spellings`: its names, the
    likeliest first. `near`: folders that its name may start from. `guesses`: names that it may have had before.

    A name that leads nowhere is looked for by its last parts below the folder. Where several pictures end alike, where
    two images would be the same picture, or where it is a picture of another part (train, val), nothing is guessed.
    """
    found: dict[str, tuple[str, bool]] = {}
    below: dict[str, list[_Parts]] = {}
    for key, names in spellings.items():
        exact = next((place for name in names if (place := _from(near, name, folder))), "")
        if not exact:
            below = below or _pictures(folder)
            names = [*names, *guesses.get(key, ())]
        place = exact or next((place for name in names if (place := _alike(name, below))), "")
        if place:
            found[key] = place, bool(exact)
    claimed = Counter(place for place, _ in found.values())
    return {key: place for key, (place, exact) in found.items() if exact or claimed[place] == 1}


def near_file(file: Path, folder: Path) -> tuple[Path, ...]:
    """Where the images of an annotation file may start from: beside it, in `images`, in the dataset's folder."""
    places = (file.parent / "images", file.parent, folder / "images", folder)
    return tuple(dict.fromkeys(place for place in places if place.is_relative_to(folder)))


def folder_of(path: Path) -> Path:
    """The dataset's folder: that which is given, or that of a file, above its folder of annotations."""
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name.casefold() in ("annotations", "labels") else path.parent


def files_below(path: Path, *endings: str) -> list[Path]:
    """The files of these endings, in capitals or not, below a folder, in order, or the file that is given itself."""
    if path.is_file():
        return [path]
    return [file for file in sorted(path.rglob("*")) if file.suffix.lower() in endings and file.is_file()]


def neighbours(found: Sequence[Path], path: Path) -> list[Path]:
    """Files beside those of a format with a file for each image that are named as such ones and were not found to be of
    it: empty, cut, or of another one. None where a file is given itself."""
    if path.is_file():
        return []
    pictures = {name for picture in path.rglob("*") if picture.suffix.lower() in PICTURES
                for name in (picture.stem, picture.name)}  # fmt: skip
    known, folders = {*found}, {(file.parent, file.suffix.lower()) for file in found}
    return [file for folder, ending in sorted(folders) for file in files_below(folder, ending)
            if file.parent == folder and file not in known and file.stem in pictures]  # fmt: skip


def letters_in(file: Path) -> bytes:
    """The content without zero bytes, of which UTF-16 has one in each letter; empty where it cannot be read."""
    try:
        return read_whole(file).replace(b"\0", b"")
    except OSError:
        return b""


def unquoted(name: str) -> tuple[str, ...]:
    """A name, and what it is without a web address's `?...` and `%20`."""
    plain = unquote(re.sub(r"[?#].*", "", name)) if "://" in name else unquote(name)
    return tuple(dict.fromkeys((name, plain)))


def parts_in(names: Iterable[str]) -> set[str]:
    """The parts of a dataset that names of files or folders speak of: "val" of "val2017" and of "validation"."""
    words = (word for name in names for word in re.split(r"[\W_\d]+", name.casefold()))
    return {_SAME_PART.get(word, word) for word in words if word in SPLITS}


def _from(near: Sequence[Path], name: str, folder: Path) -> str:
    for place in near:
        _, spelled, is_there = found_in((place,), name)
        if is_there:
            return (place / spelled).relative_to(folder).as_posix()
    return ""


def _pictures(folder: Path) -> dict[str, list[_Parts]]:
    """The pictures below a folder by their names, and by these without ending."""
    found: dict[str, list[_Parts]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICTURES and not path.is_dir():
            parts = path.relative_to(folder).parts
            found[path.name].append(parts)
            found[path.stem].append(parts)
    return found or {"": []}


def _alike(name: str, below: Mapping[str, list[_Parts]]) -> str:
    """The picture that ends as the name does, in as many parts as no other one."""
    parts = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]
    if not parts:
        return ""
    of_part = parts_in(parts[:-1])
    ranked: dict[int, list[_Parts]] = defaultdict(list)
    for place in below.get(parts[-1], ()):
        other = parts_in(place[:-1])
        if not (of_part and other) or of_part & other:
            pairs = zip(reversed(parts[:-1]), reversed(place[:-1]), strict=False)
            ranked[sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))].append(place)
    best = ranked[max(ranked)] if ranked else []
    return PurePosixPath(*best[0]).as_posix() if len(best) == 1 else ""
