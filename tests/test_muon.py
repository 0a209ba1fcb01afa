"""Muon in float32: the update of `torch.optim.Muon`, without its rounding."""

import pytest
import torch

from aot.train.muon import Muon, orthogonalised

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SHAPES = ((96, 96), (96, 96), (256, 96), (64, 128))


def weights() -> list[torch.nn.Parameter]:
    random = torch.Generator().manual_seed(3)
    return [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in SHAPES]


def stepped(optimizer: torch.optim.Muon, steps: int, *, seed: int = 0) -> list[torch.Tensor]:
    """The weights after so many steps by random gradients."""
    random = torch.Generator().manual_seed(seed)
    parameters = optimizer.param_groups[0]["params"]
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimizer.step()
    return [parameter.detach().clone() for parameter in parameters]


@pytest.mark.parametrize("settings", [{}, {"nesterov": False}, {"weight_decay": 0.3}, {"momentum": 0.5}])
def test_steps_are_those_of_torch_within_bfloat16(settings: dict[str, float]) -> None:
    settings = {"weight_decay": 0.0, **settings}
    start = weights()
    ours = stepped(Muon(weights(), lr=0.02, **settings), 4)
    theirs = stepped(torch.optim.Muon(weights(), lr=0.02, **settings), 4)
    for before, a, b in zip(start, ours, theirs, strict=True):
        moved = (b - before).norm()
        assert moved > 0.1
        assert (a - b).norm() / moved < 0.02, "bfloat16 has eight bits"


@pytest.mark.parametrize("shape", [(96, 256), (256, 96), (64, 64)])
def test_singular_values_end_near_one_and_directions_stay(shape: tuple[int, int]) -> None:
    gradient = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(gradient, COEFFICIENTS, 5, 1e-7)
    values = torch.linalg.svdvals(found)
    largest = torch.linalg.svdvals(gradient).amax(1, keepdim=True)
    sure = torch.linalg.svdvals(gradient) > 0.05 * largest
    assert 0.6 < float(values[sure].min()) <= float(values[sure].max()) < 1.25
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    aligned = torch.einsum("nik,nij,nkj->nk", left, found, right)
    assert (aligned[sure] > 0.5).all(), "singular vectors are the gradient's"


def test_matrices_of_one_shape_go_together_as_they_would_alone() -> None:
    together = stepped(Muon(weights(), lr=0.02, weight_decay=0.0), 1)
    random = torch.Generator().manual_seed(0)
    for parameter, found in zip(weights(), together, strict=True):
        alone = Muon([parameter], lr=0.02, weight_decay=0.0)
        parameter.grad = torch.randn(parameter.shape, generator=random)
        alone.step()
        torch.testing.assert_close(parameter.detach(), found, rtol=1e-5, atol=1e-6)


def test_its_state_is_that_of_torch() -> None:
    theirs = torch.optim.Muon(weights(), lr=0.02, weight_decay=0.0)
    stepped(theirs, 2)
    ours = Muon(weights(), lr=0.5)
    ours.load_state_dict(theirs.state_dict())
    for mine, other in zip(ours.state.values(), theirs.state.values(), strict=True):
        assert torch.equal(mine["momentum_buffer"], other["momentum_buffer"])
    assert ours.param_groups[0]["lr"] == 0.02


def test_a_weight_without_a_gradient_stays() -> None:
    still, moved = weights()[:2]
    optimizer = Muon([still, moved], lr=0.02, weight_decay=0.5)
    before = still.detach().clone()
    moved.grad = torch.ones_like(moved)
    optimizer.step()
    assert torch.equal(still.detach(), before)


def test_another_rule_for_the_rate_is_refused() -> None:
    optimizer = Muon(weights(), adjust_lr_fn="match_rms_adamw")
    with pytest.raises(ValueError, match="adjust_lr_fn"):
        stepped(optimizer, 1)
