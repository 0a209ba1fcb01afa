"""Projects of VIA 3 in the form of VIA 2's: a view's file with its regions, attributes by their names.

A shape is a list that begins with its kind. Views of several files, and shapes in videos, are no regions of an image.

Source of the format: the program's own notes (gitlab.com/vgg/via, via-3.x.y/CodeDoc.md).
"""

from __future__ import annotations

from typing import Any

from aot.data.photos.outlines import numbers_in, surrounding

KEYS = (b'"fid_list"', b'"metadata"', b'"vid_list"')
_IMAGE, _TEXT, _TICKED = 2, 1, 2
_NAMED = {2: ("rect", "x y width height"), 3: ("circle", "cx cy r"), 4: ("ellipse", "cx cy rx ry")}
_POLYGON, _EXTREME_RECTANGLE = 7, 8


def as_via2(content: dict[str, Any]) -> dict[str, Any] | None:
    """Images by their view, as VIA 2 has them; None where the content is no project of VIA 3."""
    parts: list[Any] = [content.get(key) for key in ("file", "view", "metadata", "attribute")]
    if not all(isinstance(held, dict) for held in parts):
        return None
    files, views, notes, attributes = parts
    images: dict[str, Any] = {}
    for view, about in views.items():
        ids = about.get("fid_list") if isinstance(about, dict) else None
        file = files.get(str(ids[0])) if isinstance(ids, list) and len(ids) == 1 else None
        known = file if isinstance(file, dict) and file.get("type") == _IMAGE else {}
        images[view] = {"filename": known.get("fname") or known.get("src"), "regions": []}
    for note in notes.values():
        entry = images.get(str(note.get("vid"))) if isinstance(note, dict) else None
        if entry is None or not note.get("xy"):  # it is of the whole file, or of no view
            continue
        held = note.get("av")
        values = {key: value for key, value in held.items() if key in attributes} if isinstance(held, dict) else {}
        named = dict(_value(attributes[key], value) for key, value in values.items())
        shape = _shape(note["xy"]) if not note.get("z") else {}
        entry["regions"].append({"shape_attributes": shape, "region_attributes": named})
    return images


def _value(attribute: Any, value: Any) -> tuple[str, Any]:
    """An attribute's name, and what is written, chosen or ticked, in words."""
    known = attribute if isinstance(attribute, dict) else {}
    options: Any = known.get("options") if isinstance(known.get("options"), dict) else {}
    if known.get("type") == _TICKED and isinstance(value, str):
        return str(known.get("aname")), {str(options.get(one.strip(), "")): True for one in value.split(",")}
    return str(known.get("aname")), value if known.get("type") == _TEXT else options.get(str(value))


def _shape(xy: Any) -> dict[str, Any]:
    kind, numbers = (xy[0], numbers_in(xy[1:])) if isinstance(xy, list) and xy else (None, [])
    name, keys = _NAMED.get(kind, ("", "")) if type(kind) is int else ("", "")
    if name and len(numbers) == len(keys.split()):
        return {"name": name, **dict(zip(keys.split(), numbers, strict=True))}
    if kind == _EXTREME_RECTANGLE and len(numbers) == 8:
        return {"name": "rect", **dict(zip(("x", "y", "width", "height"), surrounding(numbers), strict=True))}
    if kind == _POLYGON:
        return {"name": "polygon", "all_points_x": numbers[0::2], "all_points_y": numbers[1::2]}
    return {"name": f"shape {kind}"}
