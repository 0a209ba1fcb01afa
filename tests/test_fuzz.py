"""A few damaged inputs for every reader of other people's files; `make fuzz` tries thousands."""

from __future__ import annotations

import pytest

from fuzz_campaign import ALL, fuzz
from fuzz_readers import Reader
from fuzz_texts import TextReader

EXAMPLES = {
    "datasets": 10,
    "benchmarks": 3,
    "pictures": 5,
    "runs": 8,
    "results": 5,
    "replies": 15,
    "servers": 15,
}


@pytest.mark.parametrize("reader", ALL, ids=lambda reader: f"{reader.group}-{reader.name}")
def test_damaged_inputs_are_read_or_refused(reader: Reader | TextReader) -> None:
    examples = 2 if reader.name == "report" else EXAMPLES[reader.group]
    assert fuzz(reader, examples).total() >= examples // 2
