"""Photos and scenes from the user's own files, whichever format they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from aot.data.annotations.datasets.box_table import box_tables, read_box_tables
from aot.data.annotations.datasets.coco import read_coco
from aot.data.annotations.datasets.coco_layout import coco_layouts, is_coco_file
from aot.data.annotations.datasets.voc import read_voc, voc_files
from aot.data.annotations.datasets.yolo import is_yolo, names_file, read_yolo
from aot.data.annotations.programs.labelbox import labelbox_files, read_labelbox
from aot.data.annotations.programs.labelme import labelme_files, read_labelme
from aot.data.annotations.programs.sagemaker import read_sagemaker, sagemaker_files
from aot.data.annotations.readers import form_files, read_annotations, read_forms
from aot.data.images.reading import Fit, Refusal, square
from aot.data.photos.photo import Source, scenes_of
from aot.data.photos.pictures import PICTURES, holds_pictures, is_picture, read_pictures, twins
from aot.data.tables.asked import IMAGES, asks_so, rows_in
from aot.data.tables.imagefolder import has_questions, metadata_files, read_imagefolder, read_questions
from aot.data.tables.objects_column import has_objects
from aot.data.tables.parquet import shards
from aot.data.tables.rows import read_jsonl
from aot.data.tables.stored import SAVED, read_table
from aot.data.tables.tsv import read_tsv
from aot.data.unread import UNKNOWN, exporter_of, prediction_strings, unread_annotations
from aot.errors import AotError
from aot.runs.files import canonical_hash, sha256_of
from aot.types import Scene

__all__ = ["Refusal", "load_scenes"]

SMALL_SQUARES = square(64)
MOST_ELONGATED = 200
"""Qwen2.5-VL's processor raises above this ratio of the sides."""
QUESTIONS_PER_IMAGE = 6
"""At most this many questions are written from the boxes of one COCO image (*ours*)."""

_PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_MOST_AROUND = 4
"""Folders that a dataset may have around it, each alone in the one above."""
FORMATS = (
    "give a COCO-format folder (instances.json and images/, annotations/instances_*.json, or _annotations.coco.json), "
    "a YOLO, Pascal VOC, labelme or imagefolder dataset, what CVAT, Label Studio, VIA, CreateML, Datumaro, Labelbox, "
    "SageMaker, Supervisely or another platform that the guide names wrote, KITTI, DOTA, VisDrone or WIDER FACE, or a "
    "table of boxes, with the images, an LMUData .tsv, a .jsonl or .parquet file, "
    "a folder that datasets.load_dataset opens, or a folder of images"
)


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
        return read_box_tables(path, fit) if box_tables(path) else read_tsv(path, fit)
    if suffix in (".jsonl", ".ndjson"):
        if labelbox_files(path):
            return read_labelbox(path, fit)
        if form_files(path):
            return read_forms(path, fit)
        if sagemaker_files(path):
            return read_sagemaker(path, fit)
        if (told := exporter_of(path)) and not asks_so(_head(path)):
            raise _not_read(path, *told)
        return read_jsonl(path, fit, free_text=free_text)
    if suffix == ".parquet":
        return read_table(path, fit, free_text=free_text)
    if suffix in (".yaml", ".yml"):
        return read_yolo(path, fit)
    if suffix == ".json":
        return _open_json(path, fit, free_text)
    if suffix == ".csv" and has_questions(path):
        return read_questions(path, fit, free_text=free_text)
    if suffix in (".xml", ".csv", ".txt", ".manifest", ".odgt") and (source := read_annotations(path, fit)):
        return source
    if _is_archive(path):
        raise _packed(path)
    if is_picture(path):
        raise AotError("is a single image", where=str(path), hint="give the folder that it is in")
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
    """By what the folder holds, or the only folder in it (an archive's often has one more around it)."""
    for place in (path, *_only_folders(path)):
        if source := _open_known(place, fit, free_text):
            return _with_predictions(source, place)
    unread = unread_annotations(path)
    if not holds_pictures(path):
        if unread:
            what = f"{unread[1] or 'perhaps annotations'}, and no images below {path}"
            raise AotError(what, where=str(unread[0]), hint="give the folder that holds both")
        if archive := next((file for file in sorted(path.iterdir()) if _is_archive(file)), None):
            raise _packed(archive)
        raise AotError("no instances.json, no other annotations and no images", where=str(path), hint=FORMATS)
    if unread:
        raise _not_read(*unread)
    if is_yolo(path):
        return read_yolo(path, fit)
    if pair := twins(path):
        what = f"named like the photo {pair[1].relative_to(path)}: a mask, or another version of it, is no photo"
        raise AotError(what, where=str(pair[0]), hint="give --data the folder that holds the photos alone")
    return read_pictures(path, fit)


def _open_known(path: Path, fit: Fit, free_text: bool) -> Source | None:
    """Where several formats fit, by the one that says most; None where none does."""
    if (path / "instances.json").exists():
        return _beside(read_coco(path, fit), path, ("YOLO", _is_named_yolo), ("Pascal VOC", voc_files))
    if metadata_files(path):
        return read_imagefolder(path, fit, free_text=free_text)
    if shards(path) or any((path / name).is_file() for name in SAVED):
        return read_table(path, fit, free_text=free_text)
    if coco_layouts(path):
        return _beside(read_coco(path, fit), path, ("YOLO", _is_named_yolo), ("Pascal VOC", voc_files))
    if _is_named_yolo(path):
        return _beside(read_yolo(path, fit), path, ("Pascal VOC", voc_files), ("labelme", labelme_files))
    if voc_files(path):
        return _beside(read_voc(path, fit), path, ("labelme", labelme_files))
    if labelme_files(path):
        return read_labelme(path, fit)
    if tables := sorted(file for file in path.iterdir() if _is_table(file)):
        if len(tables) == 1:
            return open_source(tables[0], fit, free_text=free_text)
        names = ", ".join(file.name for file in tables[:5])
        raise AotError("the folder holds several tables", where=str(path), hint=f"name one of them: {names}")
    return read_annotations(path, fit)


def _is_named_yolo(path: Path) -> bool:
    return is_yolo(path) and names_file(path) is not None


def _beside(source: Source, path: Path, *others: tuple[str, Callable[[Path], object]]) -> Source:
    """The source, and as refused what of other formats lies in the same folder: it may say something else."""
    told = "annotations in this format, too, are left out: give them in a folder of their own where they are wanted"
    left = [Refusal(str(path), name, told, "other_format", "label") for name, find in others if find(path)]
    return Source(chain(left, source.items), source.labels) if left else source


def _with_predictions(source: Source, path: Path) -> Source:
    """The source, and as refused the tables beside it that hold boxes as prediction strings: they may say otherwise."""
    told = "its column PredictionString is not read: write a row for each box where these are wanted, in another folder"
    left = [Refusal(str(file), "the table", told, "other_format", "label") for file in prediction_strings(path)]
    return Source(chain(left, source.items), source.labels) if left else source


def _only_folders(path: Path) -> Iterator[Path]:
    """The only folder in the folder, and that in it, and so on, while there are no pictures beside."""
    for _ in range(_MOST_AROUND):
        here = [each for each in path.iterdir() if not each.name.startswith((".", "__MACOSX"))]
        folders = [each for each in here if each.is_dir()]
        if len(folders) != 1 or any(map(is_picture, here)):
            return
        path = folders[0]
        yield path


def _is_archive(file: Path) -> bool:
    return file.suffix.lower() in _PACKED and file.is_file()


def _packed(file: Path) -> AotError:
    return AotError("is an archive", where=str(file), hint="unpack it, and give the folder that it makes")


def _is_table(file: Path) -> bool:
    suffix = file.suffix.lower()
    if not file.is_file():
        return False
    if suffix in (".json", ".csv"):
        return _has_rows(file) if suffix == ".json" else has_questions(file)
    return suffix in (".tsv", ".jsonl", ".ndjson")


def _has_rows(file: Path) -> bool:
    """By its beginning: NLVR's own files are JSON lines that end in .json, and a list of rows is written so, too."""
    head = _head(file)
    asks = ('"image"' in head and '"question"' in head) or asks_so(head)
    listed = head.startswith("[") and (asks or _draws(file, head))
    return listed or '"structured_rep"' in head.partition("\n")[0]


def _draws(file: Path, head: str) -> bool:
    """Whether the rows have objects as tables have them, and are of no program that means something else by them."""
    named = (row for row in rows_in(head) if any(isinstance(row.get(name), str) for name in ("image", *IMAGES)))
    return any(map(has_objects, named)) and not form_files(file) and (exporter_of(file) or UNKNOWN)[0] == UNKNOWN[0]


def _head(file: Path) -> str:
    try:
        with file.open("rb") as lines:
            return lines.read(2**20).decode("utf-8-sig", "replace").lstrip(" \r\n\t")
    except OSError:
        return ""


def _open_json(path: Path, fit: Fit, free_text: bool) -> Source:
    if is_coco_file(path):
        return read_coco(path, fit)
    if labelme_files(path):
        return read_labelme(path, fit)
    if _has_rows(path):
        return read_jsonl(path, fit, free_text=free_text)
    if source := read_annotations(path, fit):
        return source
    raise _unknown(path, "a JSON file of no known format")


def _unknown(file: Path, otherwise: str) -> AotError:
    return _not_read(file, *(exporter_of(file) or ("", "")), otherwise)


def _not_read(file: Path, what: str, step: str, otherwise: str = "may be annotations, of no known format") -> AotError:
    if what:
        return AotError(f"{what}: this is not read", where=str(file), hint=step)
    return AotError(otherwise, where=str(file), hint=FORMATS)
