"""Annotations by what files are there: of the formats that annotation programs export, and of tables of boxes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from aot.data.annotations.base.entries import entry_files, read_entries
from aot.data.annotations.datasets.box_table import box_tables, read_box_tables
from aot.data.annotations.datasets.json_datasets import JSON_DATASETS
from aot.data.annotations.datasets.location_tokens import LOCATION_TOKENS
from aot.data.annotations.datasets.text_boxes import read_text_boxes, text_box_files
from aot.data.annotations.programs.createml import createml_files, read_createml
from aot.data.annotations.programs.cvat import cvat_files, read_cvat
from aot.data.annotations.programs.datumaro import datumaro_files, read_datumaro
from aot.data.annotations.programs.label_studio import label_studio_files, read_label_studio
from aot.data.annotations.programs.labelbox import labelbox_files, read_labelbox
from aot.data.annotations.programs.platforms import PLATFORMS
from aot.data.annotations.programs.sagemaker import read_sagemaker, sagemaker_files
from aot.data.annotations.programs.supervisely import read_supervisely, supervisely_files
from aot.data.annotations.programs.via import read_via, via_files
from aot.data.images.reading import Fit
from aot.data.photos.photo import Source

FORMS = (*PLATFORMS, *JSON_DATASETS, *LOCATION_TOKENS)
form_files, read_forms = partial(entry_files, FORMS), partial(read_entries, FORMS)
READERS = (
    (form_files, read_forms),
    (cvat_files, read_cvat),
    (label_studio_files, read_label_studio),
    (via_files, read_via),
    (createml_files, read_createml),
    (datumaro_files, read_datumaro),
    (supervisely_files, read_supervisely),
    (labelbox_files, read_labelbox),
    (sagemaker_files, read_sagemaker),
    (box_tables, read_box_tables),
    (text_box_files, read_text_boxes),
)
"""What finds a format's files, and what reads them; the first that finds any is taken."""


def read_annotations(path: Path, fit: Fit) -> Source | None:
    """The photos of the file, or of what is below the folder; None where it is of none of these formats."""
    return next((read(path, fit) for find, read in READERS if find(path)), None)
