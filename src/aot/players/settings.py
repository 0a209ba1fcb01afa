"""How a player is loaded and what of it is trained: the settings `players.attacker` and `players.defender`. All *ours*
unless said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from aot.runs.limits import MOST_PIXELS

if TYPE_CHECKING:
    import torch

Dtype = Literal["float32", "bfloat16", "float16"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]
Quantization = Literal["none", "nf4", "fp8"]
TextPositions = Literal["stock", "multimodal"]
Keep = Literal["none", "register", "paste_back"]


class LoraSettings(BaseModel, frozen=True, extra="forbid"):
    """Low-rank adapters in place of the whole weights (Hu et al. 2021, arXiv 2106.09685), by peft."""

    rank: int = Field(0, ge=0)  # 0 trains all weights; Flow-GRPO for Qwen-Image-Edit: 64
    alpha: int = Field(0, ge=0)  # 0: twice the rank, as in Flow-GRPO's code (64 and 128)
    dropout: float = Field(0.0, ge=0, lt=1)  # any other value breaks the check of ratio 1 before the first update
    targets: tuple[str, ...] = ()  # ends of the names of layers that get adapters; (): the player's attention and MLPs

    @property
    def scaled_alpha(self) -> int:
        return self.alpha or 2 * self.rank


class PlayerSettings(BaseModel, frozen=True, extra="forbid"):
    """A base player and how it is loaded. A plain text stands for `model`: `--set players.defender=FOLDER`."""

    model: str = Field("miniature", min_length=1)  # shipped; a folder in Hugging Face's layout; a hub id
    revision: str = ""  # of a hub id: a branch, tag or commit; "": its default branch
    offline: bool = False  # a hub id is only looked for on this machine
    dtype: Dtype = "float32"  # of frozen weights; adapters are always trained in float32
    device: str = "auto"  # auto: the first GPU where there is one (with several processes: each its own)
    attention: Attention = "sdpa"
    quantization: Quantization = "none"  # of frozen weights under adapters: nf4 by bitsandbytes, fp8 by torchao
    lora: LoraSettings = LoraSettings()
    gradient_checkpointing: bool = False  # activations are computed again in the backward pass: memory against time

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @field_validator("model")
    @classmethod
    def _at_home(cls, value: str) -> str:
        return os.path.expanduser(value) if value.startswith("~/") else value  # no shell expands a recipe file

    @model_validator(mode="after")
    def _trainable(self) -> PlayerSettings:
        if self.quantization != "none" and not self.lora.rank:
            raise ValueError(f"{self.quantization} weights cannot be trained: set lora.rank, for instance to 64")
        return self

    @property
    def key(self) -> dict[str, Any]:
        """The settings, besides the model itself, that change what the player does; {} where all are defaults."""
        without = {"model", "revision", "offline", "device", "gradient_checkpointing"}
        places = {"encode_batch", "decode_batch", "conditions"}
        return self.model_dump(mode="json", exclude_defaults=True, exclude=without | places)

    @property
    def torch_dtype(self) -> torch.dtype:
        import torch  # settings are read without it

        found = getattr(torch, self.dtype)
        assert isinstance(found, torch.dtype)
        return found

    @property
    def torch_device(self) -> torch.device:
        """`device`, with "auto" resolved: cuda, on which accelerate and torchrun give each process its own, or cpu."""
        import torch

        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class DefenderSettings(PlayerSettings, frozen=True, extra="forbid"):
    """A defender: one length of answers for rewards, curricula and evaluation alike."""

    max_new_tokens: int = Field(0, ge=0)  # 0: 12 for the miniature, 1024 for others; AOT release: 4096
    # Area to which its processor enlarges smaller images; 0: as its folder says.
    min_pixels: int = Field(0, ge=0, le=MOST_PIXELS)
    # Area to which its processor shrinks larger images; 0: as its folder says.
    max_pixels: int = Field(0, ge=0, le=MOST_PIXELS)
    batch: int = Field(0, ge=0)  # prompts in one forward pass where it answers; 0: 64 for the miniature, 8 for others
    abstain: bool = False  # its prompt offers not to answer, by \boxed{?}

    @model_validator(mode="after")
    def _bounded(self) -> DefenderSettings:
        if 0 < self.max_pixels < self.min_pixels:
            raise ValueError("max_pixels must not be below min_pixels")
        return self


class AttackerSettings(PlayerSettings, frozen=True, extra="forbid"):
    """An attacker."""

    # What is done about an editor that shifts or zooms its picture, or spoils it all over: see `attacker/keep.py`.
    keep: Keep = "none"
    # How it is asked, where that is not as its folder says (`editor.json`, else as its stock pipeline). 0, None: so.
    steps: int = Field(0, ge=0)  # sampling steps of an attack; those in training are the method's
    guidance: float = Field(0.0, ge=0, le=1000)  # weight of true CFG in training and attacks; 1: none, at half the cost
    text_positions: TextPositions | None = None  # of the image in the text encoder: see `EditorSettings`
    batch: int = Field(0, ge=0)  # edits at once in an attack
    encode_batch: int = Field(0, ge=0)  # images at once through the text encoder and into the autoencoder
    decode_batch: int = Field(0, ge=0)  # images at once out of the autoencoder
    # Where what it is given for the scenes of a training is kept: in memory, or on disk by a stage of its own, so that
    # no text encoder (8 B) is in memory where the editor (20 B) is trained.
    conditions: Literal["memory", "disk"] = "memory"

    @property
    def asked(self) -> dict[str, Any]:
        """Those of `EditorSettings` that differ from the folder's."""
        names = ("steps", "guidance", "text_positions", "batch", "encode_batch", "decode_batch")
        return {name: value for name in names if (value := getattr(self, name))}

    @model_validator(mode="after")
    def _guided(self) -> AttackerSettings:
        if 0 < self.guidance < 1:
            raise ValueError("guidance is at least 1, which is none")
        if self.conditions == "disk" and not self.lora.rank:
            raise ValueError("conditions on disk are for adapters (lora.rank): whole weights go with their encoder")
        return self


class PlayersSettings(BaseModel, frozen=True, extra="forbid"):
    """The base players of a run."""

    attacker: AttackerSettings = AttackerSettings()
    defender: DefenderSettings = DefenderSettings()
