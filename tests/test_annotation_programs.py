"""What CVAT, Label Studio, VIA, CreateML and people with tables write is read, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_layouts import Layout, differences, made
from layouts_box_tables import TABLES
from layouts_createml import CREATEML
from layouts_cvat import CVAT
from layouts_label_studio import STUDIO
from layouts_label_studio_odd import ODD_STUDIO
from layouts_via import VIA

LAYOUTS = [*CVAT, *STUDIO, *ODD_STUDIO, *VIA, *CREATEML, *TABLES]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name.replace(" ", "_"))
def test_annotations_of_programs(layout: Layout, tmp_path: Path) -> None:
    assert differences(layout, made(layout, tmp_path)) == []
