"""Steps of a flow-matching sampler, as densities: what Flow-GRPO needs and nothing else.

Source: Liu et al. 2025, Flow-GRPO (arXiv 2505.05470), section 4 (the SDE and its log-probability);
coefficient-preserving sampling (CPS): Wang and Yu 2025 (arXiv 2509.05952); the random window is that
paper's *fast* variant. Convention of diffusers' `FlowMatchEulerDiscreteScheduler`: sigma = 1 is noise,
`x_sigma = (1 - sigma) x0 + sigma noise`, the network predicts `v = noise - x0`, time runs downwards.

All arithmetic is float32 whatever the inputs are; latents may have any rank `[B, ...]`; `sigma` is a
number or `[B]`. Reductions are *means* over all non-batch dimensions: that is what makes clip ranges
of 1e-4 meaningful.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Sigma = float | Tensor
StepKind = Literal["sde", "cps"]


@dataclass(frozen=True, slots=True, eq=False)
class Transition:
    """One noisy step x -> x'. `mean` float32 `[B, ...]`; `std` (of the noise added) and `scale` (the
    SDE's s, without dt; the CPS's std) broadcast against it."""

    mean: Tensor
    std: Tensor
    scale: Tensor
    kind: StepKind
    is_noisy: bool = True

    def sample(self, noise: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """x' = mean + std * noise, rounded to `dtype`. Store exactly this tensor and take `log_prob` of
        it: then the ratio before the first update is exactly 1 in any precision."""
        return (self.mean + self.std * noise.float()).to(dtype)

    def log_prob(self, x_next: Tensor) -> Tensor:
        """`[B]`, mean over the latent dimensions. SDE: the Gaussian log-density. CPS: -(x' - mean)^2,
        without the constant terms, as its authors define it."""
        error = (x_next.float() - self.mean).square()
        if self.kind == "cps":
            return _mean(-error)
        if not self.is_noisy:
            raise ValueError("a step without noise has no density: take log_prob only of window steps")
        density = -error / (2 * self.std.square()) - self.std.log() - 0.5 * math.log(2 * math.pi)
        return _mean(density)


def transition(
    kind: StepKind, x: Tensor, v: Tensor, sigma: Sigma, sigma_next: Sigma, noise_level: float
) -> Transition:
    """The step of the named kind (`sde_step` or `cps_step`)."""
    step = sde_step if kind == "sde" else cps_step
    return step(x, v, sigma, sigma_next, noise_level)


def sde_step(x: Tensor, v: Tensor, sigma: Sigma, sigma_next: Sigma, noise_level: float) -> Transition:
    """Flow-GRPO's SDE with the marginals of the ODE. x, v `[B, ...]`; noise 0 is the Euler step.

    s = a sqrt(sigma / (1 - sigma)); at sigma = 1 the next sigma stands in the denominator.
    """
    x, v = x.float(), v.float()
    now, after = _column(sigma, x), _column(sigma_next, x)
    dt = after - now
    s = noise_level * (now / (1 - torch.where(now >= 1, after, now))).sqrt()
    half = s.square() / (2 * now)
    mean = x * (1 + half * dt) + v * (1 + half * (1 - now)) * dt
    return Transition(mean, s * (-dt).sqrt(), s, "sde", noise_level > 0)


def cps_step(x: Tensor, v: Tensor, sigma: Sigma, sigma_next: Sigma, noise_level: float) -> Transition:
    """Coefficient-preserving step: predicted x0 and noise are re-mixed so that the total noise of x' is
    exactly `sigma_next`. `noise_level` in [0, 1]: 0 is the Euler step, 1 forgets the predicted noise."""
    x, v = x.float(), v.float()
    now, after = _column(sigma, x), _column(sigma_next, x)
    s = after * math.sin(noise_level * math.pi / 2)
    x0, x1 = x - now * v, x + (1 - now) * v
    mean = x0 * (1 - after) + x1 * (after.square() - s.square()).clamp_min(0).sqrt()
    return Transition(mean, s, s, "cps")


def euler_step(x: Tensor, v: Tensor, sigma: Sigma, sigma_next: Sigma) -> Tensor:
    """The ODE step, float32: x + (sigma_next - sigma) v, as the scheduler does it."""
    x = x.float()
    return x + (_column(sigma_next, x) - _column(sigma, x)) * v.float()


def draw_window(rng: np.random.Generator, size: int, first: int, last: int) -> range:
    """`size` consecutive step numbers, uniformly placed within the steps `first..last` (inclusive)."""
    if not 0 < size <= last - first + 1:
        raise ValueError(f"a window of {size} steps does not fit into steps {first}..{last}")
    start = int(rng.integers(first, last - size + 2))
    return range(start, start + size)


def mean_kl(new: Transition, reference: Transition) -> Tensor:
    """`[B]`: ||mean - mean_ref||^2 / (2 s^2), mean over dimensions, without dt as the authors' code has it
    (the true Gaussian KL is this divided by -dt)."""
    return _mean((new.mean - reference.mean).square() / (2 * new.scale.square()))


def velocity_kl(v: Tensor, v_reference: Tensor) -> Tensor:
    """`[B]`: mean squared difference of the velocities. No 1/s^2: every step weighs alike."""
    return _mean((v.float() - v_reference.float()).square())


def guided_velocity(conditional: Tensor, unconditional: Tensor, weight: float) -> Tensor:
    """True CFG with Qwen-Image's norm rescaling (over the last dimension): u + w (c - u), scaled to |c|."""
    c, u = conditional.float(), unconditional.float()
    combined = u + weight * (c - u)
    return combined * (c.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True).clamp_min(1e-12))


def _column(value: Sigma, like: Tensor) -> Tensor:
    """A number or `[B]` as float32 `[B or 1, 1, ...]` that broadcasts against `like`."""
    column = torch.as_tensor(value, dtype=torch.float32, device=like.device).reshape(-1)
    return column.reshape(-1, *[1] * (like.ndim - 1))


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)
