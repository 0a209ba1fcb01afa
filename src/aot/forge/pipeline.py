"""The AOT-SFT pipeline on one page (AOT, arXiv 2602.22227, phase 1).

    the source's photos are stored, and what is wrong with them refused
    for each photo:
        the scene is extended, and looked at      (stage 1: composition, duplication, realism)
        questions are asked that its boxes decide, where none came with it
        distractors are put in, objects taken out (stage 2: never on what the question is about)
        the referee judges the pair               (local SSIM, overlap, area, the answer kept)
        and, where a defender is given, it must be deceived
    the pairs become a dataset with a card, a funnel and a contact sheet

Photos are worked on a few at a time; each such chunk is a stage of the output folder, so that a killed call goes on
where it was and a second one changes nothing. Chunks are made in this process or by workers (`executor`).

Departures: without an MLLM, composition and realism are measured, and the answer is worked out again from the boxes
(*ours*; `checks`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from aot.data.images.reading import at_most
from aot.data.sources import digest_of, open_source
from aot.errors import AotError
from aot.forge.dataset import row, write_rows
from aot.forge.funnel import Funnel
from aot.forge.grow import Author
from aot.forge.models import DefenderFolder, DefenderUrl
from aot.forge.pairs import EffectSettings, PairSettings, make_pairs
from aot.forge.photo_edits.outlines import find_outlines
from aot.forge.photo_source import PairSource, PhotoPairSource, PhotoSettings
from aot.forge.preflight import attacker_folder, check_asked, check_editors
from aot.forge.publish import GROWN, REFUSED, publish
from aot.forge.similarity import Similarity
from aot.forge.split import SPLITS, split_of
from aot.forge.store import PhotoStore, fill
from aot.forge.world import WorldPairSource, WorldSettings
from aot.game.referee import RefereeSettings
from aot.players.base import Defender
from aot.players.defender.writer import QwenWriter
from aot.players.digests import player_digests
from aot.prompts import FORGE_PROMPTS, JUDGE_VERSION
from aot.runs.executor import Executor, builds, check_executor
from aot.runs.files import write_json
from aot.runs.limits import Threads
from aot.runs.run import Run, Stage
from aot.runs.terminal import echo
from aot.runs.threads import use_threads
from aot.world.preserved import world_referee

NO_PAIR = (
    "no pair was made: the lines above say why. Pasting needs objects whose boxes or outlines allow to cut them "
    "out; without any, let a model edit: --set photos.implanter=attacker, or generator with photos.propose.by=model"
)
ROWS = ("photos", "boxes", "labels")
"""Stages of the funnel that count rows of the data as they were read."""


class ForgeSettings(BaseModel, frozen=True, extra="forbid"):
    """Everything that a dataset depends on, besides its data; values *ours* unless said."""

    name: str = "forge"
    seed: int = Field(0, ge=0)
    threads: Threads = 1  # CPU threads; part of what makes a dataset bit-reproducible
    side_px: int = Field(512, ge=32, le=8192)  # longer sides are reduced to this
    held_out_share: float = Field(0.2, ge=0, lt=1)  # share of the source images
    chunk: int | None = Field(None, gt=0)  # source images a stage; none: 8 photos, 200 scenes of the world
    photos: PhotoSettings = PhotoSettings()
    world: WorldSettings = WorldSettings()
    pairs: PairSettings = PairSettings()
    effect: EffectSettings = EffectSettings()
    referee: RefereeSettings = RefereeSettings()


@dataclass(frozen=True)
class ChunkMaker:
    """Makes chunks of the dataset in whatever process it is called; what that takes is opened on first use.

    `photos`: the stored ones, none: the miniature world. `defender`: whom pairs must deceive. `judge`: who looks at
    extended photos, and at answers that cannot be worked out. `author`: who writes questions and ideas.
    """

    settings: ForgeSettings
    photos: Path | None
    defender: DefenderFolder | DefenderUrl | None = None
    judge: DefenderFolder | DefenderUrl | None = None
    author: DefenderFolder | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """What is sent to a worker: these five, nothing that is open here."""
        return ChunkMaker, (self.settings, self.photos, self.defender, self.judge, self.author)

    @cached_property
    def pair_source(self) -> PairSource:
        s = self.settings
        if self.photos is None:
            return WorldPairSource(s.world, world_referee(s.referee), seed=s.seed)
        judge = self.judge.judge() if self.judge else None
        model = self.author.load() if self.author else None
        return PhotoPairSource(
            PhotoStore(self.photos),
            s.photos,
            s.referee,
            seed=s.seed,
            held_out_share=s.held_out_share,
            judge=judge,
            author=Author(QwenWriter(model), model) if model else None,
        )

    @property
    def worker_gpus(self) -> float | None:
        """Of a worker on Ray: none where it has no model in its memory; else one where there are any (None)."""
        photos, asked = self.settings.photos, (self.defender, self.judge, self.author)
        paints = self.photos is not None and {photos.extender, photos.implanter} & {"generator", "attacker"}
        return None if paints or any(isinstance(each, DefenderFolder) for each in asked) else 0.0

    @property
    def players(self) -> dict[str, Any]:
        """What the models are, file by file: others under the same name make other chunks."""
        photos, who = self.settings.photos, {"defender": self.defender, "judge": self.judge, "author": self.author}
        identities = {role: player.identity for role, player in who.items() if player}
        if self.photos and photos.implanter == "attacker":
            identities["attacker"] = player_digests(attacker_folder(photos))
        return identities

    @cached_property
    def _deceived(self) -> Defender | None:
        return self.defender.load() if self.defender else None

    def __call__(self, numbers: Sequence[int], folder: Path) -> dict[str, Any]:
        """The pairs of these source images as one parquet file a split in `folder`; returns their number and funnel.

        Raises `AotError` where the defender cannot be loaded.
        """
        s, pair_source = self.settings, self.pair_source
        use_threads(s.threads)
        similarity = Similarity()
        if isinstance(pair_source, PhotoPairSource):
            pair_source.grown = []
        pairs, funnel = make_pairs(
            pair_source,
            numbers,
            s.pairs,
            seed=s.seed,
            defender=self._deceived,
            effect=s.effect,
            similarity=similarity,
        )
        rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        edits: Counter[str] = Counter()
        for pair in pairs:
            source_id, scene_id = pair_source.source_id(pair.source), pair.episode.scene.id
            edits[scene_id] += 1
            split = split_of(source_id, s.held_out_share, s.seed)
            rows[split].append(row(pair, edits[scene_id], source_id))
        for split, each in rows.items():
            if each:  # `datasets` cannot read a file without rows
                write_rows(folder / f"{split}.parquet", each)
        metrics = {"pairs": len(pairs), "funnel": funnel.as_json(), "local_ssim": similarity.as_json()}
        if isinstance(pair_source, PhotoPairSource) and self.author:
            lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in pair_source.grown)
            (folder / GROWN).write_text(lines, encoding="utf-8")
            metrics["grown"] = len(pair_source.grown)
        return metrics


def forge(
    data: Path | None,
    out: Path,
    settings: ForgeSettings,
    *,
    defender: DefenderFolder | DefenderUrl | None = None,
    judge: DefenderFolder | DefenderUrl | None = None,
    author: DefenderFolder | None = None,
    executor: Executor = "local",
    workers: int | None = None,
    say: Callable[[str], None] = echo,
) -> dict[str, Any]:
    """Makes the dataset folder `out` from photos (`open_source`) or (`None`) the miniature world; returns its funnel.

    With a `defender` only pairs that deceive it are kept; a `judge` looks at extended photos, and at answers that
    cannot be worked out again. An `author` writes questions about images that come with nothing, which are left in
    `grown.jsonl`, and ideas for edits where the settings ask for it. The files do not depend on the `executor`;
    `workers` is for "ray". Raises `AotError` where no photo can be used at all, or the executor not at all.
    """
    check_executor(executor, workers)
    if settings.photos.propose.by == "model" and not author:
        hint = "add --grow FOLDER, a multimodal model's folder"
        raise AotError("nobody is there to propose distractors", where="photos.propose.by=model", hint=hint)
    if data:
        check_editors(settings.photos)
    key = settings.model_dump(mode="json")
    key |= {"data": str(data) if data else None, "effective_against": defender and defender.name}
    if judge:
        key |= {"judge": judge.name, "judge_version": JUDGE_VERSION}
    if author:
        key |= {"author": author.name, "prompts": FORGE_PROMPTS}
    with Run(out, key, say=say) as run:
        photos = _stored(run, data, settings) if data else None
        maker = ChunkMaker(settings, photos.folder.absolute() if photos else None, defender, judge, author)
        if photos and not len(maker.pair_source):
            raise AotError("no usable photo", where=str(data), hint=f"see {photos.folder / REFUSED}")
        if photos and isinstance(maker.pair_source, PhotoPairSource):
            check_asked(maker.pair_source, data, photos.folder)
            objects = sum(len(bank.cutouts) for bank in maker.pair_source.banks.values())
            numbers = {"photo": len(maker.pair_source), "object": objects}
            said = [f"{n} {word}{'s' if n != 1 else ''}" for word, n in numbers.items()]
            say(f"{', '.join(said)} to cut out")
            if maker.pair_source.licence:
                say(f"what the generator paints is under its licence: {maker.pair_source.licence}")
        made = _made(run, maker, [photos] if photos else [], key | maker.players, executor, workers)
        funnel = Funnel.from_json(photos.metrics["funnel"]) if photos else Funnel()
        funnel.merge(Funnel.sum(Funnel.from_json(stage.metrics["funnel"]) for stage in made))
        publish(out, made, funnel.as_json(), key)
        return funnel.as_json()


class _NotMade(Exception):
    """This stage is not finished."""


def _made(
    run: Run,
    maker: ChunkMaker,
    parents: Sequence[Stage],
    key: Mapping[str, Any],
    executor: Executor,
    workers: int | None,
) -> list[Stage]:
    """The stages of all chunks in order: those that stand from before, and the others made now."""
    pair_source = maker.pair_source
    size = maker.settings.chunk or pair_source.at_once
    chunks = [range(i, min(i + size, len(pair_source))) for i in range(0, len(pair_source), size)]
    made: dict[int, Stage] = {}

    def stage(number: int, build: Callable[[Path], Mapping[str, Any]]) -> None:
        name, seed = f"work/pairs/{number:05d}", maker.settings.seed
        made[number] = run.stage(name, build, key=key, seed=seed, parents=parents, quiet=True)

    def not_made(_: Path) -> dict[str, Any]:
        raise _NotMade

    for number in range(len(chunks)):
        with suppress(_NotMade):
            stage(number, not_made)
    left = {number: chunk for number, chunk in enumerate(chunks) if number not in made}
    how: dict[str, Any] = {"workers": workers, "gpus": maker.worker_gpus}
    with closing(builds(maker, left, run.folder / "work/scratch", executor, **how)) as each:
        for number, build in each:
            stage(number, build)
            images, pairs = sum(len(chunks[n]) for n in made), sum(m.metrics["pairs"] for m in made.values())
            run.say(f"  {images} of {len(pair_source)} images: {pairs} pairs")
    return [made[number] for number in range(len(chunks))]


def _stored(run: Run, data: Path, settings: ForgeSettings) -> Stage:
    """Stage 0: every photo of the source in the output folder, and the refused rows beside them."""

    def build(folder: Path) -> dict[str, Any]:
        funnel, refused = fill(folder, open_source(data, at_most(settings.side_px)))
        funnel.merge(find_outlines(folder, settings.photos.bank))
        write_json(folder / REFUSED, [{"file": r.file, "row": r.row, "reason": r.reason} for r in refused])
        return {"funnel": funnel.as_json()}

    key = {"data": str(data), "files": digest_of(data), "side_px": settings.side_px}
    key |= {"bank": settings.photos.bank.model_dump(mode="json")}
    return run.stage("work/photos", build, key=key, quiet=True)


def summary_lines(funnel: Mapping[str, Any]) -> list[str]:
    """The funnel as lines for a terminal."""
    return [
        f"{stage}: {counts['kept']} of {counts['in']}"
        + (f"  ({json.dumps(counts['refused'])[1:-1]})" if counts["refused"] else "")
        for stage, counts in funnel.items()
    ]
