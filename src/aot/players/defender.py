"""The defender: a Qwen2.5-VL (7 B or the miniature, same code) that answers multiple-choice questions.

Departures from `generate` (same tokens, a test holds that): the prompt is computed once whatever k is, the k
answers grow side by side behind it under a block mask, and each answer has its own stream of random numbers,
so that a result does not depend on how a call is cut into batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, Field
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    DynamicCache,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor

from aot.answers import parse_answer
from aot.errors import AotError
from aot.players.processor import PromptBatch, PromptEncoder, build_processor, load_processor
from aot.players.shared_prefix import additive, completion_logprobs, embed_prompts
from aot.players.tokenizer import IM_END, IMAGE_PAD, PAD, VIDEO_PAD, VISION_END, VISION_START
from aot.prompts import gold_answer
from aot.types import Answer, Image, Question

_parse = lru_cache(maxsize=65536)(parse_answer)


class DefenderShape(BaseModel, frozen=True, extra="forbid"):
    """Architecture of a miniature defender; all values *ours*."""

    hidden: int = Field(96, ge=16)  # text width; also the attacker's condition width
    layers: int = Field(3, ge=1)
    heads: int = Field(3, ge=1)
    mlp: int = Field(256, ge=16)
    vision_hidden: int = Field(64, ge=16)
    vision_depth: int = Field(2, ge=1)
    vision_heads: int = Field(4, ge=1)
    vision_mlp: int = Field(128, ge=16)
    patch_px: int = Field(8, ge=2)
    merge: int = Field(2, ge=1)  # visual tokens of patch * merge = 16 px, one cell of the world
    image_px: int = Field(64, ge=16)  # larger images are shrunk to this many pixels squared
    rope_theta: float = Field(10.0, gt=1)  # Qwen's 1e6 leaves no usable angles on a 4x4 grid
    init_std: float = Field(0.06, gt=0)


def build_model(
    shape: DefenderShape, tokenizer: PreTrainedTokenizerBase, *, seed: int
) -> Qwen2_5_VLForConditionalGeneration:
    """Freshly initialised model; same arguments, same weights. Leaves torch's global generator alone."""
    token = tokenizer.convert_tokens_to_ids
    ids = {"bos_token_id": None, "eos_token_id": token(IM_END), "pad_token_id": token(PAD)}
    frequencies = shape.hidden // shape.heads // 2
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": shape.hidden,
            "intermediate_size": shape.mlp,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.heads,
            "max_position_embeddings": 4096,
            "initializer_range": shape.init_std,
            # One frequency a section: rows and columns both get fast and slow angles.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": shape.rope_theta,
                "mrope_section": [1] * frequencies,
            },
            "tie_word_embeddings": True,
            **ids,
        },
        vision_config={
            "depth": shape.vision_depth,
            "hidden_size": shape.vision_hidden,
            "intermediate_size": shape.vision_mlp,
            "num_heads": shape.vision_heads,
            "patch_size": shape.patch_px,
            "spatial_merge_size": shape.merge,
            "temporal_patch_size": 1,
            "window_size": shape.image_px,
            "out_hidden_size": shape.hidden,
            "fullatt_block_indexes": [shape.vision_depth - 1],
            "initializer_range": shape.init_std,
        },
        image_token_id=token(IMAGE_PAD),
        video_token_id=token(VIDEO_PAD),
        vision_start_token_id=token(VISION_START),
        vision_end_token_id=token(VISION_END),
        tie_word_embeddings=True,
        **ids,
    )
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2_5_VLForConditionalGeneration(config).float()


@dataclasses.dataclass(frozen=True, slots=True)
class Completions:
    """k sampled completions of B prompts, right-padded to T tokens."""

    ids: Tensor
    """`int64 [B, k, T]`."""
    mask: Tensor
    """`bool [B, k, T]`, True up to and with the end-of-turn token."""
    truncated: Tensor
    """`bool [B, k]`: hit the length limit before the end-of-turn token."""


class QwenDefender:
    """A `Defender` around `Qwen2_5_VLForConditionalGeneration` and its processor."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        processor: Qwen2_5_VLProcessor,
        *,
        name: str = "defender",
        max_new_tokens: int = 12,
        batch: int = 64,
    ):
        self.model, self.processor, self.name = model.eval(), processor, name
        self.tokenizer = processor.tokenizer
        self.max_new_tokens, self.batch = max_new_tokens, batch
        self.encoder = PromptEncoder(processor)
        config = model.config
        eos = model.generation_config.eos_token_id or self.tokenizer.eos_token_id
        self.eos_ids = torch.tensor([eos] if isinstance(eos, int) else eos)
        # An image placeholder sampled at high temperature would crash the next forward pass.
        self.suppressed_ids = [
            config.image_token_id,
            config.video_token_id,
            config.vision_start_token_id,
            config.vision_end_token_id,
        ]
        self._texts: dict[tuple[int, ...], str] = {}

    @classmethod
    def new(cls, shape: DefenderShape, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> QwenDefender:
        """An untrained miniature."""
        side = shape.image_px
        processor = build_processor(
            tokenizer,
            patch_size=shape.patch_px,
            merge_size=shape.merge,
            min_pixels=(shape.patch_px * shape.merge) ** 2,
            max_pixels=side * side,
        )
        return cls(build_model(shape, tokenizer, seed=seed), processor)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        name: str = "defender",
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        max_new_tokens: int = 12,
        batch: int = 64,
    ) -> QwenDefender:
        """From a Hugging Face folder or hub id. Raises AotError for a missing or damaged folder."""
        local = Path(folder)
        is_hub_id = not local.exists() and len(local.parts) == 2 and not str(folder).startswith((".", "/"))
        if not is_hub_id and not (local / "config.json").is_file():
            raise AotError(
                "no defender here (config.json is missing)",
                where=str(folder),
                hint="`aot pretrain` makes one",
            )
        try:
            model, info = Qwen2_5_VLForConditionalGeneration.from_pretrained(
                folder, dtype=dtype, attn_implementation="sdpa", output_loading_info=True
            )
            processor = load_processor(folder)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise AotError(
                f"the defender cannot be read: {error}",
                where=str(folder),
                hint="remake it with `aot pretrain`, or delete the stage's folder and run again",
            ) from error
        if missing := sorted(info["missing_keys"]):
            raise AotError(f"weights are missing, first {missing[0]}", where=str(folder))
        return cls(model.to(device), processor, name=name, max_new_tokens=max_new_tokens, batch=batch)

    def save(self, folder: str | Path, *, dtype: torch.dtype | None = None) -> None:
        """Hugging Face folder (safetensors and JSON); `dtype` casts the saved weights."""
        weights = {k: v.to(dtype or v.dtype) for k, v in self.model.state_dict().items()}
        if self.model.config.tie_word_embeddings:
            weights.pop("lm_head.weight", None)
        self.model.save_pretrained(folder, state_dict=weights)
        self.processor.save_pretrained(folder)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def encode(self, images: Sequence[Image], questions: Sequence[Question]) -> PromptBatch:
        """The prompts of (image, question) pairs on the model's device."""
        return self.encoder.encode(images, questions).to(self.device)

    def answer(
        self,
        images: Sequence[Image],
        questions: Sequence[Question],
        *,
        k: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[tuple[Answer, ...]]:
        """`k` answers a pair, parsed. Temperature 0 is greedy; above it answers are drawn with `seed`."""
        generator = torch.Generator().manual_seed(seed)
        answers: list[tuple[Answer, ...]] = []
        for start in range(0, len(images), self.batch):
            part = slice(start, start + self.batch)
            prompts = self.encode(images[part], questions[part])
            draws = torch.rand(len(prompts), k, self.max_new_tokens, generator=generator)
            if temperature == 0:
                draws = draws[:, :1]
            done = self.sample(prompts, draws.to(self.device), temperature=temperature)
            for row, question in enumerate(questions[part]):
                parsed = self.read(done, row, question)
                answers.append(parsed * k if temperature == 0 else parsed)
        return answers

    def read(self, completions: Completions, row: int, question: Question) -> tuple[Answer, ...]:
        """The k parsed answers of one prompt."""
        return tuple(
            _parse(text, question.options, truncated=truncated)
            for text, truncated in zip(
                self.texts(completions, row), completions.truncated[row].tolist(), strict=True
            )
        )

    def texts(self, completions: Completions, row: int) -> list[str]:
        """The k texts of one prompt, without special tokens."""
        texts = []
        for ids, length in zip(
            completions.ids[row].tolist(), completions.mask[row].sum(-1).tolist(), strict=True
        ):
            key = tuple(ids[:length])
            if key not in self._texts:
                if len(self._texts) >= 65536:
                    self._texts.clear()
                self._texts[key] = self.tokenizer.decode(key, skip_special_tokens=True)
            texts.append(self._texts[key])
        return texts

    @torch.no_grad()
    def sample(self, prompts: PromptBatch, draws: Tensor, *, temperature: float) -> Completions:
        """Completions of at most T tokens.

        draws: `float [B, k, T]` uniform in [0, 1): answer j of prompt i picks its token t by inverting the
        cumulative distribution at `draws[i, j, t]`. Unused at temperature 0.
        """
        batch, k, limit = draws.shape
        language, device = self.model.model.language_model, draws.device
        eos = self.eos_ids.to(device)
        padded = not bool(prompts.attention_mask.all())
        embeddings = embed_prompts(self.model, prompts)
        cache = DynamicCache(config=self.model.config.text_config)
        hidden = language(
            inputs_embeds=embeddings,
            position_ids=prompts.position_ids,
            attention_mask=prompts.attention_mask.long() if padded else None,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1:]
        token = self._pick(hidden.expand(-1, k, -1), draws[:, :, 0], temperature)
        ids, open_ = [token], ~torch.isin(token, eos)
        real = [torch.ones_like(open_)]
        allowed = prompts.attention_mask[:, None, None].expand(-1, 1, k, -1)
        own = torch.eye(k, dtype=torch.bool, device=device).expand(batch, 1, k, k)
        for step in range(1, limit):
            if not bool(open_.any()):
                break
            allowed = torch.cat([allowed, own], dim=-1)
            hidden = language(
                inputs_embeds=language.embed_tokens(token),
                position_ids=(prompts.next_position + step - 1).view(1, -1, 1).expand(3, -1, k),
                attention_mask=additive(allowed, embeddings.dtype) if padded or k > 1 else None,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            token = self._pick(hidden, draws[:, :, step], temperature)
            ids.append(token)
            real.append(open_)
            open_ = open_ & ~torch.isin(token, eos)
        mask = torch.stack(real, dim=-1)
        padding = torch.full((), self.tokenizer.pad_token_id, device=device)
        return Completions(torch.where(mask, torch.stack(ids, dim=-1), padding), mask, open_)

    def _pick(self, hidden: Tensor, draws: Tensor, temperature: float) -> Tensor:
        """Next tokens `[B, k]` from states `[B, k, hidden]`."""
        logits = self.model.lm_head(hidden).float()
        logits[..., self.suppressed_ids] = -torch.inf
        if temperature == 0:
            return logits.argmax(-1)
        cumulative = (logits / temperature).softmax(-1).cumsum(-1)
        wanted = draws[..., None] * cumulative[..., -1:]
        return torch.searchsorted(cumulative, wanted, right=True)[..., 0].clamp(max=logits.shape[-1] - 1)

    def option_logprobs(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[npt.NDArray[np.float64]]:
        """Per pair `float64 [options]`: log-probability of each option's canonical answer, normalised."""
        scores: list[npt.NDArray[np.float64]] = []
        for start in range(0, len(images), self.batch):
            part = slice(start, start + self.batch)
            logprobs = self.option_scores(self.encode(images[part], questions[part]), questions[part])
            for row, question in zip(logprobs.double().cpu(), questions[part], strict=True):
                scores.append(row[: len(question.options)].log_softmax(-1).numpy())
        return scores

    @torch.no_grad()
    def option_scores(self, prompts: PromptBatch, questions: Sequence[Question]) -> Tensor:
        """`[B, most options]`: unnormalised log-probability of each option's answer; -inf where none is."""
        ids, mask = self.pad_answers(
            [[gold_answer(q, choice) for choice in range(len(q.options))] for q in questions]
        )
        logprobs, _ = completion_logprobs(self.model, prompts, ids.to(self.device), mask.to(self.device))
        return logprobs.sum(-1).masked_fill(~mask.any(-1).to(self.device), -torch.inf)

    def pad_answers(self, texts: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Token ids and mask `[B, n, T]` of several completions a prompt, each closed by end-of-turn."""
        rows = [[self._answer_ids(text) for text in row] for row in texts]
        n, length = max(map(len, rows)), max(len(ids) for row in rows for ids in row)
        ids = torch.full((len(rows), n, length), self.tokenizer.pad_token_id)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for i, row in enumerate(rows):
            for j, tokens in enumerate(row):
                ids[i, j, : len(tokens)] = torch.tensor(tokens)
                mask[i, j, : len(tokens)] = True
        return ids, mask

    @lru_cache(maxsize=65536)  # noqa: B019
    def _answer_ids(self, text: str) -> list[int]:
        return self.tokenizer(text).input_ids + [int(self.eos_ids[0])]
