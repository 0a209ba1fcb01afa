"""Gradients of pixels through any stock processor, whose mapping is found by probing it. *Ours.*

Most image processors resize, crop, normalise and rearrange. For an image that already has the size which the model
sees, each value that the processor returns is one pixel's, scaled and offset. Which pixel is found once a size by a few
images that encode the position of each pixel (`PixelMap`), and verified on a random image. Processors that do more,
such as showing an image in tiles of several scales, are refused. `StockPixelLosses` are the losses on top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from aot.errors import AotError
from aot.players.defender.differentiable import PixelLosses
from aot.players.defender.stock import StockDefender, TeacherForcedBatch
from aot.prompts import gold_answer
from aot.types import Image, Question

CLOSE = 0.05
"""Largest difference of a random image's values, in levels."""
MAPS_IN_MEMORY = 2
"""That of a megapixel has six million values of 17 bytes (two frames), and photos have many sizes."""
ASKED = "What is this?"
"""Stands for a question where only the image counts."""


class PixelMap:
    """Of images of one size: which pixel each of the processor's values is. Raises `AotError` where they are something
    else. `read`: the processor's values of an image."""

    def __init__(self, height: int, width: int, read: Callable[[Image], Tensor]):
        self.size = (height, width, 3)
        place = np.arange(height * width * 3).reshape(self.size)
        dark, bright = (read(np.full(self.size, level, np.uint8)) for level in (0, 255))
        self.shape, self.offset = dark.shape, dark.flatten().float()
        scale = (bright.flatten().float() - self.offset) / 255
        self.from_pixel = scale.abs() > 1e-9  # others are padding
        self.scale = scale.where(self.from_pixel, torch.ones(()))
        self.index = torch.zeros(len(scale), dtype=torch.int64)
        for shift in range(0, int(place.max()).bit_length(), 8):
            digit = (place >> shift & 255).astype(np.uint8)
            self.index += self._levels(read(digit)).round().long() << shift
        self.index.clamp_(0, place.max())
        self._on: dict[torch.device, tuple[Tensor, ...]] = {}
        tried = np.random.default_rng(0).integers(0, 256, self.size, dtype=np.uint8)
        made = self(torch.from_numpy(tried).permute(2, 0, 1)[None] / 255)[0]
        error = (made - read(tried)).flatten() / self.scale
        if float(error.abs().max()) > CLOSE:
            raise AotError("its processor mixes pixels, or shows an image in several sizes")

    def __call__(self, pixels: Tensor) -> Tensor:
        """The values `[B, *one image's]` of images `[B, 3, H, W]` in [0, 1], with gradients."""
        index, scale, offset, from_pixel = self.on(pixels.device)
        levels = 255 * pixels.float().permute(0, 2, 3, 1).flatten(1).index_select(1, index)
        return (levels * from_pixel * scale + offset).view(len(pixels), *self.shape)

    def on(self, device: torch.device) -> tuple[Tensor, ...]:
        """Of each value its pixel, scale, offset, and whether it is one: on a device, to which they are moved once."""
        if device not in self._on:
            mine = (self.index, self.scale, self.offset, self.from_pixel)
            self._on[device] = tuple(each.to(device) for each in mine)
        return self._on[device]

    def image(self, values: Tensor) -> Image:
        """The image in whole levels whose values these are."""
        image = np.zeros(self.size, np.uint8)
        levels = self._levels(values)[self.from_pixel].round().clamp(0, 255)
        image.reshape(-1)[self.index[self.from_pixel].numpy()] = levels.numpy().astype(np.uint8)
        return image

    def _levels(self, values: Tensor) -> Tensor:
        return ((values.flatten().float() - self.offset) / self.scale).where(self.from_pixel, torch.zeros(()))


class ProbedProcessor:
    """As `DifferentiableProcessor`, around any defender's processor. Its methods raise `AotError` where the values of
    the processor are not an image's pixels."""

    def __init__(self, defender: StockDefender):
        self.defender = defender
        self._map = lru_cache(MAPS_IN_MEMORY)(self._probed)

    def fitted(self, image: Image) -> Image:
        """The image as the model sees it, in pixels; itself where it has the size already."""
        values, size = self._read(image)
        known = self._map(size)
        return image if size == image.shape[:2] else known.image(values)

    def __call__(self, pixels: Tensor) -> Tensor:
        """The processor's values `[B, *one image's]` of images `[B, 3, H, W]` in [0, 1] of a size that `fitted`
        gives."""
        return self.map_of(pixels.shape[2], pixels.shape[3])(pixels)

    def map_of(self, height: int, width: int) -> PixelMap:
        """Of images of this size, which `fitted` gives."""
        return self._map((height, width))

    def _probed(self, size: tuple[int, int]) -> PixelMap:
        return PixelMap(*size, lambda image: self._read(image)[0])

    def _read(self, image: Image) -> tuple[Tensor, tuple[int, int]]:
        """The processor's values, and the height and width of the image in them."""
        made = self.defender.processed([(image, ASKED)])
        values = made.get("pixel_values")
        if values is None:
            raise AotError("its processor returns no pixel_values")
        if "image_grid_thw" in made:  # Qwen's, in patches
            patch = self.defender.processor.image_processor.patch_size
            _, rows, columns = made["image_grid_thw"][0].tolist()
            return values, (rows * patch, columns * patch)
        if values.ndim < 4 or values.shape[:-3].numel() != 1 or values.shape[-3] != 3:
            raise AotError(f"its processor shows one image as {tuple(values.shape)}, in tiles")
        return values, (values.shape[-2], values.shape[-1])


class StockPixelLosses(PixelLosses):
    """Of any other model, by its stock forward pass: an image is read once an option."""

    defender: StockDefender

    def __init__(
        self,
        defender: StockDefender,
        processor: ProbedProcessor,
        images: Sequence[Image],
        questions: Sequence[Question],
    ):
        super().__init__(defender, images, questions)
        self.processor = processor
        places = [(i, choice) for i, q in enumerate(questions) for choice in range(len(q.options))]
        rows, choices = [i for i, _ in places], [choice for _, choice in places]
        self._row, self._choice = (torch.tensor(each, device=defender.device) for each in (rows, choices))
        self._most = max(choices) + 1
        self._options = self._asked([gold_answer(questions[i], choice) for i, choice in places], rows)

    def option_logprobs(self, pixels: Tensor) -> Tensor:
        sums, _ = self._logprobs(self._options, pixels, self._row)
        none = torch.full((len(pixels), self._most), float("-inf"), dtype=sums.dtype, device=sums.device)
        return none.index_put((self._row, self._choice), sums).log_softmax(-1)

    def targeted(self, texts: Sequence[str]) -> Callable[[Tensor], Tensor]:
        asked, every = self._asked(texts, range(len(texts))), torch.arange(len(texts), device=self.defender.device)

        def loss(pixels: Tensor) -> Tensor:
            sums, tokens = self._logprobs(asked, pixels, every)
            return sums / tokens

        return loss

    def rows(self, rows: Sequence[int]) -> StockPixelLosses:
        images, questions = [self.images[i] for i in rows], [self.questions[i] for i in rows]
        return StockPixelLosses(self.defender, self.processor, images, questions)

    def _asked(self, texts: Sequence[str], rows: Sequence[int]) -> TeacherForcedBatch:
        prompts = [(self.images[i], self.defender.prompt(self.questions[i])) for i in rows]
        return self.defender.asked(prompts, texts)

    def _logprobs(self, asked: TeacherForcedBatch, pixels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of log-probabilities, and numbers of tokens, of completions about the images in these rows."""
        return self.defender.logprobs_of(asked, self.processor(pixels)[rows].flatten(0, 1))
