"""Stage 2 for a few source images at a time: distractors in, judged pairs out. In-process or on a worker, the same."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import Image as PilImage
from pydantic import BaseModel, Field

from aot.forge.funnel import Funnel
from aot.forge.photo_source import PairSource
from aot.forge.similarity import Similarity
from aot.game.episodes import play_attacks
from aot.game.referee import Referee
from aot.players.base import Defender
from aot.runs.limits import Temperature
from aot.types import Attack, Box, Episode, Image, Scene

AT_ONCE_BYTES = 2**27
"""Bytes of attacked images that are collected before the referee judges them."""


class PairSettings(BaseModel, frozen=True, extra="forbid"):
    """How many distractors are tried, and how they are kept; all *ours*."""

    candidates: int = Field(6, gt=0)  # edits drawn for each question
    jpeg_quality: int | None = Field(95, ge=50, le=100)  # none: PNG
    # Kept pairs of one source image at most, and of these with one instruction: one dog on one lawn teaches one thing.
    most: int = Field(12, gt=0)
    most_alike: int = Field(2, gt=0)


class EffectSettings(BaseModel, frozen=True, extra="forbid"):
    """When an attack deceives a defender (method section 1.2: right on the clean image, wrong on the attacked one)."""

    answers: int = Field(4, gt=0)  # ours: sampled answers to the attacked image
    temperature: Temperature = 1.0  # ours
    least_wrong: float = Field(0.5, gt=0, le=1)  # ours: share of them that must be wrong


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A kept attack with both images as they are stored; `source` is the number of the source image."""

    source: int
    episode: Episode
    clean: bytes
    attacked: bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """An edit before the referee's verdict; both images also as they are stored."""

    source: int
    scene: Scene
    attack: Attack
    clean: bytes
    attacked: bytes


def make_pairs(
    pair_source: PairSource,
    numbers: Sequence[int],
    settings: PairSettings,
    *,
    seed: int,
    defender: Defender | None = None,
    effect: EffectSettings | None = None,
    similarity: Similarity | None = None,
) -> tuple[list[Pair], Funnel]:
    """All valid (with a `defender`: and effective), varied pairs of these source images, and what became of the others.
    `similarity` is told of every judged edit.

    A question's edits depend on `seed` and its id only: not on what is forged beside it. What is judged is what is
    stored: images are judged after they were written and read again.
    """
    funnel, similarity = Funnel(), Similarity() if similarity is None else similarity
    drawn: list[_Drawn] = []
    pairs: list[Pair] = []
    quality = None if pair_source.lossless else settings.jpeg_quality
    for number in numbers:
        for scene in pair_source.scenes(number, funnel):
            rng = np.random.default_rng([seed, zlib.crc32(scene.id.encode())])
            clean = encoded(scene.image, quality)
            shown, seen = replace(scene, image=decoded(clean)), set()
            for attack in pair_source.distractors(scene, settings.candidates, rng):
                if isinstance(attack, str):
                    funnel.add("distractor", attack)
                    continue
                content = encoded(attack.image, quality)
                funnel.add("distractor", "drawn_before" if content in seen else "")
                if content not in seen:
                    seen.add(content)
                    drawn.append(_Drawn(number, shown, replace(attack, image=decoded(content)), clean, content))
            if sum(each.attack.image.nbytes for each in drawn) > AT_ONCE_BYTES:
                pairs += _judged(drawn, pair_source.referee, funnel, similarity)
                drawn = []
    pairs += _judged(drawn, pair_source.referee, funnel, similarity)
    if defender is not None:
        pairs = _effective(pairs, defender, effect or EffectSettings(), funnel, seed)
    return varied(pairs, settings, funnel), funnel


def varied(pairs: Sequence[Pair], settings: PairSettings, funnel: Funnel) -> list[Pair]:
    """Those that do not repeat an image or an edit too often, in the order given: each question's first pair goes
    before any question's second. The funnel's stage `variety` counts the others: enough_alike, enough_of_image."""
    nth: Counter[str] = Counter()
    ranked = []
    for n, pair in enumerate(pairs):
        scene = pair.episode.scene.id
        ranked.append((nth[scene], n))
        nth[scene] += 1
    images: Counter[int] = Counter()
    edits: Counter[tuple[int, str, frozenset[Box]]] = Counter()
    kept = []
    for _, n in sorted(ranked):
        image = pairs[n].source
        edit = image, pairs[n].episode.attack.instruction, _gone(pairs[n].episode)
        reason = "enough_alike" if edits[edit] >= settings.most_alike else ""
        reason = "enough_of_image" if images[image] >= settings.most else reason
        funnel.add("variety", reason)
        if not reason:
            images[image] += 1
            edits[edit] += 1
            kept.append(n)
    return [pairs[n] for n in sorted(kept)]


def _gone(episode: Episode) -> frozenset[Box]:
    """What is not there any more: of two persons one sentence speaks, and they are two edits."""
    after = episode.attack.objects
    return frozenset() if after is None else frozenset(episode.scene.objects) - frozenset(after)


def _judged(drawn: Sequence[_Drawn], referee: Referee, funnel: Funnel, similarity: Similarity) -> list[Pair]:
    """Those that the referee keeps, as pairs."""
    pairs = []
    verdicts = referee.judge([each.scene for each in drawn], [each.attack for each in drawn])
    for each, verdict in zip(drawn, verdicts, strict=True):
        funnel.add("referee", "" if verdict.valid else verdict.refused_by[0])
        similarity.add(each.scene, verdict)
        if verdict.valid:
            pairs.append(Pair(each.source, Episode(each.scene, each.attack, verdict), each.clean, each.attacked))
    return pairs


def _effective(
    pairs: Sequence[Pair], defender: Defender, s: EffectSettings, funnel: Funnel, seed: int
) -> list[Pair]:
    """The pairs that deceive. An answer that cannot be read is no wrong one, and speaks for no pair."""
    scenes, attacks = [p.episode.scene for p in pairs], [p.episode.attack for p in pairs]
    judged_before = Referee([])
    episodes = play_attacks(scenes, attacks, judged_before, defender, k=s.answers, temperature=s.temperature, seed=seed)
    kept = []
    for pair, episode in zip(pairs, episodes, strict=True):
        right = episode.scene.question.answer
        answered = [a for a in episode.answers if a.status == "answered"]
        if any(a.status != "answered" for a in episode.clean_answers) or not answered:
            reason = "unreadable_answer"
        elif any(a.choice != right for a in episode.clean_answers):
            reason = "wrong_when_clean"
        else:
            reason = "" if episode.fooled_fraction >= s.least_wrong else "withstood"
        funnel.add(f"effective/{episode.scene.question.kind}", reason)
        if not reason:
            kept.append(replace(pair, episode=replace(episode, verdict=pair.episode.verdict)))
    return kept


def encoded(image: Image, jpeg_quality: int | None) -> bytes:
    """JPEG without chroma subsampling: what an edit does not touch stays the same to the bit; or PNG."""
    buffer = BytesIO()
    picture = PilImage.fromarray(image)
    if jpeg_quality is None:
        picture.save(buffer, "PNG", compress_level=6)
    else:
        picture.save(buffer, "JPEG", quality=jpeg_quality, subsampling=0)
    return buffer.getvalue()


def decoded(content: bytes) -> Image:
    with PilImage.open(BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGB"))
