"""Inpainting by FLUX.1-Fill-dev and by OneReward's transformer in its place.

`FluxFillInpainter` samples with the components of diffusers' `FluxFillPipeline` (FLUX.1-Fill-dev) in a loop of our
own, because that pipeline knows no negative prompt: OneReward's transformer (Gong et al. 2025, arXiv 2508.21066: one
reward model for filling, extending and removing; the AOT-SFT data are made with it) was trained as a whole and wants
true classifier-free guidance, its model page says. With guidance weight 1 the loop is the stock pipeline's, which a
test holds.

Licences: FLUX.1-Fill-dev comes under its own *non-commercial* licence (the "FLUX.1 [dev] Non-Commercial License"), and
so do models made from it; OneReward's transformer is CC-BY-NC-4.0 besides. Read them before you use or publish what
these models paint. `Inpainter.licence` says it again, for dataset cards.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import FluxFillPipeline, FluxTransformer2DModel
from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn import functional as F

from aot.errors import AotError
from aot.players.attacker.latents import as_images, as_signal
from aot.players.inpaint.base import AGAIN, Mask, check_inputs, own_generator, padded_to, pasted, place_of
from aot.players.load_errors import reading
from aot.players.noise_levels import noise_levels
from aot.prompts import FILL_NEGATIVE
from aot.rl.flow import euler_step
from aot.types import Image

FLUX_FILL = "black-forest-labs/FLUX.1-Fill-dev"
ONEREWARD = ("bytedance-research/OneReward", "flux.1-fill-dev-OneReward-transformer")
"""Repository and folder in it of OneReward's transformer."""
ONEREWARD_REMOVE = "remove"
"""The one prompt with which OneReward was taught to remove."""
FLUX_LICENCE = "FLUX.1 [dev] Non-Commercial License"
ONEREWARD_LICENCE = f"{FLUX_LICENCE} and CC-BY-NC-4.0 (OneReward)"


class FillSettings(BaseModel, frozen=True, extra="forbid"):
    """How `FluxFillInpainter` samples."""

    steps: int = Field(50, gt=0)  # FluxFillPipeline's
    guidance: float = Field(30.0, ge=0)  # the same; for transformers distilled for it
    weight: float = Field(1.0, ge=1)  # true guidance: FluxFillPipeline has none (1), at half the cost
    negative: str = FILL_NEGATIVE  # ours; read only with a weight over 1
    text_tokens: int = Field(512, gt=0, le=512)  # FluxFillPipeline's


def onereward_settings() -> FillSettings:
    """As the example of OneReward's model page asks its transformer."""
    return FillSettings(guidance=1.0, weight=4.0, negative="nsfw")


class FluxFillInpainter:
    """An `Inpainter` around the components of `FluxFillPipeline`. Images are painted one at a time: one of half a
    megapixel fills a GPU that carries 12 B parameters (*ours*)."""

    def __init__(
        self,
        pipeline: FluxFillPipeline,
        settings: FillSettings | None = None,
        *,
        name: str = "flux-fill",
        licence: str = FLUX_LICENCE,
    ):
        self.pipeline, self.settings = pipeline, settings or FillSettings()
        self.name, self.licence = name, licence
        self.transformer, self.vae = pipeline.transformer.eval(), pipeline.vae.eval()
        config, block = self.vae.config, pipeline.vae_scale_factor
        expected, found = 8 * config.latent_channels + 4 * block**2, self.transformer.config.in_channels
        if found != expected:
            what = f"a fill transformer reads {expected} channels (latents, masked latents, mask), this one {found}"
            raise AotError(what, where=name, hint=f"take the transformer of {FLUX_FILL}, or OneReward's")

    @classmethod
    def load(
        cls,
        folder_or_id: str | Path = FLUX_FILL,
        transformer: str | Path | None = None,
        *,
        subfolder: str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
        settings: FillSettings | None = None,
        name: str = "flux-fill",
        licence: str = FLUX_LICENCE,
    ) -> FluxFillInpainter:
        """From a folder or hub id of `FluxFillPipeline`; `transformer` (with `subfolder`) is the folder or hub id of
        another one to put in its place. Raises AotError for what is missing or damaged; only safetensors are read."""
        how = {"torch_dtype": dtype, "use_safetensors": True}
        place, parts = place_of(folder_or_id), {}
        if transformer is not None:
            other = place_of(transformer, "/".join(filter(None, (subfolder, "config.json"))))
            with reading("the model", other, hint=AGAIN):
                load = FluxTransformer2DModel.from_pretrained
                parts["transformer"] = load(other, subfolder=subfolder, **how)
        with reading("the model", place, hint=AGAIN):
            pipeline = FluxFillPipeline.from_pretrained(place, **parts, **how)
        return cls(pipeline.to(device), settings, name=name, licence=licence)

    @classmethod
    def load_onereward(
        cls,
        folder_or_id: str | Path = FLUX_FILL,
        transformer: str | Path = ONEREWARD[0],
        *,
        subfolder: str | None = ONEREWARD[1],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
    ) -> FluxFillInpainter:
        """FLUX.1-Fill-dev with OneReward's transformer, asked as its authors do."""
        return cls.load(
            folder_or_id,
            transformer,
            subfolder=subfolder,
            device=device,
            dtype=dtype,
            settings=onereward_settings(),
            name="onereward",
            licence=ONEREWARD_LICENCE,
        )

    def inpaint(
        self, images: Sequence[Image], masks: Sequence[Mask], prompts: Sequence[str], *, seed: int
    ) -> list[Image]:
        """See `Inpainter`. Sides that are no multiples of 16 px are padded for the model and cropped."""
        check_inputs(images, masks, prompts)
        block_px = 2 * self.pipeline.vae_scale_factor
        done = []
        for i, (image, mask, prompt) in enumerate(zip(images, masks, prompts, strict=True)):
            if mask.any():
                generator = own_generator(seed, i)
                # The mask's edge is repeated, too: what is beside a hole must not tell what was in it.
                wide, hole = padded_to(image, block_px), padded_to(mask, block_px)
                latents = self.sample(wide, hole, prompt, self.noise(hole, generator), generator)
                image = pasted(image, mask, self.decode(latents, hole))
            done.append(image.copy())
        return done

    def noise(self, mask: Mask, generator: torch.Generator) -> Tensor:
        """Starting latents, float32 `[1, L, 4 C]`, drawn on the CPU: the same on every device."""
        rows, columns = self._grid(mask)
        shape = (1, rows * columns, 4 * self.vae.config.latent_channels)
        return torch.randn(shape, generator=generator).to(self.pipeline.device)

    @torch.no_grad()
    def sample(
        self, image: Image, mask: Mask, prompt: str, noise: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Denoised latents float32 `[1, L, 4 C]` of an image whose sides are multiples of 16 px. `generator`: for the
        draw from the autoencoder's posterior, as the stock pipeline makes it."""
        s = self.settings
        text, device, latents = self._text(prompt), noise.device, noise.float()
        free = self._text(s.negative) if s.weight > 1 else None
        known = self._known(image, mask, generator)
        rows, columns = self._grid(mask)
        at = torch.cartesian_prod(torch.zeros(1), torch.arange(float(rows)), torch.arange(float(columns)))
        told = (
            torch.full((1,), s.guidance, device=device) if self.transformer.config.guidance_embeds else None
        )

        def velocity(latents: Tensor, sigma: Tensor, text: tuple[Tensor, Tensor, Tensor]) -> Tensor:
            dtype = self.transformer.dtype
            return self.transformer(
                hidden_states=torch.cat((latents.to(dtype), known.to(dtype)), 2),
                timestep=sigma.expand(1).to(device, dtype),
                guidance=told,
                encoder_hidden_states=text[0],
                pooled_projections=text[1],
                txt_ids=text[2],
                img_ids=at.to(device, dtype),
                return_dict=False,
            )[0].float()

        for now, after in pairwise(noise_levels(self.pipeline.scheduler, rows * columns, self.settings.steps)):
            v = velocity(latents, now, text)
            if free is not None:
                # Plain, as `true_cfg_scale` of the other FLUX pipelines; Qwen-Image's keeps the norm besides.
                u = velocity(latents, now, free)
                v = u + s.weight * (v - u)
            latents = euler_step(latents, v, float(now), float(after))
        return latents

    @torch.no_grad()
    def decode(self, latents: Tensor, mask: Mask) -> Image:
        """The whole painted image, of the mask's size."""
        config = self.vae.config
        whole = F.pixel_shuffle(latents.mT.unflatten(2, self._grid(mask)), 2)
        signal = self.vae.decode((whole / config.scaling_factor + config.shift_factor).to(self.vae.dtype))[0]
        return as_images(signal)[0]

    def _text(self, prompt: str) -> tuple[Tensor, Tensor, Tensor]:
        """T5's states `[1, T, D]`, CLIP's pooled state `[1, P]`, and the text's positions `[T, 3]`."""
        pipeline, dtype = self.pipeline, self.transformer.dtype
        states, pooled, positions = pipeline.encode_prompt(
            prompt, device=pipeline.device, max_sequence_length=self.settings.text_tokens
        )
        return states.to(dtype), pooled.to(dtype), positions

    def _known(self, image: Image, mask: Mask, generator: torch.Generator) -> Tensor:
        """The transformer's conditioning on the image: `[1, L, 4 C + 4 * 64]`, the latents of the image with a grey
        hole and, beside them, the mask's pixels."""
        config, block = self.vae.config, self.pipeline.vae_scale_factor
        hole = torch.from_numpy(mask)[None, None].float()
        signal = (as_signal(image[None]) * (1 - hole)).to(self.vae.device, self.vae.dtype)
        latents = self.vae.encode(signal).latent_dist.sample(generator)
        normalised = (latents - config.shift_factor) * config.scaling_factor
        both = _packed(normalised.float()), _packed(F.pixel_unshuffle(hole, block)).to(latents.device)
        return torch.cat(both, 2)

    def _grid(self, mask: Mask) -> tuple[int, int]:
        side = 2 * self.pipeline.vae_scale_factor
        return mask.shape[0] // side, mask.shape[1] // side


def _packed(latents: Tensor) -> Tensor:
    """`[B, C, h, w]` -> `[B, (h/2)(w/2), 4 C]`: channel, row, column of each 2 x 2 patch."""
    return F.pixel_unshuffle(latents, 2).flatten(2).mT
