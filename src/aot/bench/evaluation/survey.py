"""The pass before the first request: what there is to ask, what is refused, what is stored already.

Data are read twice, once here and once while asking, so that no image is held longer than its question needs.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Backend, reply_key
from aot.bench.evaluation.grading import Reader, read_reply
from aot.bench.evaluation.protocol import EvalSettings
from aot.bench.evaluation.release import as_released
from aot.bench.reading.benchmark import Benchmark
from aot.bench.reading.item import Item
from aot.bench.reading.prompts import Prompt, boxed, content
from aot.bench.reading.rows import LeftOut
from aot.data.images.reading import Refusal
from aot.errors import AotError
from aot.scores.metrics import INCOMPLETE
from aot.types import LETTERS


@dataclass(frozen=True, slots=True)
class Asking:
    """Makes requests of items. `confidence`: the probability of each answer is asked for, too; `spelled`: of whole
    answers as the prompt wants them, for a model in this process, since servers tell those of single letters only."""

    prompt: Prompt
    confidence: bool
    spelled: bool

    def __call__(self, item: Item, trial: int) -> Ask:
        options = self._options(item) if self.confidence else ()
        return Ask(item.id, content(item, self.prompt), options, trial)

    def _options(self, item: Item) -> tuple[str, ...]:
        """In the order of the answers; see `aot.bench.evaluation.grading`."""
        boxes = self.spelled and self.prompt is boxed
        if item.kind == "choice":
            lettered = zip(LETTERS, item.options, strict=False)
            return tuple(f"{option} \\boxed{{{letter}}}" if boxes else letter for letter, option in lettered)
        words = ("Yes", "No") if item.kind == "yes_no" else ()
        return tuple(f"\\boxed{{{word}}}" if boxes else word for word in words)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A benchmark with its data, surveyed, and who reads its replies. `items`: what is asked, without images;
    `prompt_digests` of each; `digest`: of all that is asked, whichever file format it came in; `stored` of the
    `requests` are answered already."""

    benchmark: Benchmark
    path: Path
    asking: Asking
    reader: Reader
    items: dict[str, Item]
    prompt_digests: dict[str, str]
    refusals: tuple[Refusal, ...]
    left_out: dict[str, int]
    digest: str
    requests: int
    stored: int

    def asks(self, trials: int) -> Iterator[Ask]:
        """Every request, reading the data again. Images are not checked again, so what was refused for its image is
        passed over by its place: another row may have the same id."""
        left = set(self.items)
        refused = {(refusal.file, refusal.row) for refusal in self.refusals}
        for item in self.benchmark.read(self.path, check=False, without=refused):
            if not isinstance(item, Item) or item.id not in left:
                continue
            ask = self.asking(item, 0)
            if prompt_digest(ask) != self.prompt_digests[item.id]:
                continue
            left.remove(item.id)
            for trial in range(trials):
                yield replace(ask, trial=trial)
            if not left:
                return
        raise AotError(
            f"{len(left)} questions changed or went away while the others were asked",
            where=str(self.path),
            hint="the same command asks what is left",
        )


def survey(
    benchmark: Benchmark, path: Path, backend: Backend, settings: EvalSettings, store: AnswerStore
) -> Evaluation:
    """Reads all rows (with a limit: up to so many items) and opens every image. Raises `AotError` as readers do."""
    benchmark, reader = as_released(benchmark) if settings.protocol == "aot_release" else (benchmark, read_reply)
    asking = Asking(benchmark.prompt, settings.confidence, spelled=backend.identity.get("kind") == "local")
    items: dict[str, Item] = {}
    digests: dict[str, str] = {}
    refusals: list[Refusal] = []
    left_out: Counter[str] = Counter()
    whole, stored = hashlib.sha256(), 0
    for item in benchmark.read(path):
        if isinstance(item, LeftOut):
            left_out[item.reason] += item.rows
        elif isinstance(item, Refusal):
            refusals.append(item)
        else:
            ask = asking(item, 0)
            asks = [ask, *(replace(ask, trial=trial) for trial in range(1, settings.answers_each))]
            identity, sampling = backend.identity, settings.sampling
            keys = [reply_key(identity, each, sampling) for each in asks]
            stored += sum(store.get(key) is not None for key in keys)
            digests[item.id] = prompt_digest(ask)
            gold = "\x1f".join((item.id, item.answer, *item.accepted, item.category, *sorted(item.groups.values())))
            whole.update(f"{gold}\x1e{digests[item.id]}\n".encode())
            items[item.id] = replace(item, images=())
            if settings.limit and len(items) >= settings.limit:
                break
    if benchmark.member and (refusals or settings.limit):
        items = _with_cut_groups(items, benchmark.members(path))
    requests = len(items) * settings.answers_each
    known = (tuple(refusals), dict(left_out), whole.hexdigest())
    return Evaluation(benchmark, path, asking, reader, items, digests, *known, requests, stored)


def _with_cut_groups(items: Mapping[str, Item], members: Mapping[tuple[str, str], set[str]]) -> dict[str, Item]:
    """The items, marked where the file has a member of their group that is not asked."""
    marked = {}
    for id, item in items.items():
        cut = [name for name, value in item.groups.items() if not members.get((name, value), set()) <= items.keys()]
        marked[id] = replace(item, groups={**item.groups, INCOMPLETE: ",".join(cut)}) if cut else item
    return marked


def prompt_digest(ask: Ask) -> str:
    """Of the text and the images, in their order."""
    digest = hashlib.sha256()
    for part in ask.content:
        digest.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode("utf-8", "replace")).digest())
    return digest.hexdigest()
