"""What annotation platforms export as JSON, in the manner of their exporters."""

from __future__ import annotations

from typing import Any

from annotation_layouts import BOTH, BUS, CUP, Layout, Region

SIZE = {"width": 100, "height": 80}
Drawn = tuple[str, int, int, int, int]


def square(box: Drawn, wide: float = 1, high: float = 1) -> list[list[float]]:
    """The four corners, divided by the sides of an image."""
    _, x0, y0, x1, y1 = box
    return [[x / wide, y / high] for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


def points(box: Drawn, wide: float = 1, high: float = 1) -> list[Region]:
    return [{"x": x, "y": y} for x, y in square(box, wide, high)]


def wide_high(box: Drawn, names: str, wide: float = 1, high: float = 1) -> Region:
    """The corner and the sides under four names."""
    _, x0, y0, x1, y1 = box
    return dict(zip(names.split(), (x0 / wide, y0 / high, (x1 - x0) / wide, (y1 - y0) / high), strict=True))


def via3(*notes: Any, options: Any = None, kind: int = 4) -> Region:
    """Each note: [shape, ...] and its value, or also the times of a video."""
    attribute = {"aname": "label", "anchor_id": "FILE1_Z0_XY1", "type": kind, "desc": "", "default_option_id": ""}
    attribute["options"] = {"0": "cup", "1": "bus"} if options is None else options
    held = {f"1_{n}": {"vid": "1", "flg": 0, "z": [*z], "xy": xy, "av": {"1": value}} for n, (xy, value, *z)
            in enumerate(notes)}  # fmt: skip
    project = {"pid": "__VIA_PROJECT_ID__", "data_format_version": "3.1.1", "vid_list": ["1"]}
    files = {"1": {"fid": "1", "fname": "a.png", "type": 2, "loc": 1, "src": ""}}
    return {"project": project, "attribute": {"1": attribute}, "file": files, "metadata": held,
            "view": {"1": {"fid_list": ["1"]}}}  # fmt: skip


CUP3, BUS3 = ([2, 10, 10, 20, 20], "0"), ([7, 50, 20, 90, 20, 90, 60, 50, 60], "1")
VIA3 = [
    Layout("via 3 boxes", {"v.json": via3(CUP3, BUS3)}, BOTH, complete=False),
    Layout("via 3 words", {"v.json": via3(([2, 10, 10, 20, 20], "cup"), options={}, kind=1)}, (CUP,), complete=False),
    Layout("via 3 extreme", {"v.json": via3(([8, 50, 30, 70, 20, 90, 40, 60, 60], "1"))}, (BUS,), complete=False),
    Layout("via 3 ticked", {"v.json": via3(CUP3, kind=2)}, (CUP,), complete=False),
    Layout(
        "via 3 two ticked",
        {"v.json": via3(([2, 10, 10, 20, 20], "0,1"), kind=2)},
        (),
        frozenset({"cup", "bus"}),
        complete=False,
        refused=("several_labels",),
    ),
    Layout(
        "via 3 without a box",
        {"v.json": via3(CUP3, ([1, 4, 4], "1"))},
        (CUP,),
        frozenset({"bus"}),
        complete=False,
        refused=("bad_box",),
    ),
    Layout("via 3 of a video", {"v.json": via3(([2, 10, 10, 20, 20], "0", 1.5))}, (), frozenset({"cup"}), False,
           refused=("bad_box",)),
]  # fmt: skip


def segments(*notes: Any, state: str = "LABELED") -> Region:
    label = {"label_status": state, "attributes": {"format_version": "0.1", "annotations": [*notes]}}
    sample = {"uuid": "u", "name": "a.png", "attributes": {"image": {"url": "https://s/u.png"}}}
    classes = [{"id": 1, "name": "cup"}, {"id": 2, "name": "bus"}]
    about = {"name": "d", "task_type": "vector", "task_attributes": {"format_version": "0.1", "categories": classes}}
    return {"name": "v1", "dataset": {**about, "samples": [{**sample, "labels": {"ground-truth": label}}]}}


def segment(box: Drawn, number: int, kind: str = "bbox") -> Region:
    corners = square(box)
    return {"id": 1, "category_id": number, "type": kind, "points": corners[::2] if kind == "bbox" else corners}


S_CUP, S_BUS = segment(CUP, 1), segment(BUS, 2, "polygon")
ANNOTATED = ("not_annotated",)
SEGMENTS = [
    Layout("segments", {"v1.json": segments(S_CUP, S_BUS)}, BOTH),
    Layout("segments nothing drawn", {"v1.json": segments()}, complete=False),
    Layout("segments prelabeled", {"v1.json": segments(S_CUP, state="PRELABELED")}, complete=False, refused=ANNOTATED),
    Layout(
        "segments mask elsewhere",
        {"v1.json": segments(S_CUP, {"id": 2, "category_id": 2})},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
    Layout(
        "segments unknown class",
        {"v1.json": segments(S_CUP, segment(BUS, 9))},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
]


def kili(*notes: Any, kind: str = "DEFAULT", **more: Any) -> Region:
    return {"labelType": kind, "jsonResponse": {"JOB_0": {"annotations": [*notes]}}, "author": {"id": "x"}, **more}


def kili_note(box: Drawn, kind: str = "rectangle") -> Region:
    poly = [{"normalizedVertices": points(box, 100, 80)}]
    return {"boundingPoly": poly, "categories": [{"name": box[0].upper(), "confidence": 100}], "type": kind, "mid": "m"}


def assets(*labels: Any, **more: Any) -> list[Region]:
    return [{"id": "i", "content": "https://k/a.png", "externalId": "a", "labels": [*labels], **more}]


K_CUP, K_BUS = kili_note(CUP), kili_note(BUS, "semantic")
KILI = [
    Layout("kili", {"data.json": assets(kili(K_CUP, K_BUS))}, BOTH),
    Layout("kili a file each", {"labels/a.json": assets(latestLabel=kili(K_CUP))[0]}, (CUP,), images=("im/a.png",)),
    Layout("kili a review", {"data.json": assets(kili(K_BUS), kili(K_CUP, kind="REVIEW"))}, (CUP,)),
    Layout(
        "kili two people",
        {"data.json": assets(kili(K_CUP), kili(K_CUP, K_BUS))},
        (CUP,),
        frozenset({"bus"}),
        refused=("annotators_differ",),
    ),
    Layout("kili by a model", {"data.json": assets(kili(K_CUP, kind="PREDICTION"))}, complete=False, refused=ANNOTATED),
    Layout(
        "kili marker",
        {"data.json": assets(kili(K_CUP, {**K_BUS, "type": "marker", "boundingPoly": None}))},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
    Layout("kili video", {"data.json": assets({"labelType": "DEFAULT", "jsonResponse": {"0": {}}})}, complete=False,
           refused=ANNOTATED),
]  # fmt: skip


def isat(*objects: Any) -> Region:
    return {"info": {"description": "ISAT", "folder": "/x", "name": "a.png", **SIZE, "depth": 3}, "objects": [*objects]}


def isat_object(box: Drawn, group: int, **more: Any) -> Region:
    known = {"category": box[0], "group": group, "segmentation": square(box), "layer": 1.0, "bbox": [*box[1:]]}
    return known | {"iscrowd": False, **more}


ISAT = [
    Layout("isat", {"a.json": isat(isat_object(CUP, 1), isat_object(BUS, 2))}, BOTH, complete=False),
    Layout(
        "isat parts of a group",
        {"a.json": isat(isat_object(("bus", 50, 20, 60, 60), 2), isat_object(("bus", 80, 20, 90, 50), 2))},
        (BUS,),
        complete=False,
    ),
    Layout("isat a hole", {"a.json": isat(isat_object(CUP, 1), isat_object(("__background__", 12, 12, 20, 20), 1))},
           (CUP,), complete=False),
    Layout("isat crowd", {"a.json": isat(isat_object(CUP, 1), isat_object(BUS, 2, iscrowd=True))}, (CUP,),
           frozenset({"bus"}), complete=False),
    Layout("isat other size", {"a.json": {**isat(), "info": {**isat()["info"], "width": 90}}}, refused=("other_size",)),
]  # fmt: skip


def darwin(*notes: Any, slots: int = 1) -> Region:
    slot = {"type": "image", "slot_name": "0", **SIZE, "source_files": [{"file_name": "a.png", "url": "u"}]}
    return {"version": "2.0", "item": {"name": "a.png", "path": "/", "slots": [slot] * slots}, "annotations": [*notes]}


D_CUP = {"name": "cup", "bounding_box": wide_high(CUP, "x y w h"), "slot_names": ["0"]}
D_BUS = {"name": "bus", "bounding_box": wide_high(BUS, "x y w h"), "polygon": {"paths": [points(BUS)]}}
D_ONE = {"dataset": "d", "image": {**SIZE, "original_filename": "a.png", "path": "/"}, "annotations": [D_CUP]}
DARWIN = [
    Layout("darwin", {"annotations/a.json": darwin(D_CUP, D_BUS)}, BOTH, images=("images/a.png",)),
    Layout("darwin 1", {"a.json": D_ONE}, (CUP,)),
    Layout("darwin a tag", {"a.json": darwin(D_CUP, {"name": "bus", "tag": {}})}, (CUP,), frozenset({"bus"}),
           refused=("bad_box",)),
    Layout("darwin several slots", {"a.json": darwin(D_CUP, slots=2)}, (CUP,), complete=False, refused=ANNOTATED),
]  # fmt: skip


def encord(*objects: Any, state: str = "LABELLED", kind: str = "image") -> list[Region]:
    unit = {"data_title": "a.png", "data_type": f"{kind}/png", "labels": {"objects": [*objects]}, **SIZE}
    return [{"label_hash": "h", "data_title": "a.png", "label_status": state, "data_units": {"u": unit}}]


E_CUP = {"name": "cup", "shape": "bounding_box", "boundingBox": wide_high(CUP, "x y w h", 100, 80)}
E_BUS = {"name": "bus", "shape": "polygon", "polygon": {str(n): p for n, p in enumerate(points(BUS, 100, 80))}}
E_TURNED = {"name": "bus", "shape": "rotatable_bounding_box"}
E_TURNED["rotatableBoundingBox"] = wide_high(("", 60, 10, 80, 70), "x y w h", 100, 80) | {"theta": 90.0}  # type: ignore[assignment]
ENCORD = [
    Layout("encord", {"e.json": encord(E_CUP, E_BUS)}, BOTH),
    Layout("encord turned", {"e.json": encord(E_TURNED)}, (("bus", 40, 30, 100, 50),)),
    Layout("encord not labelled", {"e.json": encord(state="NOT_LABELLED")}, complete=False, refused=ANNOTATED),
    Layout("encord video", {"e.json": encord(kind="video")}, complete=False, refused=ANNOTATED),
]


def dataloop(*notes: Any) -> Region:
    return {"id": "i", "datasetId": "d", "filename": "/a.png", "annotated": True, "annotations": [*notes]}


DL_CUP = {"type": "box", "label": "cup", "coordinates": [{"x": 10, "y": 10, "z": 0}, {"x": 30, "y": 30, "z": 0}]}
DL_BUS = {"type": "segment", "label": "bus", "coordinates": [points(BUS)]}
A_BOX = wide_high(CUP, "left top width height") | {"label": "cup", "type": "box"}
TASK = {"task_id": "t", "status": "completed", "params": {"attachment": "https://s/a.png"}}
TASK |= {"response": {"annotations": [A_BOX, {"label": "bus", "type": "polygon", "vertices": points(BUS)}]}}
INSTANCES = [
    {"type": "bbox", "className": "cup", "points": dict(zip(("x1", "y1", "x2", "y2"), CUP[1:], strict=True))},
    {"type": "polygon", "className": "bus", "points": [v for p in square(BUS) for v in p]},
]
LABELS = [{"class_name": "cup", "bbox": [*CUP[1:]]}, {"class_name": "bus", "bbox": [*BUS[1:]], "polygon": square(BUS)}]


def superannotate(*instances: Any, state: str = "Completed") -> Region:
    return {"metadata": {"name": "a.png", **SIZE, "status": state}, "instances": [*instances], "comments": []}


def hasty(*labels: Any, state: str = "DONE") -> Region:
    image = {"image_id": "i", "image_name": "a.png", "dataset_name": "d", **SIZE, "image_status": state}
    return {"export_format_version": "1.1", "label_classes": [], "images": [{**image, "labels": [*labels]}]}


def vott(*regions: Any, **more: Any) -> Region:
    about = {"id": "i", "name": "a.png", "path": "file:/x/a.png", "size": SIZE, "state": 2, **more}
    return {"asset": about, "regions": [*regions], "version": "2.2.0"}


def tagged(box: Drawn, *more: str) -> Region:
    around = wide_high(box, "left top width height")
    return {"type": "RECTANGLE", "tags": [box[0], *more], "boundingBox": around, "points": points(box)}


OTHERS = [
    Layout("dataloop", {"json/a.json": dataloop(DL_CUP, DL_BUS)}, BOTH, images=("items/a.png",)),
    Layout("dataloop nothing drawn", {"json/a.json": dataloop()}, complete=False, images=("items/a.png",)),
    Layout("dataloop a point", {"json/a.json": dataloop(DL_CUP, {"type": "point", "label": "bus", "coordinates": []})},
           (CUP,), frozenset({"bus"}), images=("items/a.png",), refused=("bad_box",)),
    Layout("scale", {"tasks.json": [TASK]}, BOTH),
    Layout("scale pending", {"tasks.json": [{**TASK, "status": "pending", "response": {}}]}, complete=False,
           refused=ANNOTATED),
    Layout("superannotate", {"a.png.json": superannotate(*INSTANCES)}, BOTH),
    Layout("superannotate done", {"a.png.json": superannotate()}),
    Layout("superannotate begun", {"a.png.json": superannotate(state="InProgress")}, complete=False),
    Layout("hasty", {"h.json": hasty(*LABELS)}, BOTH),
    Layout("hasty begun", {"h.json": hasty(*LABELS, state="IN PROGRESS")}, BOTH, complete=False),
    Layout("vott", {"i-asset.json": vott(tagged(CUP), tagged(BUS))}, BOTH),
    Layout("vott project", {"x-export.json": {"assets": {"i": vott(tagged(CUP), tagged(BUS))}}}, BOTH),
    Layout("vott two tags", {"i-asset.json": vott(tagged(CUP), tagged(BUS, "van"))}, (CUP,), frozenset({"bus", "van"})),
    Layout("vott a frame", {"i-asset.json": vott(tagged(CUP), parent={"name": "v.mp4"})}, (CUP,), complete=False,
           refused=ANNOTATED),
]  # fmt: skip
PLATFORMS = [*VIA3, *SEGMENTS, *KILI, *ISAT, *DARWIN, *ENCORD, *OTHERS]
