"""Counts the tensors that are alive, by what they are for, and the floating-point operations that made them.

Works on tensors without data (device "meta") as on real ones: every operation's results pass by here, and a result's
storage is counted until nothing holds it any more. What a kernel needs inside and gives back is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Kind = Literal["weights", "gradients", "optimizer", "data", "cache", "activations"]
"""data: what a step works on, such as conditions and latents; cache: keys and values of answers that are being written;
activations: all that is nothing else."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one piece of work: `peak`, bytes by kind when their sum was largest; `flops`. `inexact`: why these are bounds,
    or what they leave out."""

    peak: dict[Kind, int]
    flops: int
    inexact: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.peak.values())


class LiveMemory(TorchDispatchMode):
    """`now` and `peak`: bytes by kind, at this moment and when their sum was largest; `flops`: of products and
    attention, as torch's FlopCounterMode counts them. Only tensors on `device` count; of a plan ("meta") also whole
    numbers and masks, which keep their data on the CPU."""

    def __init__(self, device: str):
        super().__init__()
        self.device, self.flops = device, 0
        self.now = dict.fromkeys(KINDS, 0)
        self.peak = dict(self.now)
        self._total = self._highest = 0
        self._kind: Kind = "activations"
        self._live: dict[int, tuple[int, Kind]] = {}
        self._watched: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=out)
        for result in out if isinstance(out, tuple | list) else (out,):
            if isinstance(result, Tensor):
                self._count(result)
        return out

    @contextmanager
    def making(self, kind: Kind) -> Iterator[None]:
        """What is made inside is of this kind."""
        before, self._kind = self._kind, kind
        try:
            yield
        finally:
            self._kind = before

    def mark(self, tensors: Any, kind: Kind) -> None:
        """Tensors, in whatever nested containers, that exist are of this kind from now on."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, Tensor):
                self._count(tensor, kind)

    def watch(self, *modules: nn.Module) -> None:
        """Parameters and buffers are weights, and parameters' gradients gradients from the moment when they are
        made."""
        for module in modules:
            self.mark([*module.parameters(), *module.buffers()], "weights")
            for parameter in module.parameters():
                if parameter.requires_grad and id(parameter) not in self._watched:
                    self._watched.add(id(parameter))
                    parameter.register_post_accumulate_grad_hook(lambda p: self.mark(p.grad, "gradients"))

    def watch_steps(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """What an optimizer's step makes, and keeps, is the optimizer's."""
        for optimizer in optimizers:
            step = optimizer.step

            def counted(*args: Any, step: Any = step, **kwargs: Any) -> Any:
                with self.making("optimizer"):
                    return step(*args, **kwargs)

            optimizer.step = counted  # type: ignore[method-assign]

    def in_the_middle(
        self, parameters: Iterable[nn.Parameter], optimizers: Iterable[torch.optim.Optimizer], *, accumulates: bool
    ) -> None:
        """As it is from the second update on: optimizers have their states; and where gradients are summed over several
        passes (`accumulates`), there are some already."""
        parameters = list(parameters)
        with self:
            with self.making("gradients"):
                for parameter in parameters:
                    parameter.grad = torch.zeros_like(parameter)
            for optimizer in optimizers:
                optimizer.step()
            if not accumulates:
                for parameter in parameters:
                    parameter.grad = None

    @property
    def total(self) -> int:
        return self._total

    def measure(self, work: Callable[[], object]) -> Measured:
        """What the work takes, beside and with what is alive already."""
        self.piece()
        with self:
            work()
        return self.piece()

    def piece(self) -> Measured:
        """What there was since the last piece; the next one begins."""
        done = Measured(dict(self.peak), self.flops)
        self.peak, self._highest, self.flops = dict(self.now), self._total, 0
        return done

    def _has_data(self, tensor: Tensor) -> bool:
        """Whether it is one of the whole numbers or masks that keep their data in a plan: on a GPU they take room."""
        return self.device == "meta" and tensor.device.type == "cpu" and tensor.dtype in (torch.int64, torch.bool)

    def _count(self, tensor: Tensor, kind: Kind | None = None) -> None:
        if tensor.device.type != self.device and not self._has_data(tensor):
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._live.get(key)
        if known is None:
            size = storage.nbytes()
            weakref.finalize(storage, self._gone, key)
            self._add(key, size, kind or self._kind)
        elif kind is not None and known[1] != kind:
            self._remove(key)
            self._add(key, known[0], kind)

    def _add(self, key: int, size: int, kind: Kind) -> None:
        self._live[key] = (size, kind)
        self.now[kind] += size
        self._total += size
        if self._total > self._highest:
            self._highest, self.peak = self._total, dict(self.now)

    def _remove(self, key: int) -> None:
        size, kind = self._live.pop(key)
        self.now[kind] -= size
        self._total -= size

    def _gone(self, key: int) -> None:
        if key in self._live:
            self._remove(key)
