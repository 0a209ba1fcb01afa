"""Laws of the flow steps: what the sampler's density must be, whatever the latents are."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from aot.rl import flow

SHAPES = ((3, 8), (2, 16, 64), (2, 4, 6, 6), (2, 3, 1, 4, 4))
KINDS = ("sde", "cps")


def latents(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, v, noise = (torch.randn(shape, generator=generator) for _ in range(3))
    return x, v, noise


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", range(4))
def test_noise_0_is_the_schedulers_euler_step(shape, step):
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 4, 4))
    scheduler.set_begin_index(step)
    x, v, noise = latents(shape)
    expected = scheduler.step(v, scheduler.timesteps[step], x, return_dict=False)[0]
    sigma, sigma_next = scheduler.sigmas[step], scheduler.sigmas[step + 1]
    assert torch.equal(flow.euler_step(x, v, sigma, sigma_next), expected)
    assert torch.equal(flow.sde_step(x, v, sigma, sigma_next, 0.0).sample(noise), expected)
    cps = flow.cps_step(x, v, sigma, sigma_next, 0.0).sample(noise)
    torch.testing.assert_close(cps, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_log_prob_is_the_normals_mean(shape):
    x, v, noise = latents(shape)
    step = flow.sde_step(x, v, 0.7, 0.5, 0.9)
    after = step.sample(noise)
    expected = Normal(step.mean, step.std.expand_as(step.mean)).log_prob(after).flatten(1).mean(1)
    torch.testing.assert_close(step.log_prob(after), expected)
    assert step.log_prob(after).shape == (shape[0],)


def test_sde_step_by_hand():
    x, v = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    step = flow.sde_step(x, v, 0.8, 0.6, 0.5)
    s = 0.5 * math.sqrt(0.8 / 0.2)
    drift = s * s / (2 * 0.8)
    assert step.mean.item() == pytest.approx(2 * (1 - drift * 0.2) - (1 + drift * 0.2) * -0.2, rel=1e-5)
    assert step.scale.item() == pytest.approx(s, rel=1e-5)
    assert step.std.item() == pytest.approx(s * math.sqrt(0.2), rel=1e-5)


def test_at_sigma_1_the_next_sigma_stands_in_the_denominator():
    x, v, _ = latents((2, 5))
    step = flow.sde_step(x, v, 1.0, 0.75, 0.6)
    assert step.scale.flatten().tolist() == pytest.approx([0.6 * math.sqrt(1 / 0.25)])
    assert bool(torch.isfinite(step.mean).all())


def test_sde_keeps_the_marginals():
    """With the exact velocity of Gaussian data, x stays distributed as (1 - sigma) x0 + sigma noise."""
    generator = torch.Generator().manual_seed(0)
    n, spread = 200_000, 0.5
    x = torch.randn(n, 1, generator=generator)
    sigmas = torch.linspace(1, 0, 81)
    for sigma, sigma_next in pairwise(sigmas):
        variance = (1 - sigma) ** 2 * spread**2 + sigma**2
        v = x * (sigma - (1 - sigma) * spread**2) / variance  # E[noise - x0 | x]
        noise = torch.randn(n, 1, generator=generator)
        x = flow.sde_step(x, v, sigma, sigma_next, 0.7 if sigma_next > 0 else 0.0).sample(noise)
    assert x.std().item() == pytest.approx(spread, rel=0.03)


@given(a=st.floats(0.01, 1.0), sigma=st.floats(0.1, 1.0), share=st.floats(0.0, 0.95))
@settings(deadline=None, max_examples=40)
def test_cps_keeps_the_total_noise(a, sigma, share):
    """x = (1 - sigma) x0 + sigma e and a perfect velocity: x' has x0's coefficient 1 - sigma' and noise of
    total variance sigma'^2."""
    after = sigma * share
    x0, noise = torch.tensor([[3.0]]), torch.tensor([[1.0]])
    step = flow.cps_step((1 - sigma) * x0 + sigma * noise, noise - x0, sigma, after, a)
    old = (step.mean - (1 - after) * x0).item()  # what is left of the old noise, whose value was 1
    assert old**2 + step.std.item() ** 2 == pytest.approx(after**2, abs=1e-5)


def test_cps_log_prob_is_the_mean_squared_error():
    x, v, noise = latents((2, 3, 4))
    step = flow.transition("cps", x, v, 0.7, 0.5, 0.8)
    after = step.sample(noise)
    torch.testing.assert_close(step.log_prob(after), -((after - step.mean) ** 2).flatten(1).mean(1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_ratio_is_exactly_1_before_the_first_update(kind, dtype):
    """The rollout stores latents in `dtype`; recomputing from what was stored gives the same log-prob."""
    x, v, noise = latents((4, 16, 64))
    x, v = x.to(dtype), v.to(dtype)
    rollout = flow.transition(kind, x, v, 0.9, 0.7, 0.7)
    stored = rollout.sample(noise, dtype)
    again = flow.transition(kind, x.clone(), v.clone(), 0.9, 0.7, 0.7)
    ratio = (again.log_prob(stored) - rollout.log_prob(stored)).exp()
    assert stored.dtype == dtype
    assert torch.equal(ratio, torch.ones(4))
    assert rollout.mean.dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_sigma_may_differ_by_sample(kind):
    x, v, _ = latents((2, 3, 4, 5))
    now, after = torch.tensor([0.9, 0.5]), torch.tensor([0.7, 0.2])
    together = flow.transition(kind, x, v, now, after, 0.6)
    for i in range(2):
        alone = flow.transition(kind, x[i : i + 1], v[i : i + 1], float(now[i]), float(after[i]), 0.6)
        torch.testing.assert_close(together.mean[i : i + 1], alone.mean)


def test_a_step_without_noise_has_no_density():
    x, v, noise = latents((2, 3))
    step = flow.sde_step(x, v, 0.7, 0.5, 0.0)
    with pytest.raises(ValueError, match="no density"):
        step.log_prob(step.sample(noise))


def test_kl_forms():
    x, v, _ = latents((3, 4, 5))
    step, same = flow.sde_step(x, v, 0.7, 0.5, 0.7), flow.sde_step(x, v, 0.7, 0.5, 0.7)
    assert torch.equal(flow.mean_kl(step, same), torch.zeros(3))
    other = flow.sde_step(x, v + 0.1, 0.7, 0.5, 0.7)
    exact = torch.distributions.kl_divergence(
        Normal(other.mean, other.std.expand_as(x)), Normal(step.mean, step.std.expand_as(x))
    )
    torch.testing.assert_close(flow.mean_kl(other, step), exact.flatten(1).mean(1) * 0.2)  # times -dt
    torch.testing.assert_close(flow.velocity_kl(v + 0.1, v), torch.full((3,), 0.01))


@given(size=st.integers(1, 4), first=st.integers(0, 3), room=st.integers(0, 4), seed=st.integers(0, 99))
@settings(deadline=None)
def test_windows_lie_within_their_steps(size, first, room, seed):
    last = first + size - 1 + room
    window = flow.draw_window(np.random.default_rng(seed), size, first, last)
    assert len(window) == size
    assert first <= window[0] and window[-1] <= last


def test_every_window_is_drawn_and_too_large_ones_refused():
    rng = np.random.default_rng(0)
    assert {flow.draw_window(rng, 4, 0, 5).start for _ in range(100)} == {0, 1, 2}
    with pytest.raises(ValueError, match="does not fit"):
        flow.draw_window(rng, 7, 0, 5)


def test_guidance():
    c, u, _ = latents((2, 3, 8))
    torch.testing.assert_close(flow.guided_velocity(c, u, 1.0), c)
    guided = flow.guided_velocity(c, u, 4.0)
    torch.testing.assert_close(guided.norm(dim=-1), c.norm(dim=-1))
    direction = u + 4 * (c - u)
    torch.testing.assert_close(torch.cosine_similarity(guided, direction, dim=-1), torch.ones(2, 3))
