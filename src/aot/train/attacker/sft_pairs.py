"""What the attacker's SFT is fed: pairs of the forge (AOT-SFT, method section 1.2), and plain editing tasks.

A pair is told as the attacker will be told in the game: the question and what not to touch, not the edit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, Field

from aot.data.images import BadRow, Fit, read_image
from aot.errors import AotError
from aot.forge.dataset import read_rows
from aot.forge.funnel import Funnel
from aot.forge.pairs import EffectSettings, PairSettings, make_pairs
from aot.forge.split import SPLITS
from aot.forge.world import WorldPairSource, WorldSettings
from aot.game.referee import Referee
from aot.players.base import Defender
from aot.prompts import attack_instruction
from aot.train.attacker.sft import EditPair
from aot.types import LETTERS, Attack, Box, EditKind, Image, Question, Scene

AS_SELDOM_DECEIVED = (*("relation",) * 4, *("side",) * 3, *("colour",) * 2, "existence")
"""Question types in rotation, more of those for which few distractors deceive the base defender (measured: 8, 11, 13
and 31 % of the valid ones), so that an attacker learns to attack all of them."""


class CurateSettings(BaseModel, frozen=True, extra="forbid"):
    """How effective pairs of the miniature world are looked for; values *ours*."""

    world: WorldSettings = WorldSettings(scenes=4000, kinds=AS_SELDOM_DECEIVED)
    pairs: PairSettings = PairSettings(candidates=8)
    effect: EffectSettings = EffectSettings(answers=1, temperature=0, least_wrong=1)
    named_kind: float = Field(0.25, ge=0, le=1)  # share of pairs whose instruction names the edit kind


@dataclass(frozen=True)
class ScriptedTasks:
    """What a world whose edits are known can add where a method imitates."""

    plain_edits: Callable[[int, int], Sequence[EditPair]]
    """(number, seed) -> so many plain editing tasks, which keep painting from being forgotten."""
    distractors: Callable[[Scene, np.random.Generator, int], Sequence[Attack]]
    """(scene, rng, most) -> scripted attacks on it."""


@dataclass(frozen=True, slots=True)
class Curated:
    """Effective pairs, and what became of all that were tried."""

    pairs: list[EditPair]
    funnel: Funnel


def curate_pairs(defender: Defender, referee: Referee, settings: CurateSettings, *, seed: int) -> Curated:
    """The forge's pairs that deceive `defender`, from fresh scenes of the miniature world."""
    pair_source = WorldPairSource(settings.world, referee, seed=seed)
    rng, found = np.random.default_rng(seed), Curated([], Funnel())
    for start in range(0, len(pair_source), pair_source.at_once):
        numbers = range(start, min(start + pair_source.at_once, len(pair_source)))
        made, funnel = make_pairs(
            pair_source, numbers, settings.pairs, seed=seed, defender=defender, effect=settings.effect
        )
        found.funnel.merge(funnel)
        for pair in made:
            scene, attack = pair.episode.scene, pair.episode.attack
            sentence = told(scene, attack.kind, settings.named_kind, rng)
            found.pairs.append(EditPair(scene.image, attack.image, sentence))
    return found


def forged_pairs(
    dataset: Path, split: str = SPLITS[0], *, named_kind: float, seed: int, fit: Fit = lambda size: size
) -> list[EditPair]:
    """The pairs of a dataset folder that `aot forge` made, images resized as `fit` says.

    A row that lacks something is refused, and told on stderr. Raises `AotError` where none of that split is left.
    """
    rng, pairs, refused = np.random.default_rng(seed), [], []
    for number, each in enumerate(read_rows(sorted((dataset / "data").glob(f"{split}-*.parquet")))):
        try:
            scene, attacked = _scene_of(each, fit)
        except BadRow as error:
            refused.append(f"  {split}, row {number}: {error}")
            continue
        pairs.append(EditPair(scene.image, attacked, told(scene, each["kind"], named_kind, rng)))
    if refused:
        print(f"refused rows of {dataset}: {len(refused)}", *refused[:5], sep="\n", file=sys.stderr)
    if not pairs:
        hint = "make a dataset with `aot forge`, and see its funnel.json for what became of the pairs"
        raise AotError(f"no pairs of the split {split} here", where=str(dataset / "data"), hint=hint)
    return pairs


def _scene_of(row: Mapping[str, Any], fit: Fit) -> tuple[Scene, Image]:
    """The clean scene of a row and its attacked image. Raises `BadRow` for what is missing or not possible."""
    texts: dict[str, type] = dict.fromkeys(("id", "question", "answer", "kind"), str)
    for name, kind in (texts | {"options": list, "box_labels": list}).items():
        if not isinstance(row.get(name), kind) or (kind is str and not row[name]):
            raise BadRow(f"{name} is missing", "malformed")
    if row["kind"] not in get_args(EditKind):
        raise BadRow(f"kind {row['kind'][:40]!r} is no edit", "malformed")
    options, labels = row["options"], row["box_labels"]
    if not options or not all(isinstance(text, str) for text in [*options, *labels]):
        raise BadRow("options or box_labels hold what is no text", "malformed")
    if row["answer"] not in tuple(LETTERS[: len(options)]):
        raise BadRow(f"the answer {row['answer'][:40]!r} is no letter of its options", "answer_not_among_options")
    images = []
    for side in ("clean", "attacked"):
        picture = row.get(side)
        if not isinstance(picture, Mapping) or not isinstance(picture.get("bytes"), bytes):
            raise BadRow(f"the picture {side} is missing", "unreadable_image")
        images.append(read_image(picture["bytes"], fit)[0])
    if images[0].shape != images[1].shape:
        raise BadRow("the two pictures differ in size", "malformed")
    question = Question(row["question"], tuple(options), LETTERS.index(row["answer"]))
    return Scene(row["id"], images[0], question, tuple(Box(0, 0, 0, 0, label) for label in labels)), images[1]


def told(scene: Scene, kind: EditKind, named_kind: float, rng: np.random.Generator) -> str:
    """The instruction for an attack; with probability `named_kind` it names the kind of edit."""
    return attack_instruction(scene, kind if rng.random() < named_kind else "any")
