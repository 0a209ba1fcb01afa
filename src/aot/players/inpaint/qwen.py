"""Inpainting by Qwen-Image-Edit (Apache-2.0): the stock `QwenImageEditInpaintPipeline`, which blends the masked latents
back at every step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import QwenImageEditInpaintPipeline
from PIL import Image as PilImage
from pydantic import BaseModel, Field

from aot.players.inpaint.base import AGAIN, Mask, check_inputs, own_generator, pasted, place_of
from aot.players.load_errors import reading
from aot.players.without_video import load_processor
from aot.types import Image

QWEN_EDIT = "Qwen/Qwen-Image-Edit"
QWEN_LICENCE = "Apache-2.0"


class QwenSettings(BaseModel, frozen=True, extra="forbid"):
    """How `QwenInpainter` samples."""

    steps: int = Field(50, gt=0)  # the pipeline's
    guidance: float = Field(4.0, ge=1)  # the pipeline's true CFG
    negative: str = " "  # Qwen-Image-Edit's
    strength: float = Field(1.0, gt=0, le=1)  # ours: the pipeline's 0.6 keeps what was there


class QwenInpainter:
    """An `Inpainter` around the stock `QwenImageEditInpaintPipeline`. It works at about one megapixel, whatever it is
    given; its picture is brought to the image's size before the masked part of it is taken."""

    def __init__(
        self,
        pipeline: QwenImageEditInpaintPipeline,
        settings: QwenSettings | None = None,
        *,
        name: str = "qwen-inpaint",
        licence: str = QWEN_LICENCE,
    ):
        self.pipeline, self.settings = pipeline, settings or QwenSettings()
        self.name, self.licence = name, licence
        pipeline.set_progress_bar_config(disable=True)

    @classmethod
    def load(
        cls,
        folder_or_id: str | Path = QWEN_EDIT,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        settings: QwenSettings | None = None,
        name: str = "qwen-inpaint",
    ) -> QwenInpainter:
        """From a folder or hub id of a Qwen-Image-Edit pipeline (a hub id needs torchvision for its processor). Raises
        AotError for what is missing or damaged; only safetensors are read."""
        place, parts = place_of(folder_or_id), {}
        how = {"torch_dtype": dtype, "use_safetensors": True}
        with reading("the model", place, hint=AGAIN):
            if Path(place).is_dir():  # our own processor does without torchvision
                parts["processor"] = load_processor(Path(place) / "processor")
            pipeline = QwenImageEditInpaintPipeline.from_pretrained(place, **parts, **how)
        return cls(pipeline.to(device), settings, name=name)

    def inpaint(
        self, images: Sequence[Image], masks: Sequence[Mask], prompts: Sequence[str], *, seed: int
    ) -> list[Image]:
        """See `Inpainter`."""
        check_inputs(images, masks, prompts)
        s, done = self.settings, []
        for i, (image, mask, prompt) in enumerate(zip(images, masks, prompts, strict=True)):
            if mask.any():
                painted = self.pipeline(
                    image=PilImage.fromarray(image),
                    mask_image=PilImage.fromarray(mask.astype(np.uint8) * 255),
                    prompt=prompt,
                    negative_prompt=s.negative if s.guidance > 1 else None,
                    true_cfg_scale=s.guidance,
                    strength=s.strength,
                    num_inference_steps=s.steps,
                    generator=own_generator(seed, i),
                ).images[0]
                size = (image.shape[1], image.shape[0])
                image = pasted(image, mask, np.asarray(painted.resize(size, PilImage.Resampling.LANCZOS)))
            done.append(image.copy())
        return done
