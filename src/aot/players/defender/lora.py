"""Low-rank adapters (LoRA, by peft) of a defender: made, kept in peft's stock layout, attached to their base again.

They are trained in float32 whatever the base's dtype is: in bfloat16 a step of 1e-6 is lost. A folder of theirs holds
`adapter_config.json` and `adapter_model.safetensors`, which `PeftModel.from_pretrained` and vLLM's `--lora-modules`
take, and `base.json`, by which the base is verified. The base is never copied, and nothing is merged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn

from aot.errors import AotError
from aot.players.base_players import ADAPTER, BASE, SHIPPED, Base
from aot.players.load_errors import no_future_warnings, reading
from aot.players.settings import LoraSettings
from aot.runs.files import write_json

WEIGHTS = "adapter_model.safetensors"
TARGETS = "players.defender.lora.targets"
NAME = "default"


class Adapters:
    """Adapters in a model; they are its only trainable weights. `peft` is the model with them in peft's class."""

    def __init__(self, peft: PeftModel):
        self.peft = peft
        for parameter in self.parameters.values():
            parameter.data = parameter.data.float()

    @property
    def rank(self) -> int:
        return int(self.peft.peft_config[NAME].r)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """By their names in the model."""
        return {name: p for name, p in self.peft.named_parameters() if ".lora_" in name}

    def state_dict(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.parameters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Raises KeyError where it is the state of other adapters."""
        own = self.parameters
        if state.keys() != own.keys():
            raise KeyError(f"other adapters: {', '.join(sorted(state.keys() ^ own.keys())[:3])}")
        for name, parameter in own.items():
            parameter.copy_(state[name])

    def save(self, folder: Path, base: Base) -> None:
        """Writes the folder of the adapters over `base`."""
        config = self.peft.peft_config[NAME]
        place = str(SHIPPED / "defender") if base.model == "miniature" else base.model
        config.base_model_name_or_path, config.revision = place, base.revision or None
        self.peft.save_pretrained(folder, save_embedding_layers=False)  # which would ask the hub about the base
        (folder / "README.md").unlink(missing_ok=True)  # a model card to be filled in
        write_json(folder / BASE, base.model_dump())


def new_adapters(model: Any, settings: LoraSettings, *, seed: int) -> Adapters:
    """Freezes the model and puts adapters without effect into it, in place. Their start depends on `seed` alone; the
    global torch generator is left as it was. Raises `AotError` where a target matches no layer."""
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.scaled_alpha,
        lora_dropout=settings.dropout,
        target_modules=adapted_layers(model, settings.targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(), no_future_warnings():
        torch.manual_seed(seed)
        return Adapters(get_peft_model(model, config))


def adapted_layers(model: Any, targets: tuple[str, ...]) -> str | list[str]:
    """What peft looks for: the given ends of names; without any, every linear layer of the language model (*ours*, and
    what vLLM serves adapters of; the image encoder stays as it is)."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            kinds = sorted({name.rpartition(".")[2] for name in linear if not name.rpartition(".")[2].isdigit()})
            what = f"no linear layer of the defender is called {target}: it would get no adapter"
            raise AotError(what, where=TARGETS, hint=f"ends of names: {', '.join(kinds)}")
    if targets:
        return list(targets)
    decoder = model.get_decoder()
    prefix = next((name for name, module in model.named_modules() if module is decoder), "")
    kinds = sorted({name.rpartition(".")[2] for name in linear if name.startswith(f"{prefix}.")})
    if not kinds:
        hint = f'--set {TARGETS}=\'["q_proj", "v_proj"]\', with names of this model\'s'
        raise AotError("the defender's language model has no linear layers by name", where=TARGETS, hint=hint)
    return rf"{re.escape(prefix)}\.(?:.*\.)?(?:{'|'.join(map(re.escape, kinds))})"


def attached(model: Any, folder: Path) -> Adapters:
    """The adapters of a folder, put into the model in place. Raises `AotError` where they are damaged, no safetensors,
    or made for another model."""
    path, hint = folder / WEIGHTS, "train them again from this base, or name the base that they were trained on"
    if not path.is_file():
        what = f"the adapters' weights are missing ({WEIGHTS}); others than safetensors are not read"
        raise AotError(what, where=str(folder), hint="peft's save_pretrained writes it")
    with reading("the defender's adapters", folder, hint=hint), no_future_warnings():
        config = PeftConfig.from_pretrained(str(folder))
        if not isinstance(config, LoraConfig):
            raise ValueError(f"{ADAPTER} is not one of LoRA")
        config.inference_mode = False  # as saved they are frozen
        adapters = Adapters(get_peft_model(model, config))
        state = load_file(path)
        found = set_peft_model_state_dict(adapters.peft, state)
        own = sum(1 for _ in adapters.parameters)
        if found.unexpected_keys or own != len(state):
            raise ValueError(f"they are for another model ({len(state)} weights for {own} places)")
    return adapters
