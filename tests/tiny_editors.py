"""Folders of the editors' true classes, a few thousand random weights each, saved by stock `save_pretrained`.

python tests/tiny_editors.py FOLDER [edit|plus]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLQwenImage,
    AutoencoderKLQwenImage21,
    FlowMatchEulerDiscreteScheduler,
    QwenImage21Pipeline,
    QwenImage21Transformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from transformers import Qwen3VLForConditionalGeneration

from aot.miniature.tokenizer import build_tokenizer
from aot.players.defender.qwen import DefenderShape, QwenDefender
from aot.players.without_video import load_processor
from tiny_models import qwen3_vl

PIPELINES = {"edit": QwenImageEditPipeline, "plus": QwenImageEditPlusPipeline}
SCHEDULER = {
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 8192,
    "max_shift": 0.9,
    "shift_terminal": 0.02,
    "use_dynamic_shifting": True,
}
"""Qwen-Image's own."""


def tiny_editor(folder: Path, kind: str = "edit", *, seed: int = 0, layers: int = 2) -> Path:
    """Saves an editor whose every weight matters: zeros and ones would hide mistakes."""
    shape = DefenderShape(hidden=48, layers=1, heads=2, mlp=64, vision_hidden=32, vision_depth=1, vision_mlp=32)
    reader = QwenDefender.new(shape, build_tokenizer(["red", "cup"], []), seed=seed)
    torch.manual_seed(seed)
    z_dim = 4
    mean, std = [0.1, -0.2, 0.3, 0.0], [1.1, 0.9, 1.0, 1.2]
    vae = AutoencoderKLQwenImage(4, z_dim, [1] * 4, 1, latents_mean=mean, latents_std=std)
    transformer = QwenImageTransformer2DModel(
        in_channels=4 * z_dim,
        out_channels=z_dim,
        num_layers=layers,
        num_attention_heads=2,
        attention_head_dim=16,
        joint_attention_dim=48,
        axes_dims_rope=(4, 6, 6),
        zero_cond_t=kind == "plus",  # as in Qwen-Image-Edit-2511
    )
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    scheduler = FlowMatchEulerDiscreteScheduler(**SCHEDULER)
    parts = (scheduler, vae, reader.model, reader.processor.tokenizer, reader.processor, transformer)
    PIPELINES[kind](*parts).save_pretrained(folder)
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("aot.players.processor", "transformers"))
    return folder


def tiny_qwen_image_21(folder: Path, *, seed: int = 0, layers: int = 2) -> Path:
    """Qwen-Image-2.1: Qwen3-VL reads, an autoencoder with alpha, one stream."""
    qwen3_vl(folder / "reader")
    reader = Qwen3VLForConditionalGeneration.from_pretrained(folder / "reader")
    processor = load_processor(folder / "reader", "qwen3_vl")
    shutil.rmtree(folder / "reader")
    torch.manual_seed(seed)
    mean, std = [0.1, -0.2, 0.3, 0.0], [1.1, 0.9, 1.0, 1.2]
    vae = AutoencoderKLQwenImage21(4, 4, 4, [1] * 5, 1, latents_mean=mean, latents_std=std)
    transformer = QwenImage21Transformer2DModel(
        in_channels=4,
        out_channels=4,
        num_layers=layers,
        attention_head_dim=16,
        num_attention_heads=2,
        context_in_dim=reader.config.text_config.hidden_size,
        axes_dims_rope=(4, 6, 6),
    )
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    scheduler = FlowMatchEulerDiscreteScheduler(**SCHEDULER)
    QwenImage21Pipeline(scheduler, vae, reader, processor, transformer).save_pretrained(folder)
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("aot.players.processor", "transformers"))
    return folder


if __name__ == "__main__":
    tiny_editor(Path(sys.argv[1]), *sys.argv[2:3])
