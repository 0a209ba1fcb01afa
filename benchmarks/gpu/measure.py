"""Time, peak memory and arithmetic of a piece of work on one card (or the CPU), and what the card can do at best.

    card = Card.of(device)                   its bf16 peak is measured, not read from a table: a matmul of 8192 squared
    run = measured(work, device)             seconds (the median of repeats), peak memory, FLOP
    run.mfu(card), table(...)

FLOP are those of torch's FlopCounterMode over one more call of the work, recomputation under gradient checkpointing
included: what is called MFU here takes a quarter of such work off (forward, again, backward twice: 4 units for 3).
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE, SMALL_SIDE = 8192, 256
"""Of the matrices that the peak is measured with, on a card and on the CPU."""


@dataclass(frozen=True)
class Card:
    """A device: `peak_tflops` in bfloat16 (on the CPU in float32), measured."""

    name: str
    memory_gib: float
    peak_tflops: float

    @classmethod
    def of(cls, device: torch.device) -> Card:
        if device.type != "cuda":
            return cls("CPU", 0.0, peak_tflops(device, torch.float32, SMALL_SIDE))
        properties = torch.cuda.get_device_properties(device)
        return cls(properties.name, properties.total_memory / 2**30, peak_tflops(device, torch.bfloat16, SIDE))


def peak_tflops(device: torch.device, dtype: torch.dtype, side: int, *, repeats: int = 30) -> float:
    """Of a square matrix product, the best of `repeats` after a warm-up."""
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(5 + repeats):
        synchronize(device)
        begun = time.perf_counter()
        one @ other
        synchronize(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best / 1e12


@dataclass(frozen=True)
class Measured:
    """Of one call of the work. `peak_gib`: of all tensors on a card; on the CPU of the whole process."""

    seconds: float
    peak_gib: float
    flop: float
    recomputes: bool = False

    @property
    def tflops(self) -> float:
        """A second, without what is only computed again."""
        return self.flop * (0.75 if self.recomputes else 1.0) / self.seconds / 1e12

    def mfu(self, card: Card) -> float:
        return self.tflops / card.peak_tflops


def measured(
    work: Callable[[], object],
    device: torch.device,
    *,
    warm_up: int = 1,
    repeats: int = 3,
    recomputes: bool = False,
) -> Measured:
    """`work` is called `warm_up` + `repeats` + 1 times; the first calls choose kernels and are not counted, the last
    counts FLOP. `recomputes`: under gradient checkpointing."""
    for _ in range(warm_up):
        work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        begun = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - begun)
    peak = peak_gib(device)
    with FlopCounterMode(display=False) as counter:
        work()
    return Measured(statistics.median(seconds), peak, float(counter.get_total_flops()), recomputes)


def peak_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "linux" else 2**30)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(name: str, card: Card, figures: dict[str, object], out: Path | None) -> None:
    """Prints the figures, and adds them as a line of JSON to `out`."""
    print(f"{name} on {card.name} (bf16 peak measured: {card.peak_tflops:.3g} TFLOP/s)")
    for label, value in figures.items():
        print(f"  {label:32} {value:.4g}" if isinstance(value, float) else f"  {label:32} {value}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": name, "card": asdict(card), **figures}) + "\n")
