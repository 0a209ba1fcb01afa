"""Layouts of Datumaro's, Supervisely's and Labelbox's own exports, in the manner of their exporters."""

from __future__ import annotations

import base64
import io
import json
import zlib
from typing import Any

from PIL import Image as PilImage

from annotation_layouts import BOTH, BUS, CUP, Layout, Region

# Datumaro.

LABELS = {"label": {"labels": [{"name": name, "parent": "", "attributes": []} for name in ("cup", "bus")]}}
RLE = {"size": [80, 100], "counts": "Zi0d0l10000000000000000000000000000000000000f^5"}  # columns and rows 10 to 29


def drawn(number: int | None, **shape: Any) -> Region:
    return {"id": 0, "type": "bbox", "attributes": {"occluded": False}, "group": 0, "label_id": number, **shape}


D_CUP, D_BUS = drawn(0, bbox=[10.0, 10.0, 20.0, 20.0]), drawn(1, bbox=[50.0, 20.0, 40.0, 40.0])


def datumaro(*notes: Any, item: str = "a", size: tuple[int, int] = (80, 100), path: str = "a.png") -> Region:
    items = [{"id": item, "annotations": list(notes), "attr": {}, "image": {"path": path, "size": list(size)}}]
    return {"info": {}, "categories": LABELS, "items": items}


AT, PLACED = "annotations/default.json", ("images/default/a.png",)
DATUMARO = [
    Layout("datumaro", {AT: datumaro(D_CUP, D_BUS)}, BOTH, images=PLACED),
    Layout("datumaro file given", {AT: datumaro(D_CUP, D_BUS)}, BOTH, images=PLACED, given=AT),
    Layout("datumaro no part in the folder", {AT: datumaro(D_CUP)}, (CUP,), images=("images/a.png",)),
    Layout("datumaro only the id", {AT: datumaro(D_CUP, path="")}, (CUP,), images=PLACED),
    Layout("datumaro of a part", {"annotations/train.json": datumaro(D_CUP)}, (CUP,), images=("images/train/a.png",)),
    Layout("datumaro nothing drawn", {AT: datumaro()}, complete=False, images=PLACED),
    Layout("datumaro size of another", {AT: datumaro(D_CUP, size=(90, 90))}, images=PLACED, refused=("other_size",)),
    Layout(
        "datumaro other shapes",
        {
            AT: datumaro(
                drawn(0, type="mask", rle=RLE),
                drawn(1, type="polygon", points=[50, 20, 90, 20, 90, 60]),
            )
        },
        BOTH,
        images=PLACED,
    ),
    Layout(
        "datumaro turned",
        {AT: datumaro(drawn(1, bbox=[60, 10, 20, 60], attributes={"rotation": 90.0}))},
        (("bus", 40, 30, 100, 50),),
        images=PLACED,
    ),
    Layout(
        "datumaro ellipse",
        {AT: datumaro(drawn(0, type="ellipse", points=[10, 10, 30, 30]))},
        (CUP,),
        images=PLACED,
    ),
    Layout(
        "datumaro without a place",
        {AT: datumaro(D_CUP, drawn(1, type="points", points=[4, 4]), drawn(1, type="label"))},
        (CUP,),
        frozenset({"bus"}),
        images=PLACED,
        refused=("bad_box",),
    ),
    Layout(
        "datumaro crowd",
        {AT: datumaro(D_CUP, drawn(1, bbox=[50, 20, 40, 40], attributes={"is_crowd": True}))},
        (CUP,),
        frozenset({"bus"}),
        images=PLACED,
    ),
    Layout(
        "datumaro unknown label",
        {AT: datumaro(D_CUP, drawn(7, bbox=[50, 20, 40, 40]), drawn(None, bbox=[1, 1, 4, 4]), 7)},
        (CUP,),
        complete=False,
        images=PLACED,
        refused=("unknown_label_or_image",) * 3,
    ),
    Layout(
        "datumaro shares",
        {AT: datumaro(drawn(0, bbox=[0.1, 0.125, 0.2, 0.25]))},
        images=PLACED,
        error="shares or percents",
    ),
    Layout("datumaro images elsewhere", {AT: datumaro(D_CUP, item="b", path="b.png")}, error="none of the 1 image"),
    Layout(
        "datumaro damaged items",
        {AT: datumaro(D_CUP) | {"items": [*datumaro(D_CUP)["items"], 5, {"id": "b"}]}},
        (CUP,),
        images=PLACED,
        refused=("bad_entry", "bad_entry"),
    ),
]

# Supervisely.


def figure(kind: str, title: str, **more: Any) -> Region:
    return {"id": 1, "classId": 2, "geometryType": kind, "tags": [], "classTitle": title, **more}


def exterior(*points: list[float]) -> Region:
    return {"points": {"exterior": list(points), "interior": []}}


S_CUP, S_BUS = (
    figure("rectangle", "cup", **exterior([30, 10], [10, 30])),
    figure("polygon", "bus", **exterior([50, 20], [90, 20], [90, 60])),
)


def supervisely(*figures: Any, size: tuple[int, int] = (80, 100)) -> Region:
    return {"description": "", "tags": [], "size": {"height": size[0], "width": size[1]}, "objects": list(figures)}


def bitmap(wide: int, high: int, origin: list[int]) -> Region:
    png = io.BytesIO()
    PilImage.new("1", (wide, high), 1).save(png, "PNG")
    return {"bitmap": {"data": base64.b64encode(zlib.compress(png.getvalue())).decode(), "origin": origin}}


BOMB = base64.b64encode(zlib.compress(b"\0" * 2**25)).decode()
META = {"meta.json": {"classes": [{"title": "cup", "shape": "rectangle"}], "tags": [], "projectType": "images"}}
IMG = ("set 1/img/a.png",)
SUPERVISELY = [
    Layout("supervisely", META | {"set 1/ann/a.png.json": supervisely(S_CUP, S_BUS)}, BOTH, images=IMG),
    Layout("supervisely data set", {"ann/a.png.json": supervisely(S_CUP)}, (CUP,), images=("img/a.png",)),
    Layout(
        "supervisely file given",
        {"ann/a.png.json": supervisely(S_CUP)},
        (CUP,),
        images=("img/a.png",),
        given="ann/a.png.json",
    ),
    Layout("supervisely old name", {"set 1/ann/a.json": supervisely(S_CUP)}, (CUP,), images=IMG),
    Layout(
        "supervisely same names in two sets",
        {"set 1/ann/a.png.json": supervisely(S_CUP), "set 2/ann/a.png.json": supervisely(S_BUS)},
        (CUP,),
        images=(*IMG, "set 2/img/a.png"),
    ),
    Layout(
        "supervisely nothing drawn",
        {"set 1/ann/a.png.json": supervisely(), "set 1/ann/b.png.json": supervisely(S_CUP)},
        complete=False,
        images=(*IMG, "set 1/img/b.png"),
    ),
    Layout(
        "supervisely bitmap",
        {"set 1/ann/a.png.json": supervisely(figure("bitmap", "cup", **bitmap(20, 20, [10, 10])))},
        (CUP,),
        images=IMG,
    ),
    Layout(
        "supervisely damaged",
        {
            "set 1/ann/a.png.json": supervisely(
                S_CUP,
                figure("point", "bus", **exterior([4, 4])),
                figure("bitmap", "dog", bitmap={"data": BOMB, "origin": [1, 1]}),
                figure("bitmap", "cat", bitmap={"data": "!", "origin": [1, 1]}),
                figure("rectangle", "", **exterior([1, 1], [2, 2])),
            ),
            "set 1/ann/b.png.json": "{",
        },
        (CUP,),
        frozenset({"bus", "dog", "cat"}),
        complete=False,
        images=IMG,
        refused=("bad_box",) * 3 + ("unknown_label_or_image", "bad_entry"),
    ),
]

# Labelbox.


def feature(kind: str, name: str, **more: Any) -> Region:
    return {"feature_id": "f", "name": name, "value": name, "annotation_kind": kind, "classifications": [], **more}


def sides(left: float, top: float, width: float, height: float) -> Region:
    return {"bounding_box": {"top": top, "left": left, "height": height, "width": width}}


L_CUP, L_BUS = (
    feature("ImageBoundingBox", "cup", **sides(10, 10, 20, 20)),
    feature("ImagePolygon", "bus", polygon=[{"x": 50, "y": 20}, {"x": 90, "y": 20}, {"x": 90, "y": 60}]),
)


def label(*objects: Any, skipped: bool = False) -> Region:
    noted = {"objects": list(objects), "classifications": [], "relationships": []}
    return {"label_kind": "Default", "id": "l", "performance_details": {"skipped": skipped}, "annotations": noted}


def labelbox(*labels: Region, name: str = "a.png", **more: Any) -> Region:
    about = {"id": "c", "external_id": name, "row_data": f"https://storage/x/{name}?sig=1"}
    media = {"height": 80, "width": 100, "mime_type": "image/png", "exif_rotation": "1"}
    return {"data_row": about, "media_attributes": media, "projects": {"p": {"labels": list(labels)}}, **more}


def ndjson(*rows: Region | str) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


ROWS = {"export.ndjson": ndjson(labelbox(label(L_CUP, L_BUS)))}
LABELBOX = [
    Layout("labelbox", ROWS, BOTH),
    Layout("labelbox file given", ROWS, BOTH, given="export.ndjson"),
    Layout("labelbox images below", ROWS, BOTH, images=("data/a.png",)),
    Layout("labelbox list", {"export.json": [labelbox(label(L_CUP, L_BUS))]}, BOTH),
    Layout("labelbox of windows", {"e.ndjson": "\ufeff" + ROWS["export.ndjson"] + "\r\n\r\n"}, BOTH),
    Layout("labelbox nothing wanted", {"e.ndjson": ndjson(labelbox(label()))}),
    Layout("labelbox not labelled", {"e.ndjson": ndjson(labelbox())}, complete=False, refused=("not_annotated",)),
    Layout(
        "labelbox skipped",
        {"e.ndjson": ndjson(labelbox(label(L_CUP, skipped=True)))},
        complete=False,
        refused=("not_annotated",),
    ),
    Layout(
        "labelbox two people",
        {"e.ndjson": ndjson(labelbox(label(L_CUP, L_BUS), label(L_CUP)))},
        (CUP,),
        frozenset({"bus"}),
        refused=("annotators_differ",),
    ),
    Layout(
        "labelbox mask and point",
        {"e.ndjson": ndjson(labelbox(label(L_BUS, feature("ImageSegmentationMask", "cup", mask={"url": "https://x"}))))},
        (BUS,),
        frozenset({"cup"}),
        refused=("bad_box",),
    ),
    Layout(
        "labelbox damaged",
        {"e.ndjson": ndjson(labelbox(label(L_CUP, feature("ImagePoint", ""))), "{", "[]")},
        (CUP,),
        complete=False,
        refused=("bad_entry", "bad_entry", "unknown_label_or_image"),
    ),
    Layout(
        "labelbox of a video",
        {"e.ndjson": ndjson(labelbox({**label(), "annotations": {"frames": {}}}))},
        complete=False,
        refused=("track",),
    ),
]
EXPORTS = [*DATUMARO, *SUPERVISELY, *LABELBOX]
