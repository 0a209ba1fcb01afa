"""The size at which own pictures are played on: stretched to a square, or in their own shape up to an area (*ours*)."""

from __future__ import annotations

from pydantic import BaseModel, Field, model_validator

from aot.data.images.reading import Fit, square, within


class FitSettings(BaseModel, frozen=True, extra="forbid"):
    """How pictures of own data are resized; their boxes are resized with them. All *ours*."""

    image_px: int = Field(64, ge=16, le=8192)  # without max_pixels: stretched to a square of this side
    # In their own shape, reduced to this area where larger; 0: squares of image_px.
    max_pixels: int = Field(0, ge=0, le=2**26)
    # With max_pixels sides are multiples of this, rounded down. 16: the blocks of the editor's VAE; other sides are
    # padded for it. 28 (Qwen2.5-VL) or 32 (Qwen3-VL): the defender's patches; other sides are stretched by its
    # processor. 32 is also what Qwen-Image-Edit's own pipeline rounds to; 112 suits editor and Qwen2.5-VL exactly, but
    # may cut a fifth of a side of 512 px.
    multiple_of: int = Field(32, ge=1, le=8192)

    @model_validator(mode="after")
    def _room(self) -> FitSettings:
        if self.max_pixels and self.max_pixels < self.multiple_of**2:
            raise ValueError(
                f"max_pixels={self.max_pixels} is less than one block of multiple_of={self.multiple_of}: "
                f"at least {self.multiple_of**2}"
            )
        return self

    @property
    def fit(self) -> Fit:
        return within(self.max_pixels, self.multiple_of) if self.max_pixels else square(self.image_px)
