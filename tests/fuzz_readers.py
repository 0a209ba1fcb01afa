"""Every reader of other people's files, with a small valid sample of what it reads."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PilImage

from annotation_layouts import BUS, CUP
from aot.bench.benchmarks.table import named
from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.data.images.reading import BadRow, Refusal, at_most, read_image, read_image_file, square
from aot.data.sources import load_scenes, open_source
from bench_layouts import LAYOUTS, base64_picture, cell, picture, write_parquet, write_tsv
from layouts_box_tables import CLASSES, O_CUP, OPEN, T_BOTH
from layouts_createml import C_BUS, C_CUP, createml
from layouts_cvat import A_BUS, A_CUP, PARTS, cvat
from layouts_datasets import (
    EVEN,
    WIDER,
    dota,
    driven,
    genome,
    kitti,
    lines,
    mmdetection,
    paligemma,
    sample,
    scalabel,
    ultralytics,
)
from layouts_label_studio import L_BUS, L_CUP, annotation, least, rect, task
from layouts_platforms import (
    BUS3,
    CUP3,
    D_BUS,
    D_CUP,
    E_BUS,
    E_CUP,
    K_BUS,
    K_CUP,
    S_BUS,
    S_CUP,
    assets,
    darwin,
    encord,
    isat,
    isat_object,
    kili,
    segments,
    tagged,
    via3,
    vott,
)
from layouts_sagemaker import line as manifest_line
from layouts_via import CORNERS, ELLIPSE, V_BUS, V_CUP, project, region, via_csv

Outcome = tuple[int, int]
"""What was read, and what was refused by name: photos, rows, files."""


@dataclass(frozen=True)
class Reader:
    """`make(folder)` writes a valid sample and returns what `read` is given. `read` returns what came of it, or raises
    `AotError`. `writes`: names of files that it may change; None where it may move any."""

    group: str
    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Outcome]
    writes: tuple[str, ...] | None = ()


def _write(path: Path, content: bytes | str | list[Any] | dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, bytes | str) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


# Datasets.

SIZE = {"width": 20, "height": 16}
ROW = {"image": "a.png", "id": "one", "question": "Is there a cup?", "options": ["yes", "no"], "answer": "A"}
ROW |= {
    "boxes": [{"bbox": [1, 2, 8, 9], "label": "cup", "attribute": "red", "protected": True}],
    "complete": True,
}
SHAPES = [
    {"label": "cup", "points": [[1, 2], [9, 11]], "shape_type": "rectangle"},
    {"label": "bus", "points": [[10, 2], [19, 3], [12, 12]], "shape_type": "polygon"},
    {"label": "dog", "points": [[5, 5], [7, 7]], "shape_type": "circle"},
]
VOC = """<annotation><filename>a.png</filename><size><width>20</width><height>16</height><depth>3</depth></size>
<object><name>cup</name><difficult>0</difficult>
<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>11</ymax></bndbox></object>
<object><name>bus</name><difficult>1</difficult>
<bndbox><xmin>10</xmin><ymin>3</ymin><xmax>19</xmax><ymax>12</ymax></bndbox></object></annotation>"""
NLVR = {"identifier": "1-0", "directory": "1", "sentence": "There is a box.", "label": "true"}
NLVR |= {
    "structured_rep": [[{"x_loc": 10, "y_loc": 20, "size": 20, "color": "Yellow", "type": "circle"}], [], []]
}


def _picture(path: Path, kind: str = "PNG", size: tuple[int, int] = (20, 16)) -> None:
    _write(path, picture(len(path.name), kind, size))


def _coco(annotations: str, image: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 8, 9], "iscrowd": 0, "area": 72}
        box["segmentation"] = [[1, 2, 9, 2, 9, 11, 1, 11]]
        second = {"id": 2, "image_id": "1", "category_id": 2, "bbox": [10.5, 3, 9, 10], "attribute": "red"}
        content = {
            "images": [{"id": 1, "file_name": "a.png", **SIZE, "license": 1}],
            "annotations": [box, second],
        }
        content["categories"] = [{"id": 1, "name": "cup", "supercategory": "ware"}, {"id": 2, "name": "bus"}]
        _write(
            folder / annotations, content | {"licenses": [{"id": 1, "name": "CC0", "url": "u"}], "info": {}}
        )
        _picture(folder / image)
        return folder

    return make


def _yolo(folder: Path) -> Path:
    _write(
        folder / "data.yaml", "train: images/train\nval: images/train\nnc: 2\nnames:\n  0: cup\n  1: 'bus'\n"
    )
    _write(folder / "labels/train/a.txt", "0 0.25 0.4 0.4 0.5\n1 0.5 0.5 0.9 0.5 0.9 0.9\n")
    _picture(folder / "images/train/a.png")
    return folder


def _voc(folder: Path) -> Path:
    _write(folder / "Annotations/a.xml", VOC)
    _picture(folder / "JPEGImages/a.png")
    return folder


def _labelme(folder: Path) -> Path:
    known = {"imagePath": "a.png", "imageWidth": 20, "imageHeight": 16, "imageData": None, "version": "5.0"}
    _write(folder / "a.json", known | {"shapes": SHAPES})
    _picture(folder / "a.png")
    return folder


def _imagefolder(ending: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        _picture(folder / "a.png")
        objects = {"bbox": [[6.0, 2.0, 4.0, 9.0]], "categories": ["cup"]}
        row = {"file_name": "a.png", "objects": objects, "complete": True}
        if ending == "jsonl":
            _write(
                folder / "metadata.jsonl", json.dumps(row) + "\n" + json.dumps(ROW | {"file_name": "a.png"})
            )
        elif ending == "csv":
            cells = [
                "a.png",
                '"Is it a ""cup""?"',
                "Yes",
                '"{""bbox"": [[6, 2, 4, 9]], ""categories"": [""cup""]}"',
            ]
            _write(folder / "metadata.csv", "file_name,question,answer,objects\n" + ",".join(cells) + "\n")
        else:
            write_parquet(folder / "metadata.parquet", [row], images=())
        return folder

    return make


def _nlvr(folder: Path) -> Path:
    _write(folder / "dev.json", json.dumps(NLVR) + "\n" + json.dumps(NLVR | {"identifier": "2-0"}))
    for number in (1, 2):
        _picture(folder / f"images/1/dev-{number}-0-0.png", size=(400, 100))
    return folder


def _jsonl(folder: Path) -> Path:
    _write(folder / "mine.jsonl", json.dumps(ROW) + "\n" + json.dumps(ROW | {"id": 2, "question": None}))
    _picture(folder / "a.png")
    return folder / "mine.jsonl"


def _tsv(folder: Path) -> Path:
    rows = [{"index": i, "image": image, "question": "Which?", "A": "red", "B": "blue", "answer": "B", "category": "x"}
            for i, image in ((0, base64_picture(1)), (1, "0"))]  # fmt: skip
    return write_tsv(folder / "mine.tsv", [row | {"hint": "", "bbox": "[[1, 1, 4, 4]]"} for row in rows])


def _shards(folder: Path) -> Path:
    row = {key: value for key, value in ROW.items() if key not in ("image", "boxes", "id")}
    row["boxes"] = [[1.0, 2.0, 5.0, 4.0]]
    for number in (0, 1):
        write_parquet(
            folder / f"data/train-0000{number}-of-00002.parquet", [{"image": cell(number), **row}] * 2
        )
    return folder


def _saved(folder: Path) -> Path:
    from datasets import Dataset, Image

    rows = {"image": [cell(1), cell(2)], "question": ["Is it?"] * 2, "answer": ["yes", "No"]}
    Dataset.from_dict(rows).cast_column("image", Image()).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def _pictures(folder: Path) -> Path:
    _picture(folder / "a.png")
    _picture(folder / "in/b.jpg", "JPEG")
    return folder


def _annotations(name: str, content: Any) -> Callable[[Path], Path]:
    """Annotations of a.png by a program, whose image is as large as those of `tests/annotation_layouts.py`."""

    def make(folder: Path) -> Path:
        _write(folder / name, content)
        _picture(folder / "a.png", size=(100, 80))
        return folder

    return make


def _open_images(folder: Path) -> Path:
    _write(folder / "class-descriptions.csv", CLASSES)
    return _annotations("train-annotations-bbox.csv", OPEN + O_CUP)(folder)


def _scenes(path: Path) -> Outcome:
    """Questions are written, too, about what is found."""
    load_scenes(path, fit=square(32))
    items = list(open_source(path, at_most(32)).items)
    refused = sum(isinstance(item, Refusal) for item in items)
    return len(items) - refused, refused


# Benchmarks.


def _arrow(folder: Path) -> Path:
    from datasets import Dataset

    rows = [
        {"index": i, "image": picture(i), "question": "Which?", "A": "a", "B": "b", "answer": "A"}
        for i in (0, 1, 2)
    ]
    Dataset.from_list(rows).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def _layout(make: Callable[[Path, int, random.Random], tuple[Path, int]]) -> Callable[[Path], Path]:
    return lambda folder: make(folder, 6, random.Random(0))[0]


def _items(benchmark: Benchmark) -> Callable[[Path], Outcome]:
    def read(path: Path) -> Outcome:
        found = list(benchmark.read(path))
        return sum(isinstance(each, Item) for each in found), sum(isinstance(each, Refusal) for each in found)

    return read


# Pictures.


def _one_picture(ending: str, kind: str, **how: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        mode = how.pop("mode", "RGB") if "mode" in how else "RGB"
        exif = PilImage.Exif()
        exif[274] = 6
        keep = {"exif": exif.tobytes()} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        folder.mkdir(parents=True, exist_ok=True)
        PilImage.linear_gradient("L").resize((24, 18)).convert(mode).save(
            folder / f"a.{ending}", kind, **keep
        )
        return folder / f"a.{ending}"

    return make


def _decoded(path: Path) -> Outcome:
    try:
        image, _ = read_image(read_image_file(path.parent, path.name), at_most(16))
    except BadRow:
        return 0, 1
    assert image.dtype == "uint8" and image.ndim == 3 and image.shape[2] == 3 and max(image.shape) <= 16
    return 1, 0


KINDS = "png:PNG jpg:JPEG gif:GIF bmp:BMP webp:WEBP tiff:TIFF ico:ICO ppm:PPM tga:TGA pcx:PCX jp2:JPEG2000 dds:DDS"
DATASETS: dict[str, Callable[[Path], Path]] = {
    "coco": _coco("instances.json", "images/a.png"),
    "coco_official": _coco("annotations/instances_val2017.json", "val2017/a.png"),
    "yolo": _yolo,
    "voc": _voc,
    "labelme": _labelme,
    "imagefolder_jsonl": _imagefolder("jsonl"),
    "imagefolder_csv": _imagefolder("csv"),
    "imagefolder_parquet": _imagefolder("parquet"),
    "nlvr": _nlvr,
    "jsonl": _jsonl,
    "tsv": _tsv,
    "parquet_shards": _shards,
    "saved_dataset": _saved,
    "pictures": _pictures,
    "cvat": _annotations("annotations.xml", cvat(A_CUP + A_BUS + PARTS)),
    "label_studio": _annotations("project.json", [task(annotation(L_CUP, L_BUS), annotation(L_CUP, L_BUS))]),
    "label_studio_min": _annotations("project.json", [least(L_CUP, rect("bus", 60, 20, 20, 10, rotation=90))]),
    "via": _annotations("via_project.json", project(V_CUP, region(CORNERS, object="bus"), region(ELLIPSE, object="a"))),
    "via_csv": _annotations("via_export.csv", via_csv(V_CUP, V_BUS)),
    "sagemaker": _annotations("output.manifest", manifest_line()),
    "via_3": _annotations("via_project.json", via3(CUP3, BUS3)),
    "segments": _annotations("v1.json", segments(S_CUP, S_BUS)),
    "kili": _annotations("data.json", assets(kili(K_CUP, K_BUS))),
    "isat": _annotations("a.json", isat(isat_object(CUP, 1), isat_object(BUS, 2))),
    "darwin": _annotations("a.json", darwin(D_CUP, D_BUS)),
    "encord": _annotations("labels.json", encord(E_CUP, E_BUS)),
    "vott": _annotations("x-export.json", {"assets": {"i": vott(tagged(CUP), tagged(BUS))}}),
    "scalabel": _annotations("det_train.json", [scalabel(driven(CUP), driven(BUS))]),
    "mmdetection": _annotations("train.json", mmdetection(CUP, BUS)),
    "ultralytics": _annotations("d.ndjson", ultralytics(segments=[[1, 0.5, 0.2, 0.9, 0.2, 0.9, 0.7]])),
    "fiftyone": _annotations("samples.json", sample(CUP, BUS)),
    "genome": _annotations("objects.json", [{**genome(CUP)[0], "image_url": "https://x/a.png"}]),
    "paligemma": _annotations("t.jsonl", lines(paligemma(*EVEN))),
    "kitti": _annotations("a.txt", kitti(CUP, BUS)),
    "dota": _annotations("a.txt", dota(CUP, BUS)),
    "wider": _annotations("bbx_gt.txt", WIDER.format(0).replace("0--Parade/a.jpg", "a.png").partition("0--")[0]),
    "createml": _annotations("annotations.json", createml(C_CUP, C_BUS)),
    "box_table": _annotations("labels.csv", T_BOTH),
    "open_images": _open_images,
}
READERS = [
    *(Reader("datasets", name, make, _scenes) for name, make in DATASETS.items()),
    Reader("benchmarks", "arrow", _arrow, _items(named("custom:mine"))),
    *(
        Reader("benchmarks", f"{name}_{layout}".replace(":", "_"), _layout(make), _items(named(name)))
        for (name, layout), make in LAYOUTS.items()
    ),
    *(
        Reader("pictures", pair.split(":")[0], _one_picture(*pair.split(":")), _decoded)
        for pair in re.findall(r"\S+", KINDS)
    ),
]
