"""Annotation files of programs whose format is not read: named, with what to export in its place.

Beside images that nothing else describes, such a file would otherwise be passed over in silence.
"""

from __future__ import annotations

import re
from pathlib import Path

_HEAD_BYTES = 2**16
_COCO = "export as COCO"
EXPORTERS: tuple[tuple[str, str, str, str], ...] = (
    (".json", r'"(rectangle|polygon|keypoint|brush|ellipse)labels"', "Label Studio's own JSON", _COCO),
    (".csv", r"(rectangle|polygon)labels", "Label Studio's own CSV", _COCO),
    (".tsv", r"(rectangle|polygon)labels", "Label Studio's own TSV", _COCO),
    (".json", r'"(shape_attributes|_via_img_metadata)"', "VIA's own JSON", f"{_COCO} (VIA 2: Annotation menu)"),
    (".csv", r"region_shape_attributes", "VIA's own CSV", f"{_COCO} (VIA 2: Annotation menu)"),
    (".xml", r"<(annotations|track|task)[\s>]", "CVAT's own XML", f"{_COCO} or YOLO (CVAT: COCO 1.0, YOLO 1.1)"),
    (".json", r'"coordinates"\s*:\s*\{', "CreateML's JSON", f"{_COCO}, YOLO or Pascal VOC"),
    (".json", r'"(dm_format_version|infos?)"\s*:.*"items"\s*:', "Datumaro's JSON", _COCO),
    (".json", r'"(answers|data_row|data_rows|media_attributes|projects)"\s*:', "Labelbox's JSON", _COCO),
    (".json", r'"(geometryType|classTitle)"', "Supervisely's JSON", _COCO),
    (".json", r'"(annotations|boxes|bbox|bboxes|regions|objects|shapes)"\s*:', "JSON of no known program", _COCO),
    (".csv", r"(?i)(xmin|x_min|bbox|left|x1)\W", "a table of boxes", f"{_COCO}, YOLO or Pascal VOC"),
)
"""Ending, a pattern of its beginning, what it is, and the next step; the first that fits."""


def exporter_of(file: Path) -> tuple[str, str] | None:
    """(what the file is, the next step); None where it is no annotation file that is known."""
    suffix = file.suffix.lower()
    patterns = [row for row in EXPORTERS if row[0] == suffix]
    if not patterns or not file.is_file():
        return None
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES).replace(b"\0", b"").decode("utf-8", "replace")
    except OSError:
        return None
    return next((row[2:] for row in patterns if re.search(row[1], head, re.DOTALL)), None)
