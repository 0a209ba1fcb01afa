"""Low-rank adapters (LoRA, by peft) of an editor's transformer: made, saved and loaded as diffusers does it.

An adapter is trained in float32 whatever its base is: a step of 1e-4 is lost in bfloat16. What is saved is
`pytorch_lora_weights.safetensors`, which `load_lora_weights` of the stock pipeline takes; alpha stands in its metadata.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import QwenImageLoraLoaderMixin
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from peft import LoraConfig, get_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from torch import nn

from aot.errors import AotError
from aot.players.attacker.qwen_image_21 import TARGETS as QWEN_IMAGE_21_TARGETS
from aot.players.attacker.qwen_image_21 import is_qwen_image_21
from aot.players.base_players import EDITOR_ADAPTER
from aot.players.load_errors import REMAKE, reading
from aot.players.settings import LoraSettings

WEIGHTS = EDITOR_ADAPTER
ADAPTER = "default"
"""The name within the model of the adapter that is trained."""
EDITOR_TARGETS = (
    *("to_q", "to_k", "to_v", "to_out.0"),
    *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
    *("img_mlp.net.0.proj", "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2"),
)
"""Flow-GRPO's for Qwen-Image-Edit: the attention's projections and the MLPs, of both streams."""


def adapter_layers(model: nn.Module) -> list[BaseTunerLayer]:
    """The layers that have adapters; none where the whole weights are trained."""
    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def adapter_rank(model: nn.Module) -> int:
    """Rank of the adapter that is trained; 0 where there is none."""
    config = getattr(model, "peft_config", {}).get(ADAPTER)
    return config.r if config else 0


def adapter_weights(model: nn.Module, adapter: str = ADAPTER) -> dict[str, nn.Parameter]:
    """An adapter's parameters, by names without the adapter's own."""
    mark = f".{adapter}."
    named = [(name, p) for name, p in model.named_parameters() if ".lora_" in name and mark in name]
    return {name.replace(mark, "."): p for name, p in named}


def add_adapter(model: Any, settings: LoraSettings, *, seed: int, adapter: str = ADAPTER) -> None:
    """Freezes the model and adds an adapter without effect to it, in float32: A is Gaussian, B zero. The global
    torch generator is left as it was. Raises `AotError` where a target matches no layer."""
    targets = list(settings.targets or (QWEN_IMAGE_21_TARGETS if is_qwen_image_21(model) else EDITOR_TARGETS))
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in names):
            layers = sorted({name.rpartition("transformer_blocks.0.")[2] for name in names if "blocks.0." in name})
            what = f"no linear layer of the attacker is called {target}: it would get no adapter"
            hint = f"a block's layers: {', '.join(layers)}"
            raise AotError(what, where="players.attacker.lora.targets", hint=hint)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.scaled_alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        init_lora_weights="gaussian",
    )
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.add_adapter(config, adapter)
    _in_float32(model)


def copy_adapter(model: Any, adapter: str) -> dict[str, nn.Parameter]:
    """A second, frozen adapter that is now as the one in training, which stays the active one; its parameters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`")  # a second one is what is wanted
        model.add_adapter(LoraConfig(**{**model.peft_config[ADAPTER].to_dict(), "lora_dropout": 0.0}), adapter)
    _in_float32(model)
    copied = adapter_weights(model, adapter)
    with torch.no_grad():
        for name, parameter in adapter_weights(model).items():
            copied[name].copy_(parameter)
    for layer in adapter_layers(model):
        layer.set_adapter(ADAPTER)
    return copied


def save_adapter(model: Any, folder: Path) -> None:
    """Writes `WEIGHTS`, as diffusers does it: the adapter in training alone."""
    metadata = {key: sorted(v) if isinstance(v, set) else v for key, v in model.peft_config[ADAPTER].to_dict().items()}
    QwenImageLoraLoaderMixin.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(model, adapter_name=ADAPTER),
        transformer_lora_adapter_metadata=metadata,
        weight_name=WEIGHTS,
    )


def put_adapter(model: Any, folder: Path) -> None:
    """Adds an adapter like the one in `folder`, without its weights; where its file does not say how it was made, it is
    read. Raises `AotError` where it is damaged, or does not fit this model."""
    with reading("the attacker's adapter", folder / WEIGHTS, hint=REMAKE):
        with safe_open(folder / WEIGHTS, "pt") as file:
            told = json.loads((file.metadata() or {}).get(LORA_ADAPTER_METADATA_KEY, "{}"))
        prefix = "transformer."
        config = {name.removeprefix(prefix): value for name, value in told.items() if name.startswith(prefix)}
        if not config:
            raise ValueError("its file does not say what rank and layers it has")
        model.requires_grad_(False)
        model.add_adapter(LoraConfig(**config), ADAPTER)
    _in_float32(model)


def load_adapter(model: Any, folder: Path) -> None:
    """Adds the adapter that lies in `folder` to the model, in float32 and ready for training. Raises `AotError`
    where it is damaged, or does not fit this model."""
    with reading("the attacker's adapter", folder / WEIGHTS, hint=REMAKE):
        how = {"weight_name": WEIGHTS, "use_safetensors": True, "local_files_only": True}
        state, metadata = QwenImageLoraLoaderMixin.lora_state_dict(folder, return_lora_metadata=True, **how)
        QwenImageLoraLoaderMixin.load_lora_into_transformer(
            state, transformer=model, adapter_name=ADAPTER, metadata=metadata
        )
        _in_float32(model)
        weights = {f"transformer.{name}": p for name, p in adapter_weights(model).items()}
        if weights.keys() != state.keys():
            raise ValueError("its layers are not those of this editor")
        with torch.no_grad():
            for name, parameter in weights.items():  # once more: they were rounded to the base's dtype
                parameter.copy_(state[name])


def _in_float32(model: nn.Module) -> None:
    """peft gives an adapter its base's dtype."""
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
