"""What CVAT, Label Studio, VIA, CreateML and people with tables write is read, or refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation_layouts import Layout, differences, made
from aot.data.images.reading import at_most
from aot.data.photos.photo import Photo
from aot.data.sources import open_source
from layouts_box_tables import TABLES
from layouts_createml import CREATEML, object_at
from layouts_cvat import BOX, CVAT, IMAGE
from layouts_datasets import DATASETS
from layouts_exports import EXPORTS, exterior, feature, figure, labelbox, ndjson, sides, supervisely
from layouts_exports import label as read_as
from layouts_label_studio import STUDIO, annotation, task
from layouts_label_studio_odd import ODD_STUDIO
from layouts_platforms import PLATFORMS
from layouts_via import VIA, region, via, via_rect

LAYOUTS = [*CVAT, *STUDIO, *ODD_STUDIO, *VIA, *CREATEML, *TABLES, *EXPORTS, *PLATFORMS, *DATASETS]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name.replace(" ", "_"))
def test_annotations_of_programs(layout: Layout, tmp_path: Path) -> None:
    assert differences(layout, made(layout, tmp_path)) == []


# The same boxes of real photos in every form.

Drawn = tuple[str, float, float, float, float]
"""Label, x, y, width and height, px."""
Images = dict[str, tuple[int, int, list[Drawn]]]


def as_cvat(images: Images) -> str:
    found = []
    for name, (wide, high, drawn) in images.items():
        shapes = "".join(BOX.format(label, 0, x, y, x + w, y + h, "") for label, x, y, w, h in drawn)
        image = IMAGE.format(name, "", shapes)
        found.append(image.replace('width="100" height="80"', f'width="{wide}" height="{high}"'))
    return f"<annotations>{''.join(found)}</annotations>"


def as_studio(images: Images) -> list[Any]:
    tasks = []
    for name, (wide, high, drawn) in images.items():
        results = []
        for n, (label, x, y, w, h) in enumerate(drawn):
            value = {"x": 100 * x / wide, "y": 100 * y / high, "width": 100 * w / wide, "height": 100 * h / high}
            value |= {"rotation": 0, "rectanglelabels": [label]}
            size = {"original_width": wide, "original_height": high}
            results.append({"id": f"r{n}", "type": "rectanglelabels", "value": value, **size})
        tasks.append(task(annotation(*results), image=f"/data/upload/3/1a2b3c4d-{name}"))
    return tasks


def as_via(images: Images) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (_, _, drawn) in images.items():
        found |= via(*(region(via_rect(*box), object=label) for label, *box in drawn), name=name)
    return found


def as_createml(images: Images) -> list[Any]:
    return [
        {"image": name, "annotations": [object_at(one, x + w / 2, y + h / 2, w, h) for one, x, y, w, h in drawn]}
        for name, (_, _, drawn) in images.items()
    ]


def as_datumaro(images: Images) -> dict[str, Any]:
    labels = sorted({one[0] for _, _, drawn in images.values() for one in drawn})
    items = []
    for name, (wide, high, drawn) in images.items():
        notes = [{"type": "bbox", "label_id": labels.index(one), "bbox": list(box)} for one, *box in drawn]
        items.append({"id": Path(name).stem, "annotations": notes, "image": {"path": name, "size": [high, wide]}})
    return {"categories": {"label": {"labels": [{"name": label} for label in labels]}}, "items": items}


def as_labelbox(images: Images) -> str:
    rows = []
    for name, (wide, high, drawn) in images.items():
        objects = [feature("ImageBoundingBox", one, **sides(x, y, w, h)) for one, x, y, w, h in drawn]
        row = labelbox(read_as(*objects), name=name)
        rows.append(row | {"media_attributes": {"width": wide, "height": high}})
    return ndjson(*rows)


def as_supervisely(images: Images) -> dict[str, Any]:
    return {
        f"ann/{name}.json": supervisely(
            *(figure("rectangle", one, **exterior([x, y], [x + w, y + h])) for one, x, y, w, h in drawn),
            size=(high, wide),
        )
        for name, (wide, high, drawn) in images.items()
    }


def as_table(shares: bool) -> Callable[[Images], str]:
    def written(images: Images) -> str:
        lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for name, (wide, high, drawn) in images.items():
            over = (wide, high) if shares else (1, 1)
            for label, x, y, w, h in drawn:
                sides = (x / over[0], y / over[1], (x + w) / over[0], (y + h) / over[1])
                lines.append(",".join(map(str, (name, wide, high, label, *sides))))
        return "\n".join(lines)

    return written


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("annotations.xml", as_cvat),
        ("project.json", as_studio),
        ("via_project.json", as_via),
        ("annotations.json", as_createml),
        ("pixels.csv", as_table(False)),
        ("shares.csv", as_table(True)),
        ("annotations.json", as_datumaro),
        ("export.ndjson", as_labelbox),
        ("", as_supervisely),
    ],
)
def test_boxes_of_real_photos_are_read_as_from_coco(shared_data: Path, tmp_path: Path, name: str, form: Any) -> None:
    content = json.loads((shared_data / "coco_photos/instances.json").read_text())
    labels = {one["id"]: one["name"] for one in content["categories"]}
    images: Images = {}
    for image in content["images"][:40]:
        notes = [one for one in content["annotations"] if one["image_id"] == image["id"] and not one["iscrowd"]]
        drawn = [(labels[one["category_id"]], *one["bbox"]) for one in notes]
        if drawn:
            images[image["file_name"]] = image["width"], image["height"], drawn
            shutil.copy(shared_data / "coco_photos/images" / image["file_name"], tmp_path)
    written = form(images)
    (tmp_path / "ann").mkdir()
    for file, content in (written if not name else {name: written}).items():
        (tmp_path / file).write_text(content if isinstance(content, str) else json.dumps(content))
    photos = {one.id: one for one in open_source(tmp_path, at_most(10_000)).items if isinstance(one, Photo)}
    assert photos.keys() == images.keys()
    for key, (_, _, drawn) in images.items():
        found = [(t.box.label, t.box.x0, t.box.y0, t.box.x1, t.box.y1) for t in photos[key].things]
        for label, x, y, w, h in drawn:
            right = (x, y, x + w, y + h)
            pairs = [(box, zip(box[1:], right, strict=True)) for box in found if box[0] == label]
            near = [box for box, sides in pairs if all(abs(a - b) <= 1.01 for a, b in sides)]
            assert near, (key, label, right, found)
            found.remove(near[0])
        assert not found
