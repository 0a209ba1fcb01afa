"""A line of a manifest of SageMaker Ground Truth."""

from __future__ import annotations

import json
from typing import Any

SIZE = {"image_size": [{"width": 100, "height": 80, "depth": 3}]}
CLASSES = {"0": "cup", "1": "bus"}
NOTES = [
    {"class_id": 0, "left": 10, "top": 10, "width": 20, "height": 20},
    {"class_id": 1, "left": 50, "top": 20, "width": 40, "height": 40},
]
DRAWN = [("cup", 10, 10, 30, 30), ("bus", 50, 20, 90, 60)]


def line(name: str = "a.png", notes: list[Any] | None = None, **more: Any) -> str:
    job = {"annotations": NOTES if notes is None else notes, **SIZE}
    about = {"class-map": CLASSES, "type": "groundtruth/object-detection", "human-annotated": "yes"}
    return json.dumps({"source-ref": f"s3://bucket/in/{name}", "my-job": job, "my-job-metadata": about, **more})
