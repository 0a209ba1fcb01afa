"""The stock Qwen2.5-VL processor's name, also where torchvision is absent: there ours stands in its place.

    with named_as_stock(): ...                       in this process
    python tests/stock_classes.py serve FOLDER ...   the command line of transformers, run so
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import transformers
import transformers.models.qwen2_5_vl as module

from aot.players.processor import QwenProcessor


@contextmanager
def named_as_stock() -> Iterator[None]:
    name = QwenProcessor.__name__
    if importlib.util.find_spec("torchvision"):
        yield
        return
    with mock.patch.object(transformers, name, QwenProcessor), mock.patch.object(module, name, QwenProcessor):
        yield


if __name__ == "__main__":
    from transformers.cli.transformers import app

    with named_as_stock():
        app()
