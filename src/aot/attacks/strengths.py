"""How strong the attacks without a model are, and the type of a strength that is drawn between two limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field


def _ordered(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the first limit must not be above the second")
    return limits


Limits = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""From, to: a strength is drawn evenly between them for every attack."""


class Strengths(BaseModel, frozen=True, extra="forbid"):
    """How strong the attacks without a model are; all *ours*."""

    tries: int = Field(12, gt=0)  # photos: edits drawn until one is possible; the model is not asked about these
    related: float = Field(0.5, ge=0, le=1)  # world: share of new objects that resemble a queried one
    occlusion_share: Limits = (0.02, 0.08)  # of the image's area
    occlusion_places: int = Field(40, gt=0)  # tried before there is none beside the boxes
    noise_levels: Limits = (4, 8)  # largest change of any value (L-infinity), of 255
    blur_sigma_px: Limits = (0.8, 2.0)
    jpeg_quality: Limits = (10, 30)
    light_share: Limits = (0.15, 0.35)  # of the full range: brightness by so much, and contrast
