"""Linear layers by oneDNN: the stock layer's values and gradients, its bits where a product is small, its names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from aot.players.linear import LEAST, Linear, linear, use_onednn


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1030,), (7, 150)])
def test_large_products_have_the_stock_values_and_gradients(rows, bias):
    torch.manual_seed(0)
    x = torch.randn(*rows, 2 * 96, requires_grad=True)[..., ::2]  # not contiguous
    weight, shift = torch.randn(128, 96, requires_grad=True), torch.randn(128, requires_grad=True)
    assert x.numel() * len(weight) >= LEAST
    of = [x, weight, shift] if bias else [x, weight]
    wanted = torch.randn(*rows, 1).expand(*rows, 128)  # so is the gradient
    both = []
    for layer in (linear, F.linear):
        out = layer(x, weight, shift if bias else None)
        with torch.no_grad():
            assert torch.equal(layer(x, weight, shift if bias else None), out)
        both.append([out, *torch.autograd.grad((out * wanted).mean(), of)])
    for ours, stock in zip(*both, strict=True):
        torch.testing.assert_close(ours, stock, atol=1e-5, rtol=1e-5)


def test_small_products_and_other_dtypes_are_the_stock_layers():
    for x in (torch.randn(5, 96), torch.randn(2000, 96, dtype=torch.float64)):
        weight = torch.randn(128, 96, dtype=x.dtype)
        assert torch.equal(linear(x, weight), F.linear(x, weight))


def test_autocast_is_the_stock_layers() -> None:
    x, weight = torch.randn(2000, 96), torch.randn(128, 96)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16


def test_a_quickened_model_keeps_weights_and_names_and_leaves_other_layers_alone():
    class Other(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 3, bias=False)), Other(3, 2))
    before = model.state_dict()
    assert use_onednn(model) is model
    assert [type(layer) for layer in (model[0], model[1][0], model[2])] == [Linear, Linear, Other]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert list(model.state_dict()) == list(before)
