"""Losses of a defender with gradients of its image's pixels, which white-box attacks maximise; here for Qwen2.5-VL.

`DifferentiableProcessor` makes the stock image processor's tensor out of pixels that carry gradients (the stock one
works on NumPy arrays). Its images have the size that `smart_resize` gives, so that the stock resize is the identity and
a bound on pixels holds for what the model sees; any other image is brought to this size first (`fitted`, by the stock
resize). `PixelLosses` keep the prompts of a batch and take its images again and again. Other models:
`aot.players.defender.probed_pixels`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.image_utils import SizeDict
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from aot.players.defender.qwen import QwenDefender
from aot.players.defender.shared_prefix import completion_logprobs
from aot.players.defender.trained import TrainedDefender
from aot.types import Image, Question


class DifferentiableProcessor:
    """The image half of Qwen2-VL's processor, with gradients."""

    def __init__(self, processor: Any):
        self.stock = processor.image_processor
        mean, std = torch.tensor(self.stock.image_mean), torch.tensor(self.stock.image_std)
        self.mean, self.std = mean.view(3, 1, 1), std.view(3, 1, 1)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width in pixels that the model sees of an image of this size."""
        factor, bounds = self.stock.patch_size * self.stock.merge_size, self.stock.size
        seen: tuple[int, int] = smart_resize(height, width, factor, bounds["shortest_edge"], bounds["longest_edge"])
        return seen

    def fitted(self, image: Image) -> Image:
        """The image as the model sees it, in pixels; itself where it has the size already."""
        if self.size(*image.shape[:2]) == image.shape[:2]:
            return image
        seen = self.stock.resize(
            torch.from_numpy(image.transpose(2, 0, 1).copy()) if self._takes_tensors else image.transpose(2, 0, 1),
            SizeDict(**{edge: self.stock.size[edge] for edge in ("shortest_edge", "longest_edge")}),
            self.stock.resample,
            self.stock.patch_size * self.stock.merge_size,
        )
        return np.ascontiguousarray(np.asarray(seen, np.uint8).transpose(1, 2, 0))

    @property
    def _takes_tensors(self) -> bool:
        """Whether the stock class works on torchvision's tensors."""
        return not type(self.stock).__name__.endswith("Pil")

    def __call__(self, pixels: Tensor) -> Tensor:
        """`pixel_values [patches of all images, channels * frames * patch * patch]` of images `[B, 3, H, W]` in [0, 1]
        whose size is the one that the model sees. Raises ValueError for any other size."""
        batch, _, height, width = pixels.shape
        if self.size(height, width) != (height, width):
            raise ValueError(f"images of {height} x {width} px are resized by the processor: bring them to its size")
        merge, patch, frames = self.stock.merge_size, self.stock.patch_size, self.stock.temporal_patch_size
        rows, columns = height // patch, width // patch
        x = (pixels.float() - self.mean.to(pixels.device)) / self.std.to(pixels.device)
        x = x.view(batch, 3, rows // merge, merge, patch, columns // merge, merge, patch)
        # Patches merge group by merge group; within a patch channel, row, column.
        x = x.permute(0, 2, 5, 3, 6, 1, 4, 7)[:, :, :, :, :, :, None]
        x = x.expand(-1, -1, -1, -1, -1, -1, frames, -1, -1)
        return x.reshape(batch * rows * columns, 3 * frames * patch * patch)


class PixelLosses(ABC):
    """The prompts of B questions, whose images of one size are given with every call, `[B, 3, H, W]` in [0, 1]; a batch
    is only as large as the defender's `batch` allows. Log-probabilities are in nats."""

    def __init__(self, defender: TrainedDefender, images: Sequence[Image], questions: Sequence[Question]):
        self.defender, self.images, self.questions = defender, list(images), list(questions)
        self.right = torch.tensor([q.answer for q in questions], device=defender.device)

    @abstractmethod
    def option_logprobs(self, pixels: Tensor) -> Tensor:
        """`float [B, most options]`, normalised over the canonical answers of each question's options; -inf where there
        is none."""

    @abstractmethod
    def targeted(self, texts: Sequence[str]) -> Callable[[Tensor], Tensor]:
        """A loss `[B]` of images: the log-probability of the token mean of each row's target text, closed by
        end-of-turn (minus its cross-entropy). What an attack wants large."""

    @abstractmethod
    def rows(self, rows: Sequence[int]) -> PixelLosses:
        """Those of some of the questions."""

    def untargeted(self, pixels: Tensor) -> Tensor:
        """`[B]`: minus the log-probability of the right option among the options. What an attack wants large."""
        return -self.option_logprobs(pixels).gather(-1, self.right[:, None])[:, 0]


class QwenPixelLosses(PixelLosses):
    """Of Qwen2.5-VL, by its fast paths."""

    defender: QwenDefender

    def __init__(self, defender: QwenDefender, images: Sequence[Image], questions: Sequence[Question]):
        super().__init__(defender, images, questions)
        self.prompts = defender.encode(images, questions)
        self.processor = DifferentiableProcessor(defender.processor)
        self._options = defender.option_tokens(questions)

    def option_logprobs(self, pixels: Tensor) -> Tensor:
        return self.defender.score_options(self._seen(pixels), self._options)[0].log_softmax(-1)

    def targeted(self, texts: Sequence[str]) -> Callable[[Tensor], Tensor]:
        ids, mask = (x.to(self.defender.device) for x in self.defender.pad_answers([[text] for text in texts]))

        def loss(pixels: Tensor) -> Tensor:
            logprobs, _ = completion_logprobs(self.defender.model, self._seen(pixels), ids, mask)
            return logprobs.sum((1, 2)) / mask.sum((1, 2))

        return loss

    def rows(self, rows: Sequence[int]) -> QwenPixelLosses:
        return QwenPixelLosses(self.defender, [self.images[i] for i in rows], [self.questions[i] for i in rows])

    def _seen(self, pixels: Tensor) -> Any:
        return dataclasses.replace(self.prompts, pixel_values=self.processor(pixels))


@contextmanager
def attacked_weights(model: nn.Module) -> Iterator[None]:
    """Inside, weights are frozen and dropout is off, for gradients of pixels alone; afterwards all is as before. Not
    `eval()`, which would switch activation checkpointing off."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    dropping = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
    model.requires_grad_(False)
    for module in dropping:
        module.eval()
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        for module in dropping:
            module.train()
