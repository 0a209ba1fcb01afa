"""Laws of the clipped losses."""

from __future__ import annotations

import pytest
import torch

from aot.rl.clipped import dapo_loss, flow_loss


def test_flow_loss_before_the_first_update_is_the_policy_gradient():
    lp = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([1.0, -2.0, 0.5])
    result = flow_loss(lp, lp.detach().clone(), advantages, 1e-4)
    assert result.ratio_deviation == 0.0 and result.clip_fraction == 0.0 and result.approx_kl == 0.0
    assert result.loss.item() == pytest.approx(-advantages.mean().item())
    result.loss.backward()
    torch.testing.assert_close(lp.grad, -advantages / 3)


def test_flow_loss_by_hand():
    old = torch.zeros(4)
    lp = torch.log(torch.tensor([1.5, 1.5, 0.5, 0.5])).requires_grad_()
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])
    result = flow_loss(lp, old, advantages, 0.1)
    assert result.loss.item() == pytest.approx((-1.1 + 1.5 - 0.5 + 0.9) / 4)
    assert result.clip_fraction == 0.5
    assert result.ratio_deviation == pytest.approx(0.5)
    result.loss.backward()
    # No gradient where the clip is active: it has moved far enough in the right direction.
    assert lp.grad.tolist() == pytest.approx([0.0, 0.375, -0.125, 0.0])


def test_flow_loss_over_several_steps():
    lp = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    advantages = torch.tensor([[1.0], [0.0], [-1.0]])
    both = flow_loss(lp, lp - 0.05, advantages, 0.1).loss
    each = [flow_loss(lp[:, i], lp[:, i] - 0.05, advantages[:, 0], 0.1).loss for i in range(2)]
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


def random_batch(seed: int = 0, shape: tuple[int, int] = (5, 7)):
    generator = torch.Generator().manual_seed(seed)
    lp = -torch.rand(shape, generator=generator)
    old = lp + 0.4 * torch.randn(shape, generator=generator)
    lengths = torch.randint(1, shape[1] + 1, (shape[0],), generator=generator)
    mask = (torch.arange(shape[1]) < lengths[:, None]).float()
    return lp, old, torch.randn(shape[0], generator=generator), mask


def test_dapo_is_the_token_mean_over_the_batch():
    lp, old, advantages, mask = random_batch()
    total, clipped = 0.0, 0
    for i in range(5):
        for t in range(7):
            if mask[i, t]:
                ratio, a = (lp[i, t] - old[i, t]).exp().item(), advantages[i].item()
                plain, limited = -a * ratio, -a * min(max(ratio, 0.8), 1.28)
                total += max(plain, limited)
                clipped += limited > plain
    result = dapo_loss(lp, old, advantages, mask)
    assert result.loss.item() == pytest.approx(total / mask.sum().item(), rel=1e-5)
    assert result.clip_fraction == pytest.approx(clipped / mask.sum().item())
    assert result.approx_kl > 0


def test_long_answers_weigh_more_than_short_ones():
    mask = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 1]])
    lp = torch.zeros(2, 4, requires_grad=True)
    dapo_loss(lp, torch.zeros(2, 4), torch.tensor([1.0, 1.0]), mask).loss.backward()
    torch.testing.assert_close(lp.grad, -mask / 5)


def test_what_the_mask_hides_does_not_matter():
    lp, old, advantages, mask = random_batch()
    expected = dapo_loss(lp, old, advantages, mask).loss
    for rubbish in (float("nan"), float("-inf"), 1e9):
        noisy = torch.where(mask > 0, lp, torch.tensor(rubbish)).requires_grad_()
        loss = dapo_loss(noisy, old, advantages, mask).loss
        loss.backward()
        torch.testing.assert_close(loss, expected)
        assert bool(torch.isfinite(noisy.grad).all())


def test_split_batches_add_up():
    lp, old, advantages, mask = random_batch()
    whole = dapo_loss(lp, old, advantages, mask).loss
    tokens = mask.sum()
    parts = [
        dapo_loss(lp[rows], old[rows], advantages[rows], mask[rows], total_tokens=tokens).loss
        for rows in (slice(0, 2), slice(2, 5))
    ]
    torch.testing.assert_close(parts[0] + parts[1], whole)


def test_an_empty_batch_has_loss_0():
    empty = torch.zeros(0, 4)
    result = dapo_loss(empty, empty, torch.zeros(0), empty)
    assert result.loss.item() == 0.0 and result.ratio_deviation == 0.0
