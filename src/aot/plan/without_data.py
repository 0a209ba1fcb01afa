"""Runs the trainings' own code on tensors without data, as it would run on a GPU: same operations, same sizes.

Models are built on torch's device "meta". FakeTensorMode measures the same bytes in 4.5 times the time (an editor of
four blocks, forward and backward: 5.3 s against 1.2 s); it would also pretend to be on the CPU, where our code takes
other ways than on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental import _config as fx_config
from torch.utils._python_dispatch import TorchDispatchMode

META = "meta"
NUMBER = 1.0
"""What every number is that the code asks of a tensor without data."""
GPU_OPTIMIZERS = "torch.optim.optimizer._get_{}_kernels_supported_devices"
"""Functions of torch that tell on which devices an optimizer's step is one operation for all weights."""


@contextmanager
def without_data() -> Iterator[None]:
    """Inside, tensors on "meta" go where tensors of a GPU go."""
    with ExitStack() as stack:
        for step in ("fused", "foreach"):
            stack.enter_context(mock.patch(GPU_OPTIMIZERS.format(step), return_value=[META, "cpu", "cuda"]))
        stack.enter_context(mock.patch.object(torch, "is_autocast_enabled", _casts))
        stack.enter_context(mock.patch.object(torch, "get_autocast_dtype", _cast_to))
        # Not by a TorchFunctionMode: it is off while activations are computed again in a backward pass.
        stack.enter_context(mock.patch.object(F, "scaled_dot_product_attention", _attention))
        stack.enter_context(_true_everywhere())
        stack.enter_context(_Numbers())
        yield


def _true_everywhere() -> AbstractContextManager[None]:
    """A mask without data is true everywhere."""
    return fx_config.patch(meta_nonzero_assume_all_nonzero=True)  # type: ignore[attr-defined,no-any-return]


class _Numbers(TorchDispatchMode):
    """Whole numbers and masks keep their data, wherever they are sent: shapes follow from them. A tensor without data
    has some number where one is asked for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not _any_meta(args) and not _any_meta(kwargs.values()):
            if func is aten._to_copy.default and kwargs.get("device") == _META and not _is_float(args[0], kwargs):
                kwargs = {**kwargs, "device": args[0].device}
            return func(*args, **kwargs)
        if func is aten._local_scalar_dense.default:
            return _number(args[0].dtype)
        if func is aten._to_copy.default and kwargs.get("device") == _CPU:
            if args[0].requires_grad:  # on its way to where its token ids are, which on a GPU is where it is
                return aten.alias.default(args[0])
            return torch.full(args[0].shape, NUMBER, dtype=kwargs.get("dtype") or args[0].dtype)
        if func is aten.copy_.default and not _is_meta(args[0]):
            return args[0]
        if func is aten.equal.default:
            return True
        if func is aten.ne.Scalar and not args[0].is_floating_point():  # which tiles of an image are not all padding
            return torch.ones(args[0].shape, dtype=torch.bool)
        if func is aten._grouped_mm.default and args[0].dtype != torch.bfloat16:
            return _grouped_product(args, kwargs)
        if func is aten.index.Tensor:
            places = _places(args[1], everywhere=not _is_meta(args[0]))
            if not _is_meta(args[0]) and not _any_meta(places):
                return func(args[0], places)
            args = (args[0], places)
        return func(*_all_meta(args), **_all_meta(kwargs))


aten, _META, _CPU = torch.ops.aten, torch.device(META), torch.device("cpu")


def _grouped_product(args: Any, kwargs: Any) -> Tensor:
    """The products of experts in any dtype: without data torch has them in bfloat16 alone."""
    narrow = [x.to(torch.bfloat16) if isinstance(x, Tensor) and x.is_floating_point() else x for x in _all_meta(args)]
    out = aten._grouped_mm.default(*narrow, **_all_meta(kwargs))
    return torch.empty_strided(out.shape, out.stride(), dtype=args[0].dtype, device=META)


def _is_float(tensor: Tensor, kwargs: Mapping[str, Any]) -> bool:
    dtype: torch.dtype = kwargs.get("dtype") or tensor.dtype
    return dtype.is_floating_point or dtype.is_complex


def _places(indices: Sequence[Tensor | None], *, everywhere: bool) -> list[Tensor | None]:
    """Masks with data as the places where they are true; `everywhere`: those without data, too, as all places."""
    found: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype == torch.bool and _is_meta(index) and everywhere:
            index = torch.ones(index.shape, dtype=torch.bool)
        is_known = index is not None and index.dtype == torch.bool and not _is_meta(index)
        found += index.nonzero().unbind(1) if is_known and index is not None else [index]
    return found


def _any_meta(values: Iterable[Any]) -> bool:
    return any(_any_meta(v) if isinstance(v, list | tuple) else _is_meta(v) for v in values)


def _all_meta(value: Any) -> Any:
    """The same with all tensors without data; plain numbers may stay what they are."""
    if isinstance(value, Tensor):
        return value if value.device.type == META or value.ndim == 0 else value.to(META)
    if isinstance(value, list | tuple):
        return type(value)(_all_meta(one) for one in value)
    return {key: _all_meta(one) for key, one in value.items()} if isinstance(value, dict) else value


def _is_meta(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == META


def _number(dtype: torch.dtype) -> Any:
    if dtype == torch.bool:
        return True
    return NUMBER if dtype.is_floating_point else int(NUMBER)


_torch_attention = F.scaled_dot_product_attention


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention as a GPU computes it: flash attention, or the memory-efficient one where there is a mask. The kernel
    that torch chooses for tensors without data would keep every attention matrix."""
    if query.device.type != META:
        return _torch_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
    if attn_mask is None:
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, scale=scale)[0]
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[1] // t.shape[1], 1) for t in (key, value))
    # A mask of yes and no is written out as numbers, for every layer anew.
    mask = attn_mask if attn_mask.is_floating_point() else query.new_zeros(attn_mask.shape)
    mask = mask.expand(*query.shape[:3], key.shape[2])
    keeps_sums = query.requires_grad or key.requires_grad or value.requires_grad
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    return efficient(query, key, value, mask, keeps_sums, dropout_p, is_causal, scale=scale)[0]


_is_autocast_enabled, _get_autocast_dtype = torch.is_autocast_enabled, torch.get_autocast_dtype


def _casts(*device: str) -> bool:
    return device != (META,) and _is_autocast_enabled(*device)


def _cast_to(device: str) -> torch.dtype:
    return torch.bfloat16 if device == META else _get_autocast_dtype(device)


@contextmanager
def autocast(device: str, enabled: bool) -> Iterator[None]:
    """`torch.autocast` to bfloat16, which does not know "meta": there products, convolutions and attention are cast
    here, each weight once."""
    if not enabled or device != META:
        with torch.autocast(device, torch.bfloat16) if enabled else nullcontext():
            yield
        return
    once: dict[int, Tensor] = {}

    def cast(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if value.is_leaf and value.requires_grad:
            return once.setdefault(id(value), value.to(torch.bfloat16))
        return value.to(torch.bfloat16)

    def casting(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: function(*map(cast, args), **{k: cast(v) for k, v in kwargs.items()})

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch, "is_autocast_enabled", return_value=True))
        for name in ("linear", "conv2d", "conv3d", "scaled_dot_product_attention"):
            stack.enter_context(mock.patch.object(F, name, casting(getattr(F, name))))
        stack.enter_context(mock.patch.object(torch, "matmul", casting(torch.matmul)))
        yield
