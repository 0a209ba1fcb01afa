"""All benchmarks by name."""

from __future__ import annotations

import re

from aot.bench.benchmarks.ai2d import AI2D
from aot.bench.benchmarks.amber import AMBER
from aot.bench.benchmarks.blink import BLINK
from aot.bench.benchmarks.custom import PREFIX, custom
from aot.bench.benchmarks.hallusionbench import HALLUSIONBENCH
from aot.bench.benchmarks.hrbench import HRBENCH_4K, HRBENCH_8K
from aot.bench.benchmarks.mme_realworld import MME_REALWORLD_LITE
from aot.bench.benchmarks.mmmu import MMMU
from aot.bench.benchmarks.mmstar import MMSTAR
from aot.bench.benchmarks.mmvp import MMVP
from aot.bench.benchmarks.pope import POPE
from aot.bench.benchmarks.realworldqa import REALWORLDQA
from aot.bench.benchmarks.treebench import TREEBENCH
from aot.bench.benchmarks.vsr import VSR
from aot.bench.benchmarks.vstar import VSTAR
from aot.bench.reading.benchmark import Benchmark
from aot.errors import AotError

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        VSTAR,
        HRBENCH_4K,
        HRBENCH_8K,
        HALLUSIONBENCH,
        POPE,
        MMMU,
        MMSTAR,
        REALWORLDQA,
        BLINK,
        AI2D,
        MMVP,
        AMBER,
        VSR,
        MME_REALWORLD_LITE,
        TREEBENCH,
    )
}
USUAL_SPELLINGS = {
    "vstarbench": "VStar",
    "v": "VStar",
    "vbench": "VStar",
    "hr4k": "HRBench-4K",
    "hr8k": "HRBench-8K",
    "hallusion": "HallusionBench",
    "mmmuval": "MMMU",
    "mmmudevval": "MMMU",
    "blinkval": "BLINK",
    "ai2dtest": "AI2D",
    "vsrzeroshot": "VSR",
    "mmerealworldlite": "MME-RealWorld-Lite",
}


def named(name: str) -> Benchmark:
    """The benchmark of that name, in any case and punctuation ("V*Bench", "HRBench4K", "ai2d_test"), or `custom:NAME`.
    Another name: `AotError`."""
    if name.casefold().startswith(PREFIX):
        if not name[len(PREFIX) :].strip():
            raise AotError("a name is missing after custom:", where="--benchmark", hint="such as custom:mine=my.tsv")
        return custom(name)
    plain = _plain(name)
    for known, benchmark in BENCHMARKS.items():
        if plain == _plain(known) or USUAL_SPELLINGS.get(plain) == known:
            return benchmark
    hint = f"one of {', '.join(BENCHMARKS)}; or {PREFIX}NAME for an LMUData TSV of your own"
    raise AotError(f"unknown benchmark {name!r}", where="--benchmark", hint=hint)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
