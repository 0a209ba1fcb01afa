"""Pipes, devices, loops and files without an end in place of some files of a few readers; `special_files.py` tries
all."""

from __future__ import annotations

from pathlib import Path

import pytest

from aot.runs import files
from special_files import ALL, tried

FEW = ("coco", "tsv", "jsonl", "imagefolder_csv", "MMVP_csv", "recipe", "payoff")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
@pytest.mark.parametrize("name", FEW)
def test_what_is_no_plain_file_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_CHARS", 2**16)  # half a gigabyte takes a second to read
    (reader,) = [reader for reader in ALL if reader.name == name]
    assert tried(reader, alike=1) == []
