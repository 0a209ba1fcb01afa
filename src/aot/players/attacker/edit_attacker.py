"""The attacker: Qwen-Image-Edit (20 B or the miniature, same code) that edits an image so that a question
fails.

The components are those of diffusers' `QwenImageEditPipeline` or `QwenImageEditPlusPipeline` (2509, 2511), in whose
class a saved folder opens; this loop exists because the pipelines resize everything to one megapixel, give no access
to their steps, and Plus takes no batch. Tests hold that both paint the same picture. Departures of the
miniature: the condition is the instruction's text only (its tokens have read the image), and the diffused latents are
those of the change (see `aot.players.attacker.latents`).
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImageEditPipeline, QwenImageTransformer2DModel
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from aot.errors import AotError
from aot.players.attacker import qwen_image_21
from aot.players.attacker.conditions import Conditions
from aot.players.attacker.editor import (
    PICTURE,
    EditorSettings,
    EditorShape,
    PipelineClass,
    untrained_transformer,
)
from aot.players.attacker.editor_folder import Loading, read_editor, write_adapter, write_editor
from aot.players.attacker.fused import predict_velocity
from aot.players.attacker.instructions import embed_instructions
from aot.players.attacker.keep import keep_on_source
from aot.players.attacker.latents import BLOCK_PX, decode_latents, encode_edits, encode_images, pad_to_blocks
from aot.players.attacker.lora import adapter_rank
from aot.players.base_players import Base, reference_to
from aot.players.linear import use_onednn
from aot.players.noise_levels import noise_levels
from aot.players.processor import PromptEncoder
from aot.players.settings import Keep
from aot.prompts import attack_instruction
from aot.rl.flow import euler_step, guided_velocity
from aot.runs.progress import EDIT_STEPS, advance, part
from aot.types import Attack, EditKind, Image, Scene


class EditAttacker:
    """An `Attacker` around the components of `QwenImageEditPipeline`. `transformer` is what is trained."""

    def __init__(
        self,
        transformer: QwenImageTransformer2DModel,
        vae: nn.Module,
        scheduler: FlowMatchEulerDiscreteScheduler,
        text_encoder: Qwen2_5_VLForConditionalGeneration,
        processor: Any,
        settings: EditorSettings | None = None,
        *,
        name: str = "attacker",
        pipeline_class: PipelineClass = QwenImageEditPipeline,
        folder: Path | None = None,
        base: Base | None = None,
    ):
        """`folder`: of the weights (under an adapter: of the frozen ones); `base`: the reference to them.
        `text_encoder` may be None where conditions come from disk, `transformer` where only conditions are computed."""
        self.pipeline_class = pipeline_class
        self.transformer, self.vae, self.scheduler = use_onednn(transformer), vae.requires_grad_(False), scheduler
        self.folder, self.base = folder, base
        self.text_encoder = text_encoder and use_onednn(text_encoder.eval().requires_grad_(False))
        self.processor, self.settings, self.name = processor, settings or EditorSettings(), name
        self.encoder = PromptEncoder(processor)

    @classmethod
    def new(
        cls,
        text_encoder: Qwen2_5_VLForConditionalGeneration,
        processor: Any,
        vae: Any,
        shape: EditorShape | None = None,
        settings: EditorSettings | None = None,
        *,
        seed: int,
        name: str = "attacker",
    ) -> EditAttacker:
        """An untrained miniature whose velocity is about its own input: right wherever nothing is edited. The
        global torch generator is left as it was."""
        shape = shape or EditorShape()
        text_width = text_encoder.config.text_config.hidden_size
        transformer = untrained_transformer(shape, vae.config.z_dim, text_width, seed=seed)
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shape.shift)
        encoder = copy.deepcopy(text_encoder)
        return cls(transformer, vae, scheduler, encoder, processor, settings, name=name)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        name: str = "attacker",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        keep: Keep | None = None,
        **how: Any,
    ) -> EditAttacker:
        """From a folder of a stock pipeline's class, or of an adapter or a reference, whose base is then found or
        fetched; `keep`: other than the folder says, `how`: more of `Loading`. Raises AotError for a missing or damaged
        one."""
        parts = read_editor(Path(folder), Loading(dtype, device, **how))
        settings = parts.settings.model_copy(update={"keep": keep or parts.settings.keep})
        where: dict[str, Any] = {"pipeline_class": parts.pipeline, "folder": parts.folder, "base": parts.base}
        return cls(*parts[:5], settings, name=name, **where)

    def save(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """A folder that `EditAttacker.load` and the stock pipeline open; of an adapter the adapter alone, with the
        name of its base. `dtype` casts whole weights.

        The autoencoder stays float32: its unchanged pixels are exact.
        """
        if adapter_rank(self.transformer):
            if self.folder is None:
                raise AotError("the adapter's base lies in no folder", hint="save the editor before its adapter")
            write_adapter(self.transformer, self.settings, self.base or reference_to(self.folder), Path(folder))
            return
        pipeline = self.pipeline()
        if dtype is not None:
            # Not the model's own `to`, which warns that it should be kept in float32.
            pipeline.transformer = nn.Module.to(copy.deepcopy(self.transformer), dtype)
            pipeline.text_encoder = copy.deepcopy(self.text_encoder).to(dtype)
        write_editor(pipeline, self.settings, Path(folder))

    def pipeline(self) -> Any:
        """The stock pipeline around the same components, with this editor's template."""
        components: dict[str, Any] = {
            "scheduler": self.scheduler,
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "processor": self.processor,
            "transformer": self.transformer,
        }
        if self.is_21:
            return self.pipeline_class(**components, sample_sigmas=list(self.settings.sample_sigmas) or None)
        pipeline = self.pipeline_class(**components, tokenizer=self.processor.tokenizer)
        pipeline.prompt_template_encode = self.settings.template.replace(PICTURE, "")
        return pipeline

    @property
    def is_21(self) -> bool:
        """Whether it is Qwen-Image-2.1 (`aot.players.attacker.qwen_image_21`)."""
        return qwen_image_21.is_qwen_image_21(self.pipeline_class)

    @property
    def side_px(self) -> int:
        """Sides of images are padded to multiples of it."""
        return qwen_image_21.SIDE_PX if self.is_21 else BLOCK_PX

    @cached_property
    def _image_begins(self) -> int:
        return qwen_image_21.image_begins(self.pipeline())

    @property
    def device(self) -> torch.device:
        return next((self.transformer or self.vae).parameters()).device

    def attack(self, scenes: Sequence[Scene], *, seed: int, kind: EditKind = "any") -> list[Attack]:
        """One attack a scene. Images whose sides are no multiples of 16 px are padded for the editor and
        cropped."""
        sentences = [attack_instruction(scene, kind) for scene in scenes]
        with part(EDIT_STEPS, len(scenes) * self.settings.steps):
            images = self.edit(scenes, sentences, seed=seed)
        return [
            Attack(scene.id, self.name, kind, image, sentence, seed)
            for scene, image, sentence in zip(scenes, images, sentences, strict=True)
        ]

    def edit(self, scenes: Sequence[Scene], sentences: Sequence[str], *, seed: int) -> list[Image]:
        """The scenes' images, each edited as its sentence says."""
        generator = torch.Generator().manual_seed(seed)
        edited: dict[int, Image] = {}
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, scene in enumerate(scenes):
            by_size[scene.image.shape].append(i)
        for members in by_size.values():
            conditions = self.conditions([scenes[i].image for i in members], [sentences[i] for i in members])
            latents = self.sample(conditions, self.noise(conditions, generator))
            images = self.edited_images([scenes[i] for i in members], conditions.images, latents)
            edited.update(zip(members, images, strict=True))
        return [edited[i] for i in range(len(scenes))]

    def edited_images(self, scenes: Sequence[Scene], sources: npt.NDArray[np.uint8], latents: Tensor) -> list[Image]:
        """The edited images decoded from denoised `latents [N, L, C]` on `sources` (`Conditions.images`): each cropped
        to its scene's size and, as `settings.keep` says, aligned with it."""
        pairs = zip(scenes, self.decode(sources, latents), strict=True)
        images = [image[: scene.image.shape[0], : scene.image.shape[1]] for scene, image in pairs]
        return keep_on_source(self.settings.keep, scenes, images)

    @torch.no_grad()
    def conditions(self, images: Sequence[Image], sentences: Sequence[str]) -> Conditions:
        """What the editor is given for N (image, instruction) pairs; the images are of one size. Raises AotError where
        it was opened without its text encoder."""
        if self.text_encoder is None:
            hint = "--set players.attacker.conditions=memory"
            raise AotError("this attacker has no text encoder in memory, and new edits need it", hint=hint)
        sources = np.stack([pad_to_blocks(image, self.side_px) for image in images])
        states = self._embed(sources, sentences)
        lengths = np.array([len(s) for s in states], dtype=np.int64)
        text = nn.utils.rnn.pad_sequence(states, batch_first=True)
        source = self.encode(sources)
        negative = (
            torch.stack(self._embed(sources, [" "] * len(sources))) if self.settings.guidance > 1 else None
        )
        return Conditions(sources, source, text, lengths, negative)

    @torch.no_grad()
    def encode(self, images: npt.NDArray[np.uint8]) -> Tensor:
        """Packed latents `[N, L, C]` of source images `[N, H, W, 3]`, sides multiples of 16."""
        most = self.settings.encode_batch
        return torch.cat([encode_images(self.vae, images[i : i + most]) for i in range(0, len(images), most)])

    @torch.no_grad()
    def encode_edits(self, sources: npt.NDArray[np.uint8], targets: npt.NDArray[np.uint8]) -> Tensor:
        """x0 `[N, L, C]` of flow matching: what `decode` turns into `targets`."""
        most = self.settings.encode_batch
        parts = [slice(i, i + most) for i in range(0, len(sources), most)]
        return torch.cat([encode_edits(self.vae, sources[part], targets[part]) for part in parts])

    @torch.no_grad()
    def decode(self, sources: npt.NDArray[np.uint8], latents: Tensor) -> list[Image]:
        """The images `[H, W, 3]` decoded from denoised `latents [N, L, C]` on these sources."""
        return decode_latents(self.vae, sources, latents.to(self.device), at_once=self.settings.decode_batch)

    def _embed(self, images: npt.NDArray[np.uint8], sentences: Sequence[str]) -> list[Tensor]:
        if self.is_21:
            return qwen_image_21.embed(self.pipeline(), images, sentences)
        return embed_instructions(self.text_encoder, self.encoder, self.settings, images, sentences)

    def sigmas(self, tokens: int, steps: int | None = None) -> Tensor:
        """`[steps + 1]` noise levels from 1 to 0 for L tokens (`noise_levels`)."""
        return noise_levels(self.scheduler, tokens, steps or self.settings.steps, self.settings.sample_sigmas)

    def noise(self, conditions: Conditions, generator: torch.Generator) -> Tensor:
        """Starting latents `[N, L, C]`."""
        return torch.randn(conditions.source.shape, generator=generator).to(self.device)

    def velocity(
        self, conditions: Conditions, latents: Tensor, sigma: Tensor, *, at_once: bool = False, most: int = 0
    ) -> Tensor:
        """v = noise - x0 `[N, L, C]` at noise levels `sigma [N]`, with guidance where the settings ask for
        it. Texts of one length go together where they are many: nothing is padded then, and no mask slows the
        attention. `at_once`: all in one call of the network, for callers with hooks on its blocks; `most`: so many
        edits a call at most (0: any number)."""
        if self.is_21:  # where padding would move the tokens behind it
            parts = conditions.by_length(least=1, most=most)
        else:
            parts = [] if at_once else conditions.by_length(most=most)
        if len(parts) > 1:
            done = [self._velocity(conditions.take(i), latents[i], sigma[i]) for i in parts]
            return torch.cat(done)[torch.cat(parts).argsort()]
        return self._velocity(conditions, latents, sigma)

    def _velocity(self, conditions: Conditions, latents: Tensor, sigma: Tensor) -> Tensor:
        advance(EDIT_STEPS, len(latents))
        conditions = conditions.to(self.device)
        grids, dtype = (conditions.grid, conditions.grid), self.transformer.dtype
        joined = (latents.to(dtype), conditions.source.to(dtype))

        def predicted(text: Tensor, mask: Tensor | None) -> Tensor:
            if self.is_21:
                begins = self._image_begins
                return qwen_image_21.predict_velocity(self.transformer, *joined, text, sigma, grids[0], begins)
            return predict_velocity(self.transformer, *joined, text, sigma, grids, text_mask=mask)

        guided = predicted(conditions.text.to(dtype), conditions.mask)
        if conditions.unconditional is None:
            return guided
        free = predicted(conditions.unconditional.to(dtype), None)
        if self.is_21:  # whose guidance keeps no norm
            return torch.lerp(free, guided, self.settings.guidance)
        return guided_velocity(guided, free, self.settings.guidance)

    @torch.no_grad()
    def sample(self, conditions: Conditions, noise: Tensor, *, steps: int | None = None) -> Tensor:
        """Denoised latents `[N, L, C]` by plain Euler steps (evaluation samples without extra noise)."""
        sigmas = self.sigmas(noise.shape[1], steps)
        done = torch.empty_like(noise)
        # Edits with texts of like length together, so that little is padded.
        for index in torch.from_numpy(np.argsort(conditions.lengths, kind="stable")).split(self.settings.batch):
            batch, latents = conditions.take(index), noise[index]
            for now, after in pairwise(sigmas):
                v = self.velocity(batch, latents, now.expand(len(index)).to(latents.device))
                latents = euler_step(latents, v, float(now), float(after))
            done[index] = latents
        return done
