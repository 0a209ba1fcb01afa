"""Annotations that no reader here takes, told by how their files begin or end, with what to do instead.

A folder of photos beside such a file is not a folder of photos without annotations: nobody would learn that these were
passed over.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path

from aot.data.annotations.datasets.coco_layout import is_coco_file
from aot.data.photos.pictures import is_picture
from aot.data.tables.imagefolder import METADATA, has_questions
from aot.runs.files import json_text, read_whole

_HEAD_BYTES = 2**16
_MOST_PARSED = 2**22
"""Bytes of a JSON file that is parsed to see whether it is damaged (*ours*)."""
_MOST_OPENED = 256
"""Files whose beginning is looked at, the highest in the folder first (*ours*)."""
_NOTES = re.compile(r"annot|label|instance|bbox|boxes", re.IGNORECASE)
_TEXTS = (".json", ".jsonl", ".geojson", ".ndjson", ".odgt", ".manifest", ".labels", ".csv", ".tsv", ".txt")
_TEXTS_TOO = (".lst", ".list", ".dat", ".ann", ".anno", ".xml", ".yaml", ".yml")
_ENDINGS = (*_TEXTS, ".yaml", ".yml", ".parquet", ".xml", ".mat", ".xlsx", ".tfrecord", ".record", ".arrow", ".h5")

_COCO = "export as COCO"
_TABLE = "write a table (.csv) with the columns filename, class, xmin, ymin, xmax, ymax"
_ROWS = "write JSON lines with image, question, options and answer"
_FIFTYONE = "export as COCO (fiftyone.types.COCODetectionDataset)"
_PICTURE_NAME = re.compile(r"[^\s\"',;:\\/<>\[\]{}()|=]+\.(?:jpe?g|png|bmp|webp|tiff?|gif)", re.IGNORECASE)
_FIRST = re.compile(r'^"?([^\s,;"]+)', re.MULTILINE)
_PLACES = re.compile(
    r"[\[(]\s*-?\d[\d.]*\s*,\s*-?\d"
    r'|"(x|x1|x_?min|left|cx|points?|polygon)"\s*:'
    r'|([\s,;:("]-?\d+(\.\d+)?){4}'
)
"""A pair of numbers in brackets, a name of a coordinate, or four numbers in a row."""
_PREDICTED = re.compile(r"\bprediction_?strings?\b", re.IGNORECASE)
_NUMBER = r"-?\d*\.?\d+(e-?\d+)?"
UNKNOWN = ("JSON of no known program", _COCO)
Row = tuple[tuple[str, ...], str, str, str]
"""Endings, a pattern of the beginning, what the file is, and the next step."""
_JSON = (".json", ".geojson", ".jsonl", ".ndjson", ".odgt", ".manifest")
KINDS: tuple[Row, ...] = (
    ((".csv", ".tsv"), r"(rectangle|polygon)labels", "Label Studio's own table", _COCO),
    ((".csv",), r"(?i)^(train|validation|test|unassigned),gs://", "Vertex AI's table", _TABLE),
    (_JSON, r'"data_format_version"\s*:\s*"3', "a project of VIA 3", f"{_COCO}, or annotate with VIA 2"),
    (_JSON, r'"Labeled Data"\s*:', "Labelbox's older export", "export as NDJSON (export v2)"),
    (_JSON, r'"segments_info"\s*:', "COCO's panoptic segments", "give COCO's instances_*.json in their place"),
    (_JSON, r'"image_id".*"caption"\s*:', "COCO's captions", "give COCO's instances_*.json in their place"),
    (_JSON, r'"bbox_mode"\s*:', "Detectron2's own records", "write them with its convert_to_coco_json"),
    (_JSON, r'"box2d"\s*:', "BDD100K's labels (Scalabel)", "convert them with bdd100k.label.to_coco"),
    (_JSON, r'"synsets"\s*:', "Visual Genome's objects", f"{_TABLE}: xmax is x + w, ymax is y + h"),
    (_JSON, r'"stability_score"\s*:', "SA-1B's masks without labels", "give images whose objects are named"),
    (_JSON, r'"imgHeight"\s*:.*"polygon"\s*:', "Cityscapes' polygons", _TABLE),
    (_JSON, r'"gtboxes"\s*:', "CrowdHuman's boxes", _TABLE),
    (_JSON, r'"source-ref"\s*:', "a manifest of SageMaker Ground Truth", f"{_COCO}, or {_TABLE}"),
    (_JSON, r'"topX"\s*:', "Azure ML's labels", _COCO),
    (_JSON, r'"imageGcsUri"\s*:', "Vertex AI's JSON lines", _TABLE),
    (_JSON, r'"prefix"\s*:.*"suffix"\s*:', "JSON lines for PaliGemma or Florence-2", _COCO),
    (_JSON, r'"type"\s*:\s*"dataset".*"class_names"\s*:', "NDJSON of Ultralytics", "export as YOLO"),
    (_JSON, r'"className"\s*:.*"points"\s*:|"points"\s*:.*"className"\s*:', "SuperAnnotate's JSON", _COCO),
    (_JSON, r'"FeatureCollection"', "GeoJSON (xView, SpaceNet)", _TABLE),
    (_JSON, r'"slots"\s*:', "V7 Darwin's JSON", _COCO),
    (_JSON, r'"export_format_version"\s*:', "Hasty's JSON", _COCO),
    (_JSON, r'"label_hash"\s*:', "Encord's JSON", _COCO),
    (_JSON, r'"visibleTags"|"vottVersion"|"activeLearningSettings"', "VoTT's JSON", "export as Pascal VOC or CSV"),
    (_JSON, r'"(geometryType|classTitle)"\s*:', "Supervisely's JSON", "keep it in ann/ beside img/, or export as COCO"),
    (_JSON, r'"detections"\s*:.*"bounding_box"\s*:', "a dataset of FiftyOne", _FIFTYONE),
    ((".json",), r'"classes"\s*:.*"labels"\s*:.*"bounding_box"\s*:', "FiftyOne's labels", _FIFTYONE),
    (_JSON, r'"item\d+"\s*:.*"bounding_box"\s*:', "DeepFashion2's items", _TABLE),
    (_JSON, r'"name_ndx"\s*:', "ADE20K's objects", _TABLE),
    ((".labels",), r'"boundingBoxes"\s*:', "Edge Impulse's boxes", f"{_TABLE}: xmax is x + width, ymax is y + height"),
    (_JSON, r'"correct_choice_idx"\s*:', "A-OKVQA's questions", _ROWS),
    (_JSON, r'"choice_[ab]"\s*:', "SEED-Bench's questions", _ROWS),
    (_JSON, r'"qa_pairs"\s*:|"qas"\s*:', "questions by image (Visual7W, Visual Genome)", _ROWS),
    (_JSON, r'"image_filename"\s*:.*"question"\s*:', "CLEVR's questions", _ROWS),
    (_JSON, r'"semanticStr"\s*:|"imageId"\s*:.*"question"\s*:', "GQA's questions", _ROWS),
    (_JSON, r'"left_url"\s*:', "NLVR2's sentences", f"put the two pictures of a row into one, and {_ROWS}"),
    (_JSON, r'"multiple_choice_answer"\s*:|"task_type"\s*:.*"question_id"\s*:', "VQA's questions or answers", _ROWS),
    (_JSON, r'"(imagename|choices)"\s*:|"question(_id)?"\s*:.*"answers?"\s*:', "questions of a form of its own", _ROWS),
    (_JSON, r'"(conversations|messages)"\s*:', "conversations for training (LLaVA, chat messages)", _ROWS),
    ((".json",), r'"image_id".*"(bbox|segmentation)".*"score"\s*:', "a detector's results", "give the annotations"),
    ((".json",), r'"(answers|data_rows?|media_attributes|projects)"\s*:', "Labelbox's JSON", "export as NDJSON"),
    ((".json",), r'"(annotations|boxes|bbox|bboxes|regions|objects|shapes)"\s*:', *UNKNOWN),
    (
        (".csv",),
        r"(?i)(xmin|x_min|bbox|left|x1)\W",
        "a table of boxes of other columns",
        "name them filename, class, xmin, ymin, xmax, ymax",
    ),
    (
        (".csv",),
        r"(?im)^\W*(filename|file|image|img|image_?id)\W[^\n]*\n[^\n,;]*([,;][ \t]*[01])+\s*$",
        "labels of whole images",
        f"boxes are needed to ask: {_COCO}, or {_ROWS}",
    ),
    ((".csv",), r"(?i)^[^\n]*\bquestion\b", "a table of questions without a column of images", _ROWS),
    ((".txt",), r"(?i)^\S+\.(jpe?g|png|bmp)( \d+,\d+,\d+,\d+,\d+)+\s*$", "keras-yolo3's boxes", _TABLE),
    ((".txt",), r"(?i)^[^\t\n]*\?[^\t\n]*\t\s*(yes|no)\s*$", "MME's questions", _ROWS),
    ((".txt",), rf"^[A-Za-z_]\w*( {_NUMBER}){{14,15}}\s*$", "KITTI's labels", f"{_TABLE}: its columns 5 to 8"),
    ((".txt",), rf"^(imagesource:|({_NUMBER}[ \t]+){{8}}[A-Za-z])", "DOTA's turned boxes", _COCO),
    ((".txt",), r"^(\d+,){6}-?\d+,-?\d+,?\s*$", "VisDrone's labels", _TABLE),
    ((".txt",), rf"^\d+,-?\d+(,{_NUMBER}){{4,8}}\s*$", "tracks of the MOT challenge", _TABLE),
    ((".txt",), r"(?i)^\S.*\.(jpg|jpeg|png)\r?\n\d+\r?\n\d+ \d+ \d+ \d+ ", "WIDER FACE's boxes", _TABLE),
    (
        (".txt",),
        rf"^\d+([ \t]+{_NUMBER}){{4,}}\s*$",
        "YOLO's labels without the names of their classes",
        "write the names, one a line by their numbers, into classes.txt in the folder given, or `names` into data.yaml",
    ),
    ((".arrow",), "", "a part of a dataset that `datasets` saved", "give its folder"),
    ((".tfrecord", ".record"), "", "TensorFlow's records", _COCO),
)
"""The first that fits. Of formats that are read these are the files that are not quite of that form."""


def _beginning(file: Path) -> str:
    """How the file begins, and how it ends; empty where it cannot be read."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_HEAD_BYTES)
            opened.seek(max(opened.tell(), file.stat().st_size - _HEAD_BYTES))
            content += opened.read(_HEAD_BYTES)
    except OSError:
        return ""
    text = content.replace(b"\0", b"").decode("utf-8-sig", "replace")
    return text.lstrip("\N{REPLACEMENT CHARACTER}")  # the mark before UTF-16


def exporter_of(file: Path) -> tuple[str, str] | None:
    """(what the file is, the next step); None where it is no annotation file that is known."""
    rows = [row for row in KINDS if file.suffix.lower() in row[0]]
    if not rows or not file.is_file():
        return None
    head = _beginning(file)
    if file.suffix.lower() in (".jsonl", ".ndjson") and re.search(r'"question"\s*:', head):
        return None  # our own rows, whatever else they hold
    lines = head.lstrip().partition("\n")[0] if file.suffix.lower() == ".txt" else head
    for _, pattern, what, step in rows:
        if re.search(pattern, lines, re.DOTALL) or (r"\n" in pattern and re.search(pattern, head)):
            return what, step
    return None


def _damaged(file: Path) -> tuple[str, str] | None:
    """An empty file, or one that ends in .json and is none."""
    if file.suffix.lower() not in (*_JSON, ".csv", ".tsv"):
        return None
    try:
        if not file.stat().st_size:
            return "an empty file", "export the annotations again, or give the folder without it"
        if file.suffix.lower() == ".json" and file.stat().st_size <= _MOST_PARSED:
            json.loads(json_text(read_whole(file)))
    except (ValueError, OSError, RecursionError):
        return "no JSON, or damaged", "export the annotations again, or give the folder without it"
    return None


def prediction_strings(folder: Path) -> list[Path]:
    """Tables in the folder, or in a folder of it, with the boxes of an image in one cell, as Kaggle's competitions."""
    files = sorted(file for pattern in ("*", "*/*") for file in folder.glob(pattern) if _is_csv(file))
    return [file for file in files[:_MOST_OPENED] if _PREDICTED.search(_beginning(file).partition("\n")[0])]


def _is_csv(file: Path) -> bool:
    return file.suffix.lower() in (".csv", ".tsv") and file.is_file()


def _deeper(file: Path) -> tuple[str, Path] | None:
    """(what it is, what to give) of a dataset that is read where it is not too far below the folder given."""
    suffix = file.suffix.lower()
    if file.name in METADATA:
        return "an imagefolder", file.parent
    if suffix == ".parquet":
        return "a parquet file", file.parent
    if suffix == ".json" and is_coco_file(file):
        return "COCO annotations", file
    head = _beginning(file)
    if suffix in (".yaml", ".yml") and re.search(r"^names\s*:", head, re.MULTILINE):
        return "a YOLO dataset", file.parent
    if suffix == ".tsv" and {"index", "question"} <= set(head.partition("\n")[0].split("\t")):
        return "an LMUData table", file
    if suffix == ".csv" and has_questions(file):
        return "a table of questions", file
    if suffix in (".jsonl", ".ndjson") and re.search(r'"image"\s*:', head) and re.search(r'"question"\s*:', head):
        return "JSON lines", file
    return None


def unread_annotations(folder: Path) -> tuple[Path, str, str] | None:
    """A file of the folder that says what is in its images, what that is and the next step; None where there is none.
    By how it begins, wherever it lies; by its name alone where it is in the folder or in one of its folders."""
    files = [file for file in folder.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file()]
    files.sort(key=lambda file: (len(file.relative_to(folder).parts), file))
    looked_at = list(islice((file for file in files if file.suffix.lower() != ".txt"), _MOST_OPENED))
    looked_at += islice((file for file in files if file.suffix.lower() == ".txt"), _MOST_OPENED)
    for file in looked_at:
        if deeper := _deeper(file):
            return file, f"{deeper[0]}, too deep below the folder given", f"give --data {deeper[1]}"
        if told := exporter_of(file) or _damaged(file):
            return file, *told
    for file in files:
        place = file.relative_to(folder)
        if len(place.parts) < 3 and _NOTES.search(place.as_posix()):
            return file, "", ""
    if placed := _places_in(folder):
        step = f"{_COCO}; where it is something else, give the folder without it"
        return placed, "it says where something is in these images, in a form of its own", step
    return None


def _places_in(folder: Path) -> Path | None:
    """The first text file that names several of the pictures, or is named like one of several, and holds places."""
    names = {path.name: path.stem for path in folder.rglob("*") if is_picture(path)}
    stems, least = set(names.values()), min(2, len(names))
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in (*_TEXTS, *_TEXTS_TOO))
    of_one: list[Path] = []
    for file in islice((file for file in files if file.is_file()), _MOST_OPENED):
        head = _beginning(file)
        if not _PLACES.search(head):
            continue
        if len(names.keys() & set(_PICTURE_NAME.findall(head))) >= least:
            return file
        if len(stems & set(_FIRST.findall(head))) >= max(2, least):
            return file
        if file.suffix.lower() != ".txt" and (file.stem in stems or _PICTURE_NAME.match(file.name)):  # a.jpg.json
            of_one.append(file)
    return of_one[0] if of_one and len(of_one) >= least else None
