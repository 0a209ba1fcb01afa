"""Frozen weights in fewer bits, without data: layers that take what bitsandbytes (nf4) and torchao (fp8) hold, and
whose products make on the way what theirs make on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aot.players.settings import Quantization

BLOCK, BLOCKS = 64, 256
"""Weights that share a constant in nf4, and constants that share one of their own (double quantisation; QLoRA, arXiv
2305.14314)."""
LEVELS = 16 + 256
"""Of nf4, and of its constants: bitsandbytes gives every layer tables of them in float32."""


def in_fewer_bits(model: nn.Module, kind: Quantization, whole: Sequence[str]) -> None:
    """Puts layers of fewer bits in place of all linear ones, but those within modules called as `whole` says. Nothing
    is done for "none"."""
    if kind == "none":
        return
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and not {*name.split(".")} & {*whole}:
            model.set_submodule(name, Nf4Linear(layer) if kind == "nf4" else Fp8Linear(layer))


class _FewerBits(nn.Linear):
    """Its weight is bytes; what else is stored are buffers."""

    def __init__(self, layer: nn.Linear, count: int, **others: Tensor):
        nn.Module.__init__(self)
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        self.weight = nn.Parameter(layer.weight.new_empty(count, dtype=torch.uint8), requires_grad=False)
        for name, tensor in others.items():
            self.register_buffer(name, tensor)

    @property
    def shape(self) -> tuple[int, int]:
        return self.out_features, self.in_features


class Nf4Linear(_FewerBits):
    """As bitsandbytes' `Linear4bit`: half a byte a weight, a byte a block of them, four a block of blocks. The weight
    is written out for a product, and once more in the backward pass."""

    def __init__(self, layer: nn.Linear):
        weights, new = layer.weight.numel(), layer.weight.new_empty
        blocks = -(-weights // BLOCK)
        others = {"absmax_of_blocks": -(-blocks // BLOCKS), "levels": LEVELS, "offset": 1}
        wide = {name: new(count, dtype=torch.float32) for name, count in others.items()}
        super().__init__(layer, -(-weights // 2), absmax=new(blocks, dtype=torch.uint8), **wide)

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = _Nf4Product.apply(x, self)
        return product

    def written_out(self, dtype: torch.dtype) -> Tensor:
        absmax: Tensor = self.get_buffer("absmax").to(torch.float32)
        weight = absmax.new_empty(self.shape, dtype=dtype)
        del absmax  # not before: the kernel reads it
        return weight


class _Nf4Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Nf4Linear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.written_out(x.dtype), layer.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.written_out(gradient.dtype), None


class Fp8Linear(_FewerBits):
    """As torchao's `Float8WeightOnlyConfig`: a byte a weight, four a row. The weight is written out for a product, by
    way of float32, and kept for the backward pass."""

    def __init__(self, layer: nn.Linear):
        scale = layer.weight.new_empty((layer.out_features, 1), dtype=torch.float32)
        super().__init__(layer, layer.weight.numel(), scale=scale)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self._written_out(x.dtype), self.bias)

    def _written_out(self, dtype: torch.dtype) -> Tensor:
        levels = self.weight.view(self.shape).to(torch.float32)
        scaled = levels * self.get_buffer("scale")
        return scaled.to(dtype)  # as in torchao, all three are there for a moment
