"""Layouts of VIA 2's JSON and CSV, in the manner of its exporter."""

from __future__ import annotations

import json
from typing import Any

from annotation_layouts import BOTH, CUP, Layout, Region


def region(shape: dict[str, Any], **attributes: Any) -> Region:
    return {"shape_attributes": shape, "region_attributes": attributes}


def via_rect(x: float, y: float, wide: float, high: float) -> dict[str, Any]:
    return {"name": "rect", "x": x, "y": y, "width": wide, "height": high}


V_CUP, V_BUS = region(via_rect(10, 10, 20, 20), object="cup"), region(via_rect(50, 20, 40, 40), object="bus")


def via(*regions: Region, name: str = "a.png", **more: Any) -> dict[str, Any]:
    return {f"{name}817": {"filename": name, "size": 817, "regions": list(regions), "file_attributes": {}, **more}}


def project(*regions: Region, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    settings = {"core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""}, "project": {"name": "p"}}
    known = {"_via_settings": settings, "_via_img_metadata": via(*regions)}
    return {**known, "_via_attributes": {"region": attributes or {}, "file": {}}, "_via_data_format_version": "2.0.10"}


def via_csv(*regions: Region, head: str = "filename", separator: str = ",") -> str:
    names = "file_size file_attributes region_count region_id region_shape_attributes region_attributes"
    lines = [separator.join((head, *names.split()))]
    for n, one in enumerate(regions or (region({}),)):
        cells = (json.dumps(one[key]).replace('"', '""') for key in ("shape_attributes", "region_attributes"))
        about = ("a.png", "817", '"{}"', str(len(regions)), str(n))
        lines.append(separator.join((*about, *(f'"{cell}"' for cell in cells))))
    return "\n".join(lines) + "\n"


CIRCLE = {"name": "circle", "cx": 20, "cy": 20, "r": 10}
ELLIPSE = {"name": "ellipse", "cx": 70, "cy": 40, "rx": 10, "ry": 20, "theta": 1.5707963267948966}
CORNERS = {"name": "polygon", "all_points_x": [50, 90, 90], "all_points_y": [20, 20, 60]}
CHOSEN = {"object": {"type": "dropdown", "options": {"1": "cup", "2": "bus"}, "default_options": {}}}
VIA = [
    Layout("via project", {"via_project.json": project(V_CUP, V_BUS)}, BOTH, complete=False),
    Layout("via annotations", {"via_project_json.json": via(V_CUP, V_BUS)}, BOTH, complete=False),
    Layout("via file given", {"v.json": via(V_CUP)}, (CUP,), complete=False, given="v.json"),
    Layout(
        "via 1",
        {
            "v.json": {
                "a.png817": via()["a.png817"]
                | {"regions": {"0": V_CUP, "1": V_BUS}, "fileref": "", "base64_img_data": ""}
            }
        },
        BOTH,
        complete=False,
    ),
    Layout(
        "via shapes",
        {"v.json": via(region(CIRCLE, object="cup"), region(ELLIPSE, object="dog"), region(CORNERS, object="bus"))},
        (*BOTH, ("dog", 50, 30, 90, 50)),
        complete=False,
    ),
    Layout(
        "via lines and points",
        {
            "v.json": via(
                V_CUP,
                region({"name": "point", "cx": 1, "cy": 1}, object="eye"),
                region(CORNERS | {"name": "polyline"}, object="road"),
            )
        },
        (CUP,),
        frozenset({"eye", "road"}),
        False,
        ("bad_box", "bad_box"),
    ),
    Layout(
        "via numbers as texts",
        {"v.json": via(region({k: str(v) for k, v in via_rect(10, 10, 20, 20).items()}, object="cup"))},
        (CUP,),
        complete=False,
    ),
    Layout(
        "via ticked",
        {
            "v.json": via(
                region(via_rect(10, 10, 20, 20), kind={"cup": True}),
                region(via_rect(50, 20, 9, 9), kind={"bus": True, "van": True, "dog": False}),
            )
        },
        (CUP,),
        frozenset({"bus", "van"}),
        False,
        ("several_labels",),
    ),
    Layout(
        "via numbers of options",
        {"v.json": project(region(via_rect(10, 10, 20, 20), object="1"), attributes=CHOSEN)},
        (CUP,),
        complete=False,
    ),
    Layout(
        "via several attributes",
        {"v.json": via(region(via_rect(10, 10, 20, 20), name="cup", colour="red", note=""))},
        (CUP,),
        complete=False,
    ),
    Layout(
        "via unclear attributes",
        {"v.json": via(region(via_rect(10, 10, 20, 20), make="cup", colour="red"))},
        error="colour, make",
    ),
    Layout(
        "via without a label",
        {"v.json": via(V_CUP, region(via_rect(1, 1, 9, 9)), region(via_rect(2, 1, 9, 9), object=""))},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",) * 2,
    ),
    Layout("via of the web", {"v.json": via(V_CUP, name="https://example.com/x/a.png")}, (CUP,), complete=False),
    Layout(
        "via in a folder",
        {"v.json": via(V_CUP, name="photos/a.png")},
        (CUP,),
        complete=False,
        images=("mine/photos/a.png", "mine/a.png"),
    ),
    Layout(
        "via nothing drawn",
        {"v.json": via(V_CUP, name="b.png") | via()},
        complete=False,
        images=("a.png", "b.png"),
    ),
    Layout("via table", {"via_export_csv.csv": via_csv(V_CUP, V_BUS)}, BOTH, complete=False),
    Layout("via 1 table", {"via_region_data.csv": via_csv(V_CUP, head="#filename")}, (CUP,), complete=False),
    Layout("via table given", {"t.csv": via_csv(V_CUP)}, (CUP,), complete=False, given="t.csv"),
    Layout("via empty table", {"t.csv": via_csv()}, complete=False),
    Layout(
        "via 3",
        {
            "v.json": {
                "project": {"pid": "x", "data_format_version": "3.1.1"},
                "file": {"1": {"fname": "a.png"}},
                "metadata": {"1_x": {"vid": "1", "xy": [2, 1, 1, 9, 9], "av": {"1": "cup"}}},  # without its views
            }
        },
        error="VIA 3",
    ),
]

A_FILE = {"a.png999": {"filename": "a.png", "size": 999, "regions": [V_BUS], "file_attributes": {}}}
VIA += [
    Layout("via one name of two sizes", {"v.json": via(V_CUP) | A_FILE}, error="has the size of another one"),
    Layout(
        "via one name of two sizes in a table",
        {"t.csv": via_csv(V_CUP) + via_csv(V_BUS).replace("817", "999").partition("\n")[2]},
        error="has the size of another one",
    ),
    Layout(
        "via spreadsheet",
        {"t.csv": via_csv(V_CUP, separator=";")},
        (CUP,),
        complete=False,
    ),
    Layout(
        "via options by word",
        {
            "v.json": project(
                V_CUP, attributes={"object": {"type": "dropdown", "options": {"cup": "a thing to drink from"}}}
            )
        },
        (CUP,),
        complete=False,
    ),
    Layout(
        "via undefined",
        {"t.csv": via_csv(V_CUP, region(via_rect(1, 1, 9, 9), object="undefined"))},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "via rectangle of no size",
        {"v.json": via(V_CUP, region(via_rect(5, 5, 0, 0), object="bus"))},
        (CUP,),
        frozenset({"bus"}),
        False,
        ("empty_box",),
    ),
    Layout(
        "via circle of no size",
        {"v.json": via(V_CUP, region({"name": "circle", "cx": 4, "cy": 4, "r": -1}, object="bus"))},
        (CUP,),
        frozenset({"bus"}),
        False,
        ("empty_box",),
    ),
    Layout(
        "via circle beyond the border",
        {"v.json": via(V_CUP, region({"name": "circle", "cx": 4, "cy": 4, "r": 9}, object="bus"))},
        (CUP,),
        frozenset({"bus"}),
        False,
        ("box_outside",),
    ),
    Layout(
        "via polygon of unlike lists",
        {"v.json": via(V_CUP, region(CORNERS | {"all_points_x": [1, 2]}, object="bus"))},
        (CUP,),
        frozenset({"bus"}),
        False,
        ("bad_box",),
    ),
    Layout(
        "via damaged entries",
        {"v.json": via(V_CUP) | {"x": 7, "y": {"filename": "a.png"}}},
        (CUP,),
        complete=False,
        refused=("bad_entry", "bad_entry"),
    ),
    Layout(
        "via damaged row",
        {"t.csv": via_csv(V_CUP) + 'a.png,817,"{}",1,1,"{""name"": ""rect""","{}"\n'},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout(
        "via capital attribute",
        {"v.json": via(region(via_rect(10, 10, 20, 20), Class="cup", Occluded={"yes": True}))},
        (CUP,),
        complete=False,
    ),
]
