"""Several continuations behind one prompt in one forward pass: the prompt is computed once.

The continuations of a prompt stand behind it in one sequence; a 4-D mask lets each see the prompt and itself
only, and explicit `position_ids` let each start where the prompt ends. Exact: a test holds that logits and
gradients equal those of separate passes. Used for scoring options, for packed pretraining (*ours*: eight
questions an image), and for the DAPO loss.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache
from transformers import Qwen2_5_VLForConditionalGeneration as Model
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import rotate_half

from aot.players.cache_argument import cache_argument
from aot.players.defender.rotary import rotated
from aot.players.processor import PromptBatch


def image_features(model: Model, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
    """Visual tokens `[tokens of all images, hidden]`, with gradients.

    Images of one size that fit a single attention window go through the vision blocks as one batch (the stock
    forward attends image by image in a Python loop); all others take the stock forward.
    """
    visual = model.model.visual
    frames, rows, columns = image_grid_thw[0].tolist()
    side_px = max(rows, columns) * visual.patch_size
    if frames > 1 or side_px > visual.window_size or bool((image_grid_thw != image_grid_thw[0]).any()):
        return torch.cat(list(model.model.get_image_features(pixel_values, image_grid_thw).pooler_output))
    # The patch convolution's stride is its kernel, so it is a matrix product.
    x = F.linear(pixel_values.to(visual.dtype), visual.patch_embed.proj.weight.flatten(1))
    x = x.view(len(image_grid_thw), rows * columns, -1)
    cos, sin = _vision_rope(visual, rows, columns)
    for block in visual.blocks:
        attention = block.attn
        qkv = attention.qkv(block.norm1(x)).view(*x.shape[:2], 3 * attention.num_heads, -1)
        turned, v = qkv.split([2 * attention.num_heads, attention.num_heads], 2)
        turned = (turned * cos + rotate_half(turned) * sin).to(v.dtype)  # in float32, as the stock forward
        q, k = turned.chunk(2, 2)
        mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x = x + attention.proj(mixed.transpose(1, 2).reshape(x.shape))
        x = x + block.mlp(block.norm2(x))
    return visual.merger(x)


def _vision_rope(visual: Any, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    merge = visual.spatial_merge_size
    device = visual.patch_embed.proj.weight.device
    grid = torch.stack(
        torch.meshgrid(
            torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
        ),
    )
    # Patches come merge group by merge group.
    grid = grid.view(2, rows // merge, merge, columns // merge, merge).transpose(2, 3).reshape(2, -1)
    dim = visual.config.hidden_size // visual.config.num_heads
    theta = (getattr(visual.config, "rope_parameters", None) or {}).get("rope_theta", 10000.0)  # 5.10 has none
    frequencies = 1.0 / theta ** (torch.arange(0, dim // 2, 2, device=device).float() / (dim // 2))
    angles = (grid[:, :, None].float() * frequencies).permute(1, 0, 2).flatten(1)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos()[:, None], angles.sin()[:, None]


def embed_prompts(model: Model, prompts: PromptBatch, visual: Tensor | None = None) -> Tensor:
    """`[B, L, hidden]`: token embeddings with the visual tokens (`image_features`) in their places."""
    embeddings = model.model.language_model.embed_tokens(prompts.input_ids)
    if visual is None:
        visual = image_features(model, prompts.pixel_values, prompts.image_grid_thw)
    is_image = (prompts.input_ids == model.config.image_token_id)[:, :, None]
    return embeddings.masked_scatter(is_image, visual.to(embeddings.dtype))


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `allowed`, the dtype's lowest number elsewhere; works with every attention kernel."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(
        ~allowed, torch.finfo(dtype).min
    )


def packed_mask(prefix_mask: Tensor, continuations: int, length: int) -> Tensor:
    """The attention mask: `bool [B, S, S]`, S = L + continuations * length; True where a row's token attends.

    prefix_mask: `bool [B, L]`, False on padding. Padded rows see themselves only (never read).
    """
    batch, prefix = prefix_mask.shape
    total = prefix + continuations * length
    device = prefix_mask.device
    block = torch.arange(total, device=device).sub(prefix).div(length, rounding_mode="floor").clamp(min=-1)
    causal = torch.ones(total, total, dtype=torch.bool, device=device).tril()
    own = (block[:, None] == block[None, :]) | (block[None, :] == -1)
    real = torch.cat([prefix_mask, prefix_mask.new_ones(batch, total - prefix)], dim=1)
    return (causal & own)[None] & real[:, None, :] | torch.eye(total, dtype=torch.bool, device=device)


def text_states(
    model: Model,
    embeddings: Tensor,
    position_ids: Tensor,
    allowed: Tensor | None,
    *,
    first: int = 0,
    cache: DynamicCache | None = None,
) -> Tensor:
    """Final hidden states of tokens `first` .. S-1: `[B, S - first, hidden]`, with gradients.

    The stock text model, except that its last layer computes nothing but keys and values for the tokens
    before `first`, which are not read.

    allowed: `bool [B, S, cached + S]`, the attention mask; None: causal, without padding.
    """
    language = model.model.language_model
    rotary = language.rotary_emb(embeddings, position_ids)
    if allowed is None and embeddings.shape[1] > 1 and language.config._attn_implementation != "sdpa":
        # Without a mask sdpa is causal; the others let each token see those behind it.
        allowed = embeddings.new_ones(embeddings.shape[1], embeddings.shape[1], dtype=torch.bool).tril()[None]
    mask = None if allowed is None else additive(allowed, embeddings.dtype)[:, None]
    hidden = embeddings
    *layers, last = language.layers
    cached = {cache_argument(last): cache}
    for layer in layers:
        hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary, **cached)
    attention, normed = last.self_attn, last.input_layernorm(hidden)
    q, k, v = (
        projection(x).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
        for projection, x in (
            (attention.q_proj, normed[:, first:]),
            (attention.k_proj, normed),
            (attention.v_proj, normed),
        )
    )
    q, k = rotated(attention, q, rotary, first=first), rotated(attention, k, rotary)
    if cache is not None:
        k, v = cache.update(k, v, attention.layer_idx)
    if mask is None and q.shape[2] > 1:
        causal = torch.ones(k.shape[2], k.shape[2], dtype=torch.bool, device=k.device).tril()
        mask = additive(causal[None, None], embeddings.dtype)
    mixed = F.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=None if mask is None else mask[:, :, -q.shape[2] :],
        scale=attention.scaling,
        enable_gqa=attention.num_key_value_groups > 1,
    )
    hidden = hidden[:, first:] + attention.o_proj(mixed.transpose(1, 2).flatten(2))
    hidden = hidden + last.mlp(last.post_attention_layernorm(hidden))
    return language.norm(hidden)


def packed_hidden(
    model: Model, prompts: PromptBatch, continuations: Tensor, visual: Tensor | None = None
) -> Tensor:
    """Hidden states that predict each continuation token: `[B, n, T, hidden]`, with gradients.

    continuations: `int64 [B, n, T]`, right-padded. Entry t is the state *before* token t (entry 0 is the
    prompt's last), so that `model.lm_head` of it gives the logits of token t.
    """
    batch, n, length = continuations.shape
    last = prompts.input_ids.shape[1] - 1
    behind = model.model.language_model.embed_tokens(continuations.flatten(1))
    embeddings = torch.cat([embed_prompts(model, prompts, visual), behind], dim=1)
    offsets = torch.arange(length, device=continuations.device).repeat(n)
    positions = (prompts.next_position[:, None] + offsets).expand(3, -1, -1)
    positions = torch.cat([prompts.position_ids, positions], dim=2)
    allowed = packed_mask(prompts.attention_mask, n, length)
    hidden = text_states(model, embeddings, positions, allowed, first=last)
    start = hidden[:, :1, None].expand(-1, n, -1, -1).reshape(batch, n, 1, -1)
    return torch.cat([start, hidden[:, 1:].view(batch, n, length, -1)[:, :, :-1]], dim=2)


def completion_logprobs(
    model: Model, prompts: PromptBatch, completions: Tensor, mask: Tensor, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-probability and entropy (nats) of each completion token, both `[B, n, T]`, with gradients.

    completions: `int64 [B, n, T]`; mask: `bool [B, n, T]`, True on real tokens; 0 where False.
    """
    hidden = packed_hidden(model, prompts, completions)[mask]
    logprobs = F.log_softmax(model.lm_head(hidden).float() / temperature, dim=-1)
    chosen = logprobs.gather(-1, completions[mask][:, None])[:, 0]
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    empty = torch.zeros(completions.shape, dtype=logprobs.dtype, device=completions.device)
    return empty.masked_scatter(mask, chosen), empty.masked_scatter(mask, entropy)
