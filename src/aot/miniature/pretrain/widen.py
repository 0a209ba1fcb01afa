"""Preparing a trained editor of the miniature world to learn the wider edits, without losing what it can do (*ours*).

What keeps a shipped editor from them, measured (docs/log.md): its vocabulary spells their words, 16 to 32 tokens a
sentence; and its latents express neither textures nor fine differences of size. So it gets words of its own for the new
phrases, and in the place of its least latents others that express these. All else stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from aot.miniature.autoencoder import Lesson, ResidualAutoencoder
from aot.miniature.pairs import instruction_pairs
from aot.miniature.tokenizer import add_phrases
from aot.players.attacker.edit_attacker import EditAttacker
from aot.train.attacker.sft.edit_sets import EditPair
from aot.types import EditKind
from aot.world.edits import WIDE_PHRASES
from aot.world.scenes import draw_scenes

TEXTURE_LATENTS, OTHER_LATENTS = 4, 8
"""Of 64. Four patterns; and what the others leave out of other sizes, patches and objects."""
_SCENES = 300


def widened(attacker: EditAttacker, *, seed: int) -> EditAttacker:
    """The editor with words and latents for the wider edits; the usual ones it paints as before."""
    assert isinstance(attacker.vae, ResidualAutoencoder)
    # A texture is faint, and lies on many cells: at twice the level its least block is well above the dead zone.
    lessons = (
        _lesson(("texture",), TEXTURE_LATENTS, 2.0, seed),
        _lesson(("scale", "occlude", "any"), OTHER_LATENTS, 1.0, seed),
    )
    reader, processor = with_phrases(attacker.text_encoder, attacker.processor, WIDE_PHRASES, seed=seed)
    vae = attacker.vae.refitted(lessons)
    return EditAttacker(attacker.transformer, vae, attacker.scheduler, reader, processor, attacker.settings)


def with_phrases(
    model: Qwen2_5_VLForConditionalGeneration, processor: Any, phrases: Iterable[str], *, seed: int
) -> tuple[Qwen2_5_VLForConditionalGeneration, Any]:
    """Copies of a model and its processor in which each phrase is one token, too. Their embeddings are drawn as widely
    as the others lie; all that was known keeps its number and its embedding."""
    model, processor = copy.deepcopy(model), copy.deepcopy(processor)
    known = len(model.get_input_embeddings().weight)
    assert known == len(processor.tokenizer), "each token has a row"
    add_phrases(processor.tokenizer, phrases)
    with torch.random.fork_rng(devices=[]):  # resizing draws rows of its own
        model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    rows = model.get_input_embeddings().weight.data
    generator = torch.Generator().manual_seed(seed)
    rows[known:] = torch.randn(len(rows) - known, rows.shape[1], generator=generator) * rows[:known].std()
    return model, processor


def _lesson(kinds: Sequence[EditKind], latents: int, level: float, seed: int) -> Lesson:
    """Plain tasks of these kinds."""
    pairs: list[EditPair] = []
    for number, kind in enumerate(kinds):
        pairs += instruction_pairs(draw_scenes(_SCENES, seed + number, "train"), seed=seed, kind=kind)
    return Lesson(np.stack([p.source for p in pairs]), np.stack([p.target for p in pairs]), latents, level)
