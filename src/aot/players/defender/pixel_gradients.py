"""A defender with gradients of its pixels: how its images are resized, and the losses that an attack maximises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aot.errors import AotError
from aot.players.defender.differentiable import DifferentiableProcessor, PixelLosses, QwenPixelLosses
from aot.players.defender.probed_pixels import ProbedProcessor, StockPixelLosses
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.stock import StockDefender
from aot.players.defender.trained import TrainedDefender
from aot.types import Image, Question


@dataclass(frozen=True)
class PixelGradients:
    """The pixel gradients of one defender."""

    defender: TrainedDefender
    processor: DifferentiableProcessor | ProbedProcessor

    @property
    def batch(self) -> int:
        """Images at once; a stock forward pass reads each once an option."""
        return self.defender.batch if isinstance(self.defender, QwenDefender) else max(1, self.defender.batch // 2)

    def fitted(self, image: Image) -> Image:
        """The image as the model sees it, in pixels; itself where it has the size already."""
        return self.processor.fitted(image)

    def losses(self, images: Sequence[Image], questions: Sequence[Question]) -> PixelLosses:
        """Those of questions about fitted images of one size."""
        if isinstance(self.defender, QwenDefender):
            return QwenPixelLosses(self.defender, images, questions)
        assert isinstance(self.defender, StockDefender) and isinstance(self.processor, ProbedProcessor)
        return StockPixelLosses(self.defender, self.processor, images, questions)


def pixel_gradients(defender: Any) -> PixelGradients:
    """Raises `AotError` for a defender that is not in this process, or whose processor does more to an image than one
    can look up."""
    if isinstance(defender, QwenDefender):
        return PixelGradients(defender, DifferentiableProcessor(defender.processor))
    hint = "a model in this process whose processor shows an image once: splitting into tiles switched off"
    if not isinstance(defender, StockDefender):
        raise AotError(f"{defender.name} shows no gradients of its pixels", hint=hint)
    processor = ProbedProcessor(defender)
    try:
        processor.fitted(np.zeros((64, 96, 3), np.uint8))
    except AotError as error:
        raise AotError(f"{defender.name} shows no gradients of its pixels: {error.message}", hint=hint) from error
    return PixelGradients(defender, processor)
