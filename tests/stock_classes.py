"""The stock Qwen-VL processors' names, also where torchvision is absent: there ours stand in their place.

    with named_as_stock(): ...                       in this process
    python tests/stock_classes.py serve FOLDER ...   the command line of transformers, run so
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import transformers
import transformers.models.qwen2_5_vl
import transformers.models.qwen3_vl

from aot.players.processor import Qwen3Processor, QwenProcessor


@contextmanager
def named_as_stock() -> Iterator[None]:
    with ExitStack() as patched:
        if importlib.util.find_spec("torchvision") is None:
            for module, ours in {"qwen2_5_vl": QwenProcessor, "qwen3_vl": Qwen3Processor}.items():
                for place in (transformers, getattr(transformers.models, module)):
                    patched.enter_context(mock.patch.object(place, ours.__name__, ours))
        yield


if __name__ == "__main__":
    from transformers.cli.transformers import app

    with named_as_stock():
        app()
