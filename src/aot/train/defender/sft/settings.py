"""Settings of the defender's SFT, and the sizes that follow from them."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from aot.train.defender.sft.pixel_share import PixelSettings


class DefenderSftSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*: the paper only says that the defender is warmed up by SFT."""

    steps: int = Field(400, ge=0)  # 0 leaves the defender as it is
    batch: int = Field(64, gt=0)  # scenes a step, one image of each
    # Share of a batch that is seen attacked, where it has attacks; with a `pixel.share` of clean images, of the others.
    attacked_share: float = Field(0.75, ge=0, le=1)
    candidates: int = Field(4, gt=0)  # attacks of a scene whose losses are compared; 1 takes one as it comes
    # Attacked scenes looked at for each that is trained on: those of the highest loss.
    pool: float = Field(1.0, ge=1, le=1000)
    counterfactual_share: float = Field(0.0, ge=0, lt=1)  # of a batch: in pairs of images with other answers
    counterfactual_pool: float = Field(3.0, ge=1, le=1000)  # such pairs looked at for each that is trained on
    learning_rate: float = Field(5e-4, gt=0, le=10)
    muon_lr: float = Field(0.0, ge=0, le=10)  # of the matrices inside the blocks, by Muon; 0 gives them to AdamW
    warmup_steps: int = Field(10, ge=0)
    schedule: Literal["linear", "constant"] = "linear"  # after the warm-up
    final_rate: float = Field(0.0, ge=0, le=1)  # share of the learning rates at which a linear schedule ends
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)  # the weights kept at the end are averaged; 0 keeps the last ones
    per_forward: int = Field(64, gt=0)  # images in one forward pass: memory against speed
    pixel: PixelSettings = PixelSettings()  # images that are attacked by PGD against the weights of the step
    abstain_share: float = Field(0.0, ge=0, le=0.5)  # of a batch's attacked images: answered by an abstention

    @model_validator(mode="after")
    def _room_for_pairs(self) -> Self:
        if self.counterfactual_share and not self.pairs:
            needs = f"counterfactual_share={self.counterfactual_share} of batch={self.batch} is less than one pair"
            raise ValueError(f"{needs}, two images; a larger batch, a larger share, or 0 for none")
        if self.bounded > self.single:
            needs = f"pixel.share={self.pixel.share} of batch={self.batch} is {self.bounded} clean images"
            raise ValueError(f"{needs}, and {self.single} are in no counterfactual pair; a smaller share of either")
        return self

    @property
    def key(self) -> dict[str, Any]:
        """What a trained defender depends on; without what does nothing of the settings that came later."""
        used = {"pixel": self.pixel.share, "muon_lr": self.muon_lr, "abstain_share": self.abstain_share}
        used |= {"pool": self.pool - 1, "final_rate": self.final_rate}
        used |= dict.fromkeys(("counterfactual_share", "counterfactual_pool"), self.counterfactual_share)
        return self.model_dump(mode="json", exclude={name for name, value in used.items() if not value})

    @property
    def pairs(self) -> int:
        """Counterfactual pairs that a step is trained on, two images each; one image at least is in none."""
        return min(round(self.batch * self.counterfactual_share / 2), (self.batch - 1) // 2)

    @property
    def single(self) -> int:
        """Images of a step that are in no such pair."""
        return self.batch - 2 * self.pairs

    @property
    def bounded(self) -> int:
        """Images of a step that are clean but for PGD."""
        return round(self.batch * self.pixel.share) if self.pixel.on == "clean" else 0

    @property
    def pairs_drawn(self) -> int:
        """Counterfactual pairs that a step is offered."""
        return round(self.pairs * self.counterfactual_pool)

    def drawn(self, batch: int | None = None) -> tuple[int, int]:
        """(attacked scenes, clean scenes) that a step is offered, for `batch` of its images that are in no pair
        (default all)."""
        batch = self.single if batch is None else batch
        attacked = self.attacked_of(batch)
        return round(attacked * self.pool), batch - attacked

    def attacked_of(self, batch: int) -> int:
        """How many of `batch` images that are in no pair are seen attacked."""
        return round(max(0, batch - self.bounded) * self.attacked_share)
