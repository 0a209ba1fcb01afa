"""Adapters (by peft) of a defender: LoRA is made here; any kind that changes layers in their places is attached to its
base, trained on and kept, in peft's stock layout.

They are trained in float32 whatever the base's dtype is: in bfloat16 a step of 1e-6 is lost. A folder of theirs holds
`adapter_config.json` and `adapter_model.safetensors`, which `PeftModel.from_pretrained` and vLLM's `--lora-modules`
take, and `base.json`, by which the base is verified. The base is never copied, and nothing is merged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from aot.errors import AotError
from aot.players.adapter_folder import MERGE, WEIGHTS, check_adapter_weights
from aot.players.base_players import BASE, SHIPPED, Base
from aot.players.load_errors import no_future_warnings, reading
from aot.players.settings import LoraSettings
from aot.runs.files import write_json

TARGETS = "players.defender.lora.targets"
NAME = "default"
INSIDE = "base_model.model."
"""What peft writes before the names of a model's layers."""
OTHER_BASE = "train them again from this base, or name the base that they were trained on"


class Adapters:
    """Adapters in a model; they are its only trainable weights. `peft` is the model with them in peft's class."""

    def __init__(self, peft: PeftModel):
        self.peft = peft
        self._names = {name for name, p in peft.named_parameters() if p.requires_grad}
        for name, parameter in self.parameters.items():
            if ".lora_" in name:  # others peft has already made float32 where their layers allow it
                parameter.data = parameter.data.float()

    @property
    def kind(self) -> str:
        """peft's type of them, such as "LORA"."""
        return str(self.peft.peft_config[NAME].peft_type.value)

    @property
    def rank(self) -> int:
        """0 of a kind that has none."""
        return int(getattr(self.peft.peft_config[NAME], "r", None) or 0)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """By their names in the model."""
        return {name: p for name, p in self.peft.named_parameters() if name in self._names}

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
    or made for another model: every weight must find its place, and every place its weight."""
    check_adapter_weights(folder)
    with reading("the defender's adapters", folder, hint=OTHER_BASE), no_future_warnings():
        adapters = untrained(model, folder)
        own = get_peft_model_state_dict(adapters.peft, adapter_name=NAME, save_embedding_layers=False)
        state = _named_as_now(adapters, load_file(folder / WEIGHTS), own)
        _check_fit(adapters, state, own, folder)
        found = set_peft_model_state_dict(adapters.peft, state)
        prefix = PEFT_TYPE_TO_PREFIX_MAPPING[adapters.peft.peft_config[NAME].peft_type]
        lost = [key for key in found.missing_keys if prefix in key]
        if wrong := list(found.unexpected_keys) or lost:
            told = "no layer of this base takes" if found.unexpected_keys else "they lack"
            raise ValueError(f"they are for another model: {told} {wrong[0]} ({len(wrong)} in all)")
    return adapters


def untrained(model: Any, folder: Path) -> Adapters:
    """Adapters as the configuration in `folder` has them, without their weights, put into the model in place. Raises
    `AotError` for a kind that does not work by layers changed in their places."""
    with reading("the defender's adapters", folder, hint=OTHER_BASE), no_future_warnings():
        config = PeftConfig.from_pretrained(str(folder))
        tuner = PEFT_TYPE_TO_TUNER_MAPPING.get(config.peft_type)
        if tuner is None or not _in_place(tuner):
            kind = getattr(config.peft_type, "value", config.peft_type)
            what, hint = f"adapters of {kind} need more than a model's layers", f"where peft can, {MERGE}"
            raise AotError(what, where=str(folder), hint=hint)
        config.inference_mode = False  # as saved they are frozen
        return Adapters(get_peft_model(model, config))


def _in_place(tuner: type) -> bool:
    """Whether a kind of adapters needs nothing but layers: no tokens before the prompt, no forward pass of its own."""
    if tuner is PEFT_TYPE_TO_TUNER_MAPPING["LORA"]:
        return True
    own = ("forward", "_enable_peft_forward_hooks")
    return issubclass(tuner, BaseTuner) and not any(name in vars(kind) for kind in _own(tuner) for name in own)


def _own(tuner: type) -> list[type]:
    """The classes of a kind of adapters below peft's common one."""
    return [kind for kind in tuner.__mro__ if issubclass(kind, BaseTuner) and kind is not BaseTuner]


def _named_as_now(adapters: Adapters, state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights, with names that an earlier transformers gave to layers of this model changed by its own table of
    such names; peft applies that to some types of models only."""
    if state.keys() <= own.keys():
        return state
    changes = get_model_conversion_mapping(adapters.peft.get_base_model())
    renamings = [change for change in changes if isinstance(change, WeightRenaming)]

    def now(name: str) -> str:
        renamed = INSIDE + rename_source_key(name.removeprefix(INSIDE), renamings, [])[0]
        return renamed if name not in own and renamed in own and renamed not in state else name

    return {now(name): weight for name, weight in state.items()}


def _check_fit(adapters: Adapters, state: dict[str, Tensor], own: dict[str, Tensor], folder: Path) -> None:
    """Raises ValueError for weights of other shapes than `own`, and `AotError` for some of the base itself that are
    not as the base has them: they would change it unseen, and would not be saved again. Those that are (peft saves
    embeddings that have adapters) are taken out of `state`."""
    for name, weight in state.items():
        if name in own and own[name].shape != weight.shape:
            shapes = " x ".join(map(str, weight.shape)), " x ".join(map(str, own[name].shape))
            raise ValueError(f"they are for another model: {name} is {shapes[0]}, and this base wants {shapes[1]}")
    base = dict(adapters.peft.named_parameters())
    for name in sorted(state.keys() & base.keys() - own.keys()):
        weight = state.pop(name)
        if weight.shape != base[name].shape or not torch.equal(weight.to(base[name]), base[name]):
            what = f"the adapters bring weights of the base itself, changed: {name}"
            raise AotError(what, where=str(folder / WEIGHTS), hint=MERGE)
