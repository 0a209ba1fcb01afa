"""How strong the attacks without a model are, and the type of a strength that is drawn between two limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from aot.runs.limits import within

Pair = tuple[float, float]
"""From, to: a strength is drawn evenly between them for every attack."""
Share = Annotated[Pair, within(0, 1)]
Levels = Annotated[Pair, within(0, 255)]
Multiple = Annotated[Pair, within(0.1, 10)]
Sigma = Annotated[Pair, within(0.1, 100)]
Quality = Annotated[Pair, within(1, 100)]


class Strengths(BaseModel, frozen=True, extra="forbid"):
    """How strong the attacks without a model are; all *ours*."""

    # Photos: edits drawn until one is possible; the model is not asked about these.
    tries: int = Field(12, gt=0, le=10_000)
    related: float = Field(0.5, ge=0, le=1)  # world: share of new objects that resemble a queried one
    occlusion_share: Share = (0.02, 0.08)  # of the image's area
    occlusion_places: int = Field(40, gt=0, le=10_000)  # tried before there is none beside the boxes
    several: Annotated[tuple[int, int], within(1, 20)] = (2, 3)  # new objects at once
    scale: Multiple = (0.6, 1.5)  # of an object's size; nearer to 1 than 15 % is not drawn
    texture_levels: Levels = (20, 70)  # between the two colours of a pattern, of 255
    texture_bold: float = Field(0.5, ge=0, le=1)  # share of patterns in any two colours instead
    texture_share: Share = (0.4, 0.8)  # photos: by how much the pattern covers the background; in the world wholly
    neutral_share: Share = (0.01, 0.04)  # of the image's area, each shape's box
    neutral_most: int = Field(3, gt=0, le=100)  # shapes at once
    typographic_share: Share = (0.08, 0.16)  # of the image's height: the writing's
    noise_levels: Levels = (4, 8)  # largest change of any value (L-infinity), of 255
    blur_sigma_px: Sigma = (0.8, 2.0)
    jpeg_quality: Quality = (10, 30)
    shadow_share: Share = (0.25, 0.5)  # of the light that a shadow takes
    uneven_share: Share = (0.2, 0.5)  # of the light, by which a smooth field changes it
    tone_share: Share = (0.3, 0.6)  # how far a gamma curve, saturation or the number of levels goes
    viewpoint_share: Annotated[Pair, within(0, 0.2)] = (0.01, 0.05)  # of the shorter side: the largest shift
    light_share: Share = (0.15, 0.35)  # of the full range: brightness by so much, and contrast
