"""Layouts of CVAT's own XML, in the manner of its exporter."""

from __future__ import annotations

from annotation_layouts import BOTH, BUS, CUP, Layout

META = (
    "<version>1.1</version><meta><task><id>4</id><name>t</name><size>1</size><mode>annotation</mode><labels><label>"
    "<name>cup</name><color>#fa3253</color><type>any</type><attributes></attributes></label></labels></task></meta>"
)
IMAGE = '<image id="0" name="{}" width="100" height="80"{}>{}</image>'
BOX = (
    '<box label="{}" source="manual" occluded="{}" xtl="{}" ytl="{}" xbr="{}" ybr="{}"{} z_order="0">'
    '<attribute name="colour">red</attribute></box>'
)
A_CUP, A_BUS = BOX.format("cup", 0, "10.00", "10.00", "30.00", "30.00", ""), BOX.format("bus", 1, 50, 20, 90, 60, "")
POINTS = '<{} label="{}" source="manual" occluded="0" points="{}" z_order="0"></{}>'


def cvat(shapes: str, name: str = "a.png", more: str = "", after: str = "", head: str = "") -> str:
    head = head or '<?xml version="1.0" encoding="utf-8"?>'
    return f"{head}\n<annotations>{META}{IMAGE.format(name, more, shapes)}{after}</annotations>"


def skeleton() -> str:
    points = POINTS.format("points", "nose", "60.00,20.00", "points").replace("<points ", '<points outside="0" ')
    return f'<skeleton label="person" source="manual" z_order="0">{points}</skeleton>'


def cuboid() -> str:
    names = [f"{axis}{corner}{n}" for n in (1, 2) for corner in ("tl", "bl", "tr", "br") for axis in "xy"]
    sides = " ".join(f'{name}="{n}.00"' for n, name in enumerate(names, 10))
    return f'<cuboid label="bus" occluded="0" {sides} z_order="0"></cuboid>'


TRACK = (
    '<track id="0" label="bus" source="manual"><box frame="0" keyframe="1" outside="0" occluded="0" xtl="1.00" '
    'ytl="1.00" xbr="9.00" ybr="9.00" z_order="0"></box><box frame="1" keyframe="1" outside="1" occluded="0" '
    'xtl="1.00" ytl="1.00" xbr="9.00" ybr="9.00" z_order="0"></box></track>'
)
PARTS = (
    POINTS.format("polygon", "bus", "50.00,20.00;90.00,20.00;90.00,60.00", "polygon")
    + '<ellipse label="cup" source="manual" occluded="0" cx="20.00" cy="20.00" rx="10.00" ry="10.00" z_order="0">'
    + '</ellipse><mask label="dog" source="manual" occluded="0" rle="1, 2, 2, 1" left="5" top="70" width="3" '
    + 'height="2" z_order="0"></mask>'
)
PLACES = {
    "as exported": ("images/a.png", "a.png", ""),
    "in a folder": ("images/photos/a.png", "photos/a.png", ""),
    "of a project": ("images/train/a.png", "a.png", ' subset="train" task_id="7"'),
    "beside": ("a.png", "a.png", ""),
    "of a server": ("images/a.png", "/mnt/share/2024/a.png", ""),
    "of windows": ("images/a.png", "C:\\photos\\2024\\a.png", ""),
}
CVAT = [
    *(
        Layout(f"cvat {name}", {"annotations.xml": cvat(A_CUP + A_BUS, given, more)}, BOTH, images=(at,))
        for name, (at, given, more) in PLACES.items()
    ),
    Layout("cvat with byte-order mark", {"annotations.xml": cvat(A_CUP)}, (CUP,), encoding="utf-8-sig"),
    Layout(
        "cvat file given", {"annotations.xml": cvat(A_CUP)}, (CUP,), images=("images/a.png",), given="annotations.xml"
    ),
    Layout("cvat annotations in a folder", {"annotations/t.xml": cvat(A_CUP)}, (CUP,), images=("images/a.png",)),
    Layout("cvat shapes", {"annotations.xml": cvat(PARTS)}, (*BOTH, ("dog", 5, 70, 8, 72))),
    Layout(
        "cvat turned box",
        {"annotations.xml": cvat(BOX.format("bus", 0, 40, 30, 60, 40, ' rotation="90.00"'))},
        (("bus", 45, 25, 55, 45),),
    ),
    Layout(
        "cvat box turned beyond the border",
        {"annotations.xml": cvat(BOX.format("bus", 0, 0, 30, 20, 40, ' rotation="45.00"'))},
        (("bus", 0, 24, 21, 46),),
    ),
    Layout(
        "cvat turned ellipse",
        {
            "annotations.xml": cvat(
                PARTS[PARTS.index("<ellipse") : PARTS.index("<mask")].replace(
                    'rx="10.00"', 'rx="5.00" rotation="90.00"'
                )
            )
        },
        (("cup", 10, 15, 30, 25),),
    ),
    Layout(
        "cvat tag",
        {"annotations.xml": cvat(A_CUP + '<tag label="dog" source="manual"></tag>')},
        (CUP,),
        frozenset({"dog"}),
        labels=("cup",),
    ),
    Layout(
        "cvat lines and points",
        {
            "annotations.xml": cvat(
                A_CUP
                + POINTS.format("polyline", "road", "1,1;9,9;9,1", "polyline")
                + POINTS.format("points", "wheel", "5,5", "points")
            )
        },
        (CUP,),
        frozenset({"road", "wheel"}),
        refused=("bad_box", "bad_box"),
    ),
    Layout(
        "cvat cuboid", {"annotations.xml": cvat(A_CUP + cuboid())}, (CUP,), frozenset({"bus"}), refused=("bad_box",)
    ),
    Layout(
        "cvat skeleton",
        {"annotations.xml": cvat(A_CUP + skeleton())},
        (CUP,),
        frozenset({"person", "nose"}),
        refused=("bad_box",),
    ),
    Layout(
        "cvat without a label",
        {"annotations.xml": cvat(A_CUP + BOX.format("", 0, 1, 1, 9, 9, ""))},
        (CUP,),
        complete=False,
        refused=("unknown_label_or_image",),
    ),
    Layout("cvat nothing drawn", {"annotations.xml": cvat("")}, complete=False),
    Layout(
        "cvat outside",
        {"annotations.xml": cvat(A_CUP + A_BUS.replace("<box ", '<box outside="1" '))},
        (CUP,),
        frozenset({"bus"}),
    ),
    Layout(
        "cvat for video",
        {"annotations.xml": cvat("").replace(IMAGE.format("a.png", "", ""), TRACK)},
        error="CVAT for images",
    ),
    Layout(
        "cvat tracks beside images",
        {"annotations.xml": cvat(A_CUP, after=TRACK)},
        (CUP,),
        frozenset({"bus"}),
        refused=("track",),
    ),
    Layout(
        "cvat with an entity",
        {"annotations.xml": cvat(A_CUP, head='<!DOCTYPE a [<!ENTITY e "eeee">]>')},
        error="entity",
    ),
    Layout(
        "cvat of another size",
        {"annotations.xml": cvat(A_CUP).replace('width="100"', 'width="200"')},
        refused=("other_size",),
    ),
    Layout(
        "cvat beyond the border",
        {"annotations.xml": cvat(A_CUP + BOX.format("bus", 0, 50, 20, 190, 60, ""))},
        (CUP,),
        frozenset({"bus"}),
        refused=("box_outside",),
    ),
    Layout(
        "cvat a number is none",
        {"annotations.xml": cvat(A_CUP + BOX.format("bus", 0, "nan", 20, 90, 60, ""))},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
    Layout(
        "cvat two tasks of one image",
        {
            "1/annotations.xml": cvat(A_CUP + A_BUS),
            "2/annotations.xml": cvat(A_CUP + BOX.format("bus", 0, 51, 20, 90, 60, "")),
        },
        (CUP, BUS, ("bus", 51, 20, 90, 60)),
        frozenset({"bus"}),
        images=("images/a.png",),
    ),
]

CVAT += [
    Layout(
        "cvat one name in two parts",
        {"annotations.xml": cvat(A_CUP, more=' subset="train"', after=IMAGE.format("a.png", ' subset="val"', A_BUS))},
        (CUP,),
        images=("images/train/a.png", "images/val/a.png"),
    ),
    Layout(
        "cvat two tasks with images of their own",
        {"1/annotations.xml": cvat(A_CUP), "2/annotations.xml": cvat(A_BUS)},
        (CUP,),
        images=("1/images/a.png", "2/images/a.png"),
    ),
    Layout(
        "cvat one name in two folders that it does not tell",
        {"annotations.xml": cvat(A_CUP)},
        images=("photos/1/a.png", "photos/2/a.png"),
        error="none of the 1 image files is there",
    ),
    Layout(
        "cvat an earlier and a later export",
        {
            "1.xml": cvat(A_CUP + A_BUS),
            "2.xml": cvat(BOX.format("cup", 0, 60, 60, 70, 70, "") + A_BUS),
        },
        (*BOTH, ("cup", 60, 60, 70, 70)),
        frozenset({"cup"}),
    ),
    Layout("cvat without sizes", {"annotations.xml": cvat(A_CUP).replace(' width="100" height="80"', "")}, (CUP,)),
    Layout(
        "cvat spellings of a label",
        {"annotations.xml": cvat(A_CUP + A_BUS.replace("bus", " CUP "))},
        (CUP, ("cup", 50, 20, 90, 60)),
    ),
    Layout("cvat drawn twice", {"annotations.xml": cvat(A_CUP + A_CUP)}, (CUP,)),
    Layout(
        "cvat polygon cut short",
        {"annotations.xml": cvat(A_CUP + POINTS.format("polygon", "bus", "1,1;2", "polygon"))},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
    Layout(
        "cvat corners the other way",
        {"annotations.xml": cvat(A_CUP + BOX.format("bus", 0, 90, 60, 50, 20, ""))},
        (CUP,),
        frozenset({"bus"}),
        refused=("empty_box",),
    ),
    Layout(
        "cvat with its own shapes unknown",
        {"annotations.xml": cvat(A_CUP + '<sphere label="bus" r="1"></sphere>')},
        (CUP,),
        frozenset({"bus"}),
        refused=("bad_box",),
    ),
    Layout(
        "cvat beside voc",
        {"annotations.xml": cvat(A_CUP), "b.xml": "<annotation><filename>b.png</filename></annotation>"},
        images=("b.png", "a.png"),
        refused=("bad_entry",),
    ),
    Layout("cvat tagged only", {"annotations.xml": cvat('<tag label="dog"></tag>')}, (), frozenset({"dog"}), labels=()),
    Layout(
        "cvat turned a whole round",
        {"annotations.xml": cvat(BOX.format("cup", 0, 10, 10, 30, 30, ' rotation="360.00"'))},
        (CUP,),
    ),
    Layout(
        "cvat a mask of nothing",
        {"annotations.xml": cvat(A_CUP + '<mask label="bus" rle="" left="5" top="7" width="0" height="0"></mask>')},
        (CUP,),
        frozenset({"bus"}),
        refused=("empty_box",),
    ),
    Layout("cvat unsafe name", {"annotations.xml": cvat(A_CUP, "../../etc/a.png")}, (CUP,), images=("in/a.png",)),
    Layout(
        "cvat wide letters",
        {"annotations.xml": cvat(A_CUP, head='<?xml version="1.0" encoding="utf-16"?>')},
        (CUP,),
        encoding="utf-16",
    ),
]
