"""Special tokens of Qwen2-VL and Qwen2.5-VL as their tokenizers write them, and how configurations name such."""

from __future__ import annotations

PAD, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
SPECIAL_TOKENS = (PAD, IM_START, IM_END, VISION_START, VISION_END, "<|vision_pad|>", IMAGE_PAD, VIDEO_PAD)
"""Qwen2.5-VL's special tokens that an image-and-text model needs, in its order."""
PLACEHOLDERS = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
UNSAID = (*PLACEHOLDERS, "vision_start_token_id", "vision_end_token_id")
"""Tokens of a config that stand for images: one of them in an answer would ask for an image that is not there."""
