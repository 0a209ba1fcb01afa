"""Rotary positions of Qwen2.5-VL's text attention under one name, whatever transformers (5.10 on) calls them.

From 5.17 the rotary embedding itself picks the angles of time, row and column; before, each attention layer does. What
`language.rotary_emb` gives differs with it (`[B, S, dim]` or `[3, B, S, dim]`), but tokens and channels come last in
both.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen


def rotated(attention: Any, states: Tensor, angles: tuple[Tensor, Tensor], *, first: int = 0) -> Tensor:
    """Queries or keys `[B, heads, S - first, head_dim]` of a layer's attention, rotated by the positions of tokens
    `first` .. S-1; `angles`: cosines and sines of all S."""
    cos, sin = (each[..., first:, :] for each in angles)
    if hasattr(qwen, "apply_rotary_pos_emb"):
        turned: Tensor = qwen.apply_rotary_pos_emb(states, states, cos, sin)[0]
        return turned
    section = attention.config.rope_parameters["mrope_section"]
    turned = qwen.apply_multimodal_rotary_pos_emb(states, states, cos, sin, section)[0]
    return turned
