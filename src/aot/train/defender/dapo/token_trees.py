"""Log-probabilities of many answers to each prompt, every token computed once. *Ours.*

Answers that begin alike share their tokens until they part, so the answers to a prompt are a tree. Its tokens stand
behind the prompt in one sequence; a mask lets each see the prompt and what it follows, and explicit `position_ids` let
each stand where its answer has it. Exact: a test holds that values and gradients are those of separate passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aot.players.defender.shared_prefix import Model, embed_prompts, text_states
from aot.players.processor import PromptBatch


@dataclass(frozen=True, slots=True, eq=False)
class TokenTrees:
    """The answers to B prompts. An answer's last token is no node, since nothing follows it.

    A state is what predicts a next token: each prompt's last one, then those of its nodes; they are counted through,
    prompt by prompt.
    """

    tokens: Tensor
    """`int64 [B, N]` of the nodes, right-padded with zeros."""
    depths: Tensor
    """`int64 [B, N]`: 0 behind the prompt."""
    seen: Tensor
    """`bool [B, N, N]`: the nodes from the prompt to this one, itself included."""
    states: Tensor
    """`bool [B, 1 + N]`: what is no padding."""
    before: Tensor
    """`int64 [M]`: the state before each token of each answer, in order."""
    targets: Tensor
    """`int64 [M]`: that token."""

    def to(self, device: torch.device) -> TokenTrees:
        return TokenTrees(*(getattr(self, field.name).to(device) for field in fields(self)))


def build_trees(answers: Sequence[Sequence[Sequence[int]]]) -> TokenTrees:
    """The trees of each prompt's answers (token ids, not empty), on the CPU."""
    paths: list[list[tuple[int, ...]]] = []
    before: list[int] = []
    targets: list[int] = []
    for texts in answers:
        first = sum(map(len, paths)) + len(paths)
        known: dict[tuple[int, ...], int] = {(): 0}
        for ids in texts:
            for t, token in enumerate(ids):
                before.append(first + known.setdefault(tuple(ids[:t]), len(known)))
                targets.append(token)
        paths.append(list(known)[1:])
    most = max(map(len, paths))
    tokens, depths = np.zeros((2, len(paths), most), np.int64)
    seen = np.tile(np.eye(most, dtype=bool), (len(paths), 1, 1))
    states = np.arange(1 + most) <= np.array([len(nodes) for nodes in paths])[:, None]
    for row, nodes in enumerate(paths):
        number = {path: node for node, path in enumerate(nodes)}
        for path, node in number.items():
            tokens[row, node], depths[row, node] = path[-1], len(path) - 1
            if len(path) > 1:
                seen[row, node] |= seen[row, number[path[:-1]]]
    tensors = (torch.from_numpy(values) for values in (tokens, depths, seen, states))
    return TokenTrees(*tensors, *torch.tensor([before, targets], dtype=torch.int64))


def tree_logprobs(
    model: Model, prompts: PromptBatch, trees: TokenTrees, *, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Log-probability of each token of each answer, and the entropy (nats) of what it was drawn from: `[M]` both, with
    gradients."""
    length, nodes = prompts.input_ids.shape[1], trees.tokens.shape[1]
    behind = model.model.language_model.embed_tokens(trees.tokens)
    embeddings = torch.cat([embed_prompts(model, prompts), behind], dim=1)
    positions = (prompts.next_position[:, None] + trees.depths).expand(3, -1, -1)
    positions = torch.cat([prompts.position_ids, positions], dim=2)
    causal = torch.ones(length + nodes, length, dtype=torch.bool, device=behind.device).tril()
    to_prompt = causal & prompts.attention_mask[:, None]
    allowed = torch.cat([to_prompt, F.pad(trees.seen, (0, 0, length, 0))], dim=2)
    allowed |= torch.eye(
        length + nodes, dtype=torch.bool, device=behind.device
    )  # padding: itself, and never read
    hidden = text_states(model, embeddings, positions, allowed, first=length - 1)
    logprobs = F.log_softmax(model.lm_head(hidden[trees.states]).float() / temperature, dim=-1)
    entropies = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs[trees.before, trees.targets], entropies[trees.before]
