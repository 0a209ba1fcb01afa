"""Where a COCO-format dataset has its annotations and its images: flat, as released, as Roboflow or CVAT export it."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from aot.data.annotations.base.named_images import parts_in, placed
from aot.data.images.reading import found_in
from aot.data.photos.pictures import PICTURES
from aot.runs.files import read_whole

ROBOFLOW = "_annotations.coco.json"
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
REFERRED = "images/mscoco/images/train2014"
"""Where RefCOCO's own code has the images, from the folder above refcoco/instances.json."""
_SPELLED = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
_PREFIX = re.compile(r"^(instances|annotations|_annotations)[._-]?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CocoLayout:
    """An annotation file, and the folders in which its images may be, the most likely first. `split`: its part's name
    where the dataset has several; `source`: the dataset's name."""

    file: Path
    images: tuple[Path, ...]
    source: str
    split: str = ""

    @property
    def part(self) -> str:
        """ "val" of instances_val.json; empty where the name says nothing."""
        return _part(self.file)


def _part(file: Path) -> str:
    return min(parts_in([file.stem]), default="")


def coco_layouts(path: Path) -> list[CocoLayout]:
    """The annotation files of a dataset folder, or the one that is given itself; none where there is none."""
    files = [path] if path.is_file() else _files(path)
    several = len(files) > 1
    source = path.parent.name if path.is_file() else path.name
    splits = _splits(files, path) if several else [""] * len(files)
    folder = path if path.is_dir() else path.parent
    return [
        CocoLayout(file, _image_folders(file, folder), source, split)
        for file, split in zip(files, splits, strict=True)
    ]


def _splits(files: Sequence[Path], folder: Path) -> list[str]:
    """The parts' names; where several files give the same (train/labels.json, val/labels.json), their places."""
    names = [_split(file) for file in files]
    if len(set(names)) == len(names):
        return names
    return ["-".join(file.relative_to(folder).with_suffix("").parts) for file in files]


def is_coco_file(file: Path) -> bool:
    """Whether the file speaks of images, annotations and categories, not of panoptic segments. Nothing is parsed."""
    try:
        content = read_whole(file)
    except OSError:
        return False
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content.decode("utf-16", "replace").encode(errors="replace")
    return all(key in content for key in _KEYS) and b'"segments_info"' not in content


def _files(folder: Path) -> list[Path]:
    for patterns in (("instances.json",), ("annotations/instances*.json",), (ROBOFLOW, f"*/{ROBOFLOW}")):
        if found := sorted(file for pattern in patterns for file in folder.glob(pattern) if file.is_file()):
            return found
    others = sorted(file for pattern in ("*", "*/*") for file in folder.glob(pattern) if file.suffix.lower() == ".json")
    return [file for file in others if file.is_file() and is_coco_file(file)]


def _split(file: Path) -> str:
    """ "val2017" of instances_val2017.json; where the name says nothing, that of the folder."""
    name = _PREFIX.sub("", file.stem).removesuffix("coco").strip("._-")
    return name or file.parent.name


def _image_folders(file: Path, folder: Path) -> tuple[Path, ...]:
    beside, split = file.parent, _split(file)
    root = beside.parent if beside.name.casefold() in ("annotations", "labels") else beside
    last = split.rpartition("_")[2]  # "val2017" of person_keypoints_val2017
    likely = (
        beside / "images",
        root / "images" / split,
        root / split,
        root / "images" / last,
        root / last,
        *(root / sub / part for sub in ("images", "") for part in _SPELLED.get(_part(file), ())),
        root / "images",
        root / split / "images",
        root / "data",
        beside.parent / REFERRED,
        beside,
        root,
        folder,
    )
    return tuple(dict.fromkeys(folder for folder in likely if folder.is_dir())) or (beside / "images",)


def by_last_part(names: Sequence[str], folders: tuple[Path, ...], part: str = "") -> list[str]:
    """The images' names; one that is a place on another disk or server becomes its last part, where that file is there
    and no two of them have the same. Of one that is nowhere the last two parts are looked for below the dataset's
    folder (Objects365's "images/v1/patch0/a.jpg" is in "train/patch0"); where all are nowhere, names alone, too, which
    may lack their ending."""
    short = [PureWindowsPath(name).name for name in names]
    count = Counter(short)

    def there(name: str) -> bool:
        return found_in(folders, name)[2]

    found = [
        last if count[last] == 1 and last != name and not there(name) and there(last) else name
        for name, last in zip(names, short, strict=True)
    ]
    lost = {name: list(PureWindowsPath(name).parts[-2:]) for name in found if not there(name)}
    if len(lost) < len(set(found)):  # a single one that is missing is not another folder's of the same name
        lost = {name: parts for name, parts in lost.items() if len(parts) == 2}
    else:  # the folders of another disk or server say nothing
        lost = {name: parts[-1:] if _is_foreign(name) else parts for name, parts in lost.items()}
    spelled = {name: ["/".join((part, *parts) if part else parts)] for name, parts in lost.items()}
    places = placed(spelled, folders[-1], ()) if lost and folders[-1].is_dir() else {}
    places = {name: place for name, place in places.items() if _is_same(lost[name], PurePosixPath(place))}
    return [places.get(name, name) for name in found]


def _is_foreign(name: str) -> bool:
    return name.startswith(("/", "http:", "https:", "s3:", "gs:")) or PureWindowsPath(name).drive != ""


def _is_same(parts: Sequence[str], place: PurePosixPath) -> bool:
    """Whether a place ends in these one or two parts of a name; a name without the ending of a picture lacks it."""
    has_ending = PurePosixPath(parts[-1]).suffix.lower() in PICTURES
    last = place.name if has_ending else place.stem
    return last == parts[-1] and list(place.parts[-2:-1]) == parts[:-1] if len(parts) == 2 else last == parts[-1]
