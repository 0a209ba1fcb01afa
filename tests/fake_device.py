"""A second device without one: tensors that say that they are on "cuda" and refuse what a GPU's would refuse.

    with FakeCuda() as cuda: move(model); ...      mixing its tensors with the CPU's raises, as does numpy()

The numbers are the CPU's. What only C++ sees (gradients, optimizers) is not watched.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda:0")


class OnCuda(Tensor):
    """A tensor of the CPU that says otherwise."""

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def on_cuda(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(on_cuda, value))
    return value.as_subclass(OnCuda) if isinstance(value, Tensor) else value


def on_cpu(value: Tensor) -> Tensor:
    return value.as_subclass(Tensor)


def move(model: nn.Module) -> None:
    """Moves the parameters and buffers of a model to the fake device."""
    for module in model.modules():
        for name, value in list(module._parameters.items()):
            if value is not None:
                moved = nn.Parameter(on_cuda(value.detach()), value.requires_grad)
                module._parameters[name] = moved
        for name, value in list(module._buffers.items()):
            if value is not None:
                module._buffers[name] = on_cuda(value)


class FakeCuda(TorchFunctionMode):
    """While it is entered, `.to("cuda")` and `device="cuda"` give tensors of the fake device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (Tensor.to, Tensor.cpu):
            return self._moved(func, args, kwargs)
        wanted = kwargs.get("device")
        if wanted is not None and torch.device(wanted).type == "cuda":
            return on_cuda(func(*args, **{**kwargs, "device": "cpu"}))
        self._refuse_mixtures(func, args, kwargs)
        return func(*args, **kwargs)

    def _moved(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        value, *others = args
        there = isinstance(value, OnCuda)
        plain, target = on_cpu(value), "cpu" if func is Tensor.cpu else None
        devices = [o for o in [*others, kwargs.get("device")] if isinstance(o, str | torch.device)]
        if devices:
            target = torch.device(devices[0]).type
            others = ["cpu" if o is devices[0] else o for o in others]
            kwargs = {k: "cpu" if k == "device" else v for k, v in kwargs.items()}
        done = func(plain, *others, **kwargs)
        return on_cuda(done) if (there if target is None else target == "cuda") else done

    def _refuse_mixtures(self, func: Any, args: Any, kwargs: Any) -> None:
        name = getattr(func, "__name__", "")
        if name in ("copy_", "__set__", "as_subclass", "backward", "__setitem__", "_make_subclass", "type_as"):
            return
        seen = list(_tensors((args, kwargs)))
        there = [t for t in seen if isinstance(t, OnCuda)]
        here = [t for t in seen if not isinstance(t, OnCuda) and t.ndim]
        indexed = name == "__getitem__" and isinstance(args[0], OnCuda)  # by numbers on the CPU: allowed
        if there and here and not indexed:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, found cuda:0 and cpu")


def _tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
