"""Ranges that settings of several packages share: a pair of limits, a temperature, threads, and what a number of things
may be where its own setting says nothing. All *ours*."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

Number = TypeVar("Number", int, float)
MOST = 10**7
"""The largest number of a setting that has no limit of its own: more scenes, steps or samples are a typing error,
and end in want of memory hours later."""
LEAST = 1e-12
"""Numbers nearer to 0 are 0, or a mistake: what divides by them overflows."""
MOST_PIXELS = 2**30
"""Of an image."""
COLDEST, HOTTEST = 0.01, 100.0
"""Colder, logits divided by it overflow: 0 is what takes the likeliest token. Hotter, all tokens are alike."""


def within(least: float, most: float) -> AfterValidator:
    """Of a pair from, to: in order, both between these, and not both 0, which does nothing."""

    def checked(limits: tuple[Number, Number]) -> tuple[Number, Number]:
        if limits[0] > limits[1]:
            raise ValueError("the first limit must not be above the second")
        if limits[0] < least or limits[1] > most:
            raise ValueError(f"both limits must lie between {least:g} and {most:g}")
        if not limits[1]:
            raise ValueError("the second limit must be above 0")
        return limits

    return AfterValidator(checked)


def _greedy_or_warm(value: float) -> float:
    if value and not COLDEST <= value <= HOTTEST:
        raise ValueError(f"must be 0 (the likeliest token), or from {COLDEST:g} to {HOTTEST:g}")
    return value


Temperature = Annotated[float, AfterValidator(_greedy_or_warm)]
"""Of sampled tokens; 0: the likeliest one."""
Warm = Annotated[float, Field(ge=COLDEST, le=HOTTEST)]
"""Of tokens that have to differ."""
Threads = Annotated[int, Field(ge=1, le=1024)]
"""CPU threads of a process: the system gives no process a million."""
