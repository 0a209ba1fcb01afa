"""Architecture of the miniature defender: the true Qwen2.5-VL class at half a million parameters."""

from __future__ import annotations

import torch
from pydantic import BaseModel, Field, model_validator
from transformers import PreTrainedTokenizerBase, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from aot.players.special_tokens import IM_END, IMAGE_PAD, PAD, VIDEO_PAD, VISION_END, VISION_START


class DefenderShape(BaseModel, frozen=True, extra="forbid"):
    """Architecture of a miniature defender; all values *ours*."""

    hidden: int = Field(96, ge=16)  # text width; also the attacker's condition width
    layers: int = Field(3, ge=1)
    heads: int = Field(3, ge=1)
    mlp: int = Field(256, ge=16)
    vision_hidden: int = Field(64, ge=16)
    vision_depth: int = Field(2, ge=1)
    vision_heads: int = Field(4, ge=1)
    vision_mlp: int = Field(128, ge=16)
    patch_px: int = Field(8, ge=2)
    merge: int = Field(2, ge=1)  # visual tokens of patch * merge = 16 px, one cell of the world
    image_px: int = Field(64, ge=16)  # larger images are shrunk to this many pixels squared
    rope_theta: float = Field(10.0, gt=1)  # Qwen's 1e6 leaves no usable angles on a 4x4 grid
    init_std: float = Field(0.06, gt=0)

    @model_validator(mode="after")
    def _divides(self) -> DefenderShape:
        """Rotary angles come in pairs: of the text's heads two a pair, of the vision's, which have two axes, four."""
        for width, heads, parts in (("hidden", "heads", 2), ("vision_hidden", "vision_heads", 4)):
            if getattr(self, width) % (parts * getattr(self, heads)):
                raise ValueError(f"{width} must be a multiple of {parts} x {heads}")
        if self.image_px % (self.patch_px * self.merge):
            raise ValueError("image_px must be a multiple of patch_px x merge")
        return self


def build_model(
    shape: DefenderShape, tokenizer: PreTrainedTokenizerBase, *, seed: int
) -> Qwen2_5_VLForConditionalGeneration:
    """Freshly initialised model; same arguments, same weights. Leaves torch's global generator alone."""
    token = tokenizer.convert_tokens_to_ids
    ids = {"bos_token_id": None, "eos_token_id": token(IM_END), "pad_token_id": token(PAD)}
    frequencies = shape.hidden // shape.heads // 2
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.hidden,
            "intermediate_size": shape.mlp,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.heads,
            "max_position_embeddings": 4096,
            "initializer_range": shape.init_std,
            # One frequency a section: rows and columns both get fast and slow angles.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": shape.rope_theta,
                "mrope_section": [1] * frequencies,
            },
            "tie_word_embeddings": True,
            **ids,
        },
        vision_config={
            "depth": shape.vision_depth,
            "hidden_size": shape.vision_hidden,
            "intermediate_size": shape.vision_mlp,
            "num_heads": shape.vision_heads,
            "patch_size": shape.patch_px,
            "spatial_merge_size": shape.merge,
            "temporal_patch_size": 1,
            "window_size": shape.image_px,
            "out_hidden_size": shape.hidden,
            "fullatt_block_indexes": [shape.vision_depth - 1],
            "initializer_range": shape.init_std,
        },
        image_token_id=token(IMAGE_PAD),
        video_token_id=token(VIDEO_PAD),
        vision_start_token_id=token(VISION_START),
        vision_end_token_id=token(VISION_END),
        tie_word_embeddings=True,
        **ids,
    )
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2_5_VLForConditionalGeneration(config).float()
