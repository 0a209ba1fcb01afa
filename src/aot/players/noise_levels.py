"""The noise levels of a flow-matching sampler, set as the pipelines of Qwen-Image and FLUX set them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.qwenimage.pipeline_qwenimage_edit import calculate_shift
from torch import Tensor


def noise_levels(
    scheduler: FlowMatchEulerDiscreteScheduler, tokens: int, steps: int, sample_sigmas: Sequence[float] = ()
) -> Tensor:
    """`[steps + 1]` from 1 to 0, shifted for an image of `tokens` tokens; also set in the scheduler. Before
    the shift they are `sample_sigmas` where those are as many as the steps, else evenly spaced."""
    even = np.linspace(1.0, 1 / steps, steps)
    config = scheduler.config
    mu = calculate_shift(
        tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    scheduler.set_timesteps(sigmas=np.array(sample_sigmas) if len(sample_sigmas) == steps else even, mu=mu)
    return scheduler.sigmas.clone()
