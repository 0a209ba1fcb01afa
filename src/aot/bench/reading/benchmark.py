"""What a benchmark is, and how its items are read from a file: kept, refused or left out, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from aot.bench.reading.item import Item
from aot.bench.reading.prompts import Prompt, content, plain
from aot.bench.reading.questions import NumberAbove
from aot.bench.reading.rows import LeftOut, Needs, NotAsked, Row, Rows, open_rows
from aot.data.images.reading import BadRow, Refusal, at_most, read_image
from aot.data.photos.numbered import Numbered
from aot.scores.score import Spec

CHECKED_PX = 64
"""Side of the copy that proves an image readable; JPEG decodes to about this size at once. Pillow's own limit of 89
million pixels holds: an image of 7680 x 4320 (33 million) is fine, one of 100 million is refused."""


@dataclass(frozen=True)
class Benchmark:
    """`item` makes a row an item (or raises `BadRow`, or `NotAsked`); `rows` reads what `Needs` describes. `items`: how
    many the published set has, None for own ones. `member`: a row's id and groups, where metrics are of groups whose
    sizes only the whole file tells."""

    name: str
    source: str
    metric: Spec
    item: Callable[[Row], Item]
    prompt: Prompt = plain
    items: int | None = None
    needs: Needs = field(default_factory=Needs)
    rows: Callable[[Path, Needs], Rows] = open_rows
    member: Callable[[Row], tuple[str, dict[str, str]]] | None = None

    @property
    def prompt_name(self) -> str:
        return self.prompt.__name__

    def read(
        self, path: Path, *, check: bool = True, without: Collection[tuple[str, str]] = ()
    ) -> Iterator[Item | Refusal | LeftOut]:
        """Every row of the file or folder as one of the three, as it is read. `check`: open every image, too;
        `without`: files and places of rows that are passed over.

        Raises `AotError` where the file is missing, or is not in this benchmark's format at all.
        """
        seen, fine = set[str](), set[bytes]()
        asked: dict[str, set[str]] = {}
        numbered = Numbered(path)
        for row in self.rows(path, self.needs):
            if isinstance(row, LeftOut):
                yield row
                continue
            if without and _place(row) in without:
                continue
            try:
                if row.problem is not None and not row.cells:
                    raise row.problem
                item = self.item(row)
                numbered.note(row.text("answer"), item.options)
                if item.id in asked and item.question not in asked[item.id] and not row.text("index", "id"):
                    item = replace(item, id=f"{item.id}-{row.number}")  # MME's question_id is that of the image
                if item.id in seen:
                    raise BadRow(f"the id {item.id!r} occurs twice", "duplicate_id")
                content(item, self.prompt)
                if check:
                    for image in item.images:
                        _check(image, fine)
                seen.add(item.id)
                asked.setdefault(row.text("question_id", "idx", "Index"), set()).add(item.question)
                yield item
            except NotAsked as left:
                yield LeftOut(str(left))
            except NumberAbove as error:
                numbered.note(error.answer, error.options)
                yield row.refusal(error)
            except BadRow as error:
                yield row.refusal(error)

    def members(self, path: Path) -> dict[tuple[str, str], set[str]]:
        """By name and value of a group the ids that the file has of it, refused ones among them."""
        found: dict[tuple[str, str], set[str]] = {}
        for row in self.rows(path, self.needs) if self.member else ():
            with suppress(BadRow):
                id, groups = self.member(row) if self.member and isinstance(row, Row) else ("", {})
                for group in groups.items():
                    found.setdefault(group, set()).add(id)
        return found


def _place(row: Row) -> tuple[str, str]:
    """File and place as a refusal has them, which is made to be shown."""
    refusal = row.refusal(BadRow(""))
    return refusal.file, refusal.row


def _check(image: bytes, fine: set[bytes]) -> None:
    digest = hashlib.sha256(image).digest()
    if digest not in fine:
        read_image(image, at_most(CHECKED_PX))
        fine.add(digest)
