"""Where scenes and distractors come from: stored photos, or the miniature world. One pipeline works on both."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from pydantic import BaseModel, Field

from aot.data.photos import Photo, Thing, questions_of
from aot.data.questions import Contents, Query
from aot.forge.bank import Bank, BankSettings, cut, outline_mask
from aot.forge.checks import answer_kept, extension_checks
from aot.forge.extend import CanvasExtender, CanvasSettings, Extender
from aot.forge.funnel import Funnel
from aot.forge.generated import GeneratedExtender, GeneratedImplanter, GeneratorKind, open_inpainter
from aot.forge.paint import PaintSettings, heal, paste
from aot.forge.propose import Proposal, ProposeSettings, propose
from aot.forge.split import SPLITS, split_of
from aot.forge.store import PhotoStore
from aot.judge import Judge
from aot.referee import Referee, RefereeSettings, build_referee
from aot.types import Attack, Box, Finding, Image, Scene

HANGING = ("airplane", "bird", "kite", "clock", "traffic light", "stop sign", "tie", "frisbee", "sports ball")
"""Labels of things that hang or fly: without a shadow under them."""


class Workshop(Protocol):
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

    def distract(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        """One drawn edit of the scene, or in a word why there is none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PhotoScene(Scene):
    """A scene whose objects are known, and with a `query` also its answer after an edit of them."""

    things: tuple[Thing, ...] = ()
    contents: Contents | None = None
    query: Query | None = None
    licence: str = ""
    extended: bool = False
    split: str = SPLITS[0]


class Implanter(Protocol):
    """Carries out proposals."""

    def edit(self, image: Image, proposal: Proposal, keep: Sequence[Box], rng: np.random.Generator) -> Image:
        """The edited image; what the question is about is in the boxes to `keep`."""
        ...


@dataclass(frozen=True)
class PasteImplanter:
    """Without a generator: cut-outs are pasted in, what goes is healed over."""

    store: PhotoStore
    paint: PaintSettings

    def edit(self, image: Image, proposal: Proposal, keep: Sequence[Box], rng: np.random.Generator) -> Image:
        if proposal.gone is not None:
            image = heal(image, outline_mask(proposal.gone, image.shape[:2]), self.paint)
        if proposal.new is not None and proposal.place is not None:
            rgb, alpha = cut(self.store, proposal.new)
            stands = proposal.new.label not in HANGING
            image = paste(image, rgb, alpha, proposal.place, self.paint, stands=stands)
        return image


class PhotoSettings(BaseModel, frozen=True, extra="forbid"):
    """Scenes and distractors from photos; values *ours*."""

    questions: int = Field(6, gt=0)  # at most, written for an image that comes without
    extensions: int = Field(1, ge=0)  # tried for each photo; those that pass their checks are scenes beside the photo
    keep_original: bool = True  # the photo itself is a scene, too
    extender: Literal["canvas", "generator"] = "canvas"
    implanter: Literal["paste", "generator"] = "paste"
    generator: GeneratorKind = "onereward"  # the paper's; loaded where one of the two above asks for it
    generator_folder: str = ""  # or hub id; empty: the published one
    bank: BankSettings = BankSettings()
    canvas: CanvasSettings = CanvasSettings()
    propose: ProposeSettings = ProposeSettings()
    paint: PaintSettings = PaintSettings()


@dataclass(frozen=True)
class AnswerKept:
    """A check of the referee: see `answer_kept`. Where the answer cannot be worked out again (a question that came with
    the data), the `judge` is asked; without one the attack passes unmeasured (nan)."""

    judge: Judge | None = None

    def __call__(self, scenes: Sequence[Scene], attacks: Sequence[Attack]) -> list[Finding]:
        findings = [Finding("answer_kept", True, float("nan")) for _ in scenes]
        unknown = []
        for i, (scene, attack) in enumerate(zip(scenes, attacks, strict=True)):
            if isinstance(scene, PhotoScene) and scene.contents and scene.query and attack.objects is not None:
                before = scene.contents
                after = Contents(attack.objects, before.size, before.doubtful, before.complete)
                findings[i] = answer_kept(scene.query, before, after)
            else:
                unknown.append(i)
        if self.judge is not None and unknown:
            questions = [scenes[i].question for i in unknown]
            fields = [{"question": q.text, "answer": q.options[q.answer]} for q in questions]
            clean, attacked = [scenes[i].image for i in unknown], [attacks[i].image for i in unknown]
            judged = self.judge.findings("answer_preserved", attacked, fields, before=clean)
            for i, finding in zip(unknown, judged, strict=True):
                findings[i] = finding
        return findings


class PhotoWorkshop:
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
        judge: Judge | None = None,
    ):
        self.store, self.settings, self.seed = store, settings, seed
        self.splits = [split_of(record.source_id, held_out_share, seed) for record in store.records]
        sides = {
            split: [record for record, its in zip(store.records, self.splits, strict=True) if its == split]
            for split in SPLITS
        }
        self.banks = {split: Bank(records, settings.bank, seed=seed) for split, records in sides.items()}
        self.extenders: dict[str, Extender] = {
            split: CanvasExtender(store, settings.canvas, records) for split, records in sides.items()
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
        self.referee = Referee([*build_referee(referee, world=False).checks, AnswerKept(judge)])
        self.judge = judge

    def __len__(self) -> int:
        return len(self.store)

    def source_id(self, number: int) -> str:
        return self.store.records[number].source_id

    def scenes(self, number: int, funnel: Funnel) -> list[Scene]:
        photo, split = self.store.load(number), self.splits[number]
        rng = np.random.default_rng([self.seed, zlib.crc32(photo.id.encode())])
        photos = [(photo, photo.id, False)] if self.settings.keep_original else []
        for n in range(self.settings.extensions):
            extended = self.extenders[split].extend(photo, rng)
            if isinstance(extended, str):
                funnel.add("extension", extended)
                continue
            checks = extension_checks(self.judge, known=extended.known)
            findings = [check(photo, extended) for check in checks]
            reason = next((f.reason for f in findings if not f.passed), "")
            funnel.add("extension", reason)
            if not reason:
                photos.append((extended.photo, f"{photo.id}-x{n}", True))
        scenes: list[Scene] = []
        for each, name, is_extended in photos:
            asked = self._asked(each, name, split, is_extended, rng)
            funnel.add("question", "" if asked else "nothing_to_ask")
            scenes += asked
        return scenes

    def _asked(self, photo: Photo, name: str, split: str, extended: bool, rng: np.random.Generator) -> list[Scene]:
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
                licence=" + ".join(licences),
                extended=extended,
                split=split,
            )
            for asked in questions_of(photo, self.store.labels, self.settings.questions, rng)
        ]

    def distract(self, scene: Scene, rng: np.random.Generator) -> Attack | str:
        assert isinstance(scene, PhotoScene) and scene.contents is not None
        queried = scene.query.labels if scene.query else tuple(b.label for b in scene.protected if b.label)
        proposal = propose(
            scene.things,
            scene.contents,
            scene.protected,
            queried,
            self.banks[scene.split],
            self.settings.propose,
            rng,
        )
        if isinstance(proposal, str):
            return proposal
        image = self.implanter.edit(scene.image, proposal, scene.protected, rng)
        after = proposal.contents_after(scene.contents).boxes
        return Attack(scene.id, f"forge/{proposal.family}", proposal.kind, image, proposal.sentence, objects=after)
