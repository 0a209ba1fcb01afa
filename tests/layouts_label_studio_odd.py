"""Label Studio's exports of which a part is missing, damaged, turned, or named alike."""

from __future__ import annotations

from annotation_layouts import CUP, Layout
from layouts_label_studio import L_BUS, L_CUP, annotation, least, other, rect, studio, task

ODD_STUDIO = [
    Layout(
        "studio a task without its data",
        {"p.json": [*studio(L_CUP), {"id": 2, "image": "b.png", "annotations": [annotation(L_BUS)]}]},
        (CUP,),
        refused=("bad_entry",),
        images=("a.png", "b.png"),
    ),
    Layout(
        "studio two uploads of one name",
        {
            "p.json": [
                *studio(L_CUP, image="/data/upload/1/11111111-a.png"),
                *studio(L_BUS, image="/data/upload/1/22222222-a.png"),
            ]
        },
        (CUP,),
        images=("1/11111111-a.png", "1/22222222-a.png"),
    ),
    Layout(
        "studio two uploads of one name, renamed",
        {
            "p.json": [
                *studio(L_CUP, image="/data/upload/1/11111111-a.png"),
                *studio(L_BUS, image="/data/upload/1/22222222-a.png"),
            ]
        },
        error="none of the 2 image files is there",
    ),
    Layout(
        "studio one image in two tasks",
        {"p.json": [*studio(L_CUP), *studio(rect("cup", 12, 10, 20, 20), id=2)]},
        (CUP,),
    ),
    Layout(
        "studio a name that looks like an upload",
        {"p.json": studio(L_CUP, image="/data/upload/1/deadbeef-a.png")},
        (CUP,),
        images=("deadbeef-a.png", "a.png"),
    ),
    Layout(
        "studio text beside the image",
        {"p.json": studio(L_CUP, data={"image": "a.png", "caption": "a cup.", "id": 7, "source": None})},
        (CUP,),
    ),
    Layout(
        "studio turned backwards",
        {"p.json": studio(rect("bus", 50, 40, 20, 10, rotation=-90))},
        (("bus", 50, 20, 60, 40),),
    ),
    Layout(
        "studio turned beyond the border",
        {"p.json": studio(rect("bus", 5, 0, 20, 40, rotation=45))},
        (("bus", 0, 0, 20, 43),),
    ),
    Layout(
        "studio polygon of objects",
        {"p.json": studio(L_CUP, other("polygonlabels", "bus", points=[{"x": 1, "y": 1}] * 4))},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
    Layout(
        "studio beyond the border",
        {"p.json": studio(L_CUP, rect("bus", 50, 20, 70, 40))},
        (CUP,),
        frozenset({"bus"}),
        refused=("box_outside",),
    ),
    Layout(
        "studio several sizes",
        {"p.json": studio(L_CUP, L_BUS | {"original_width": 200})},
        (CUP,),
        frozenset({"bus"}),
        refused=("other_size",),
    ),
    Layout(
        "studio a list of pages",
        {"p.json": [*studio(L_CUP), task(annotation(L_BUS), data={"pages": ["a.png", "b.png"]})]},
        (CUP,),
        refused=("several_images",),
    ),
    Layout(
        "studio annotations by number",
        {"p.json": [*studio(L_CUP), task() | {"annotations": [1, 2]}]},
        (CUP,),
        refused=("bad_entry",),
    ),
    Layout(
        "studio a damaged region",
        {"p.json": studio(L_CUP, {"id": "x", "value": 7})},
        (CUP,),
        complete=False,
        refused=("bad_entry",),
    ),
    Layout("studio damaged tasks", {"p.json": [7, *studio(L_CUP)]}, (CUP,), refused=("bad_entry",)),
    Layout(
        "studio ratings of a region",
        {"p.json": studio(L_CUP, {"id": "r10-10", "type": "rating", "value": {"rating": 4, "x": 1, "y": 2}})},
        (CUP,),
    ),
    Layout(
        "studio video boxes in an image",
        {"p.json": studio(L_CUP, {"id": "v", "type": "videorectangle", "value": {"labels": ["bus"], "sequence": []}})},
        (CUP,),
        frozenset({"bus"}),
    ),
    Layout(
        "studio three readings, one empty",
        {"p.json": [task(annotation(L_CUP), annotation(), annotation(L_CUP))]},
        (),
        frozenset({"cup"}),
        refused=("annotators_differ",),
    ),
    Layout(
        "studio empty label",
        {"p.json": studio(L_CUP, rect("", 50, 20, 9, 9) | {"type": "rectanglelabels"})},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "studio least, apart",
        {
            "p.json": [
                {
                    "image": "a.png",
                    "id": 1,
                    "box": least(rect(None, 10, 10, 20, 20))["label"],
                    "label": [
                        {
                            "x": 10,
                            "y": 12.5,
                            "width": 20,
                            "height": 25,
                            "labels": ["cup"],
                            "original_width": 100,
                            "original_height": 80,
                        }
                    ],
                }
            ]
        },
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "studio local file of windows, whole path",
        {"p.json": studio(L_CUP, image="/data/local-files/?d=C%3A%5Cphotos%5Ca.png")},
        (CUP,),
        images=("photos/a.png",),
    ),
    Layout(
        "studio image inside",
        {"p.json": [*studio(L_CUP), task(annotation(L_BUS), data={"image": "data:image/png;base64,AAAA"})]},
        (CUP,),
        refused=("missing_image",),
    ),
]
