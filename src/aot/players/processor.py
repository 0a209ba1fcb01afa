"""From (image, question) to the inputs of Qwen2.5-VL: the processor, and batches of left-padded prompts.

`QwenProcessor` and `Qwen3Processor` are the stock processors without their video half: see `without_video.py`.
`PromptEncoder` prepares batches as the stock processor would (a test holds that), but caches token ids and
3-D positions per question and cuts equal-sized images into patches in one go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

from aot.errors import AotError
from aot.players.special_tokens import IMAGE_PAD
from aot.players.without_video import without_video
from aot.prompts import question_prompt
from aot.types import Image, Question

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- if message['content'] is string -%}{{- message['content'] -}}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- else -%}{{- part['text'] -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""Qwen2.5-VL's turns without a default system message (*ours*: tokens that a small model need not read)."""

QwenProcessor: Any = without_video(Qwen2_5_VLProcessor, "Qwen2VLVideoProcessor")
Qwen3Processor: Any = without_video(Qwen3VLProcessor, "Qwen3VLVideoProcessor")


def build_processor(
    tokenizer: PreTrainedTokenizerBase, *, patch_size: int, merge_size: int, min_pixels: int, max_pixels: int
) -> Any:
    """Processor of a miniature: pixels in [-1, 1], one frame an image (no video is ever read)."""
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=patch_size,
        merge_size=merge_size,
        temporal_patch_size=1,
        size={"shortest_edge": min_pixels, "longest_edge": max_pixels},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return QwenProcessor(image_processor, tokenizer, chat_template=CHAT_TEMPLATE)


@dataclasses.dataclass(frozen=True, slots=True)
class PromptBatch:
    """B prompts with one image each, left-padded to L tokens."""

    input_ids: Tensor
    """`int64 [B, L]`."""
    attention_mask: Tensor
    """`bool [B, L]`, False on padding."""
    position_ids: Tensor
    """`int64 [3, B, L]`: temporal, row and column position of each token."""
    next_position: Tensor
    """`int64 [B]`: position of the first token behind the prompt."""
    pixel_values: Tensor
    """`float32 [patches of all images, channels * frames * patch * patch]`."""
    image_grid_thw: Tensor
    """`int64 [B, 3]`, in patches."""

    def to(self, device: torch.device | str) -> PromptBatch:
        return PromptBatch(*(getattr(self, f.name).to(device) for f in dataclasses.fields(self)))

    def __len__(self) -> int:
        return len(self.input_ids)

    def rows(self, start: int, stop: int) -> PromptBatch:
        """Prompts `start:stop`, padding kept."""
        patches = self.image_grid_thw.prod(-1)
        first, last = int(patches[:start].sum()), int(patches[:stop].sum())
        return PromptBatch(
            self.input_ids[start:stop],
            self.attention_mask[start:stop],
            self.position_ids[:, start:stop],
            self.next_position[start:stop],
            self.pixel_values[first:last],
            self.image_grid_thw[start:stop],
        )


class PromptEncoder:
    """Turns images and prompts into `PromptBatch`es with a processor of Qwen2.5-VL."""

    def __init__(self, processor: Qwen2_5_VLProcessor, prompt: Callable[[Question], str] = question_prompt):
        self.processor, self.prompt = processor, prompt
        self._ids: dict[str, list[int]] = {}
        self._texts: dict[Question, str] = {}
        self._rows: dict[tuple[str, int, int], tuple[np.ndarray, np.ndarray]] = {}

    def encode(self, images: Sequence[Image], questions: Sequence[Question]) -> PromptBatch:
        """The defender's prompts: image, question, lettered options, answer format."""
        return self.encode_texts(images, [self.text(question) for question in questions])

    def text(self, question: Question) -> str:
        """The whole prompt of a question, with one placeholder for the image."""
        if question not in self._texts:
            _make_room(self._texts)
            self._texts[question] = self.chat(self.prompt(question))
        return self._texts[question]

    def length(self, question: Question) -> int:
        """Tokens of a question's prompt, its image counted as one."""
        return len(self.tokens(self.text(question)))

    def chat(self, text: str) -> str:
        """A user turn with one image and `text`, ready for the assistant's answer."""
        content = [{"type": "image"}, {"type": "text", "text": text}]
        turn = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)

    def encode_texts(self, images: Sequence[Image], texts: Sequence[str]) -> PromptBatch:
        """Any full prompt texts, each with exactly one image placeholder."""
        if len(images) != len(texts) or not texts:
            raise ValueError(f"{len(images)} images for {len(texts)} prompts")
        pixel_values, grids = self.patches(images)
        merge = self.processor.image_processor.merge_size
        rows = [
            self._row(text, height // merge, width // merge)
            for text, (_, height, width) in zip(texts, grids.tolist(), strict=True)
        ]
        longest = max(len(ids) for ids, _ in rows)
        input_ids = np.full((len(rows), longest), self.processor.tokenizer.pad_token_id, dtype=np.int64)
        attention_mask = np.zeros((len(rows), longest), dtype=bool)
        position_ids = np.zeros((3, len(rows), longest), dtype=np.int64)
        for i, (ids, positions) in enumerate(rows):
            input_ids[i, longest - len(ids) :] = ids
            attention_mask[i, longest - len(ids) :] = True
            position_ids[:, i, longest - len(ids) :] = positions
        return PromptBatch(
            torch.from_numpy(input_ids),
            torch.from_numpy(attention_mask),
            torch.from_numpy(position_ids),
            torch.from_numpy(position_ids[:, :, -1].max(0) + 1),
            pixel_values,
            grids,
        )

    def patches(self, images: Sequence[Image]) -> tuple[Tensor, Tensor]:
        """`pixel_values` and `image_grid_thw` as the stock image processor makes them."""
        stock = self.processor.image_processor
        height, width = images[0].shape[:2]
        factor = stock.patch_size * stock.merge_size
        fitting = smart_resize(height, width, factor, stock.size["shortest_edge"], stock.size["longest_edge"])
        if fitting != (height, width) or any(image.shape != images[0].shape for image in images):
            out = stock(images=list(images), return_tensors="pt")
            return out["pixel_values"], out["image_grid_thw"]
        merge, patch, frames = stock.merge_size, stock.patch_size, stock.temporal_patch_size
        rows, columns = height // patch, width // patch
        pixels = torch.from_numpy(np.stack(images))
        # [B, rows, mr, py, columns, mc, px, C] -> [B, rows, columns, mr, mc, C, py, px]
        pixels = pixels.view(len(images), rows // merge, merge, patch, columns // merge, merge, patch, 3)
        cut = pixels.permute(0, 1, 4, 2, 5, 7, 3, 6).float().reshape(-1, 3, 1, patch, patch)
        mean, std = torch.tensor(stock.image_mean), torch.tensor(stock.image_std)
        scale = (stock.rescale_factor / std).view(3, 1, 1, 1)
        cut = cut.mul_(scale).sub_((mean / std).view(3, 1, 1, 1)).expand(-1, -1, frames, -1, -1)
        grid = torch.tensor([[1, rows, columns]]).expand(len(images), 3).contiguous()
        return cut.reshape(len(cut), -1), grid

    def _row(self, text: str, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        key = (text, rows, columns)
        if key not in self._rows:
            _make_room(self._rows)
            self._rows[key] = self._expand(text, rows, columns)
        return self._rows[key]

    def tokens(self, text: str) -> list[int]:
        """Token ids of a text, cached."""
        if text not in self._ids:
            _make_room(self._ids)
            self._ids[text] = self.processor.tokenizer(text).input_ids
        return self._ids[text]

    def _expand(self, text: str, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Token ids `[L]` and positions `[3, L]` of a prompt whose image has rows x columns tokens.

        Positions as `Qwen2_5_VLModel.get_rope_index`: text counts on, an image counts on by its longer side.
        """
        ids = self.tokens(text)
        if ids.count(self.processor.image_token_id) != 1:
            raise AotError(
                "a prompt must hold exactly one image placeholder",
                where=text[:80],
                hint=f"remove {IMAGE_PAD} from the question's text",
            )
        at, tokens = ids.index(self.processor.image_token_id), rows * columns
        full = np.array(ids[:at] + [ids[at]] * tokens + ids[at + 1 :], dtype=np.int64)
        positions = np.empty((3, len(full)), dtype=np.int64)
        positions[:, :at] = np.arange(at)
        image = positions[:, at : at + tokens].reshape(3, rows, columns)
        image[0], image[1], image[2] = at, at + np.arange(rows)[:, None], at + np.arange(columns)
        positions[:, at : at + tokens] = image.reshape(3, -1)
        positions[:, at + tokens :] = at + max(rows, columns) + np.arange(len(ids) - at - 1)
        return full, positions


def _make_room(cache: dict[Any, Any], size: int = 65536) -> None:
    """Empties a full cache: prompts of a world are few, those of real data need not be kept."""
    if len(cache) >= size:
        cache.clear()
