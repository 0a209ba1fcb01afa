"""k sampled answers to each prompt, at the price of the different ones.

Every prompt is read once. Then, token by token, each answer draws from its own distribution, but answers
that agree so far share one row of the computation: short answers are mostly equal, so that 16 cost little
more than 2. Same answers as `QwenDefender.sample` gives for the same random numbers (a test holds that).
*Ours.*
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from aot.players.defender.shared_prefix import Model, embed_prompts, packed_mask, text_states
from aot.players.processor import PromptBatch


@dataclass(frozen=True, slots=True)
class SampledGroup:
    """The k completions of one prompt: the different ones (token ids, end token included where it came), how
    often each was drawn, and whether it hit the length limit."""

    completions: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...]
    truncated: tuple[bool, ...]


@torch.no_grad()
def sample_groups(
    model: Model,
    prompts: PromptBatch,
    draws: Tensor,
    *,
    temperature: float,
    end_ids: Sequence[int],
    suppressed_ids: Sequence[int] = (),
) -> list[SampledGroup]:
    """k answers of at most T tokens to each of the B prompts.

    draws: `float [B, k, T]` uniform in [0, 1): answer j of prompt i picks its token t by inverting the
    cumulative distribution at `draws[i, j, t]`. `suppressed_ids` are never drawn (a sampled image token would
    have no image behind it).
    """
    device = prompts.input_ids.device
    batch, k, max_tokens = draws.shape
    uniform = draws.reshape(batch * k, max_tokens).to(device)
    tokens = torch.full((batch * k, max_tokens), -1, dtype=torch.int64, device=device)  # -1: nothing here
    active = torch.arange(batch * k, device=device)  # sequences still being written
    node = active // k  # the row of `hidden` that a sequence continues
    owner = torch.arange(batch, device=device)  # the prompt of each row
    cache = DynamicCache(config=model.config.get_text_config())
    hidden = _read(model, prompts, cache)
    ends = torch.tensor(sorted(set(end_ids)), device=device)
    for step in range(max_tokens):
        logits = model.lm_head(hidden).float()
        if suppressed_ids:
            logits[:, list(suppressed_ids)] = float("-inf")
        cumulative = (logits / temperature).softmax(-1).cumsum(-1)[node]
        wanted = uniform[active, step, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, wanted, right=True)[:, 0].clamp_(max=logits.shape[1] - 1)
        tokens[active, step] = drawn
        going = ~torch.isin(drawn, ends)
        active, node, drawn = active[going], node[going], drawn[going]
        if len(active) == 0 or step + 1 == max_tokens:
            break
        # Sequences that continue the same row by the same token become one row.
        vocabulary = logits.shape[1]
        keys, node = torch.unique(node * vocabulary + drawn, return_inverse=True)
        parent, token = keys // vocabulary, keys % vocabulary
        owner = owner[parent]
        cache.batch_select_indices(parent)
        hidden = _continue(model, prompts, cache, owner, token, step)
    return _grouped(tokens.view(batch, k, max_tokens), frozenset(end_ids))


def _read(model: Model, prompts: PromptBatch, cache: DynamicCache) -> Tensor:
    """Reads the prompts into `cache`; the state behind each, `[B, hidden]`."""
    last = prompts.input_ids.shape[1] - 1
    seen = packed_mask(prompts.attention_mask, 0, 1)
    embeddings = embed_prompts(model, prompts)
    return text_states(model, embeddings, prompts.position_ids, seen, first=last, cache=cache)[:, 0]


def _continue(
    model: Model, prompts: PromptBatch, cache: DynamicCache, owner: Tensor, token: Tensor, step: int
) -> Tensor:
    """One token further in every row; the state behind it, `[rows, hidden]`."""
    real = prompts.attention_mask[owner]
    seen = torch.cat([real, real.new_ones(len(owner), step + 1)], 1)
    embeddings = model.model.language_model.embed_tokens(token)[:, None]
    positions = (prompts.next_position[owner] + step).expand(3, -1)[:, :, None]
    return text_states(model, embeddings, positions, seen[:, None], cache=cache)[:, 0]


def _grouped(tokens: Tensor, end_ids: frozenset[int]) -> list[SampledGroup]:
    groups = []
    for members in tokens.tolist():
        counts: dict[tuple[int, ...], int] = {}
        for member in members:
            ids = tuple(t for t in member if t >= 0)
            counts[ids] = counts.get(ids, 0) + 1
        truncated = tuple(ids[-1] not in end_ids for ids in counts)
        groups.append(SampledGroup(tuple(counts), tuple(counts.values()), truncated))
    return groups
