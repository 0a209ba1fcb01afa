"""Sizes of published players, so that what they need is known before anything is fetched. A test holds them to models
that are built from `aot.plan.known_configs`."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Of a player: all its `parameters` (in bfloat16 on the hub); those of the network that is trained, `trained`; and
    over its matrices the sum of rows and columns, `sides`: an adapter of rank r has r times as many parameters."""

    parameters: int
    trained: int
    sides: int

    @property
    def download_bytes(self) -> int:
        return 2 * self.parameters


_EDITOR, _VAE, _QWEN25_VL_7B, _QWEN25_VL_3B = 20_430_401_088, 126_892_531, 8_292_166_656, 3_754_622_976
_QWEN_IMAGE_EDIT = Size(_EDITOR + _VAE + _QWEN25_VL_7B, _EDITOR, 9_247_616)
PUBLISHED = {
    "Qwen/Qwen-Image-Edit": _QWEN_IMAGE_EDIT,
    "Qwen/Qwen-Image-Edit-2509": _QWEN_IMAGE_EDIT,
    "Qwen/Qwen-Image-Edit-2511": _QWEN_IMAGE_EDIT,
    "Qwen/Qwen2.5-VL-7B-Instruct": Size(_QWEN25_VL_7B, _QWEN25_VL_7B, 3_550_336),
    "Qwen/Qwen2.5-VL-3B-Instruct": Size(_QWEN25_VL_3B, _QWEN25_VL_3B, 2_739_200),
}
