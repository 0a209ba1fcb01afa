"""Where scenes and distractors come from: stored photos, or the miniature world. One pipeline works on both."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, Field

from aot.data.photos.photo import AnnotatedScene, Photo, Thing, questions_of
from aot.forge.funnel import Funnel
from aot.forge.grow import Author, GrowSettings, grow, row_of
from aot.forge.photo_edits.all_edits import all_edits
from aot.forge.photo_edits.bank import Bank, BankSettings, Cutout
from aot.forge.photo_edits.checks import AnswerKept, extension_checks
from aot.forge.photo_edits.extend import CanvasExtender, CanvasSettings, Extender
from aot.forge.photo_edits.generated import (
    GeneratedExtender,
    GeneratedImplanter,
    GeneratorKind,
    open_inpainter,
)
from aot.forge.photo_edits.implant import Editor, Implanter, PasteImplanter
from aot.forge.photo_edits.model_proposals import Idea, realised, write_ideas
from aot.forge.photo_edits.outlines import with_outlines
from aot.forge.photo_edits.paint import Light, LightSettings, PaintSettings, alike, light_of
from aot.forge.photo_edits.place import Origin, Site
from aot.forge.photo_edits.propose import Proposal, ProposalContext, ProposeSettings, drawn_kind, propose
from aot.forge.photo_edits.surfaces import Surface, grounds_of
from aot.forge.split import SPLITS, split_of
from aot.forge.store import PhotoStore
from aot.game.judge import Judge
from aot.game.referee import Referee, RefereeSettings, build_referee
from aot.players.base_players import player_folder
from aot.prompts import attack_instruction, edit_instruction
from aot.types import Attack, Box, EditKind, Image, Scene

ATTACKER = "photos.attacker_folder"
"""The setting that names the attacker that implants."""


class PairSource(Protocol):
    """Makes scenes, and distractors for them. Its images are kept without loss where they are `lossless`; `at_once`
    source images are worked on together."""

    referee: Referee
    lossless: bool
    at_once: int

    def __len__(self) -> int:
        """How many source images there are."""
        ...

    def source_id(self, number: int) -> str:
        """What source image `number` is called."""
        ...

    def scenes(self, number: int, funnel: Funnel) -> Sequence[Scene]:
        """All questions about source image `number`."""
        ...

    def distractors(self, scene: Scene, most: int, rng: np.random.Generator) -> Iterator[Attack | str]:
        """At most so many edits of the scene, and in a word why others were not made."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PhotoScene(AnnotatedScene):
    """A question about a stored photo, with all that an edit of its objects takes."""

    things: tuple[Thing, ...] = ()
    licence: str = ""
    extended: bool = False
    split: str = SPLITS[0]
    parts: tuple[Box, ...] = ()
    ideas: tuple[Idea, ...] = ()
    number: int | None = None

    @property
    def site(self) -> Site:
        assert self.contents is not None
        return Site(self.image, self.things, self.contents, self.protected, self.parts, self.number)

    @property
    def queried(self) -> tuple[str, ...]:
        """Labels that the question names."""
        return self.query.labels if self.query else tuple(b.label for b in self.protected if b.label)


class PhotoSettings(BaseModel, frozen=True, extra="forbid"):
    """Scenes and distractors from photos; values *ours*."""

    questions: int = Field(8, gt=0)  # at most, written for an image that comes without
    extensions: int = Field(1, ge=0)  # tried for each photo; those that pass their checks are scenes beside the photo
    keep_original: bool = True  # the photo itself is a scene, too
    extender: Literal["canvas", "generator"] = "canvas"
    implanter: Literal["paste", "generator", "attacker"] = "paste"
    attacker_folder: str = ""  # of the attacker that edits by instruction; "miniature" is the shipped one
    generator: GeneratorKind = "onereward"  # the paper's; loaded where one of the two above asks for it
    generator_folder: str = ""  # or hub id; empty: the published one
    bank: BankSettings = BankSettings()
    canvas: CanvasSettings = CanvasSettings()
    propose: ProposeSettings = ProposeSettings()
    light: LightSettings = LightSettings()
    grow: GrowSettings = GrowSettings()
    paint: PaintSettings = PaintSettings()


class PhotoPairSource:
    """Scenes from stored photos; distractors from their own objects. What goes into a photo, its neighbour or a
    cut-out, is from photos on the same side of the split: held-out scenes hold nothing that was trained on."""

    lossless = False
    at_once = 8

    def __init__(
        self,
        store: PhotoStore,
        settings: PhotoSettings,
        referee: RefereeSettings,
        *,
        seed: int,
        held_out_share: float = 0.0,
        splits: Mapping[str, str] | None = None,
        judge: Judge | None = None,
        author: Author | None = None,
    ):
        """`splits`: by a photo's id on which side it is; those that it does not name, and without it all, are held out
        by `held_out_share`."""
        self.store, self.settings, self.seed = store, settings, seed
        told = splits or {}
        self.splits = [
            told.get(record.id) or split_of(record.source_id, held_out_share, seed) for record in store
        ]
        sides = {split: [n for n, its in enumerate(self.splits) if its == split] for split in SPLITS}
        self.banks = {
            split: Bank(with_outlines(store.folder, map(store.record, its)), settings.bank, seed=seed)
            for split, its in sides.items()
        }
        self.extenders: dict[str, Extender] = {
            split: CanvasExtender(store, settings.canvas, sides[split]) for split in SPLITS
        }
        self.implanter: Implanter = PasteImplanter(store, settings.paint)
        self.licence = ""  # of the generator
        if "generator" in (settings.extender, settings.implanter):
            inpainter, remove_prompt = open_inpainter(settings.generator, settings.generator_folder)
            self.licence = inpainter.licence
            if settings.extender == "generator":
                self.extenders = dict.fromkeys(SPLITS, GeneratedExtender(inpainter))
            if settings.implanter == "generator":
                self.implanter = GeneratedImplanter(inpainter, remove_prompt)
        self.editor: Editor | None = None
        if settings.implanter == "attacker":
            option = f"--set {ATTACKER}=FOLDER"
            self.editor = Editor.load(player_folder(settings.attacker_folder, "attacker", option=option))
        self.author = author
        self.grown: list[dict[str, Any]] = []  # rows of questions, until somebody empties it
        self.looks: dict[Cutout, tuple[Light, tuple[Surface, ...]]] = {}
        self._lit: tuple[Image | None, Light] = None, Light((0, 0, 0), 0, False)
        self.referee = Referee([*build_referee(referee).checks, AnswerKept(judge)])
        self.judge = judge

    def __len__(self) -> int:
        return len(self.store)

    def source_id(self, number: int) -> str:
        return self.store.record(number).source_id

    def scenes(self, number: int, funnel: Funnel) -> list[Scene]:
        photo, split = self.store.load(number), self.splits[number]
        rng = np.random.default_rng([self.seed, zlib.crc32(photo.id.encode())])
        if self.author and not photo.given and not photo.things:
            photo = self._with_questions(photo, number, self.author, funnel)
        photos: list[tuple[Photo, str, tuple[Box, ...]]] = []
        if self.settings.keep_original:
            photos.append((photo, photo.id, ()))
        for n in range(self.settings.extensions if photo.things or photo.given else 0):
            extended = self.extenders[split].extend(photo, rng)
            if isinstance(extended, str):
                funnel.add("extension", extended)
                continue
            checks = extension_checks(self.judge, known=extended.known)
            findings = [check(photo, extended) for check in checks]
            reason = next((f.reason for f in findings if not f.passed), "")
            funnel.add("extension", reason)
            if not reason:
                photos.append((extended.photo, f"{photo.id}-x{n}", extended.parts))
        scenes: list[Scene] = []
        for each, name, parts in photos:
            asked = [replace(scene, number=number) for scene in self._asked(each, name, split, parts, rng)]
            funnel.add("question", "" if asked else "nothing_to_ask")
            scenes += [self._with_ideas(scene, funnel) for scene in asked]
        return scenes

    def _with_questions(self, photo: Photo, number: int, author: Author, funnel: Funnel) -> Photo:
        """A photo of which nothing is known, with the questions that its author agrees on."""
        seed = zlib.crc32(f"{self.seed}/{photo.id}".encode())
        grown, counts = grow([photo.image], author.writer, author.reader, self.settings.grow, seed=seed)
        funnel.merge(counts)
        image = self.store.image_path(number).relative_to(self.store.folder)
        self.grown += [row_of(each, photo, f"{photo.id}-{n}", str(image)) for n, each in enumerate(grown)]
        return replace(photo, given=tuple((each.question, ()) for each in grown))

    def _with_ideas(self, scene: PhotoScene, funnel: Funnel) -> PhotoScene:
        s = self.settings.propose
        if s.by == "rules" or self.author is None:
            return scene
        seed = zlib.crc32(f"{self.seed}/{scene.id}".encode())
        return replace(scene, ideas=write_ideas(scene, self.author.writer, s, funnel, seed=seed))

    def _asked(
        self, photo: Photo, name: str, split: str, parts: tuple[Box, ...], rng: np.random.Generator
    ) -> list[PhotoScene]:
        painter = self.licence if self.settings.implanter == "generator" else ""
        contents, licences = photo.contents, dict.fromkeys(filter(None, (photo.licence, painter)))
        return [
            PhotoScene(
                id=f"{name}-{asked.name}",
                image=photo.image,
                question=asked.question,
                protected=asked.about,
                objects=contents.boxes,
                source=photo.source,
                things=photo.things,
                contents=contents,
                query=asked.query,
                photo=photo.id,
                licence=" + ".join(licences),
                extended=bool(parts),
                split=split,
                parts=parts,
            )
            for asked in questions_of(photo, self.store.labels, self.settings.questions, rng)
        ]

    def distract(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        assert isinstance(scene, PhotoScene) and scene.contents is not None
        s = self.settings.propose
        if s.by == "model" and not scene.ideas:
            return "no_idea"
        idea = scene.ideas[int(rng.integers(len(scene.ideas)))] if s.by == "model" else None
        if self.editor:
            kind: EditKind = idea.kind if idea else drawn_kind(s, rng)
            sentence = edit_instruction(scene, idea.sentence) if idea else attack_instruction(scene, kind)
            seed = int(rng.integers(2**31))
            image = self.editor.edit(scene.image, sentence, seed=seed)
            return Attack(scene.id, "forge/attacker", kind, image, sentence, seed)
        context, painted = self._context(scene), None if self.settings.implanter == "paste" else self.store.labels
        proposal = realised(idea, context, rng, painted=painted) if idea else propose(context, rng)
        return proposal if isinstance(proposal, str) else self._edited(scene, proposal, rng)

    def distractors(self, scene: Scene, most: int, rng: np.random.Generator) -> Iterator[Attack | str]:
        """Where rules propose and own objects are pasted: all that can be done, until `most` are made. Else `most`
        draws."""
        assert isinstance(scene, PhotoScene) and scene.contents is not None
        s, made = self.settings, 0
        if s.propose.by == "model" or s.implanter != "paste":
            yield from (self.distract(scene, rng) for _ in range(most))
            return
        for proposal in all_edits(self._context(scene), rng, paint=s.paint):
            attack = proposal if isinstance(proposal, str) else self._edited(scene, proposal, rng)
            yield attack
            made += not isinstance(attack, str)
            if made == most:
                return

    def _context(self, scene: PhotoScene) -> ProposalContext:
        origins = partial(self._origin, self._light_of(scene.image))
        return ProposalContext(scene.site, scene.queried, self.banks[scene.split], origins, self.settings.propose)

    def _edited(self, scene: PhotoScene, proposal: Proposal, rng: np.random.Generator) -> Attack | str:
        assert scene.contents is not None
        keep = scene.contents.boxes if self.settings.implanter == "paste" else scene.protected
        edited = self.implanter.edit(scene.image, proposal, keep, rng)
        if isinstance(edited, str):
            return edited
        after = proposal.contents_after(scene.contents).boxes if proposal.known else None
        return Attack(scene.id, f"forge/{proposal.family}", proposal.kind, edited, proposal.sentence, objects=after)

    def _light_of(self, image: Image) -> Light:
        if image is not self._lit[0]:  # a photo's questions come one after the other
            self._lit = image, light_of(image)
        return self._lit[1]

    def _origin(self, light: Light, cutout: Cutout) -> Origin | None:
        """How the cut-out was in its own photo, if that was taken in such light."""
        if cutout not in self.looks:
            image = self.store.image(cutout.photo)
            self.looks[cutout] = light_of(image), grounds_of(image, cutout.thing.box)
        own, grounds = self.looks[cutout]
        return Origin(cutout.height, cutout.foot, grounds) if alike(light, own, self.settings.light) else None
