"""Linear layers of players on a CPU, computed by oneDNN where the product is large. *Ours.*

PyTorch multiplies float32 matrices on a CPU with MKL, which uses only AVX2 on processors that are not Intel's. oneDNN,
which PyTorch includes, uses what the processor has: twice as fast on an AMD processor with AVX-512. Sums are taken in
another order (a test holds values and gradients to 1e-5). Other devices, dtypes and builds of PyTorch use the stock
layer, and so does autocast.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST = 4_000_000
"""Multiplications from which on oneDNN pays: it writes a kernel for each new shape (.3 ms), and keeps the last 1024."""

Model = TypeVar("Model")
_onednn = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


class Linear(nn.Linear):
    """`nn.Linear` that computes its product by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def use_onednn(model: Model) -> Model:
    """The same model, whose plain linear layers have become `Linear`: same weights, same names."""
    for module in model.modules() if isinstance(model, nn.Module) else ():
        if type(module) is nn.Linear:
            module.__class__ = Linear
    return model


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `torch.nn.functional.linear`: x `[..., K]`, weight `[N, K]`, bias `[N]` -> `[..., N]`."""
    plain = type(x) is Tensor and x.dtype is weight.dtype is torch.float32 and x.device.type == "cpu"
    if _onednn is None or not plain or x.numel() * len(weight) < LEAST or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Product.apply(x, weight, bias)
    return _product(x, weight, bias)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    assert _onednn is not None
    out: Tensor = _onednn(x, weight, bias, "none", [], "")
    return out


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        of_x, of_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if of_weight else None, weight if of_x else None)
        return _product(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1])
        return (
            _product(grad, weight.t()) if of_x else None,
            # By MKL: oneDNN is little faster here, and keeps megabytes for each shape.
            rows.t() @ x.reshape(-1, x.shape[-1]) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )
