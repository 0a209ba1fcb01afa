"""The authors' way of asking and reading, under its own name (`--protocol aot_release`): never a default.

Boxed prompts, three greedy answers to each question of which all must be right, their parser, and V* in the order of
its files, where A is always right. Its own number is the metrics' `_all` form; see `aot.scores.aot_release`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from aot.backends.base.backend import Reply
from aot.bench.benchmarks.vstar import unshuffled
from aot.bench.evaluation.grading import Reader, Reading, unparsed
from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.prompts import boxed
from aot.errors import AotError
from aot.scores import aot_release as release


def _reader(read: Callable[[str], str]) -> Reader:
    def reading(item: Item, reply: Reply) -> Reading:
        if reply.status in ("error", "refused"):
            return unparsed(reply.status)
        said = read(reply.text)  # a truncated text, too
        if said == release.NOTHING:
            return unparsed("truncated" if reply.status == "truncated" else "unparsed")
        given = said.casefold() if item.kind == "yes_no" else said
        return "answered", given, given == item.answer

    return reading


READERS: dict[str, Reader] = {
    "VStar": _reader(release.read_vstar),
    "HRBench-4K": _reader(release.read_hrbench),
    "HRBench-8K": _reader(release.read_hrbench),
    "HallusionBench": _reader(release.read_yes_no),
    "POPE": _reader(release.read_yes_no),
}


def as_released(benchmark: Benchmark) -> tuple[Benchmark, Reader]:
    """The benchmark as the release asks, reads and scores it. Raises `AotError` for one that it does not have."""
    if benchmark.name not in READERS:
        hint = f"it has {', '.join(READERS)}; leave --protocol out for the others"
        raise AotError(f"the release does not evaluate {benchmark.name}", where="--protocol aot_release", hint=hint)
    item = unshuffled if benchmark.name == "VStar" else benchmark.item
    metric = release.pope if benchmark.name == "POPE" else release.strict
    return replace(benchmark, item=item, metric=metric, prompt=boxed), READERS[benchmark.name]
