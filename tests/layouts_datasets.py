"""Detection datasets in JSON, JSON lines and text files of forms of their own, in the manner of their makers."""

from __future__ import annotations

import json
from typing import Any

from annotation_layouts import BOTH, BUS, CUP, Layout, Region
from layouts_platforms import ANNOTATED, SIZE, Drawn, square, wide_high

CLASSES = ["cup", "bus"]
INCOMPLETE = {"complete": False}


def corners(box: Drawn) -> Region:
    return dict(zip(("x1", "y1", "x2", "y2"), box[1:], strict=True))


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def number_of(box: Drawn) -> int:
    return CLASSES.index(box[0])


def centred(box: Drawn) -> list[float]:
    _, x0, y0, x1, y1 = box
    return [(x0 + x1) / 200, (y0 + y1) / 160, (x1 - x0) / 100, (y1 - y0) / 80]


def scalabel(*labels: Any, **more: Any) -> Region:
    return {"name": "a.png", "attributes": {"weather": "clear"}, "labels": [*labels] or None, **more}


def driven(box: Drawn, **attributes: bool) -> Region:
    return {"id": "0", "category": box[0], "box2d": corners(box), "attributes": attributes}


def mmdetection(*boxes: Drawn, names: Any = None, **more: Any) -> Region:
    held = [{"bbox": [*box[1:]], "bbox_label": number_of(box), "ignore_flag": 0, **more} for box in boxes]
    about = {"classes": CLASSES} if names is None else names
    return {"metainfo": about, "data_list": [{"img_id": 1, "img_path": "a.png", **SIZE, "instances": held}]}


def ultralytics(**annotations: Any) -> str:
    head = {"type": "dataset", "task": "detect", "class_names": {"0": "cup", "1": "bus"}}
    held = {"annotations": annotations} if annotations else {}
    return lines(head, {"type": "image", "file": "a.png", **SIZE, "split": "train", **held})


def fiftyone(*boxes: Drawn) -> list[Region]:
    return [{"label": number_of(box), "bounding_box": [*wide_high(box, "x y w h", 100, 80).values()]} for box in boxes]


def sample(*boxes: Drawn, **more: Any) -> Region:
    held = [{"_cls": "Detection", **one, "label": box[0]} for box, one in zip(boxes, fiftyone(*boxes), strict=True)]
    fields = {"ground_truth": {"_cls": "Detections", "detections": held}}
    return {"samples": [{"filepath": "data/a.png", "metadata": SIZE, **fields, **more}]}


def person(box: Drawn, tag: str = "person", ignore: int = 0) -> Region:
    visible = [*wide_high(box, "x y w h").values()]
    return {"tag": tag, "fbox": [-5, 1, 50, 90], "vbox": visible, "extra": {"ignore": ignore}}


def genome(*boxes: Drawn, more: tuple[str, ...] = ()) -> list[Region]:
    held = [{"synsets": [], "names": [box[0], *more], **wide_high(box, "x y w h")} for box in boxes]
    return [{"image_id": 7, "objects": held, "image_url": "https://x/VG_100K_2/7.jpg"}]


def azure(box: Drawn) -> Region:
    x0, y0, x1, y1 = (number / side for number, side in zip(box[1:], (100, 80, 100, 80), strict=True))
    return {"label": box[0], "topX": x0, "topY": y0, "bottomX": x1, "bottomY": y1, "isCrowd": 0}


def vertex(box: Drawn) -> Region:
    x0, y0, x1, y1 = (number / side for number, side in zip(box[1:], (100, 80, 100, 80), strict=True))
    return {"displayName": box[0], "xMin": x0, "yMin": y0, "xMax": x1, "yMax": y1}


PERSONS = (("person", 10, 10, 30, 30), ("person", 50, 20, 90, 60))
PIXELS = {"image_url": "azureml://x/a.png", "image_details": {"width": "100px", "height": "80px"}}
JSONS = [
    Layout("bdd", {"det_train.json": [scalabel(driven(CUP), driven(BUS))]}, BOTH),
    Layout("bdd none", {"l.json": [scalabel(driven(CUP), name="b.png"), scalabel()]}, images=("a.png", "b.png")),
    Layout("bdd frames", {"l.json": {"frames": [scalabel(driven(CUP))], "config": {}}}, (CUP,)),
    Layout("bdd of 2018", {"l/a.json": {"name": "a", "frames": [{"objects": [driven(CUP), driven(BUS)]}]}}, BOTH,
           images=("a.jpg",)),
    Layout("bdd of 2018 none", {"l/a.json": {"name": "a", "frames": [{"timestamp": 10000, "objects": []}]}},
           images=("a.jpg",)),
    Layout("bdd crowd", {"l.json": [scalabel(driven(CUP), driven(BUS, crowd=True))]}, (CUP,), frozenset({"bus"})),
    Layout("mmdetection", {"annotations/t.json": mmdetection(CUP, BUS)}, BOTH, images=("images/a.png",)),
    Layout("mmdetection ignored", {"t.json": mmdetection(CUP, ignore_flag=1)}, (), frozenset({"cup"})),
    Layout("mmdetection without names", {"t.json": mmdetection(CUP, names={})}, refused=("unknown_label_or_image",),
           **INCOMPLETE),
    Layout("odvg", {"od.jsonl": lines({"filename": "a.png", **SIZE, "detection": {"instances": [
        {"bbox": [*box[1:]], "label": 0, "category": box[0]} for box in BOTH]}})}, BOTH, **INCOMPLETE),
    Layout("odvg phrases", {"vg.jsonl": lines({"filename": "a.png", **SIZE, "grounding": {"caption": "a cup", "regions":
        [{"bbox": [*CUP[1:]], "phrase": "a cup"}]}})}, refused=ANNOTATED, **INCOMPLETE),
    Layout("ultralytics", {"d.ndjson": ultralytics(boxes=[[number_of(box), *centred(box)] for box in BOTH])}, BOTH,
           images=("images/train/a.png",)),
    Layout("ultralytics segments", {"d.ndjson": ultralytics(segments=[[number_of(box), *(v for p in
        square(box, 100, 80) for v in p)] for box in BOTH])}, BOTH),
    Layout("ultralytics pose", {"d.ndjson": ultralytics(pose=[[1, *centred(BUS), .5, .5, 2]])}, (BUS,)),
    Layout("ultralytics none", {"d.ndjson": ultralytics()}, **INCOMPLETE),
    Layout("fiftyone", {"labels.json": {"classes": CLASSES, "labels": {"a": fiftyone(CUP, BUS)}}}, BOTH,
           images=("data/a.png",)),
    Layout("fiftyone unlabelled", {"labels.json": {"classes": CLASSES, "labels": {"a": None, "b": fiftyone(CUP)}}},
           images=("data/a.png", "data/b.png"), **INCOMPLETE),
    Layout("fiftyone samples", {"samples.json": sample(CUP, BUS)}, BOTH, images=("data/a.png",)),
    Layout("fiftyone two fields", {"samples.json": sample(CUP, ground_truth={"detections": []}, more={
        "detections": fiftyone(CUP)})}, (), images=("data/a.png",)),
    Layout("crowdhuman", {"val.odgt": lines({"ID": "a", "gtboxes": [*map(person, PERSONS)]})}, PERSONS,
           images=("Images/a.jpg",)),
    Layout("crowdhuman mask", {"val.odgt": lines({"ID": "a", "gtboxes": [person(PERSONS[0]),
        person(PERSONS[1], "mask")]})}, PERSONS[:1], frozenset({"person"}), images=("Images/a.jpg",)),
    Layout("visual genome", {"objects.json": genome(CUP, BUS)}, BOTH, images=("VG_100K_2/7.jpg",), **INCOMPLETE),
    Layout("visual genome two names", {"objects.json": genome(CUP, more=("mug",))}, (), frozenset({"cup", "mug"}),
           images=("VG_100K_2/7.jpg",), **INCOMPLETE),
    Layout("azure ml", {"l.jsonl": lines({**PIXELS, "label": [azure(CUP), azure(BUS)]})}, BOTH),
    Layout("vertex", {"v.jsonl": lines({"imageGcsUri": "gs://b/a.png", "boundingBoxAnnotations": [
        vertex(CUP), vertex(BUS)]})}, BOTH),
]  # fmt: skip

# Rows of tables, in JSON.

FLAT = {"id": 1, "filename": "a.png", "bbox": [{**wide_high(box, "x y width height"), "label": box[0]} for box in BOTH]}
SPANS = [{**wide_high(box, "x y width height"), "label": box[0], "points": square(box)} for box in BOTH]
PRODIGY = {"image": "a.png", **SIZE, "spans": SPANS, "answer": "accept"}
WIDE_HIGH = [{"label": box[0], "bbox": [*wide_high(box, "x y w h").values()]} for box in BOTH]
LISTED = [{"image": "a.png", "objects": WIDE_HIGH}]


def paligemma(*boxes: Drawn, prefix: str = "detect cup ; bus", image: str = "a.png") -> Region:
    def told(box: Drawn) -> str:
        _, x0, y0, x1, y1 = (0, *(round(1024 * n / side) for n, side in zip(box[1:], (100, 80, 100, 80), strict=True)))
        return "".join(f"<loc{n:04d}>" for n in (y0, x0, y1, x1)) + f" {box[0]}"

    return {"image": image, "prefix": prefix, "suffix": " ; ".join(map(told, boxes))}


def florence(*boxes: Drawn, prefix: str = "<OD>") -> Region:
    def told(box: Drawn) -> str:
        shares = (1000 * n / side for n, side in zip(box[1:], (100, 80, 100, 80), strict=True))
        return box[0] + "".join(f"<loc_{round(share)}>" for share in shares)

    return {"image": "a.png", "prefix": prefix, "suffix": "".join(map(told, boxes))}


EVEN: tuple[Drawn, ...] = (("cup", 25, 10, 50, 30), ("bus", 50, 20, 75, 60))
"""Boxes that tokens in 1024ths and in thousandths give exactly."""
TOKENS = [
    Layout("paligemma", {"t.jsonl": lines(paligemma(*EVEN))}, EVEN),
    Layout("paligemma none", {"t.jsonl": lines(paligemma(), paligemma(*EVEN, image="b.png"))}, images=("a.png",
        "b.png")),
    Layout("paligemma of one class", {"t.jsonl": lines(paligemma(EVEN[0], prefix="detect cup"),
        paligemma(*EVEN, image="b.png"))}, EVEN[:1], images=("a.png", "b.png"), **INCOMPLETE),
    Layout("paligemma caption", {"t.jsonl": lines({**paligemma(*EVEN), "prefix": "caption en"})}, refused=ANNOTATED,
           **INCOMPLETE),
    Layout("paligemma cut", {"t.jsonl": lines({**paligemma(*EVEN), "suffix": "<loc0128><loc0256> cup"})},
           refused=ANNOTATED, **INCOMPLETE),
    Layout("florence", {"t.jsonl": lines(florence(*EVEN))}, EVEN),
    Layout("florence two of a label", {"t.jsonl": lines({"image": "a.png", "prefix": "<OD>", "suffix":
        "cup<loc_250><loc_125><loc_500><loc_375><loc_0><loc_0><loc_100><loc_125>"})}, (EVEN[0], ("cup", 0, 0, 10, 10))),
]  # fmt: skip

# Text files.


def kitti(*boxes: Drawn) -> str:
    rest = "1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"
    return "".join(f"{name} 0.00 0 -1.58 {x0}.00 {y0}.00 {x1}.00 {y1}.00 {rest}\n" for name, x0, y0, x1, y1 in boxes)


def dota(*boxes: Drawn, difficult: int = 0) -> str:
    return "".join(" ".join(f"{v:.1f}" for p in square(box) for v in p) + f" {box[0]} {difficult}\n" for box in boxes)


WIDER = "0--Parade/a.jpg\n2\n10 10 20 20 0 0 0 0 0 0 \n50 20 40 40 0 0 0 {} 0 0 \n"
WIDER += "0--Parade/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"
FACES = (("face", 10, 10, 30, 30), ("face", 50, 20, 90, 60))
VISDRONE = "10,10,20,20,1,4,0,0\n50,20,40,40,1,9,0,0\n"
TRAINED = ("training/image_2/a.png", "training/image_2/b.png")
TEXTS = [
    Layout("kitti", {"training/label_2/a.txt": kitti(CUP, BUS), "training/label_2/b.txt": ""}, BOTH, images=TRAINED),
    Layout("kitti none", {"training/label_2/a.txt": kitti(CUP, BUS), "training/label_2/b.txt": ""}, (),
           images=TRAINED[::-1]),
    Layout("kitti stereo", {"training/label_2/a.txt": kitti(CUP)}, (CUP,), images=(TRAINED[0],
        "training/image_3/a.png")),
    Layout("kitti a bad line", {"training/label_2/a.txt": kitti(CUP) + "bus 1 2\n"}, (CUP,), images=TRAINED[:1],
           refused=("unknown_label_or_image",), **INCOMPLETE),
    Layout("kitti a huge number", {"label_2/a.txt": kitti(CUP) + kitti(BUS).replace("90.00", "9" * 5000)}, (CUP,),
           frozenset({"bus"}), images=("image_2/a.png",), refused=("bad_box",)),
    Layout("dota a huge number", {"labelTxt/a.txt": dota(CUP) + dota(BUS).replace("90.0", "9" * 400)}, (CUP,),
           frozenset({"bus"}), images=("images/a.png",), refused=("bad_box",)),
    Layout("dota", {"labelTxt/a.txt": "imagesource:GoogleEarth\ngsd:0.1\n" + dota(CUP, BUS)}, BOTH,
           images=("images/a.png",)),
    Layout("dota difficult", {"labelTxt/a.txt": dota(CUP) + dota(BUS, difficult=1)}, (CUP,), frozenset({"bus"}),
           images=("images/a.png",)),
    Layout("dota turned", {"labelTxt/a.txt": "50 20 90 40 70 60 60 50 bus 0\n"}, (BUS,), images=("images/a.png",)),
    Layout("visdrone", {"annotations/a.txt": VISDRONE}, (("car", 10, 10, 30, 30), BUS), images=("images/a.jpg",)),
    Layout("visdrone not scored", {"annotations/a.txt": VISDRONE.replace("40,1,9", "40,0,9")},
           (("car", 10, 10, 30, 30),), frozenset({"bus"}), images=("images/a.jpg",)),
    Layout("wider", {"wider_face_split/bbx_gt.txt": WIDER.format(0)}, FACES, images=("images/0--Parade/a.jpg",
        "images/0--Parade/b.jpg")),
    Layout("wider invalid", {"split/bbx_gt.txt": WIDER.format(1)}, FACES[:1], frozenset({"face"}),
           images=("images/0--Parade/a.jpg", "images/0--Parade/b.jpg")),
    Layout("wider none", {"split/bbx_gt.txt": WIDER.format(0)}, (), images=("images/0--Parade/b.jpg",
        "images/0--Parade/a.jpg")),
]  # fmt: skip
DATASETS = [*JSONS, *TOKENS, *TEXTS]
ROW_FILES = {"doccano.jsonl": lines(FLAT), "prodigy.jsonl": lines(PRODIGY), "listed.json": json.dumps(LISTED)}
"""Rows of tables, by the file's name: BOTH in a.png."""
