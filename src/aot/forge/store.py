"""Photos of any source in one folder, one file an image, to be read in any order by any process (*ours*).

Scene extension and copy-paste need other photos beside the one at hand; a stream can be read only once and in order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from aot.data.images.reading import Refusal
from aot.data.photos.photo import Photo, Source, Thing
from aot.forge.funnel import Funnel
from aot.types import Box, Image, Question

RECORDS, LABELS, IMAGES = "photos.jsonl", "labels.json", "images"


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What is known of a stored photo without opening its image."""

    number: int
    id: str
    size: tuple[int, int]
    things: tuple[Thing, ...]
    fields: dict[str, Any]

    @property
    def source_id(self) -> str:
        """The id of the first photo with this very image: rows of a table may share one."""
        return str(self.fields["source_id"])

    @property
    def labels(self) -> frozenset[str]:
        """All that is, or may be, in the photo."""
        return frozenset(thing.box.label for thing in self.things) | frozenset(self.fields["doubtful"])


def fill(folder: Path, source: Source) -> tuple[Funnel, list[Refusal]]:
    """Writes the source's photos into `folder`; counts photos, boxes and labels, and tells the refused ones. A photo
    whose id is taken is refused."""
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    refused: list[Refusal] = []
    taken: set[str] = set()
    sources: dict[bytes, str] = {}
    number, funnel = 0, Funnel()
    with (folder / RECORDS).open("w", encoding="utf-8") as lines:
        for item in source.items:
            if isinstance(item, Refusal):
                refused.append(item)
            elif item.id in taken:
                refused.append(Refusal(item.source, f"photo {item.id}", "the id occurs twice", "duplicate_id"))
            else:
                taken.add(item.id)
                PilImage.fromarray(item.image).save(_image(folder, number), compress_level=1)
                digest = hashlib.sha256(item.image.tobytes() + repr(item.image.shape).encode()).digest()
                lines.write(json.dumps(_record(item, sources.setdefault(digest, item.id))) + "\n")
                number += 1
                funnel.add("photos")
                funnel.add("boxes", n=len(item.things))
    for refusal in refused:
        funnel.add({"box": "boxes", "label": "labels"}.get(refusal.what, "photos"), refusal.word)
    (folder / LABELS).write_text(json.dumps(list(source.labels)), encoding="utf-8")
    return funnel, refused


class PhotoStore:
    """A folder that `fill` wrote. Iterated, it gives the records one by one; in memory is only where they begin."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._decoded = lru_cache(maxsize=32)(self._read)

    @cached_property
    def labels(self) -> list[str]:
        return list(json.loads((self.folder / LABELS).read_text(encoding="utf-8")))

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        """Where each record's line begins, and the end of the file."""
        with (self.folder / RECORDS).open("rb") as lines:
            return np.cumsum([0, *map(len, lines)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[Record]:
        with (self.folder / RECORDS).open(encoding="utf-8") as lines:
            yield from (_parsed(number, line) for number, line in enumerate(lines))

    def record(self, number: int) -> Record:
        start, end = (int(place) for place in self._starts[number : number + 2])
        with (self.folder / RECORDS).open("rb") as lines:
            lines.seek(start)
            return _parsed(number, lines.read(end - start))

    def image(self, number: int) -> Image:
        """`[H, W, 3]`, read-only: the last few are remembered."""
        return self._decoded(number)

    def _read(self, number: int) -> Image:
        with PilImage.open(_image(self.folder, number)) as picture:
            return np.asarray(picture)

    def image_path(self, number: int) -> Path:
        return _image(self.folder, number)

    def load(self, number: int) -> Photo:
        record = self.record(number)
        known = record.fields
        return Photo(
            id=record.id,
            image=self.image(number),
            things=record.things,
            given=tuple(
                (Question(q["text"], tuple(q["options"]), q["answer"], q["kind"]), tuple(Box(**b) for b in boxes))
                for q, boxes in known["given"]
            ),
            doubtful=frozenset(known["doubtful"]),
            complete=known["complete"],
            licence=known["licence"],
            source=known["source"],
            source_id=record.source_id,
        )


def _parsed(number: int, line: str | bytes) -> Record:
    fields = json.loads(line)
    return Record(number, fields["id"], tuple(fields["size"]), _things(fields["things"]), fields)


def _record(photo: Photo, source_id: str) -> dict[str, Any]:
    return {
        "id": photo.id,
        "source_id": source_id,
        "size": photo.contents.size,
        "things": [
            {"box": asdict(thing.box), "outline": [polygon.round(2).tolist() for polygon in thing.outline]}
            for thing in photo.things
        ],
        "given": [(asdict(question), [asdict(box) for box in boxes]) for question, boxes in photo.given],
        "doubtful": sorted(photo.doubtful),
        "complete": photo.complete,
        "licence": photo.licence,
        "source": photo.source,
    }


def _things(entries: Iterable[dict[str, Any]]) -> tuple[Thing, ...]:
    return tuple(
        Thing(Box(**entry["box"]), tuple(np.array(polygon, np.float32) for polygon in entry["outline"]))
        for entry in entries
    )


def _image(folder: Path, number: int) -> Path:
    return folder / IMAGES / f"{number:07d}.png"
