"""Architectures of published models, so that a plan needs no download. Facts, each from the `config.json` of the model
on huggingface.co that is named; a local folder's own files are read instead wherever a recipe names one."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]

_QWEN25_VISION: Config = {
    "depth": 32,
    "hidden_act": "silu",
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "tokens_per_second": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}


def _qwen25_vl(*, hidden: int, mlp: int, layers: int, heads: int, kv_heads: int, vocabulary: int, tied: bool) -> Config:
    return {
        "model_type": "qwen2_5_vl",
        "image_token_id": 151655,
        "video_token_id": 151656,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "tie_word_embeddings": tied,
        "text_config": {
            "model_type": "qwen2_5_vl_text",
            "hidden_size": hidden,
            "intermediate_size": mlp,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "vocab_size": vocabulary,
            "hidden_act": "silu",
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            "tie_word_embeddings": tied,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            "pad_token_id": None,
        },
        "vision_config": {**_QWEN25_VISION, "out_hidden_size": hidden},
    }


# Qwen/Qwen2.5-VL-3B-Instruct: 3.755 B parameters
QWEN25_VL_3B = _qwen25_vl(hidden=2048, mlp=11008, layers=36, heads=16, kv_heads=2, vocabulary=151936, tied=True)
# Qwen/Qwen2.5-VL-7B-Instruct: 8.292 B parameters; also the text encoder of Qwen/Qwen-Image-Edit
QWEN25_VL_7B = _qwen25_vl(hidden=3584, mlp=18944, layers=28, heads=28, kv_heads=4, vocabulary=152064, tied=False)
# Qwen/Qwen-Image-Edit, transformer/config.json: 20.430 B parameters
QWEN_IMAGE_TRANSFORMER: Config = {
    "patch_size": 2,
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 60,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 3584,
    "guidance_embeds": False,
    "axes_dims_rope": [16, 56, 56],
}
# Qwen/Qwen-Image-Edit, vae/config.json: 0.127 B parameters. The statistics of latents change no size.
QWEN_IMAGE_VAE: Config = {
    "base_dim": 96,
    "z_dim": 16,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "attn_scales": [],
    "temperal_downsample": [False, True, True],
    "dropout": 0.0,
}
# Qwen/Qwen-Image-Edit, scheduler/scheduler_config.json
QWEN_IMAGE_SCHEDULER: Config = {
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 8192,
    "max_shift": 0.9,
    "shift_terminal": 0.02,
    "use_dynamic_shifting": True,
}
QWEN_IMAGE_EDIT: dict[str, Config] = {
    "transformer": QWEN_IMAGE_TRANSFORMER,
    "vae": QWEN_IMAGE_VAE,
    "scheduler": QWEN_IMAGE_SCHEDULER,
    "text_encoder": QWEN25_VL_7B,
}
QWEN_IMAGE_EDIT_2511 = {**QWEN_IMAGE_EDIT, "transformer": {**QWEN_IMAGE_TRANSFORMER, "zero_cond_t": True}}

ATTACKERS: dict[str, dict[str, Config]] = {
    "Qwen/Qwen-Image-Edit": QWEN_IMAGE_EDIT,
    "Qwen/Qwen-Image-Edit-2509": QWEN_IMAGE_EDIT,
    "Qwen/Qwen-Image-Edit-2511": QWEN_IMAGE_EDIT_2511,
}
PLUS = ("Qwen/Qwen-Image-Edit-2509", "Qwen/Qwen-Image-Edit-2511")
"""Those whose pipeline is `QwenImageEditPlusPipeline`."""
DEFENDERS: dict[str, Config] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": QWEN25_VL_3B,
    "Qwen/Qwen2.5-VL-7B-Instruct": QWEN25_VL_7B,
}
QWEN25_VL_PIXELS = (3136, 12845056)
"""Areas that the image processor of Qwen2.5-VL keeps to, from its preprocessor_config.json: 56 px squared, 3584 px
squared."""
