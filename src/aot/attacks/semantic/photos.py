"""Objects of photos: which of the forge's cut-outs are put in, an object of the photo made larger or smaller, and
families on own photos of any size: made on the stored photo, brought to the scene."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aot.attacks.base.family import Family, Rule, Threat
from aot.attacks.judging.checks import NotNamed
from aot.data.photos.photo import Thing
from aot.data.photos.questions import Contents
from aot.forge.objects import ObjectSource
from aot.forge.photo_edits.bank import cut, cut_thing, outline_mask
from aot.forge.photo_edits.checks import AnswerKept
from aot.forge.photo_edits.families import family_of, is_related
from aot.forge.photo_edits.heal import heal
from aot.forge.photo_edits.implant import HANGING, PasteImplanter
from aot.forge.photo_edits.paint import paste
from aot.forge.photo_edits.place import free
from aot.forge.photo_edits.propose import Proposal, removable
from aot.forge.photo_source import PhotoPairSource, PhotoScene
from aot.types import Attack, Box, Image, Scene
from aot.world.scenes import WorldScene

IMPOSSIBLE = 5
"""Draws without a place, or that would not look placed, before a scene is given up; *ours*."""

Wanted = Callable[[str, Sequence[str]], bool]
"""Whether a label is wanted, given the labels that the question names."""


def limited(
    pair_source: PhotoPairSource | None, kind: Literal["add", "remove", "replace"], related: float | None = None
) -> PhotoPairSource | None:
    """The same pair source, making edits of one kind; `related`: share of new objects that resemble a queried one."""
    if pair_source is None:
        return None
    one, settings = copy.copy(pair_source), pair_source.settings
    changes = {"kinds": {kind: 1.0}} | ({} if related is None else {"related": related})
    one.settings = settings.model_copy(update={"propose": settings.propose.model_copy(update=changes)})
    return one


def distracted(pair_source: PhotoPairSource, scene: PhotoScene, tries: int, rng: np.random.Generator) -> Attack | str:
    """The first of some draws that leaves the answer as it is. A draw that is impossible has tried many places already,
    so that few of these are made: why the last one was. Where every draw asks for another answer: the last of them."""
    made: Attack | str = "no_object"
    impossible: list[str] = []
    for _ in range(tries):
        drawn = pair_source.distract(scene, rng)
        if not isinstance(drawn, str) and keeps(scene, drawn):
            return drawn
        if isinstance(drawn, str):
            impossible.append(drawn)
            if len(impossible) == IMPOSSIBLE:
                break
        else:
            made = drawn
    return impossible[-1] if impossible and isinstance(made, str) else made


def keeps(scene: PhotoScene, made: Attack) -> bool:
    """Whether the question has its old answer, as far as the known objects tell: what the referee asks, too."""
    return all(check([scene], [made])[0].passed for check in (AnswerKept(), NotNamed()))


class MirroredPaste(PasteImplanter):
    """Pastes cut-outs flipped horizontally."""

    def edit(self, image: Image, proposal: Proposal, keep: Sequence[Box], rng: np.random.Generator) -> Image | str:
        assert proposal.new is not None and proposal.place is not None and proposal.gone is None
        piece = cut(self.store, proposal.new)
        flipped = replace(piece, rgb=piece.rgb[:, ::-1].copy(), alpha=piece.alpha[:, ::-1].copy())
        return paste(image, flipped, proposal.place, self.paint, stands=proposal.new.label not in HANGING)


@dataclass(frozen=True)
class PhotoImplant:
    """Puts cut-outs of `wanted` labels into photos, one after the other; None: all are. Impossible where a trained
    attacker implants, or a model proposes: these take what they like (other_implanter)."""

    pair_source: PhotoPairSource
    tries: int
    related: float
    wanted: Wanted | None = None
    mirrored: bool = False

    def implanted(
        self, scene: PhotoScene, name: str, least: int, count: int, rng: np.random.Generator
    ) -> Attack | str:
        """At most `count` new objects, or why there are fewer than `least`."""
        source = self._source_for(scene)
        if isinstance(source, str):
            return source
        now, told, reason, put_in = scene, [], "no_object", 0
        for _ in range(count):
            made = distracted(source, now, self.tries, rng)
            if isinstance(made, str):
                reason = made
                break
            if not keeps(now, made):
                reason = "answer_changed"
                break
            put_in += 1
            told.append(made.instruction)
            now = _with(now, made)
        if put_in < least:
            return reason
        return Attack(scene.id, name, "add", now.image, " ".join(told), objects=now.objects)

    def _source_for(self, scene: PhotoScene) -> PhotoPairSource | str:
        source = limited(self.pair_source, "add", self.related)
        assert source is not None
        if source.editor is not None or source.settings.propose.by == "model":
            return "other_implanter"
        if self.mirrored:
            if not isinstance(source.implanter, PasteImplanter):
                return "other_implanter"
            source.implanter = MirroredPaste(source.store, source.settings.paint)
        if self.wanted is not None:
            bank = copy.copy(source.banks[scene.split])
            again = scene.query is not None and scene.query.kind == "existence"  # else another copy is another answer
            labels = [label for label in bank.by_label if again or label not in scene.queried]
            some = {label: bank.by_label[label] for label in labels if self.wanted(label, scene.queried)}
            if not some:
                return "no_such_object"
            bank.by_label = defaultdict(list, some)
            source.banks = source.banks | {scene.split: bank}
        return source


def is_unrelated(label: str, queried: Sequence[str]) -> bool:
    return not is_related(label, queried)


def is_look_alike(label: str, queried: Sequence[str]) -> bool:
    return family_of(label, queried) == "look_alike"


def _with(scene: PhotoScene, made: Attack) -> PhotoScene:
    """The scene after an edit whose objects are known: further edits stay apart from what is new."""
    assert made.objects is not None and scene.contents is not None
    new = tuple(Thing(box) for box in made.objects if box not in scene.objects)
    before = scene.contents
    contents = Contents(made.objects, before.size, before.doubtful, before.complete)
    things = (*scene.things, *new)
    return replace(scene, image=made.image, objects=made.objects, things=things, contents=contents)


def rescaled(
    pair_source: PhotoPairSource, scene: PhotoScene, name: str, factors: Sequence[float], rng: np.random.Generator
) -> Attack | str:
    """An outlined object that the question is not about, by the first possible of the `factors`, on the same foot; or
    why there is none: nothing_to_scale, no_place, crowded (too little around it to close the hole with), and what
    pasting says."""
    assert scene.contents is not None
    settings, reason = pair_source.settings, "no_place"
    spare = [thing for thing in removable(scene.site, settings.propose) if thing.outline]
    if not spare:
        return "nothing_to_scale"
    thing = spare[int(rng.integers(len(spare)))]
    others = tuple(box for box in scene.contents.boxes if box != thing.box)
    without = replace(
        scene, contents=replace(scene.contents, boxes=others), things=tuple(t for t in scene.things if t is not thing)
    )
    for factor in factors:
        box = _scaled(thing.box, factor)
        if not scene.contents.is_whole(box) or not free(box, without.site, settings.propose.place):
            continue
        healed = heal(scene.image, outline_mask(thing, scene.image.shape[:2]), settings.paint, avoid=others)
        if isinstance(healed, str):
            return healed
        stands = thing.box.label not in HANGING
        image = paste(healed, cut_thing(scene.image, thing), box, settings.paint, stands=stands)
        if isinstance(image, str):
            reason = image
            continue
        words = "larger" if factor > 1 else "smaller"
        told = f"Make the {thing.box.label} {words}."
        return Attack(scene.id, name, "any", image, told, objects=(*others, box))
    return reason


def _scaled(box: Box, factor: float) -> Box:
    """About the middle of its foot."""
    wide, high = (max(2, round(factor * side)) for side in (box.x1 - box.x0, box.y1 - box.y0))
    x0 = round((box.x0 + box.x1 - wide) / 2)
    return Box(x0, box.y1 - high, x0 + wide, box.y1, box.label, box.attribute)


@dataclass(frozen=True)
class OnPhotos:
    """`family` as it is on scenes of the world; on own photos with `objects`. Reason: no_photo, where the scene is
    about none of the stored ones."""

    family: Family
    objects: ObjectSource

    @property
    def name(self) -> str:
        return self.family.name

    @property
    def about(self) -> str:
        return self.family.about

    @property
    def rule(self) -> Rule:
        return self.family.rule

    @property
    def threat(self) -> Threat:
        return self.family.threat

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        if isinstance(scene, WorldScene):
            return self.family(scene, rng)
        photo = self.objects.photo_of(scene)
        if photo is None:
            return "no_photo"
        made = self.family(photo, rng)
        return made if isinstance(made, str) else self.objects.brought(scene, photo, made)
