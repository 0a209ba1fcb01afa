"""Photos and scenes from the user's own files, whichever format they have."""

from __future__ import annotations

import re
from pathlib import Path

from aot.data.annotations.box_table import box_tables, read_box_tables
from aot.data.annotations.coco import read_coco
from aot.data.annotations.coco_layout import coco_layouts, is_coco_file
from aot.data.annotations.createml import createml_files, read_createml
from aot.data.annotations.cvat import cvat_files, read_cvat
from aot.data.annotations.label_studio import label_studio_files, read_label_studio
from aot.data.annotations.labelme import labelme_files, read_labelme
from aot.data.annotations.via import read_via, via_files
from aot.data.annotations.voc import read_voc, voc_files
from aot.data.annotations.yolo import is_yolo, read_yolo
from aot.data.images.reading import Fit, Refusal, square
from aot.data.photos.photo import Source, scenes_of
from aot.data.photos.pictures import PICTURES, holds_pictures, read_pictures
from aot.data.tables.imagefolder import metadata_files, read_imagefolder
from aot.data.tables.parquet import shards
from aot.data.tables.rows import SAVED, read_jsonl, read_table
from aot.data.tables.tsv import read_tsv
from aot.errors import AotError
from aot.runs.files import canonical_hash, sha256_of
from aot.types import Scene

__all__ = ["Refusal", "load_scenes"]

SMALL_SQUARES = square(64)
MOST_ELONGATED = 200
"""Qwen2.5-VL's processor raises above this ratio of the sides."""
QUESTIONS_PER_IMAGE = 6
"""At most this many questions are written from the boxes of one COCO image (*ours*)."""


_NOTES = re.compile(r"annot|label|instance|bbox|boxes", re.IGNORECASE)
_NOTE_ENDINGS = (".json", ".xml", ".csv", ".txt", ".mat", ".xlsx", ".tfrecord", ".record")
FORMATS = (
    "give a COCO-format folder (instances.json and images/, annotations/instances_*.json, or _annotations.coco.json), "
    "a YOLO, Pascal VOC, labelme or imagefolder dataset, what CVAT, Label Studio, VIA or CreateML wrote or a table of "
    "boxes with the images, an LMUData .tsv, a .jsonl or .parquet file, a folder that datasets.load_dataset opens, or "
    "a folder of images"
)
PROGRAMS = (
    (cvat_files, read_cvat),
    (label_studio_files, read_label_studio),
    (via_files, read_via),
    (createml_files, read_createml),
    (box_tables, read_box_tables),
)
"""What annotation programs and people write by themselves: what finds such files, and what reads them."""


def load_scenes(
    path: Path | str,
    *,
    fit: Fit = SMALL_SQUARES,
    questions_per_image: int = QUESTIONS_PER_IMAGE,
    seed: int = 0,
    free_text: bool = False,
) -> tuple[list[Scene], list[Refusal]]:
    """All usable scenes of the folder or file, and every refused row with its reason.

    Images are resized as `fit` says, boxes with them; one that is then more than `MOST_ELONGATED` times as long as wide
    is refused. A bad row costs only itself; a path of no known format raises `AotError`. `seed` draws the questions of
    photos with boxes. `free_text`: see `open_source`.
    """
    source = open_source(path, fit, free_text=free_text)
    scenes: list[Scene] = []
    refused: list[Refusal] = []
    for item in source.items:
        if isinstance(item, Refusal):
            refused.append(item)
        elif max(sides := item.image.shape[:2]) > MOST_ELONGATED * min(sides):
            told = f"{sides[1]}x{sides[0]} px: no model takes an image so long and narrow"
            refused.append(Refusal(str(path), f"image {item.id}", told, "elongated"))
        else:
            scenes += scenes_of(item, source.labels, questions_per_image, seed)
    return scenes, refused


def open_source(path: Path | str, fit: Fit, *, free_text: bool = False) -> Source:
    """The photos of any dataset that `FORMATS` names, one by one. Another kind of path raises `AotError`. `free_text`:
    JSON lines and tables may ask without options."""
    path = Path(path)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise AotError(f"cannot be looked at ({error})", where=str(path), hint="check the path given") from error
    if not is_there:
        raise AotError(
            "there is no such file or folder", where=str(path), hint="check the path given as --data"
        )
    if is_folder:
        return _open_folder(path, fit, free_text)
    if not path.is_file():
        raise AotError("is no ordinary file", where=str(path), hint=FORMATS)
    suffix = path.suffix.lower()
    if suffix == ".tsv":
        return read_tsv(path, fit)
    if suffix in (".jsonl", ".ndjson"):
        return read_jsonl(path, fit, free_text=free_text)
    if suffix == ".parquet":
        return read_table(path, fit, free_text=free_text)
    if suffix in (".yaml", ".yml"):
        return read_yolo(path, fit)
    if suffix == ".json":
        return _open_json(path, fit, free_text)
    if suffix in (".xml", ".csv") and (source := _open_annotations(path, fit)):
        return source
    raise _unknown(path, "unknown data format")


def digest_of(data: Path) -> str:
    """Changes where the data do. Of a folder's images only the names and sizes are looked at: there may be many."""
    if data.is_file():
        return sha256_of(data)
    files = sorted(path for path in data.rglob("*") if path.is_file())
    looked_at = {
        path.relative_to(data).as_posix(): path.stat().st_size if path.suffix.lower() in PICTURES else sha256_of(path)
        for path in files
    }
    return canonical_hash(looked_at)


def _open_folder(path: Path, fit: Fit, free_text: bool) -> Source:
    """By what the folder holds; where several formats fit, by the one that says most."""
    if (path / "instances.json").exists():
        return read_coco(path, fit)
    if metadata_files(path):
        return read_imagefolder(path, fit, free_text=free_text)
    if shards(path) or any((path / name).is_file() for name in SAVED):
        return read_table(path, fit, free_text=free_text)
    if coco_layouts(path):
        return read_coco(path, fit)
    if is_yolo(path):
        return read_yolo(path, fit)
    if voc_files(path):
        return read_voc(path, fit)
    if labelme_files(path):
        return read_labelme(path, fit)
    if tables := sorted(file for file in path.iterdir() if _is_table(file)):
        if len(tables) == 1:
            return open_source(tables[0], fit, free_text=free_text)
        names = ", ".join(file.name for file in tables[:5])
        raise AotError("the folder holds several tables", where=str(path), hint=f"name one of them: {names}")
    if source := _open_annotations(path, fit):
        return source
    if holds_pictures(path):
        if unread := _unread_annotations(path):
            raise _unknown(unread, "may be annotations, of no known format")
        return read_pictures(path, fit)
    raise AotError("no instances.json, no other annotations and no images", where=str(path), hint=FORMATS)


def _is_table(file: Path) -> bool:
    suffix = file.suffix.lower()
    return file.is_file() and (suffix in (".tsv", ".jsonl", ".ndjson") or (suffix == ".json" and _is_nlvr(file)))


def _is_nlvr(file: Path) -> bool:
    """By its first line: NLVR's own files are JSON lines that end in .json."""
    try:
        with file.open("rb") as lines:
            return b'"structured_rep"' in lines.readline(2**20)
    except OSError:
        return False


def _unread_annotations(folder: Path) -> Path | None:
    """A file that says what is in the images, by how it begins, or may do so, by its name and ending."""
    files = sorted(file for mark in ("*", "*/*") for file in folder.glob(mark) if file.suffix.lower() in _NOTE_ENDINGS)
    named = (file for file in files if _NOTES.search(file.relative_to(folder).as_posix()))
    return next((file for file in files if exporter_of(file)), None) or next(named, None)


def _open_annotations(path: Path, fit: Fit) -> Source | None:
    return next((read(path, fit) for find, read in PROGRAMS if find(path)), None)


def _open_json(path: Path, fit: Fit, free_text: bool) -> Source:
    if is_coco_file(path):
        return read_coco(path, fit)
    if labelme_files(path):
        return read_labelme(path, fit)
    if _is_nlvr(path):
        return read_jsonl(path, fit, free_text=free_text)
    if source := _open_annotations(path, fit):
        return source
    raise _unknown(path, "a JSON file of no known format")


def _unknown(file: Path, otherwise: str) -> AotError:
    what, step = exporter_of(file) or ("", "")
    if what:
        return AotError(f"{what}, which is not read", where=str(file), hint=f"{step}; or {FORMATS}")
    return AotError(otherwise, where=str(file), hint=FORMATS)


_HEAD_BYTES = 2**16
_COCO = "export as COCO"
_COLUMNS = "name them filename, class, xmin, ymin, xmax, ymax"
EXPORTERS: tuple[tuple[str, str, str, str], ...] = (
    (".csv", r"(rectangle|polygon)labels", "Label Studio's own CSV", _COCO),
    (".tsv", r"(rectangle|polygon)labels", "Label Studio's own TSV", _COCO),
    (".json", r'"data_format_version"\s*:\s*"3', "a project of VIA 3", f"{_COCO}, or annotate with VIA 2"),
    (".json", r'"(dm_format_version|infos?)"\s*:.*"items"\s*:', "Datumaro's JSON", _COCO),
    (".json", r'"(answers|data_row|data_rows|media_attributes|projects)"\s*:', "Labelbox's JSON", _COCO),
    (".json", r'"(geometryType|classTitle)"', "Supervisely's JSON", _COCO),
    (".json", r'"(annotations|boxes|bbox|bboxes|regions|objects|shapes)"\s*:', "JSON of no known program", _COCO),
    (".csv", r"(?i)(xmin|x_min|bbox|left|x1)\W", "a table of boxes of other columns", _COLUMNS),
)
"""Ending, a pattern of its beginning, what it is, and the next step; the first that fits."""


def exporter_of(file: Path) -> tuple[str, str] | None:
    """(what the file is, the next step); None where it is no annotation file that is known."""
    suffix = file.suffix.lower()
    patterns = [row for row in EXPORTERS if row[0] == suffix]
    if not patterns or not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES).replace(b"\0", b"").decode("utf-8", "replace")
    except OSError:
        return None
    return next((row[2:] for row in patterns if re.search(row[1], head, re.DOTALL)), None)
