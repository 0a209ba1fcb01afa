"""Laws of group-relative advantages."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aot.rl.advantage import group_advantages

REWARDS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.8, 1.0]), st.integers(0, 5)), min_size=1, max_size=40
)


def test_by_hand():
    rewards, ids = torch.tensor([1.0, 0.0, 0.8, 0.8, 0.0, 1.0]), torch.tensor([7, 7, 2, 2, 7, 7])
    result = group_advantages(rewards, ids)
    half = 0.5 / (0.5 + 1e-4)
    torch.testing.assert_close(result.values, torch.tensor([half, -half, 0.0, 0.0, -half, half]))
    assert result.informative.tolist() == [True, True, False, False, True, True]
    assert (result.groups, result.zero_variance_groups) == (2, 1)


def test_agrees_with_the_textbook_loop():
    generator = torch.Generator().manual_seed(0)
    rewards, ids = torch.rand(60, generator=generator), torch.arange(60) % 7
    for correction in (0, 1):
        result = group_advantages(rewards, ids, correction=correction)
        for group in range(7):
            r = rewards[ids == group]
            expected = (r - r.mean()) / (r.std(correction=correction) + 1e-4)
            torch.testing.assert_close(result.values[ids == group], expected, rtol=1e-4, atol=1e-5)


@given(REWARDS, st.sampled_from(["group", "batch"]))
@settings(deadline=None)
def test_groups_are_centred_and_constant_ones_silent(pairs, std):
    rewards, ids = torch.tensor([r for r, _ in pairs]), torch.tensor([g for _, g in pairs])
    result = group_advantages(rewards, ids, std=std)
    constant = 0
    for group in set(ids.tolist()):
        mine = ids == group
        assert abs(result.values[mine].sum().item()) < 1e-3
        if len(set(rewards[mine].tolist())) == 1:
            constant += 1
            assert torch.equal(result.values[mine], torch.zeros(int(mine.sum())))
    assert result.zero_variance_groups == constant
    assert result.groups == len(set(ids.tolist()))


@given(REWARDS, st.integers(0, 99))
@settings(deadline=None)
def test_the_order_of_samples_does_not_matter(pairs, seed):
    rewards, ids = torch.tensor([r for r, _ in pairs]), torch.tensor([g for _, g in pairs])
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))
    plain, shuffled = group_advantages(rewards, ids), group_advantages(rewards[order], ids[order])
    torch.testing.assert_close(plain.values[order], shuffled.values, atol=1e-5, rtol=1e-4)


def test_batch_std_keeps_the_sizes_of_differences():
    rewards, ids = torch.tensor([0.0, 1.0, 0.0, 0.1]), torch.tensor([0, 0, 1, 1])
    by_batch = group_advantages(rewards, ids, std="batch").values
    assert by_batch[1].item() == pytest.approx(10 * by_batch[3].item(), rel=1e-4)
    by_group = group_advantages(rewards, ids).values
    assert by_group[1].item() == pytest.approx(by_group[3].item(), rel=1e-2)


def test_clip_and_lonely_samples():
    rewards, ids = torch.tensor([0.0] * 99 + [1.0]), torch.zeros(100, dtype=torch.long)
    assert group_advantages(rewards, ids).values.max() == 5.0
    assert group_advantages(rewards, ids, clip=2.0).values.max() == 2.0
    alone = group_advantages(torch.tensor([3.0]), torch.tensor([4]), std="batch", correction=1)
    assert alone.values.tolist() == [0.0] and alone.zero_variance_groups == 1


def test_a_reward_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        group_advantages(torch.tensor([1.0, float("nan")]), torch.tensor([0, 0]))
