"""Layouts of Label Studio's JSON and JSON-MIN, in the manner of its exporter."""

from __future__ import annotations

from typing import Any

from annotation_layouts import BOTH, CUP, Layout, Region


def rect(label: str | None, x: float, y: float, wide: float, high: float, **more: Any) -> Region:
    """Of pixels of the image, in percents of its sides."""
    value = {"x": x, "y": y / 0.8, "width": wide, "height": high / 0.8, "rotation": more.pop("rotation", 0)}
    value |= {"rectanglelabels": [label]} if label else {}
    known = {"id": f"r{x}-{y}", "from_name": "tag", "to_name": "img", "origin": "manual", "image_rotation": 0}
    size = {"original_width": 100, "original_height": 80}
    return {**known, **size, "type": "rectanglelabels" if label else "rectangle", "value": value, **more}


def other(kind: str, label: str, **value: Any) -> Region:
    return rect(label, 1, 1, 9, 9) | {"id": kind + label, "type": kind, "value": {**value, kind: [label]}}


L_CUP, L_BUS = rect("cup", 10, 10, 20, 20), rect("bus", 50, 20, 40, 40)
UPLOAD = "/data/upload/3/1a2b3c4d-a.png"


def annotation(*regions: Region, **more: Any) -> dict[str, Any]:
    known = {"id": 1, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "lead_time": 4.2}
    return {**known, "result": list(regions), **more}


def task(*annotations: dict[str, Any], image: Any = UPLOAD, **more: Any) -> dict[str, Any]:
    known = {"id": 1, "annotations": list(annotations), "predictions": [], "drafts": [], "meta": {}, "project": 3}
    return {**known, "data": {"image": image}, **more}


def studio(*regions: Region, **more: Any) -> list[dict[str, Any]]:
    return [task(annotation(*regions), **more)]


def least(*regions: Region, **more: Any) -> dict[str, Any]:
    """A row of JSON-MIN."""
    values = [{**one["value"], "original_width": 100, "original_height": 80} for one in regions]
    return {"image": UPLOAD, "id": 1, "label": values, "annotator": 1, "annotation_id": 1, "lead_time": 4.2, **more}


POLYGON = {"points": [[50, 25], [90, 25], [90, 75]], "closed": True}
NAMES = {
    "upload": ("images/1a2b3c4d-a.png", UPLOAD),
    "upload under its own name": ("photos/a.png", UPLOAD),
    "local files": ("photos/a.png", "/data/local-files/?d=home/me/photos/a.png"),
    "cloud": ("a.png", "s3://bucket/some%20photos/a.png"),
    "web": ("my a.png", "https://example.com/x/my%20a.png?token=1"),
    "windows": ("a.png", "/data/local-files/?d=photos%5Ca.png"),
}
STUDIO = [
    *(
        Layout(f"studio {name}", {"project-1.json": studio(L_CUP, L_BUS, image=given)}, BOTH, images=(at,))
        for name, (at, given) in NAMES.items()
    ),
    Layout("studio file given", {"p.json": studio(L_CUP)}, (CUP,), given="p.json"),
    Layout("studio one task a file", {"1.json": studio(L_CUP)[0]}, (CUP,)),
    Layout(
        "studio as a storage has it",
        {"1.json": annotation(L_CUP) | {"task": {"id": 1, "data": {"image": UPLOAD}}}},
        (CUP,),
    ),
    Layout(
        "studio earlier name",
        {"p.json": [{"id": 1, "data": {"image": UPLOAD}, "completions": [annotation(L_CUP)]}]},
        (CUP,),
    ),
    Layout(
        "studio shapes",
        {
            "p.json": studio(
                other("polygonlabels", "bus", **POLYGON),
                other("ellipselabels", "cup", x=20, y=25, radiusX=10, radiusY=12.5, rotation=0),
            )
        },
        BOTH,
    ),
    Layout(
        "studio turned box", {"p.json": studio(rect("bus", 60, 20, 20, 10, rotation=90))}, (("bus", 50, 20, 60, 40),)
    ),
    Layout(
        "studio turned by 37 degrees",
        {"p.json": studio(rect("bus", 50, 20, 20, 10, rotation=37))},
        (("bus", 43, 20, 66, 41),),
    ),
    Layout(
        "studio turned without sizes",
        {
            "p.json": studio(
                L_CUP | {"original_width": None}, rect("bus", 60, 20, 20, 10, rotation=90, original_width=None)
            )
        },
        (CUP,),
        frozenset({"bus"}),
        refused=("rotated",),
    ),
    Layout(
        "studio turned image",
        {"p.json": studio(L_CUP, L_BUS | {"image_rotation": 90})},
        (CUP,),
        frozenset({"bus"}),
        refused=("rotated",),
    ),
    Layout(
        "studio shape and label apart",
        {
            "p.json": studio(
                rect(None, 10, 10, 20, 20),
                {"id": "r10-10", "type": "labels", "value": {"labels": ["cup"]}, "to_name": "img"},
            )
        },
        (CUP,),
    ),
    Layout(
        "studio without a label",
        {"p.json": studio(L_CUP, rect(None, 50, 20, 9, 9))},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "studio brush and key point",
        {
            "p.json": studio(
                L_CUP,
                other("brushlabels", "bus", format="rle", rle=[0, 1]),
                other("keypointlabels", "nose", x=1, y=1, width=0.2),
            )
        },
        (CUP,),
        frozenset({"bus", "nose"}),
        refused=("bad_box", "bad_box"),
    ),
    Layout(
        "studio two labels of one box",
        {"p.json": studio(L_CUP, L_BUS | {"value": L_BUS["value"] | {"rectanglelabels": ["bus", "van"]}})},
        (CUP,),
        frozenset({"bus", "van"}),
        refused=("several_labels",),
    ),
    Layout(
        "studio choices",
        {
            "p.json": studio(
                L_CUP,
                {"id": "c", "type": "choices", "from_name": "what", "to_name": "img", "value": {"choices": ["dog"]}},
                {"type": "relation", "from_id": "a", "to_id": "b"},
            )
        },
        (CUP,),
        frozenset({"dog"}),
    ),
    Layout(
        "studio words about a region",
        {
            "p.json": studio(
                L_CUP,
                {"id": "r10-10", "type": "choices", "to_name": "img", "value": {"choices": ["whole"], "x": 1}},
                {"id": "r10-10", "type": "textarea", "value": {"text": ["mine"]}},
            )
        },
        (CUP,),
    ),
    Layout("studio nothing in it", {"p.json": [*studio(), *studio(L_CUP, image="b.png")]}, images=("a.png", "b.png")),
    Layout(
        "studio not annotated",
        {"p.json": [task(), *studio(L_CUP, image="b.png")]},
        complete=False,
        refused=("not_annotated",),
        images=("a.png", "b.png"),
    ),
    Layout(
        "studio skipped",
        {"p.json": [task(annotation(L_CUP, was_cancelled=True))]},
        complete=False,
        refused=("not_annotated",),
    ),
    Layout(
        "studio skipped by one", {"p.json": [task(annotation(L_BUS, was_cancelled=True), annotation(L_CUP))]}, (CUP,)
    ),
    Layout(
        "studio predictions alone",
        {"p.json": [task(predictions=[{"model_version": "1", "score": 0.9, "result": [L_CUP]}])]},
        complete=False,
        refused=("not_annotated",),
    ),
    Layout(
        "studio predictions beside",
        {"p.json": [task(annotation(L_CUP), predictions=[{"result": [L_BUS]}], drafts=[{"result": [L_BUS]}])]},
        (CUP,),
    ),
    Layout(
        "studio two who agree", {"p.json": [task(annotation(L_CUP), annotation(rect("cup", 11, 10, 20, 20)))]}, (CUP,)
    ),
    Layout(
        "studio two who differ",
        {
            "p.json": [
                task(annotation(L_CUP, L_BUS), annotation(L_CUP, rect("bus", 1, 1, 5, 5)), annotation(L_CUP, L_BUS))
            ]
        },
        (CUP,),
        frozenset({"bus"}),
        refused=("annotators_differ",),
    ),
    Layout(
        "studio one saw more",
        {"p.json": [task(annotation(L_CUP), annotation(L_CUP, L_BUS))]},
        (CUP,),
        frozenset({"bus"}),
        refused=("annotators_differ",),
    ),
    Layout("studio the true one", {"p.json": [task(annotation(L_BUS), annotation(L_CUP, ground_truth=True))]}, (CUP,)),
    Layout("studio of another size", {"p.json": studio(L_CUP | {"original_width": 300})}, refused=("other_size",)),
    Layout(
        "studio several images",
        {"p.json": [*studio(L_CUP), task(annotation(L_BUS), data={"left": "a.png", "right": "b.png"})]},
        (CUP,),
        refused=("several_images",),
    ),
    Layout(
        "studio a number is none",
        {
            "p.json": studio(
                L_CUP,
                rect("bus", 50, 20, 9, 9)
                | {"value": {"x": None, "y": 1, "width": 1, "height": 1, "rectanglelabels": ["bus"]}},
            )
        },
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
    Layout(
        "studio video",
        {
            "p.json": [
                *studio(L_CUP),
                task(
                    annotation({"id": "v", "type": "videorectangle", "value": {"labels": ["bus"], "sequence": []}}),
                    data={"video": "v.mp4"},
                ),
            ]
        },
        (CUP,),
        refused=("missing_image",),
    ),
    Layout("studio least", {"p.json": [least(L_CUP, L_BUS)]}, BOTH),
    Layout(
        "studio least, turned",
        {"p.json": [least(rect("bus", 60, 20, 20, 10, rotation=90))]},
        (("bus", 50, 20, 60, 40),),
    ),
    Layout(
        "studio least, two who differ",
        {"p.json": [least(L_CUP, L_BUS), least(L_CUP, annotation_id=2)]},
        (CUP,),
        frozenset({"bus"}),
        refused=("annotators_differ",),
    ),
    Layout(
        "studio least, brush",
        {"p.json": [least(L_CUP, other("brushlabels", "bus", format="rle", rle=[0, 1]))]},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
]
