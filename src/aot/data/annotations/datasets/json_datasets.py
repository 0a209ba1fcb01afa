"""Detection datasets in JSON of forms of their own, as entries: where each has its images, classes and boxes.

Sources of the formats: doc.scalabel.com, mmdetection.readthedocs.io, docs.ultralytics.com, docs.voxel51.com,
crowdhuman.org, visualgenome.org, the code of Grounding DINO's trainings, learn.microsoft.com, cloud.google.com.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aot.data.annotations.base.entries import (
    LINES,
    Entry,
    Form,
    Shape,
    at,
    between,
    listed,
    numbered,
    polygon,
    rows,
    sides,
    size_of,
)
from aot.data.photos.outlines import numbers_in
from aot.data.records.values import entry_id, is_set

_CORNERS = ("x1", "y1", "x2", "y2")


def _scalabel(content: Any) -> Iterator[Entry]:
    """BDD100K's, of today and of 2018 (a file an image); of a video the frames are in its folder."""
    frames = at(content, "frames")
    for where, frame in rows(content if not isinstance(frames, list) or at(content, "name") else frames):
        inner = listed(frame, "frames")
        notes = listed(inner[0], "objects") if len(inner) == 1 else listed(frame, "labels")
        video, name = at(frame, "videoName") or at(frame, "video_name"), at(frame, "name")
        names = [f"{video}/{name}" if isinstance(video, str) else None, name]
        names += [f"{name}.jpg"] if isinstance(name, str) and "." not in name else []
        shapes = []
        for note in notes:
            box = between([at(note, "box2d", key) for key in _CORNERS])
            crowd = any(is_set(at(note, "attributes", key)) for key in ("crowd", "ignored"))
            shapes.append(Shape(at(note, "category"), box, (), not crowd))
        yield Entry(where, names, shapes, unread=f"it has {len(inner)} frames" if len(inner) > 1 else "")


def _mmdetection(content: Any) -> Iterator[Entry]:
    classes = listed(content, "metainfo", "classes") or listed(content, "metainfo", "CLASSES")
    for where, image in rows(listed(content, "data_list")):
        shapes = [
            Shape(
                numbered(classes, at(one, "bbox_label")),
                between(listed(one, "bbox")),
                (),
                not is_set(at(one, "ignore_flag")),
            )
            for one in listed(image, "instances")
        ]
        yield Entry(where, (at(image, "img_path"), at(image, "file_name")), shapes, size_of(image))


def _odvg(content: Any) -> Iterator[Entry]:
    """Of data sets in which not every class was looked for in every image, too: what has no box may be there."""
    for where, image in rows(content, "line"):
        notes = listed(image, "detection", "instances")
        shapes = [Shape(at(note, "category"), between(listed(note, "bbox"))) for note in notes]
        unread = "its boxes are those of phrases, not of classes" if at(image, "detection") is None else ""
        names = (at(image, "filename"), at(image, "file_name"))
        yield Entry(where, names, shapes, size_of(image), complete=False, unread=unread)


def _ultralytics(content: Any) -> Iterator[Entry]:
    """The first line names the classes. An image without annotations may not have been annotated so far."""
    classes = at(content[0] if content else None, "class_names")
    for where, image in rows(content[1:], "line"):
        split, name = at(image, "split"), at(image, "file")
        held = at(image, "annotations")
        drawn = [(key, row) for key in ("boxes", "pose", "segments", "obb") for row in listed(held, key)]
        shapes = []
        for key, row in drawn:
            numbers = numbers_in(row[1:]) if isinstance(row, list) else []
            label = numbered(classes, row[0]) if isinstance(row, list) and row else None
            if key in ("segments", "obb"):
                shapes.append(Shape(label, *polygon(numbers)))
            elif len(numbers) == 4 or (len(numbers) > 4 and key == "pose"):
                x, y, wide, high = numbers[:4]
                shapes.append(Shape(label, [x - wide / 2, y - high / 2, wide, high]))
            else:
                shapes.append(Shape(label))
        names = [f"images/{split}/{name}", f"{split}/{name}"] if isinstance(name, str) and split else []
        yield Entry(where, [*names, name], shapes, size_of(image), complete=bool(shapes), shares=True)


def _fiftyone(content: Any) -> Iterator[Entry]:
    """Its labels by the names of images without their endings; None where there are none."""
    held = at(content, "labels")
    for name, notes in held.items() if isinstance(held, dict) else ():
        shapes = [
            Shape(numbered(listed(content, "classes"), at(note, "label")), _share(note), sure=_sure(note))
            for note in (notes if isinstance(notes, list) else [])
        ]
        yield Entry(f"image {name}", (name,), shapes, complete=notes is not None, shares=True)


def _samples(content: Any) -> Iterator[Entry]:
    """A dataset of FiftyOne: the labels in `ground_truth`, or in the only field that holds detections."""
    for where, sample in rows(listed(content, "samples"), "sample"):
        fields = sample if isinstance(sample, dict) else {}
        drawn = {name: held for name, held in fields.items() if at(held, "detections") is not None}
        field = drawn.get("ground_truth") or (next(iter(drawn.values())) if len(drawn) == 1 else None)
        notes, size = listed(field, "detections"), size_of(at(sample, "metadata"))
        shapes = [Shape(at(note, "label"), _share(note), sure=_sure(note)) for note in notes]
        unread = "" if field else f"it has {len(drawn)} fields with detections, and none is called ground_truth"
        yield Entry(where, (at(sample, "filepath"),), shapes, size, shares=True, unread=unread)


def _share(note: Any) -> list[float]:
    numbers = numbers_in(listed(note, "bounding_box"))
    return numbers if len(numbers) == 4 else []


def _sure(note: Any) -> bool:
    return not (is_set(at(note, "iscrowd")) or is_set(at(note, "attributes", "iscrowd", "value")))


def _crowdhuman(content: Any) -> Iterator[Entry]:
    """The visible part of each person; a mask is a crowd, or somebody in a picture."""
    for where, image in rows(content, "line"):
        shapes = []
        for note in listed(image, "gtboxes"):
            box, tag = numbers_in(listed(note, "vbox")), at(note, "tag")
            ignored = tag == "mask" or is_set(at(note, "extra", "ignore"))
            shapes.append(Shape("person" if tag == "mask" else tag, box if len(box) == 4 else (), (), not ignored))
        name = at(image, "ID")
        yield Entry(where, (f"{name}.jpg" if isinstance(name, str) else None,), shapes)


def _genome(content: Any) -> Iterator[Entry]:
    """What has no box may be there, and one object may have several, under several names."""
    for where, image in rows(content):
        number, shapes = entry_id(at(image, "image_id") or at(image, "id")), []
        for one in listed(image, "objects"):
            labels = listed(one, "names") or [None]
            shapes += [Shape(label, sides(one, "x", "y", "w", "h"), (), len(labels) == 1) for label in labels]
        names = (at(image, "image_url"), f"{number}.jpg" if number else None)
        yield Entry(where, names, shapes, complete=False)


def _azure(content: Any) -> Iterator[Entry]:
    for where, image in rows(content, "line"):
        about = at(image, "image_details")
        wide, high = (str(at(about, side)).removesuffix("px") for side in ("width", "height"))
        shapes = [
            Shape(
                at(note, "label"),
                between([at(note, key) for key in ("topX", "topY", "bottomX", "bottomY")]),
                (),
                not is_set(at(note, "isCrowd")),
            )
            for note in listed(image, "label")
        ]
        size = size_of({"width": wide, "height": high})
        yield Entry(where, (at(image, "image_url"),), shapes, size, complete=bool(shapes), shares=True)


def _vertex(content: Any) -> Iterator[Entry]:
    for where, image in rows(content, "line"):
        shapes = [
            Shape(at(note, "displayName"), between([at(note, key) or 0 for key in ("xMin", "yMin", "xMax", "yMax")]))
            for note in listed(image, "boundingBoxAnnotations")
        ]
        yield Entry(where, (at(image, "imageGcsUri"),), shapes, complete=bool(shapes), shares=True)


JSON_DATASETS = (
    Form("BDD100K (Scalabel)", (r'"box2d"\s*:', r'"category"\s*:'), _scalabel, (".json",)),
    Form("BDD100K", (r'"frames"\s*:\s*\[', r'"timestamp"\s*:', r'"objects"\s*:'), _scalabel, (".json",)),
    Form("MMDetection", (r'"data_list"\s*:', r'"instances"\s*:'), _mmdetection, (".json",)),
    Form("ODVG (Grounding DINO)", (r'"(detection|grounding)"\s*:\s*\{', r'"(instances|regions)"\s*:'), _odvg, LINES),
    Form("Ultralytics", (r'"type"\s*:\s*"dataset"', r'"class_names"\s*:'), _ultralytics, LINES),
    Form("FiftyOne", (r'"classes"\s*:', r'"labels"\s*:\s*\{', r'"bounding_box"\s*:'), _fiftyone, (".json",)),
    Form("FiftyOne", (r'"samples"\s*:', r'"detections"\s*:', r'"bounding_box"\s*:'), _samples, (".json",)),
    Form("CrowdHuman", (r'"gtboxes"\s*:',), _crowdhuman, LINES),
    Form("Visual Genome", (r'"synsets"\s*:', r'"objects"\s*:'), _genome, (".json",)),
    Form("Azure ML", (r'"topX"\s*:', r'"image_url"\s*:'), _azure, LINES),
    Form("Vertex AI", (r'"imageGcsUri"\s*:', r'"boundingBoxAnnotations"\s*:'), _vertex, LINES),
)
