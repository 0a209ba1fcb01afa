"""Sampled edits for Flow-GRPO: Euler steps of the ODE, and inside a window noisy steps, which have a density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from aot.rl.flow import Transition, euler_step, transition
from aot.train.ranks import Draws, all_draws

if TYPE_CHECKING:
    from aot.players.attacker.conditions import Conditions
    from aot.players.attacker.edit_attacker import EditAttacker
    from aot.train.attacker.flow_grpo.settings import FlowGrpoSettings


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """B sampled edits. `latents [W + 1, B, L, C]` around the W noisy steps `window`, `log_probs [W, B]` of
    these steps, `final [B, L, C]` the denoised latents. Each `copies` edits in a row are one in `latents[0]`.
    `with_graph`: the log-probabilities `[B]` of each step once more, with their graph; empty where none was kept."""

    window: range
    latents: Tensor
    log_probs: Tensor
    final: Tensor
    copies: int = 1
    with_graph: tuple[Tensor, ...] = ()


def passes(conditions: Conditions, part: Tensor, most: int) -> list[Tensor]:
    """`part`, numbers of edits, cut into forward and backward passes of at most `most` (0: all in one): like text
    lengths together, so that little is padded."""
    if not most or len(part) <= most:
        return [part] if len(part) else []
    order = np.argsort(conditions.lengths[part.numpy()], kind="stable")
    return list(part[torch.from_numpy(order)].split(most))


def sample_rollout(
    attacker: EditAttacker,
    conditions: Conditions,
    noise: Tensor,
    window: range,
    settings: FlowGrpoSettings,
    generator: torch.Generator | Draws,
    *,
    copies: int = 1,
    keep_graph: bool = False,
) -> Rollout:
    """Edits from starting `noise [B / copies, L, C]`: Euler steps, and noisy ones in `window`. Latents are stored
    as float32, in which their log-probabilities are taken. Each `copies` edits in a row have one condition and one
    noise: they are one up to the window's first noise. Passes are as large as in training, `settings.micro_batch`: in
    bfloat16 another size gives other roundings, and ratios that are not quite 1."""
    draws = generator if isinstance(generator, Draws) else all_draws(generator, len(conditions))
    sigmas = attacker.sigmas(noise.shape[1], settings.steps)
    x, path, log_probs = noise.float(), [], []
    batch = conditions.take(torch.arange(0, len(conditions), copies))
    for i in range(settings.steps):
        now, after = float(sigmas[i]), float(sigmas[i + 1])
        with torch.set_grad_enabled(keep_graph and i in window):
            v = attacker.velocity(batch, x, sigmas[i].expand(len(x)).to(x.device), most=settings.micro_batch)
            if i not in window:
                x = euler_step(x, v, now, after)
                continue
            if i == window[0]:
                x, v, batch = x.repeat_interleave(copies, 0), v.repeat_interleave(copies, 0), conditions
            step = transition(settings.step_kind, x, v, now, after, settings.noise_level)
            path.append(x)
            x = step.sample(draws.randn(*x.shape[1:]).to(x.device)).detach()
            log_probs.append(step.log_prob(x))
        if i == window[-1]:
            path.append(x)
    with_graph = tuple(log_probs) if keep_graph else ()
    return Rollout(window, torch.stack(path), torch.stack(log_probs).detach(), x, copies, with_graph)


def step_again(
    policy: EditAttacker,
    conditions: Conditions,
    rollout: Rollout,
    w: int,
    part: Tensor,
    settings: FlowGrpoSettings,
) -> tuple[Transition, Tensor]:
    """Step w of the window for the edits `part`, recomputed with `policy`'s velocities; returned with these,
    `[len(part), L, C]`."""
    asked, back = part, torch.arange(len(part))
    if w == 0 and rollout.copies > 1:  # edits that are still one have one velocity, and share its gradient
        firsts, which = np.unique(part.numpy() // rollout.copies * rollout.copies, return_inverse=True)
        asked, back = torch.from_numpy(firsts), torch.from_numpy(which)
    sigmas, i = policy.sigmas(rollout.final.shape[1], settings.steps), rollout.window[w]
    x, now, after = rollout.latents[w, asked], float(sigmas[i]), float(sigmas[i + 1])
    v = policy.velocity(conditions.take(asked), x, sigmas[i].expand(len(asked)).to(x.device))[back]
    return transition(settings.step_kind, x[back], v, now, after, settings.noise_level), v
