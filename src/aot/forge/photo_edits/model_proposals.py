"""Distractors proposed by a multimodal model: it is shown the image, the question and the protected objects, and writes
one edit a line (method section 1.2: MLLM-written; form and parsing *ours*).

A line that does not parse is dropped. Objects that it names must be in the photo, or in the bank where they are pasted
in; a generator can paint any object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from aot.forge.funnel import Funnel
from aot.forge.photo_edits.families import family_of
from aot.forge.photo_edits.place import Site, in_place_of, on_side, somewhere, touches
from aot.forge.photo_edits.propose import (
    Proposal,
    ProposalContext,
    ProposeSettings,
    removable,
    sentence_of,
    size_of,
)
from aot.players.defender.writer import Writer
from aot.prompts import PROPOSALS_WANTED, with_article
from aot.types import Box, Scene

_LINE = re.compile(r"(add|replace|remove): ([^,:]+), ([^:]+?)\.?", re.IGNORECASE)
SIDES = {
    "left": ("left", "on the left"),
    "right": ("right", "on the right"),
    "upper": ("upper", "in the upper half"),
    "top": ("upper", "in the upper half"),
    "lower": ("lower", "in the lower half"),
    "bottom": ("lower", "in the lower half"),
}
"""Words for where that a place can be held to, and how an instruction says them."""
SKETCH = (256, 256)
"""Size in px that stands for an object of which there is no picture."""


@dataclass(frozen=True, slots=True)
class Idea:
    """A written line: what is to be done with what; `where`, for a replacement, is what goes."""

    kind: Literal["add", "replace", "remove"]
    thing: str
    where: str

    @property
    def sentence(self) -> str:
        """The instruction for an editor that follows text."""
        match self.kind:
            case "add":
                return f"Add {with_article(self.thing)}, {self.where}."
            case "replace":
                return f"Replace the {self.where} with {with_article(self.thing)}."
        return f"Remove the {self.thing}, {self.where}."


def ideas_in(text: str) -> list[Idea | str]:
    """The ideas of a written text, and "unreadable_line" for every line that is none."""
    found: list[Idea | str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _LINE.fullmatch(line)
        if match is None:
            found.append("unreadable_line")
            continue
        kind = cast("Literal['add', 'replace', 'remove']", match[1].lower())
        found.append(Idea(kind, _bare(match[2]), _bare(match[3]) if kind == "replace" else match[3].strip()))
    return found


def write_ideas(scene: Scene, writer: Writer, s: ProposeSettings, funnel: Funnel, *, seed: int) -> tuple[Idea, ...]:
    """What the writer would do to this scene. Counts its lines in the stage "idea": unreadable_line, written_before, or
    nothing_written."""
    question = scene.question
    names = dict.fromkeys(f"{b.attribute} {b.label}".strip() for b in scene.protected if b.label)
    prompt = PROPOSALS_WANTED.format(
        n=s.ideas,
        question=question.text,
        options=" / ".join(question.options),
        answer=question.right,
        protected=", ".join(names) or "what the question is about",
    )
    ((text,),) = writer.write([scene.image], [prompt], temperature=s.temperature, seed=seed)
    ideas: list[Idea] = []
    lines = ideas_in(text)
    for idea in lines:
        reason = idea if isinstance(idea, str) else "written_before" if idea in ideas else ""
        funnel.add("idea", reason)
        if not reason and isinstance(idea, Idea):
            ideas.append(idea)
    if not lines:
        funnel.add("idea", "nothing_written")
    return tuple(ideas)


def realised(
    idea: Idea, context: ProposalContext, rng: np.random.Generator, *, painted: Sequence[str] | None = None
) -> Proposal | str:
    """The idea with its object and its place, or why there is none: no_such_thing, not_removable, not_in_bank,
    other_light, no_place. `painted`: the data's labels, where a generator paints the object; none: it is pasted."""
    site, bank, origins, s = context.site, context.bank, context.origins, context.settings
    gone = None
    if idea.kind != "add":
        wanted = idea.thing if idea.kind == "remove" else idea.where
        label = label_of(wanted, {b.label for b in site.contents.boxes})
        if label is None:
            return "no_such_thing"
        whole = Box(0, 0, *site.contents.size)
        side = side_of(idea.where)[0] if idea.kind == "remove" else ""
        spare = [t for t in removable(site, s) if t.box.label == label and on_side(t.box, whole, side)]
        if not spare:
            return "not_removable"
        gone = spare[int(rng.integers(len(spare)))]
        if idea.kind == "remove":
            return Proposal("remove", sentence_of("remove", gone=gone, site=site), gone=gone)
    known = label_of(idea.thing, bank.by_label if painted is None else painted)
    if painted is None and known is None:
        return "not_in_bank"
    label, new = known or idea.thing, None
    if painted is None:
        fitting = [cutout for cutout in bank.by_label[label] if origins(cutout) is not None]
        if not fitting:
            return "other_light"
        new = fitting[int(rng.integers(len(fitting)))]
    size, origin = (size_of(new), origins(new)) if new else (SKETCH, None)
    side, words = side_of(idea.where) if idea.kind == "add" else ("", "")
    if gone is not None:
        place = gone.box if new is None else in_place_of(gone, label, size, site, s.place)
    else:
        where = s.place if new else s.place.model_copy(update={"kin": False})  # a generator suits it to the place
        place = somewhere(label, size, site, where, rng, origin=origin, side=side)
        if place is None and new is None:
            place = _anywhere(label, side, site, s, rng)
    if place is None:
        return "no_place"
    named = Box(place.x0, place.y0, place.x1, place.y1, label)
    sentence = sentence_of(idea.kind, label, gone, site)
    sentence = f"{sentence[:-1]} {words}." if words else sentence
    return Proposal(idea.kind, sentence, family_of(label, context.queried), new, named, gone, known is not None)


def label_of(words: str, labels: Iterable[str]) -> str | None:
    """The label that the words end with: "a red car" is a car."""
    bare = f" {_bare(words)}"
    return max((label for label in sorted(labels) if label and bare.endswith(f" {label}")), key=len, default=None)


def side_of(where: str) -> tuple[str, str]:
    """The side that the words name, and how to say it; empty where they name none."""
    return next((SIDES[word] for word in re.findall(r"[a-z]+", where.lower()) if word in SIDES), ("", ""))


def _bare(words: str) -> str:
    """Without its article, in small letters."""
    return re.sub(r"^(a|an|the|some|one) ", "", words.strip().lower())


def _anywhere(label: str, side: str, site: Site, s: ProposeSettings, rng: np.random.Generator) -> Box | None:
    """For a generator, which makes of a place what it can."""
    width, height = site.contents.size
    whole = Box(0, 0, width, height)
    for _ in range(s.place.places):
        wide, high = (round(share * min(width, height)) for share in rng.uniform(0.15, 0.35, 2))
        x, y = int(rng.integers(0, width - wide)), int(rng.integers(0, height - high))
        box = Box(x, y, x + wide, y + high, label)
        if on_side(box, whole, side) and not touches(box, site, s.place):
            return box
    return None
