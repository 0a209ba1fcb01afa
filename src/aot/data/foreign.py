"""Annotation files of programs whose format is not read: named, with what to export in its place.

Beside images that nothing else describes, such a file would otherwise be passed over in silence.
"""

from __future__ import annotations

import re
from pathlib import Path

_HEAD_BYTES = 2**16
_COCO = "export as COCO"
_COLUMNS = "name them filename, class, xmin, ymin, xmax, ymax"
EXPORTERS: tuple[tuple[str, str, str, str], ...] = (
    (".csv", r"(rectangle|polygon)labels", "Label Studio's own CSV", _COCO),
    (".tsv", r"(rectangle|polygon)labels", "Label Studio's own TSV", _COCO),
    (".json", r'"data_format_version"\s*:\s*"3', "a project of VIA 3", f"{_COCO}, or annotate with VIA 2"),
    (".json", r'"(dm_format_version|infos?)"\s*:.*"items"\s*:', "Datumaro's JSON", _COCO),
    (".json", r'"(answers|data_row|data_rows|media_attributes|projects)"\s*:', "Labelbox's JSON", _COCO),
    (".json", r'"(geometryType|classTitle)"', "Supervisely's JSON", _COCO),
    (".json", r'"(annotations|boxes|bbox|bboxes|regions|objects|shapes)"\s*:', "JSON of no known program", _COCO),
    (".csv", r"(?i)(xmin|x_min|bbox|left|x1)\W", "a table of boxes of other columns", _COLUMNS),
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
