"""The forward pass of `QwenImageTransformer2DModel`, computing only what an editor's rollout needs. *Ours.*

Same module, same weights, same numbers as the stock `forward` (a test holds it to 1e-5, gradients too),
about 1.5 times as fast on a CPU for short sequences: q, k and v of a stream are one product, the rotary
embedding is real-valued with the q/k norm's weights folded in, GELU is written by its sigmoid, and the last
block computes nothing but the tokens that are read. Falls back to the stock pass for what it does not know
(LoRA layers, other variants).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import QwenImageTransformer2DModel
from torch import Tensor, nn

from aot.players.linear import Linear, linear

Grid = tuple[int, int, int]
"""(frames, rows, columns) of a token grid, as in the pipeline's `img_shapes`."""


def predict_velocity(
    transformer: QwenImageTransformer2DModel,
    latents: Tensor,
    source: Tensor,
    text: Tensor,
    sigma: Tensor,
    grids: tuple[Grid, Grid],
    *,
    text_mask: Tensor | None = None,
) -> Tensor:
    """`[B, N, C]` velocity of the N noisy tokens `latents`, joined on the sequence with the source image's
    tokens.

    latents `[B, N, C]`, source `[B, M, C]`, text `[B, T, joint_attention_dim]`, sigma `[B]` in (0, 1];
    `text_mask` bool `[B, T]`, None where no text is padded. `grids` are those of latents and source.
    """
    hidden = torch.cat([latents, source], 1)
    if not is_fusible(transformer):
        shapes = [list(grids)] * len(latents)
        out = transformer(hidden, text, text_mask, sigma, shapes, return_dict=False)[0]
        return out[:, : latents.shape[1]]
    return _fused(transformer, hidden, text, sigma, grids, latents.shape[1], text_mask)


def is_fusible(transformer: nn.Module) -> bool:
    """Plain linear layers in float32 (its rotary factors are in the weights' dtype), plain rope, no checkpointing: what
    the fused pass covers."""
    if not isinstance(transformer, QwenImageTransformer2DModel) or transformer.gradient_checkpointing:
        return False
    config = transformer.config
    special = (
        config.zero_cond_t
        or config.use_additional_t_cond
        or config.use_layer3d_rope
        or config.guidance_embeds
    )
    attn = transformer.transformer_blocks[0].attn
    read = (attn.to_q, attn.to_k, attn.to_v, attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
    return not special and all(type(m) in (nn.Linear, Linear) and m.weight.dtype is torch.float32 for m in read)


class _Rotation(NamedTuple):
    """Real rotary factors `[S, 1, head_dim]` in split-half order, and the order of a head's dimensions."""

    cos: Tensor
    sin: Tensor
    order: Tensor


_rotations: dict[tuple[object, ...], _Rotation] = {}


def _rotation(
    transformer: QwenImageTransformer2DModel, grids: tuple[Grid, Grid], texts: int, like: Tensor
) -> _Rotation:
    """Rotary factors of [text, image] tokens; cached, since a training asks for the same few shapes all the
    time."""
    config = transformer.config
    head_dim = config.attention_head_dim
    key = (tuple(config.axes_dims_rope), head_dim, grids, texts, like.dtype, like.device)
    if key in _rotations and type(like) is Tensor:  # not a fake one, of a plan: those keep to themselves
        return _rotations[key]
    image, text = transformer.pos_embed([list(grids)], max_txt_seq_len=texts, device=like.device)
    angles = torch.cat([text, image]).angle()
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    # (x0, x1, x2, x3) -> (x0, x2, x1, x3): pairs become two halves, which rotate without strided copies.
    order = torch.arange(head_dim, device=like.device).view(-1, 2).t().reshape(-1)
    made = _Rotation(torch.cat([cos, cos], -1).to(like.dtype), torch.cat([-sin, sin], -1).to(like.dtype), order)
    if type(like) is Tensor:
        if len(_rotations) > 256:
            _rotations.clear()
        _rotations[key] = made
    return made


def _fused(
    transformer: QwenImageTransformer2DModel,
    hidden: Tensor,
    text: Tensor,
    sigma: Tensor,
    grids: tuple[Grid, Grid],
    outputs: int,
    text_mask: Tensor | None,
) -> Tensor:
    rotation = _rotation(transformer, grids, text.shape[1], hidden)
    image = transformer.img_in(hidden)
    text = transformer.txt_in(transformer.txt_norm(text))
    temb = transformer.time_text_embed(sigma.to(image.dtype), image)
    signal = F.silu(temb)
    mask = None
    if text_mask is not None:
        mask = F.pad(text_mask.bool(), (0, image.shape[1]), value=True)[:, None, None, :]
    blocks = transformer.transformer_blocks
    for block in blocks[:-1]:
        text, image = _block(block, text, image, signal, rotation, mask)
    image = _last_block(blocks[-1], text, image, signal, rotation, mask, outputs)
    return transformer.proj_out(transformer.norm_out(image, temb))


def _block(
    block: Any, text: Tensor, image: Tensor, signal: Tensor, rotation: _Rotation, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    image_mod, text_mod = _modulation(block.img_mod, signal), _modulation(block.txt_mod, signal)
    attn, texts = block.attn, text.shape[1]
    q, k, v = _joint_qkv(attn, _modulate(text, text_mod[:2]), _modulate(image, image_mod[:2]), rotation)
    seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
    image = torch.addcmul(image, image_mod[2], attn.to_out[0](seen[:, texts:]))
    text = torch.addcmul(text, text_mod[2], attn.to_add_out(seen[:, :texts]))
    image = torch.addcmul(image, image_mod[5], _mlp(block.img_mlp, _modulate(image, image_mod[3:5])))
    text = torch.addcmul(text, text_mod[5], _mlp(block.txt_mlp, _modulate(text, text_mod[3:5])))
    return text, image


def _last_block(
    block: Any,
    text: Tensor,
    image: Tensor,
    signal: Tensor,
    rotation: _Rotation,
    mask: Tensor | None,
    outputs: int,
) -> Tensor:
    """As `_block`, but only the first `outputs` image tokens ask, and only they go on."""
    image_mod, text_mod = _modulation(block.img_mod, signal), _modulation(block.txt_mod, signal)
    attn, texts = block.attn, text.shape[1]
    q, k, v = _joint_qkv(attn, _modulate(text, text_mod[:2]), _modulate(image, image_mod[:2]), rotation)
    q = q[:, :, texts : texts + outputs]
    seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
    image = torch.addcmul(image[:, :outputs], image_mod[2], attn.to_out[0](seen))
    return torch.addcmul(image, image_mod[5], _mlp(block.img_mlp, _modulate(image, image_mod[3:5])))


def _modulation(layer: nn.Sequential, signal: Tensor) -> tuple[Tensor, ...]:
    """shift, 1 + scale, gate, twice; each `[B, 1, D]`. `signal` is already through the layer's SiLU."""
    shift1, scale1, gate1, shift2, scale2, gate2 = layer[1](signal).unsqueeze(1).chunk(6, -1)
    return shift1, 1 + scale1, gate1, shift2, 1 + scale2, gate2


def _modulate(x: Tensor, shift_scale: tuple[Tensor, ...]) -> Tensor:
    shift, scale = shift_scale
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=1e-6), scale)


def _mlp(layer: Any, x: Tensor) -> Tensor:
    """The block's feed-forward layer: linear, GELU, (dropout 0,) linear."""
    hidden = layer.net[0].proj(x)
    on_cpu = hidden.device.type == "cpu"
    return layer.net[2](_TanhGelu.apply(hidden) if on_cpu else F.gelu(hidden, approximate="tanh"))


class _TanhGelu(torch.autograd.Function):
    """GELU in its tanh form, as x * sigmoid(2 u): PyTorch's CPU kernel takes twice as long over the same function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        linear = 2 * math.sqrt(2 / math.pi)
        twice_u = x.square().mul_(0.044715 * linear).add_(linear).mul_(x)
        return twice_u.sigmoid_().mul_(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return torch.ops.aten.gelu_backward(grad, ctx.saved_tensors[0], approximate="tanh")


def _joint_qkv(attn: Any, text: Tensor, image: Tensor, rotation: _Rotation) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v `[B, heads, T + N, head_dim]` of the joined streams, normed and rotated."""
    heads, order = attn.heads, rotation.order
    both = torch.cat(
        [
            _qkv(text, (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj), heads, order),
            _qkv(image, (attn.to_q, attn.to_k, attn.to_v), heads, order),
        ],
        1,
    )
    texts = text.shape[1]
    q, k, v = both.unbind(2)
    q = _norm_rotate(q, attn.norm_added_q.weight, attn.norm_q.weight, texts, attn.norm_q.eps, rotation)
    k = _norm_rotate(k, attn.norm_added_k.weight, attn.norm_k.weight, texts, attn.norm_k.eps, rotation)
    return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def _qkv(x: Tensor, layers: tuple[nn.Linear, nn.Linear, nn.Linear], heads: int, order: Tensor) -> Tensor:
    """`[B, S, 3, heads, head_dim]` in one product, q and k in the rotation's order of dimensions."""
    inner = layers[0].out_features
    rows = (torch.arange(0, inner, inner // heads, device=order.device)[:, None] + order).reshape(-1)
    weight = torch.cat([layers[0].weight[rows], layers[1].weight[rows], layers[2].weight])
    bias = torch.cat([layers[0].bias[rows], layers[1].bias[rows], layers[2].bias])
    return linear(x, weight, bias).unflatten(-1, (3, heads, inner // heads))


def _norm_rotate(
    x: Tensor, text_weight: Tensor, image_weight: Tensor, texts: int, eps: float, rotation: _Rotation
) -> Tensor:
    """RMSNorm over the head dimension, then rotary; x `[B, S, heads, head_dim]`."""
    weight = torch.stack([text_weight, image_weight])[:, rotation.order]
    lengths = torch.tensor([texts, x.shape[1] - texts], device=x.device)
    swapped = weight.roll(weight.shape[-1] // 2, -1)
    total = {"dim": 0, "output_size": x.shape[1]}  # known here: a GPU need not be waited for
    cos = rotation.cos * weight.repeat_interleave(lengths, **total)[:, None]
    sin = rotation.sin * swapped.repeat_interleave(lengths, **total)[:, None]
    unit = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return torch.addcmul(unit * cos, unit.roll(unit.shape[-1] // 2, -1), sin)
