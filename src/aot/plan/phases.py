"""What a stage of a run needs: the phases it goes through, each with what was measured, and how often. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from aot.plan.live_memory import Measured

GIB = 1 << 30
USABLE = 0.95
"""Share of a GPU's memory that a plan fills at most: the rest is for CUDA itself and gaps between tensors; *ours*."""


class Hardware(BaseModel, frozen=True, extra="forbid"):
    """GPUs of one kind."""

    gpus: int = Field(1, gt=0)
    memory_gib: float = Field(80.0, gt=0)  # of each; a card of "80 GB" has about as many GiB
    tflops: float = Field(989.0, gt=0)  # peak in bfloat16; H100 SXM's data sheet: 989
    bandwidth_tbs: float = Field(3.35, gt=0)  # of its memory, TB/s; H100 SXM's data sheet: 3.35
    mfu: float = Field(0.4, gt=0, le=1)  # share of the peak that is reached; ours


@dataclass(frozen=True, slots=True)
class Phase:
    """`times`: how often it is run while its stage is made once, by all ranks together. `writes`: a token of answers at
    a time, so that reading weights and cache may take longer than computing. `reserved`: share of the GPU's memory that
    another process has meanwhile; `limit`: share that this one may fill, beside that."""

    name: str
    measured: Measured
    times: float
    writes: bool = False
    reserved: float = 0.0
    limit: float = USABLE

    def hours(self, hardware: Hardware) -> float:
        peak = self.measured.peak
        computing = self.measured.flops / (hardware.mfu * hardware.tflops * 1e12)
        reading = (peak["weights"] + peak["cache"]) / (hardware.bandwidth_tbs * 1e12) if self.writes else 0.0
        return self.times * max(computing, reading) / 3600 / hardware.gpus

    def needs(self, hardware: Hardware) -> float:
        """Bytes on each GPU, with what is reserved."""
        return self.measured.total + self.reserved * hardware.memory_gib * GIB

    def missing(self, hardware: Hardware) -> float:
        """Bytes that are needed above the limit; negative where there is room."""
        return self.needs(hardware) - self.limit * hardware.memory_gib * GIB

    def fits(self, hardware: Hardware) -> bool:
        return self.missing(hardware) <= 0


@dataclass(frozen=True, slots=True)
class StageNeed:
    """`made`: how often the run makes such a stage, parts of one counted as such; `trained`: parameters; `saved`: bytes
    on disk, each time; `geometry`: what a batch consists of."""

    name: str
    made: float
    phases: Sequence[Phase]
    trained: int = 0
    saved: int = 0
    geometry: str = ""

    @property
    def inexact(self) -> list[str]:
        """Why figures of its phases are bounds or leave something out, each reason once."""
        return list(dict.fromkeys(why for phase in self.phases for why in phase.measured.inexact))

    def too_large(self, hardware: Hardware) -> list[Phase]:
        return [phase for phase in self.phases if not phase.fits(hardware)]

    def hours(self, hardware: Hardware) -> float:
        """Of one making."""
        return sum(phase.hours(hardware) for phase in self.phases)

    @property
    def flops(self) -> float:
        """Of one making."""
        return sum(phase.measured.flops * phase.times for phase in self.phases)
