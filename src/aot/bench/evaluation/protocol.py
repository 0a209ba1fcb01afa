"""How a benchmark is asked and read: the settings that a score is meaningless without."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from aot.backends.base.backend import Sampling
from aot.runs.limits import MOST_PIXELS, Temperature

ProtocolName = Literal["default", "aot_release"]
RELEASE_TRIALS = 3


class EvalSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that the answers or the scores depend on besides defender and data. `trials`: answers to each
    question, 1 unless given (3 in the release's protocol); pixels bound an image's area before the model sees it;
    `limit`: only the first so many items; `confidence`: probabilities are asked for, which costs a model in this
    process a pass an option.
    """

    protocol: ProtocolName = "default"
    trials: int = Field(0, ge=0)
    temperature: Temperature = 0.0
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(1024, gt=0)
    min_pixels: int | None = Field(None, gt=0, le=MOST_PIXELS)
    max_pixels: int | None = Field(None, gt=0, le=MOST_PIXELS)
    seed: int = Field(0, ge=0)
    limit: int | None = Field(None, gt=0)
    confidence: bool = False

    @model_validator(mode="after")
    def _pixels_in_order(self) -> EvalSettings:
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels is above max_pixels")
        return self

    @property
    def answers_each(self) -> int:
        return self.trials or (RELEASE_TRIALS if self.protocol == "aot_release" else 1)

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
        )
