"""Frozen weights in fewer bits, under adapters: nf4 by bitsandbytes, fp8 by torchao (both need a GPU)."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch

from aot.errors import AotError
from aot.players.adapter_folder import IMAGE_PARTS
from aot.players.settings import Quantization

LIBRARIES = {"nf4": "bitsandbytes", "fp8": "torchao"}
WHOLE = [*IMAGE_PARTS, "lm_head"]
"""Modules that are not quantized: the image encoder is a tenth of the weights, and what it loses cannot be
recovered."""
WITHIN = [rf"(?:.*\.)?{name}" for name in WHOLE]
"""The same as patterns: transformers matches a plain name only at the beginning of a layer's, so that "visual" would
not match "model.visual"."""
EDITOR_WHOLE = ["img_in", "txt_in", "time_text_embed", "norm_out", "proj_out"]


def check_library(kind: Quantization, where: str) -> None:
    """Raises `AotError` where the library is missing."""
    library = LIBRARIES[kind]
    if importlib.util.find_spec(library) is None:
        what = f"{kind} weights need {library}, which is not installed"
        raise AotError(what, where=where, hint=f"pip install {library}")


def editor_quantization(kind: Quantization, dtype: torch.dtype) -> dict[str, Any]:
    """Arguments of diffusers' `from_pretrained` for an editor's transformer; {} for "none". Its input and output layers
    are not quantized. Raises `AotError` where the library is missing."""
    if kind == "none":
        return {}
    check_library(kind, "players.attacker.quantization")
    if kind == "nf4":
        from diffusers import BitsAndBytesConfig

        return {
            "quantization_config": BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
                llm_int8_skip_modules=EDITOR_WHOLE,
            )
        }
    from diffusers import TorchAoConfig

    float8 = importlib.import_module("torchao.quantization").Float8WeightOnlyConfig()
    return {"quantization_config": TorchAoConfig(float8, modules_to_not_convert=EDITOR_WHOLE)}


def quantization_config(
    kind: Quantization, dtype: torch.dtype, *, where: str = "players.defender.quantization"
) -> Any:
    """The configuration for transformers' `from_pretrained`; `dtype`: of the computation. Raises `AotError` where the
    library is missing."""
    check_library(kind, where)
    if kind == "nf4":
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(  # QLoRA, arXiv 2305.14314: NormalFloat, its constants quantised once more
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=WITHIN,  # the name is older than 4 bits
        )
    from transformers import TorchAoConfig

    float8 = importlib.import_module("torchao.quantization").Float8WeightOnlyConfig()
    return TorchAoConfig(float8, modules_to_not_convert=WITHIN)
