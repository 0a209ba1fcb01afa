"""What to put into a scene, or take out of it, and where: semantic distractors (method section 1.2), by rules (*ours*).

A distractor changes what is around the queried objects and never overlaps their boxes; `aot.forge.photo_edits.place`
knows where it can stand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field, field_validator

from aot.data.photos.photo import Thing
from aot.data.photos.questions import Contents
from aot.forge.photo_edits.bank import Bank, Cutout
from aot.forge.photo_edits.families import Family, family_of
from aot.forge.photo_edits.free_place import at_home, instead_of
from aot.forge.photo_edits.free_place import place_anywhere as somewhere_else
from aot.forge.photo_edits.place import Origin, PlaceSettings, Site, in_place_of, somewhere, touches
from aot.forge.photo_edits.supports import HOLLOW, support_of
from aot.prompts import with_article
from aot.runs.limits import Temperature
from aot.types import Box, EditKind

WRITTEN_ON = frozenset(
    {"airplane", "book", "bottle", "bus", "clock", "keyboard", "laptop", "stop sign", "train", "truck", "tv"}
)
"""Labels of things with writing or dials: mirrored, they tell that they are."""


Share = Annotated[float, Field(ge=0, le=1)]


class ProposeSettings(BaseModel, frozen=True, extra="forbid"):
    """All *ours*."""

    by: Literal["rules", "model"] = "rules"  # "model": a multimodal one writes what to do (`aot forge --grow`)
    ideas: int = Field(8, gt=0)  # lines a model is asked for, a question
    temperature: Temperature = 0.7  # of its writing
    kinds: dict[EditKind, Share] = {"add": 0.6, "replace": 0.15, "remove": 0.1, "hybrid": 0.15}
    # By rules, where objects are pasted: edits that make one of the photo's own another size. Few of them look right:
    # the edge of an enlarged object shows where it was cut out (docs/log.md).
    resized: Share = 0.0
    related: float = Field(0.6, ge=0, le=1)  # share of new objects that resemble a queried one, if the bank has such
    tries: int = Field(6, gt=0)  # kinds drawn before a question is left with one edit less
    objects: int = Field(12, gt=0)  # drawn before a kind is given up
    removable: float = Field(0.04, gt=0, le=1)  # a larger hole, as a share of the image, is not healed believably
    noticed: float = Field(0.003, ge=0, le=1)  # whether a smaller thing is there, nobody sees
    seam: float = Field(0.04, ge=0, le=1)  # nothing goes so near to where a photo is continued; share of the width
    together: int = Field(3, gt=0)  # things that touch go together, at most so many; more are left where they are
    beside: float = Field(0.2, ge=0, le=1)  # most of a thing that goes which lies over or under another one
    anywhere: bool = False  # for attacks: where nothing tells where an object can stand, wherever there is room
    place: PlaceSettings = PlaceSettings()

    @field_validator("kinds")
    @classmethod
    def _can_be_painted(cls, kinds: dict[EditKind, float]) -> dict[EditKind, float]:
        if others := kinds.keys() - {"add", "remove", "replace", "hybrid"}:
            raise ValueError(f"no edits of photos: {', '.join(sorted(others))}")
        if not sum(kinds.values()):
            raise ValueError("a share of at least one kind must be above 0")
        return kinds


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """One edit: the new object (`new`: its cut-out; a generator only needs the box's label) with its place, the object
    that goes, and the sentence that tells an editor so. `known`: the new object's label is one of the data's;
    `mirrored`: it is put in so, since it is seen in the photo as it is; `group`: `gone` with what has to go with it,
    where that was looked into; `own`: the new object is out of this very photo, as sharp as it should be."""

    kind: EditKind
    sentence: str
    family: Family = "none"
    new: Cutout | None = None
    place: Box | None = None
    gone: Thing | None = None
    known: bool = True
    mirrored: bool = False
    group: tuple[Thing, ...] = ()
    own: bool = False

    def contents_after(self, before: Contents) -> Contents:
        """What is in the image then."""
        gone = {thing.box for thing in self.group or (self.gone,) if thing}
        boxes = tuple(b for b in before.boxes if b not in gone)
        added = (self.place,) if self.place else ()
        return Contents((*boxes, *added), before.size, before.doubtful, before.complete)


Origins = Callable[[Cutout], Origin | None]
"""How a cut-out was in its own photo; None where that was taken in other light than what it is to be put into."""


@dataclass(frozen=True, slots=True, eq=False)
class ProposalContext:
    """What edits of one scene are chosen from. `queried`: labels that the question names, also of what is not there;
    `bank`: what can be put in, with its `origins`."""

    site: Site
    queried: Sequence[str]
    bank: Bank
    origins: Origins
    settings: ProposeSettings


def propose(context: ProposalContext, rng: np.random.Generator) -> Proposal | str:
    """One drawn edit, or why the last of some draws gave none: no_object, no_kin (nothing to put in beside itself),
    other_light, no_place, nothing_to_remove."""
    s, drawn = context.settings, "no_object"
    for n in range(s.tries * (1 + s.anywhere)):
        made = _drawn(context, rng, anywhere=n >= s.tries)
        if not isinstance(made, str):
            return made
        drawn = made
    return drawn


def _drawn(context: ProposalContext, rng: np.random.Generator, *, anywhere: bool) -> Proposal | str:
    kind, gone = drawn_kind(context.settings, rng), None
    if kind != "add":
        spare = removable(context.site, context.settings)
        if not spare:
            return "nothing_to_remove"
        gone = spare[int(rng.integers(len(spare)))]
    return edit_of(kind, gone, context, rng, anywhere=anywhere)


def edit_of(
    kind: EditKind,
    gone: Thing | None,
    context: ProposalContext,
    rng: np.random.Generator,
    *,
    anywhere: bool = False,
) -> Proposal | str:
    """An edit of this kind, `gone` the thing that leaves; or why there is none."""
    site, s = context.site, context.settings
    if kind == "remove":
        assert gone is not None
        return Proposal("remove", sentence_of("remove", gone=gone, site=site), gone=gone)
    reason = "no_object"
    for n in range(s.objects):
        drawn = _draw(context, rng, kin=s.place.kin and not anywhere)
        if drawn is None:
            return "no_kin" if s.place.kin and context.bank.by_label else reason
        family, new = drawn
        if gone is not None and _same(new, gone, site):
            continue
        origin = context.origins(new)
        if anywhere and n >= s.objects // 2:  # first such as would be at home here
            origin = Origin(new.height, new.foot)
        elif anywhere and not at_home(new.label, site):
            origin = None
        if origin is None:
            reason = "other_light" if reason == "no_object" else reason
            continue
        reason = "no_place"
        place = _place(new, gone if kind == "replace" else None, site, s, rng, origin, anywhere=anywhere)
        if place is not None:
            mirrored = new.photo == site.photo and new.label not in WRITTEN_ON
            return Proposal(kind, sentence_of(kind, new.label, gone, site), family, new, place, gone, mirrored=mirrored)
    return reason


def _place(
    new: Cutout,
    replaced: Thing | None,
    site: Site,
    s: ProposeSettings,
    rng: np.random.Generator,
    origin: Origin,
    *,
    anywhere: bool,
) -> Box | None:
    """For the cut-out, in place of a thing or beside all."""
    label, size = new.label, size_of(new)
    if not anywhere:
        if new.cut_off:  # where it is whole, nobody knows
            return None
        if replaced is not None:
            return in_place_of(replaced, label, size, site, s.place)
        return somewhere(label, size, site, s.place, rng, origin=origin)
    if replaced is not None:
        return None if new.cut_off else instead_of(replaced.box, label, size, site, s.place)
    return somewhere_else(label, size, site, s.place, rng, origin=origin, cut_off=new.cut_off)


def drawn_kind(s: ProposeSettings, rng: np.random.Generator) -> EditKind:
    kinds, shares = zip(*s.kinds.items(), strict=True)
    kind: EditKind = kinds[int(rng.choice(len(kinds), p=np.array(shares) / sum(shares)))]
    return kind


def sentence_of(kind: EditKind, label: str = "", gone: Thing | None = None, site: Site | None = None) -> str:
    """The instruction for an editor."""
    return instruction(kind, label, called(gone.box, site.contents) if gone and site else "")


def instruction(kind: EditKind, label: str, leaves: str) -> str:
    """The same, where it is known in words what leaves."""
    match kind:
        case "remove":
            return f"Remove {leaves}."
        case "replace":
            return f"Replace {leaves} with {with_article(label)}."
        case "hybrid":
            return f"Add {with_article(label)} and remove {leaves}."
    return f"Add {with_article(label)}."


def size_of(cutout: Cutout) -> tuple[int, int]:
    box = cutout.thing.box
    return box.x1 - box.x0, box.y1 - box.y0


def removable(site: Site, s: ProposeSettings) -> list[Thing]:
    """What is small, apart from the question, and not in front of or behind something else."""
    least, most = (share * site.contents.size[0] * site.contents.size[1] for share in (s.noticed, s.removable))
    return [
        thing
        for thing in site.things
        if thing.box.label
        and least <= thing.box.area_px <= most
        and not touches(thing.box, site, s.place)
        and not at_seam(thing.box, site, s)
        and all(o is thing or thing.box.overlap_px(o.box) <= s.beside * thing.box.area_px for o in site.things)
    ]


def at_seam(box: Box, site: Site, s: ProposeSettings) -> bool:
    """It may go on in the other part, or in what fades from one to the other."""
    near = round(s.seam * site.contents.size[0])
    seams = {part.x0 for part in site.parts if part.x0 > 0}
    return any(box.x0 - near < seam < box.x1 + near for seam in seams)


def _draw(context: ProposalContext, rng: np.random.Generator, *, kin: bool) -> tuple[Family, Cutout] | None:
    """A cut-out that resembles what is asked about, or any: first its label is drawn, then one of these. With `kin`
    only one out of the photo itself, and none that is `HOLLOW`."""
    cutouts = own_cutouts(context.bank, context.site) if kin else context.bank.by_label
    by_family: dict[Family, list[str]] = {"look_alike": [], "same_class": [], "control": []}
    for label in sorted(cutouts):
        by_family[family_of(label, context.queried)].append(label)
    related: list[Family] = [family for family in ("look_alike", "same_class") if by_family[family]]
    family: Family = "control"
    if related and rng.random() < context.settings.related:
        family = related[int(rng.integers(len(related)))]
    if kin and not by_family[family]:
        family = next((each for each in by_family if by_family[each]), family)
    labels = by_family[family]
    if not labels:
        return None
    chosen = cutouts[labels[int(rng.integers(len(labels)))]]
    return family, chosen[int(rng.integers(len(chosen)))]


def own_cutouts(bank: Bank, site: Site) -> dict[str, list[Cutout]]:
    """By label, what can be cut out of the photo that the site is or continues, and put in once more: what is on the
    ground or in the sky (where a table ends nobody knows), not hollow, and does not touch its like, which may stand
    before it."""
    found: dict[str, list[Cutout]] = {}
    for cutout in bank.by_photo.get(site.photo, []) if site.photo is not None else []:
        told = support_of(cutout.label) in ("ground", "sky") and cutout.label not in HOLLOW
        if told and not cutout.meets_like:
            found.setdefault(cutout.label, []).append(cutout)
    return found


def _same(new: Cutout, gone: Thing, site: Site) -> bool:
    return new.photo == site.photo and new.thing.box == gone.box


def called(box: Box, contents: Contents) -> str:
    alone = len(contents.named(box.label)) == 1 and box.label not in contents.doubtful
    return f"the {box.label}" if alone else with_article(box.label)
