"""Players of the true classes with random weights, built where they run: no hub, no files. What they paint and say is
noise; what it costs is not. `tiny`: the same classes with a few narrow layers, through the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from aot.plan.known_configs import ATTACKERS, DEFENDERS
from aot.players.attacker.conditions import Conditions
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.attacker.editor import stock_settings
from aot.players.attacker.latents import BLOCK_PX
from aot.players.attacker.lora import add_adapter
from aot.players.base_players import SHIPPED, Base
from aot.players.defender.qwen import QwenDefender
from aot.players.processor import CHAT_TEMPLATE, QwenProcessor
from aot.players.settings import LoraSettings
from aot.players.special_tokens import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START
from aot.players.without_video import load_processor

EDITOR, DEFENDER = "Qwen/Qwen-Image-Edit", "Qwen/Qwen2.5-VL-7B-Instruct"
LORA = LoraSettings(rank=64, alpha=128)
TEXT_TOKENS, EMPTY_TOKENS = 320, 290
"""Of an edit's condition: about 256 of them are the image's at 512 px; *ours*."""
Config = dict[str, Any]
SPECIAL = {
    "image_token_id": IMAGE_PAD,
    "video_token_id": VIDEO_PAD,
    "vision_start_token_id": VISION_START,
    "vision_end_token_id": VISION_END,
}
"""The miniature's words have other numbers for them than the published ones."""

TINY_EDITOR: dict[str, Config] = {
    "transformer": {
        "num_layers": 2,
        "attention_head_dim": 32,
        "num_attention_heads": 2,
        "joint_attention_dim": 32,
        "axes_dims_rope": [8, 12, 12],
    },
    "vae": {"base_dim": 8},
    "text_encoder": {},
    "scheduler": {},
}
_ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
TINY_TEXT: Config = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "rope_parameters": _ROPE,
}
TINY_VISION: Config = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 32,
    "fullatt_block_indexes": [1],
}


def editor_parts(*, tiny: bool) -> dict[str, Config]:
    return {part: {**config, **(TINY_EDITOR[part] if tiny else {})} for part, config in ATTACKERS[EDITOR].items()}


def defender_config(*, tiny: bool) -> Qwen2_5_VLConfig:
    config = {key: value for key, value in DEFENDERS[DEFENDER].items() if key != "model_type"}
    if tiny:
        config["text_config"] = {**config["text_config"], **TINY_TEXT}
        config["vision_config"] = {**config["vision_config"], **TINY_VISION}
    words = processor().tokenizer
    read = Qwen2_5_VLConfig(**config | {key: words.convert_tokens_to_ids(token) for key, token in SPECIAL.items()})
    read._attn_implementation = "sdpa"
    return read


def built(make: Callable[[Any], Any], config: Any, dtype: torch.dtype, device: torch.device) -> Any:
    """A model with the random weights that its class draws, in `dtype` on `device` from the start."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return make(config).eval()
    finally:
        torch.set_default_dtype(before)


def editor(device: torch.device, *, tiny: bool = False) -> EditAttacker:
    """The editor in bfloat16 under adapters in float32, with gradient checkpointing. Its text encoder is left without
    weights: conditions are drawn (`conditions`)."""
    parts, dtype = editor_parts(tiny=tiny), torch.bfloat16
    transformer = built(QwenImageTransformer2DModel.from_config, parts["transformer"], dtype, device)
    add_adapter(transformer, LORA, seed=0)
    transformer.enable_gradient_checkpointing()
    vae = built(AutoencoderKLQwenImage.from_config, parts["vae"], dtype, device)
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(parts["scheduler"])
    nothing = torch.device("meta")
    encoder = built(Qwen2_5_VLForConditionalGeneration, defender_config(tiny=tiny), dtype, nothing)
    texts = load_processor(SHIPPED / "attacker" / "processor")
    return EditAttacker(transformer, vae, scheduler, encoder, texts, stock_settings())


def conditions(attacker: EditAttacker, edits: int, side_px: int) -> Conditions:
    """Random ones of so many edits, all of one size, where the editor is."""
    config, device = attacker.transformer.config, attacker.device
    tokens, width = (side_px // BLOCK_PX) ** 2, config.joint_attention_dim
    guided = attacker.settings.guidance > 1
    return Conditions(
        np.zeros((edits, side_px, side_px, 3), np.uint8),
        torch.randn(edits, tokens, config.in_channels, device=device),
        torch.randn(edits, TEXT_TOKENS, width, device=device),
        np.full(edits, TEXT_TOKENS),
        torch.randn(edits, EMPTY_TOKENS, width, device=device) if guided else None,
    )


def defender(device: torch.device, *, max_new_tokens: int, tiny: bool = False) -> QwenDefender:
    """The defender in bfloat16, to be trained by adapters, with gradient checkpointing."""
    model = built(Qwen2_5_VLForConditionalGeneration, defender_config(tiny=tiny), torch.bfloat16, device)
    model.requires_grad_(False)
    words = processor()
    ends = {"eos_token_id": words.tokenizer.eos_token_id, "pad_token_id": words.tokenizer.pad_token_id}
    model.generation_config.update(**ends)
    how: dict[str, Any] = {"lora": LORA, "checkpointing": True, "base": Base(model=DEFENDER, digest="random")}
    return QwenDefender(model, words, name="random", max_new_tokens=max_new_tokens, batch=8, **how)


def processor() -> Any:
    """Published sizes of patches, the miniature's words."""
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 12845056})
    return QwenProcessor(images, load_processor(SHIPPED / "defender").tokenizer, chat_template=CHAT_TEMPLATE)


def defender_folder(folder: Path) -> Path:
    """Configuration and processor of the defender without weights: for `vllm serve --load-format dummy`."""
    config = defender_config(tiny=False)
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder
