"""Batches of TRL's GRPOTrainer as data: pick completions, mask them, put several drawn parts together.

A batch is TRL's own dict: `prompt_ids`, `prompt_mask` `[B, P]` padded left; `completion_ids`,
`completion_mask` `[B, C]` padded right; `advantages` `[B]`; images flat over the batch, `num_images` a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import pad, split_pixel_values_by_grid, unsplit_pixel_values_by_grid

Batch = dict[str, Any]


def members(groups: Sequence[int], size: int) -> list[int]:
    return [g * size + member for g in groups for member in range(size)]


def select(batch: Batch, chosen: list[int]) -> Batch:
    """The chosen completions of a batch, images split into lists of one entry a completion."""
    total = batch["completion_ids"].shape[0]
    split = split_pixel_values_by_grid(batch)
    picked: Batch = {}
    for key, value in split.items():
        if isinstance(value, list):
            picked[key] = [value[i] for i in chosen]
        elif isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == total:
            picked[key] = value[chosen]
        else:
            picked[key] = value
    return picked


def masked(batch: Batch) -> Batch:
    mask, advantages = torch.zeros_like(batch["completion_mask"]), torch.zeros_like(batch["advantages"])
    return {**batch, "completion_mask": mask, "advantages": advantages}


def merge(parts: Sequence[Batch], pad_id: int) -> Batch:
    """One batch of several draws: prompts padded anew on the left, completions on the right."""
    merged: Batch = {}
    for key, first in parts[0].items():
        values = [part[key] for part in parts]
        if isinstance(first, list):
            items = [item for value in values for item in value]
            merged[key] = _of_one_size(items) if key == "pixel_values" else items
        elif key in ("prompt_ids", "prompt_mask"):
            merged[key] = _pad_rows(values, pad_id if key == "prompt_ids" else 0, "left")
        elif key.endswith("token_type_ids"):
            merged[key] = _token_types(parts, key)
        elif first.ndim == 2:
            merged[key] = _pad_rows(values, pad_id if key == "completion_ids" else 0, "right")
        elif first.ndim == 0:
            merged[key] = first
        else:  # a row an image, `[n, tiles, ...]`
            merged[key] = torch.cat(_of_one_size(values))
    return unsplit_pixel_values_by_grid(merged)


def _pad_rows(values: Sequence[Tensor], filler: int, side: str) -> Tensor:
    rows = [row for value in values for row in value]
    padded: Tensor = pad(rows, padding_value=filler, padding_side=side)
    return padded


def _of_one_size(images: Sequence[Tensor]) -> list[Tensor]:
    """Images `[n, ...]` with zeros behind, as processors pad those of one call: of several draws each has its own most
    tiles, height and width."""
    sizes = [image.shape[1:] for image in images]
    if len(set(sizes)) < 2 or images[0].ndim < 3:
        return list(images)
    most = [max(each) for each in zip(*sizes, strict=True)]
    padded = []
    for image, size in zip(images, sizes, strict=True):
        behind = [n for now, wanted in zip(reversed(size), reversed(most), strict=True) for n in (0, wanted - now)]
        padded.append(torch.nn.functional.pad(image, behind))
    return padded


def _token_types(parts: Sequence[Batch], key: str) -> Tensor:
    """`[B, P + C]`: the prompt's part follows the prompts to the left; completions are all text (0)."""
    prompts = [part[key][:, : part["prompt_ids"].shape[1]] for part in parts]
    # A part of which nothing was kept does not count: `_pad_rows` does not see it either.
    completion = max(part["completion_ids"].shape[1] for part in parts if len(part["completion_ids"]))
    left = _pad_rows(prompts, 0, "left")
    return torch.cat([left, left.new_zeros(len(left), completion)], 1)
