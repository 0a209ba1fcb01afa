"""The arena's cells on disk: the attacks of one attacker on the scenes, the answers of one defender to them.

A cell is one file, named by the digest of all that it depends on, and written at once or not at all. It carries the
digest of its content: a damaged one counts as missing, and is made anew. Attacked images are kept as what they differ
from their scene in, compressed: an edit of an object takes a hundredth of its image. *Ours.*
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from aot.coevolve.rounds.scoring import AttackSet, Scores
from aot.runs.files import canonical_hash, read_whole, replacing, write_json
from aot.types import Attack, Box, Finding, Image, Scene, Verdict

ATTACKS, ANSWERS, CONFIDENCES = "attacks", "answers", "confidences"
VERSION = 1
Floats = npt.NDArray[np.float64]
Read = TypeVar("Read")
DAMAGE = (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError, zlib.error)


@dataclass(frozen=True, eq=False)
class AttackCell:
    """One attacker's attacks on some scenes, in their order, with the verdicts. `content`: the digest of all of it."""

    attacks: AttackSet
    content: str
    seconds: float | None = None
    """What it took to make; None where it was taken over from a run."""


@dataclass(frozen=True, eq=False)
class AnswerCell:
    """One defender's answers to an attack cell, or to the clean scenes: `scores` as in `aot.coevolve.rounds.scoring`,
    and what was said ("" where nothing was asked)."""

    scores: Scores
    texts: list[str]
    seconds: float | None = None


@dataclass
class CellStore:
    """The cells in a folder. Of those that this process has made itself, by kind: `made` counts them, `seconds` adds up
    what they took."""

    folder: Path
    say: Callable[[str], None]
    made: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)

    def has(self, kind: str, key: str) -> bool:
        return self._path(kind, key).is_file()

    def attacks(self, key: str, scenes: Sequence[Scene]) -> AttackCell | None:
        """The cell, if it is there and whole."""
        path = self._path(ATTACKS, key)
        if not path.is_file():
            return None
        try:
            return _read_attacks(path, key, scenes)
        except DAMAGE as error:
            self.say(f"{path} is damaged ({error}): it is made anew")
            return None

    def keep_attacks(self, key: str, scenes: Sequence[Scene], attacks: AttackSet, seconds: float | None) -> AttackCell:
        """Writes the cell and returns it."""
        records = [_record(*pair) for pair in zip(attacks.attacks, attacks.verdicts, strict=True)]
        pairs = zip(attacks.attacks, scenes, strict=True)
        blobs = {f"{i:06d}": _packed(attack.image, scene.image) for i, (attack, scene) in enumerate(pairs)}
        content = _content(records, [attack.image for attack in attacks.attacks])
        about = {"version": VERSION, "key": key, "content": content, "seconds": seconds, "records": records}
        with replacing(self._path(ATTACKS, key)) as temporary:
            save_file(blobs, temporary, {"cell": json.dumps(about)})
        self._count(ATTACKS, seconds)
        return AttackCell(attacks, content, seconds)

    def answers(self, key: str, content: str, count: int) -> AnswerCell | None:
        """The cell, if it is there, whole, and of attacks with this `content`."""

        def of(said: Any, seconds: float | None) -> AnswerCell:
            scores = np.array(said["scores"], np.int8)
            if scores.shape != (count,) or len(said["texts"]) != count or not np.isin(scores, (-1, 0, 1)).all():
                raise ValueError("its answers are not those of the scenes")
            return AnswerCell(scores, [str(text) for text in said["texts"]], seconds)

        return self._said(ANSWERS, key, content, of)

    def keep_answers(self, key: str, content: str, cell: AnswerCell) -> AnswerCell:
        said = {"of": content, "scores": cell.scores.tolist(), "texts": cell.texts}
        self._keep_said(ANSWERS, key, said, cell.seconds)
        return cell

    def confidences(self, key: str, content: str, count: int) -> Floats | None:
        """How sure a defender is of its answers `[count]`, nan where it gave none; as `answers`."""

        def of(said: Any, seconds: float | None) -> Floats:
            found = np.array([np.nan if each is None else each for each in said["confidences"]], np.float64)
            if found.shape != (count,) or ((found < 0) | (found > 1)).any():
                raise ValueError("its confidences are not those of the scenes")
            return found

        return self._said(CONFIDENCES, key, content, of)

    def keep_confidences(self, key: str, content: str, values: Floats, seconds: float) -> Floats:
        found: Floats = values.round(6)
        told = [None if np.isnan(each) else each for each in found.tolist()]
        self._keep_said(CONFIDENCES, key, {"of": content, "confidences": told}, seconds)
        return found

    def _said(self, kind: str, key: str, content: str, of: Callable[[Any, float | None], Read]) -> Read | None:
        """What a whole cell about this `content` says, read by `of` from that and its seconds."""
        path = self._path(kind, key)
        if not path.is_file():
            return None
        try:
            read = json.loads(read_whole(path))
            said = read["said"]
            if read["key"] != key or read["digest"] != canonical_hash(said):
                raise ValueError("its digest is not that of its content")
            if said["of"] != content:
                return None  # the attacks were made anew, and came out otherwise
            return of(said, read["seconds"])
        except DAMAGE as error:
            self.say(f"{path} is damaged ({error}): it is made anew")
            return None

    def _keep_said(self, kind: str, key: str, said: dict[str, Any], seconds: float | None) -> None:
        value = {"version": VERSION, "key": key, "seconds": seconds, "digest": canonical_hash(said), "said": said}
        write_json(self._path(kind, key), value)
        self._count(kind, seconds)

    def _count(self, kind: str, seconds: float | None) -> None:
        if seconds is not None:
            self.made[kind] += 1
            self.seconds[kind] = self.seconds.get(kind, 0.0) + seconds

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}.{'safetensors' if kind == ATTACKS else 'json'}"


def scenes_digest(scenes: Sequence[Scene]) -> str:
    """Changes where an image, a question or a box does."""
    told = [
        [s.id, hashlib.sha256(s.image.tobytes()).hexdigest(), s.image.shape, asdict(s.question)]
        + [asdict(box) for box in s.protected]
        for s in scenes
    ]
    return canonical_hash(told)


def _read_attacks(path: Path, key: str, scenes: Sequence[Scene]) -> AttackCell:
    with safe_open(path, framework="numpy") as file:
        about = json.loads((file.metadata() or {})["cell"])
        records = about["records"]
        if about["version"] != VERSION or about["key"] != key or len(records) != len(scenes):
            raise ValueError("it is no cell of these scenes")
        images = [
            _unpacked(file.get_tensor(f"{i:06d}"), record["shape"], scene.image)
            for i, (record, scene) in enumerate(zip(records, scenes, strict=True))
        ]
    if _content(records, images) != about["content"]:
        raise ValueError("its digest is not that of its content")
    attacks = [
        _attack(record, scene, image) for record, scene, image in zip(records, scenes, images, strict=True)
    ]
    verdicts = [Verdict(tuple(Finding(**finding) for finding in record["findings"])) for record in records]
    return AttackCell(AttackSet(attacks, verdicts), about["content"], about["seconds"])


def _record(attack: Attack, verdict: Verdict) -> dict[str, Any]:
    return {
        "attacker": attack.attacker,
        "kind": attack.kind,
        "instruction": attack.instruction,
        "seed": attack.seed,
        "objects": None if attack.objects is None else [asdict(box) for box in attack.objects],
        "shape": list(attack.image.shape),
        "findings": [asdict(finding) for finding in verdict.findings],
    }


def _attack(record: dict[str, Any], scene: Scene, image: Image) -> Attack:
    objects = record["objects"]
    return Attack(
        scene.id,
        record["attacker"],
        record["kind"],
        image,
        record["instruction"],
        record["seed"],
        None if objects is None else tuple(Box(**box) for box in objects),
    )


def _packed(image: Image, source: Image) -> np.ndarray:
    """Compressed bytes `uint8 [n]` of the difference to the source, modulo 256; of another size: of the image."""
    moved = image - source if image.shape == source.shape else image
    return np.frombuffer(zlib.compress(np.ascontiguousarray(moved).tobytes(), 6), np.uint8)


def _unpacked(packed: np.ndarray, shape: Sequence[int], source: Image) -> Image:
    moved = np.frombuffer(zlib.decompress(packed.tobytes()), np.uint8).reshape(tuple(shape))
    return moved + source if moved.shape == source.shape else moved


def _content(records: Sequence[dict[str, Any]], images: Sequence[Image]) -> str:
    digest = hashlib.sha256(canonical_hash(list(records)).encode())
    for image in images:
        digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
