"""All edits of a photo with its own objects, each once, in random order (*ours*).

Where few edits of a photo pass the checks, single draws of kind and object would miss most of these; here the next edit
is tried when one is refused.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aot.data.photos.photo import Thing
from aot.forge.photo_edits.anchors import Site
from aot.forge.photo_edits.attached_objects import around, groups_of
from aot.forge.photo_edits.bank import Bank, Cutout
from aot.forge.photo_edits.paint import PaintSettings
from aot.forge.photo_edits.place import touches
from aot.forge.photo_edits.propose import (
    Proposal,
    ProposalContext,
    ProposeSettings,
    at_seam,
    called,
    edit_of,
    instruction,
    own_cutouts,
)
from aot.forge.photo_edits.resize import resizable, resized
from aot.forge.photo_edits.supports import ANIMALS
from aot.types import EditKind

TRIED = 96
"""Edits of a question that are looked at, at most; *ours*."""


def all_edits(context: ProposalContext, rng: np.random.Generator, *, paint: PaintSettings) -> Iterator[Proposal | str]:
    """All edits of the photo's own objects, none twice, their kinds in the drawn order of their shares; and why others
    are not among them: the reasons of `propose`, and nothing_to_resize. Only places of new objects are drawn again,
    `tries` times. In a crowd the rest is left after `TRIED` of them."""
    site, bank, s, (width, height) = context.site, context.bank, context.settings, context.site.contents.size
    groups = groups_of(site.things, (height, width), paint.heal_px, paint.heal_share)
    spare, own = leaving(site, groups, s), resizable(site, bank, s.place, groups)
    able = {kind: (1 - s.resized) * share / sum(s.kinds.values()) for kind, share in s.kinds.items()}
    able["scale"] = s.resized
    left: dict[EditKind, list[_Wanted]] = {"add": [_Wanted() for _ in range(s.tries)]}
    for kind in ("remove", "replace", "hybrid"):
        left[kind] = [_Wanted(group=spare[i]) for i in rng.permutation(len(spare))]
    context = replace(context, bank=_without_held(bank, site, groups))
    alone = {group[0].box for group in spare if len(group) == 1}  # what may be healed; behind a larger one little is
    sizes = [_Wanted(c, larger=True) for c in own]
    sizes += [_Wanted(c, larger=False) for c in own if c.label in ANIMALS and c.thing.box in alone]
    left["scale"] = [sizes[i] for i in rng.permutation(len(sizes))]
    if able["scale"] and not own:
        yield "nothing_to_resize"
    if not spare and any(able.get(kind) for kind in ("remove", "replace", "hybrid")):
        yield "nothing_to_remove"
    if s.place.kin and not own_cutouts(bank, site):
        if able.get("add"):
            yield "no_kin" if bank.by_label else "no_object"
        left |= {kind: [] for kind in ("add", "replace", "hybrid")}
    for _ in range(TRIED):
        if not (kinds := [kind for kind in able if able[kind] and left[kind]]):
            return
        shares = np.array([able[kind] for kind in kinds])
        kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
        wanted = left[kind].pop()
        if wanted.cutout is not None:
            yield _resized(wanted.cutout, site, s, rng, larger=wanted.larger)
            continue
        made = edit_of(kind, wanted.group[0] if wanted.group else None, context, rng)
        if not isinstance(made, str) and wanted.group:
            made = replace(made, group=wanted.group, sentence=_told(kind, made, wanted.group, site))
        if not isinstance(made, str) and made.new is not None:
            made = replace(made, own=made.new.photo == site.photo)
        yield made


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """A cut-out in another size, a group of things that go, or neither."""

    cutout: Cutout | None = None
    larger: bool = False
    group: tuple[Thing, ...] = ()


def leaving(site: Site, groups: Sequence[tuple[Thing, ...]], s: ProposeSettings) -> list[tuple[Thing, ...]]:
    """What can be taken out: groups of things that touch each other and nothing else, that are known by name, small
    together and apart from the question."""
    width, height = site.contents.size
    return [
        group
        for group in groups
        if len(group) <= s.together
        and all(thing.box.label and not touches(thing.box, site, s.place) for thing in group)
        and s.noticed <= around(group).area_px / (width * height) <= s.removable
        and not at_seam(around(group), site, s)
    ]


def _without_held(bank: Bank, site: Site, groups: Sequence[tuple[Thing, ...]]) -> Bank:
    """The bank without what touches another thing in this photo: a horse that has a rider is not put in alone."""
    alone = {_look(group[0]) for group in groups if len(group) == 1}
    some, photo = copy.copy(bank), site.photo
    if photo is not None:
        own = [cutout for cutout in bank.by_photo.get(photo, []) if _look(cutout.thing) in alone]
        some.by_photo = defaultdict(list, {**bank.by_photo, photo: own})
    return some


def _look(thing: Thing) -> tuple[str, int, int, int]:
    """What of a box is the same where its photo goes on to the left."""
    box = thing.box
    return box.label, box.x1 - box.x0, box.y0, box.y1


def _told(kind: EditKind, made: Proposal, group: tuple[Thing, ...], site: Site) -> str:
    labels = [thing.box.label for thing in group]
    names = [
        f"another {thing.box.label}" if thing.box.label in labels[:n] else called(thing.box, site.contents)
        for n, thing in enumerate(group)
    ]
    leaves = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return instruction(kind, made.new.label if made.new else "", leaves)


def _resized(
    cutout: Cutout, site: Site, s: ProposeSettings, rng: np.random.Generator, *, larger: bool
) -> Proposal | str:
    place = resized(cutout, site, s.place, rng, larger=larger)
    if place is None:
        return "no_place"
    gone = cutout.thing
    sentence = f"Make {called(gone.box, site.contents)} {'larger' if larger else 'smaller'}."
    return Proposal("scale", sentence, "control", cutout, place, gone, group=(gone,), own=True)
