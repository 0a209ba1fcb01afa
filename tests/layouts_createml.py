"""Layouts of CreateML's JSON."""

from __future__ import annotations

from typing import Any

from annotation_layouts import BOTH, CUP, Layout


def object_at(label: str, x: float, y: float, wide: float, high: float, **more: Any) -> dict[str, Any]:
    """`x`, `y`: its centre."""
    return {"label": label, "coordinates": {"x": x, "y": y, "width": wide, "height": high}, **more}


C_CUP, C_BUS = object_at("cup", 20, 20, 20, 20), object_at("bus", 70, 40, 40, 40)


def createml(*objects: dict[str, Any], name: str = "a.png") -> list[dict[str, Any]]:
    return [{"image": name, "annotations": list(objects)}]


CREATEML = [
    Layout("createml", {"annotations.json": createml(C_CUP, C_BUS)}, BOTH),
    Layout("createml file given", {"x.json": createml(C_CUP)}, (CUP,), given="x.json"),
    Layout("createml other keys", {"x.json": [{"imagefilename": "a.png", "annotation": [C_CUP, C_BUS]}]}, BOTH),
    Layout(
        "createml of roboflow", {"train/_annotations.createml.json": createml(C_CUP)}, (CUP,), images=("train/a.png",)
    ),
    Layout(
        "createml nothing in it", {"x.json": [*createml(), *createml(C_CUP, name="b.png")]}, images=("a.png", "b.png")
    ),
    Layout(
        "createml from the corner",
        {"x.json": createml(object_at("cup", 0, 0, 20, 20), object_at("bus", 2, 1, 40, 40))},
        error="corner",
    ),
    Layout("createml in shares", {"x.json": createml(object_at("cup", 0.2, 0.25, 0.2, 0.25))}, error="shares"),
    Layout(
        "createml two corners",
        {"x.json": createml(object_at("cup", 60, 50, 90, 70), object_at("bus", 40, 30, 95, 75))},
        error="corners",
    ),
    Layout(
        "createml without a box",
        {"x.json": createml(C_CUP, {"label": "bus", "coordinates": {"x": 1}}, {"label": "dog"})},
        (CUP,),
        frozenset({"bus", "dog"}),
        refused=("bad_box", "bad_box"),
    ),
    Layout(
        "createml without a label",
        {"x.json": createml(C_CUP, object_at("", 40, 40, 4, 4))},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "createml one box outside",
        {"x.json": createml(C_CUP, C_BUS, object_at("dog", 99, 40, 20, 20))},
        BOTH,
        frozenset({"dog"}),
        refused=("box_outside",),
    ),
]

CREATEML += [
    Layout(
        "createml above its folder",
        {"x.json": createml(C_CUP, name="photos/a.png")},
        (CUP,),
        images=("set/photos/a.png",),
    ),
    Layout("createml no list", {"x.json": createml(C_CUP)[0]}, (CUP,)),
    Layout(
        "createml damaged entries",
        {"x.json": [*createml(C_CUP), 7, {"image": "b.png"}]},
        (CUP,),
        refused=("bad_entry", "bad_entry"),
    ),
    Layout("createml drawn twice", {"x.json": [*createml(C_CUP), *createml(C_BUS)]}, BOTH),
    Layout(
        "createml of a larger image",
        {"x.json": createml(object_at("cup", 300, 300, 200, 200), object_at("bus", 700, 500, 90, 60))},
        error="outside",
    ),
    Layout(
        "createml all from the corner",
        {"x.json": createml(*(object_at("cup", 9 * n, 3 * n, 12, 16) for n in range(8)))},
        error="corner",
    ),
    Layout(
        "createml words for numbers",
        {"x.json": createml(C_CUP, object_at("bus", "x", 1, 1, 1))},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),  # type: ignore[arg-type]
]
