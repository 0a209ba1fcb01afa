"""Muon (Jordan et al. 2024) in float32, which is fast on every CPU.

`torch.optim.Muon` orthogonalises its updates in bfloat16. A CPU without bfloat16 instructions takes twenty times as
long for that as in float32 (benchmarks/peers.py), which is most of a step of the miniature, and may round differently.
On an accelerator torch's own implementation is used.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` with the same settings and state. On a CPU the Newton-Schulz iteration is in float32, batched
    over matrices of one shape."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:  # type: ignore[override]
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            return super().step(closure)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        if group["adjust_lr_fn"] is not None:
            raise ValueError(f"adjust_lr_fn={group['adjust_lr_fn']!r}: only the original one is made here")
        of_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter.grad)
            buffer = state["momentum_buffer"].lerp_(parameter.grad, 1 - group["momentum"])
            update = parameter.grad.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer
            of_shape[tuple(parameter.shape)].append((parameter, update))
        for (rows, columns), pairs in of_shape.items():
            stacked = torch.stack([update.float() for _, update in pairs])
            orthogonal = orthogonalised(stacked, group["ns_coefficients"], group["ns_steps"], group["eps"])
            rate = group["lr"] * math.sqrt(max(1, rows / columns))
            for (parameter, _), update in zip(pairs, orthogonal, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Newton-Schulz: `matrices [n, rows, columns]` with singular values near 1 in place of their own (for Jordan's
    coefficients .7 to 1.2); in their dtype."""
    a, b, c = coefficients
    x = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if matrices.shape[1] > matrices.shape[2] else x
