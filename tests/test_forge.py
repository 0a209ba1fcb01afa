"""The forge: photos in, fair pairs out, everything else counted; the same files however often it is interrupted."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from PIL import Image as PilImage

from aot.data.images.reading import at_most, square
from aot.data.photos.photo import Photo, Thing
from aot.data.photos.questions import Contents, Query
from aot.data.sources import open_source
from aot.errors import AotError
from aot.forge import pipeline
from aot.forge.card import _as_markdown, _ssim_picture
from aot.forge.command import forge as forge_command
from aot.forge.dataset import read_rows
from aot.forge.funnel import Funnel
from aot.forge.models import DefenderFolder
from aot.forge.pairs import PairSettings, decoded, encoded, make_pairs
from aot.forge.photo_edits.bank import Bank, BankSettings, cut, outline_mask
from aot.forge.photo_edits.checks import COMPUTED, Duplication, answer_kept
from aot.forge.photo_edits.extend import CanvasExtender, CanvasSettings, Extension
from aot.forge.photo_edits.heal import heal
from aot.forge.photo_edits.paint import PaintSettings, paste
from aot.forge.photo_edits.place import Origin, PlaceSettings
from aot.forge.photo_edits.propose import ProposalContext, ProposeSettings, propose
from aot.forge.photo_source import PhotoPairSource, PhotoScene, PhotoSettings
from aot.forge.pipeline import ChunkMaker, ForgeSettings, forge
from aot.forge.similarity import DECISIONS, Similarity
from aot.forge.split import SPLITS
from aot.forge.store import PhotoStore, fill
from aot.forge.world import WorldSettings
from aot.game.judge import Judge
from aot.game.referee import RefereeSettings, box_ssim
from aot.miniature.scripted import AlwaysLetter
from aot.types import Box, Finding, Verdict
from aot.world.scenes import draw_scenes

SCENE = draw_scenes(1, 0)[0]
LABELS = ("cup", "bus", "dog", "cat", "car", "bowl")
EASY = ForgeSettings(
    side_px=128,
    held_out_share=0.4,
    chunk=2,
    pairs=PairSettings(candidates=3),
    photos=PhotoSettings(
        canvas=CanvasSettings(fade_px=4),
        bank=BankSettings(least_side_px=8),
        propose=ProposeSettings(place=PlaceSettings(kin=False)),
    ),
)


def folder_of_photos(folder: Path, n: int = 6) -> Path:
    """Soft gradients, each with two or three outlined ellipses of different labels."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, notes = [], []
    for i in range(n):
        y, x = np.mgrid[:120, :160]
        image = np.stack([100 + 20 * np.sin(x / 40 + c) + 0.3 * y for c in range(3)], -1)
        for j, centre in enumerate([(30, 40), (80, 90), (130, 50)][: 2 + i % 2]):
            wide, high = int(rng.integers(16, 28)), int(rng.integers(16, 28))
            inside = ((x - centre[0]) / wide * 2) ** 2 + ((y - centre[1]) / high * 2) ** 2 <= 1
            image[inside] = rng.integers(0, 256, 3)
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            corners = np.stack([centre[0] + wide / 2 * np.cos(angles), centre[1] + high / 2 * np.sin(angles)], 1)
            box = [centre[0] - wide / 2, centre[1] - high / 2, wide, high]
            notes.append(
                {
                    "id": len(notes),
                    "image_id": i,
                    "category_id": (i + j) % len(LABELS),
                    "bbox": box,
                    "segmentation": [corners.ravel().tolist()],
                    "iscrowd": 0,
                }
            )
        PilImage.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 120, "license": 1})
    content = {
        "images": images,
        "annotations": notes,
        "categories": [{"id": i, "name": name} for i, name in enumerate(LABELS)],
        "licenses": [{"id": 1, "name": "made by a test"}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_photos(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def store(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> PhotoStore:
    folder = tmp_path_factory.mktemp("store")
    fill(folder, open_source(photos, at_most(128)))
    return PhotoStore(folder)


@pytest.fixture(scope="module")
def pair_source(store: PhotoStore) -> PhotoPairSource:
    return PhotoPairSource(store, EASY.photos, RefereeSettings(), seed=0)


# The funnel.


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "bad", "worse"]), st.integers(0, 5))))
def test_in_is_kept_and_refused(events: list[tuple[str, str, int]]) -> None:
    funnel, other = Funnel(), Funnel()
    for i, event in enumerate(events):
        (funnel if i % 2 else other).add(*event)
    total = Funnel.sum([funnel, other])
    for stage, counts in total.as_json().items():
        assert counts["in"] == counts["kept"] + sum(counts["refused"].values())
        assert counts["in"] == sum(n for name, _, n in events if name == stage)
    assert Funnel.from_json(total.as_json()).as_json() == total.as_json()


@given(st.lists(st.tuples(st.floats(-1, 1), st.booleans(), st.booleans())))
def test_local_ssim_is_counted_once_by_fate(measured: list[tuple[float, bool, bool]]) -> None:
    parts, kept = [Similarity(), Similarity()], []
    for i, (value, valid, boxed) in enumerate(measured):
        scene = replace(SCENE, protected=(Box(0, 0, 9, 9),) if boxed else ())
        findings = (Finding("local_ssim", True, value), Finding("area", valid, 0.0))
        parts[i % 2].add(scene, Verdict(findings))
        kept += [value] if valid and boxed else []
    total = Similarity.sum(json.loads(json.dumps(part.as_json())) for part in parts)
    assert sum(sum(total.counts[decision].values()) for decision in DECISIONS) + total.unmeasured == len(measured)
    assert sum(n["kept"] for _, n in total.bars()) == len(kept) == sum(total.counts["kept"].values())
    quantiles = total.quantiles("kept")
    assert quantiles == sorted(quantiles) and bool(quantiles) == bool(kept)
    if kept:
        assert quantiles[0] <= min(kept) < quantiles[0] + 0.00101 and quantiles[-1] <= max(kept)
        assert dict(total.bars())["1"]["kept"] == kept.count(1.0)


# The store.


def test_a_stored_photo_is_the_same_photo(photos: Path, store: PhotoStore) -> None:
    source = open_source(photos, at_most(128))
    for number, photo in enumerate(source.items):
        assert isinstance(photo, Photo)
        again = store.load(number)
        assert again.contents == photo.contents and again.licence == photo.licence == "made by a test"
        np.testing.assert_array_equal(again.image, photo.image)
        for a, b in zip(again.things, photo.things, strict=True):
            np.testing.assert_allclose(a.outline[0], b.outline[0], atol=0.01)
    assert store.labels == sorted(LABELS)


# Stage 1.


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 5), st.integers(0, 200))
def test_extension_carries_pixels_and_boxes_along_exactly(store: PhotoStore, number: int, seed: int) -> None:
    photo = store.load(number)
    extender = CanvasExtender(store, CanvasSettings(fade_px=4))
    extension = extender.extend(photo, np.random.default_rng(seed))
    assert isinstance(extension, Extension)
    image, new, (height, width) = extension.photo.image, extension.new, photo.image.shape[:2]
    assert image.shape[0] == height and image.shape[1] == width + new.x1 - new.x0
    shift = new.x1 if new.x0 == 0 else 0
    inner = slice(4, None) if shift else slice(None, width - 4)
    np.testing.assert_array_equal(image[:, shift : shift + width][:, inner], photo.image[:, inner])
    for before, after in zip(photo.things, extension.photo.things, strict=False):
        b, a = before.box, after.box
        assert (a.x0 - shift, a.y0, a.x1 - shift, a.y1, a.label) == (b.x0, b.y0, b.x1, b.y1, b.label)
        np.testing.assert_array_equal(after.outline[0], before.outline[0] + np.float32([shift, 0]))
    for thing in extension.photo.things[len(photo.things) :]:
        assert new.x0 <= thing.box.x0 < thing.box.x1 <= new.x1 and 0 <= thing.box.y0 < thing.box.y1 <= height
    own = {t.box.label for t in photo.things}
    assert not own & {t.box.label for t in extension.photo.things[len(photo.things) :]}
    assert [check(photo, extension).check for check in COMPUTED] == ["composition", "duplication", "realism"]


def test_duplication_is_found() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    photo = Photo("a", image, (Thing(Box(1, 1, 5, 5, "cup")),))
    twice = replace(photo, things=(*photo.things, Thing(Box(10, 1, 15, 5, "cup"))))
    assert Duplication()(photo, Extension(photo, Box(0, 0, 1, 1))).passed
    assert Duplication()(photo, Extension(twice, Box(0, 0, 1, 1))).reason == "duplication"


def test_a_given_question_is_not_carried_to_another_scene(store: PhotoStore) -> None:
    photo = store.load(0)
    from aot.types import Question

    asked = replace(photo, given=((Question("Is it on the left?", ("yes", "no"), 0), ()),))
    assert CanvasExtender(store).extend(asked, np.random.default_rng(0)) == "given_question"


# Stage 2.


def test_proposals_keep_away_from_the_question(pair_source: PhotoPairSource) -> None:
    rng, kinds, wide = np.random.default_rng(0), set(), EASY.photos.propose
    for number in range(len(pair_source)):
        for scene in pair_source.scenes(number, Funnel()):
            assert isinstance(scene, PhotoScene) and scene.contents is not None and scene.query is not None
            how = pair_source.banks[scene.split], lambda cutout: Origin(cutout.height, 0.5), wide
            context = ProposalContext(scene.site, scene.queried, *how)
            for _ in range(10):
                made = propose(context, rng)
                if isinstance(made, str):
                    assert made in ("no_place", "no_object", "nothing_to_remove")
                    continue
                kinds.add(made.kind)
                touched = [b for b in (made.place, made.gone and made.gone.box) if b]
                assert not any(b.overlap_px(p) for b in touched for p in scene.protected)
                width, height = scene.contents.size
                assert all(0 <= b.x0 < b.x1 <= width and 0 <= b.y0 < b.y1 <= height for b in touched)
                after = made.contents_after(scene.contents)
                assert len(after.boxes) == len(scene.contents.boxes) + (made.new is not None) - (made.gone is not None)
    assert kinds == {"add", "remove", "replace", "hybrid"}


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 90), st.integers(0, 60), st.integers(6, 40), st.integers(6, 30), st.booleans())
def test_pasting_changes_the_box_and_the_shadow_only(
    store: PhotoStore, x: int, y: int, wide: int, high: int, stands: bool
) -> None:
    piece = cut(store, Bank(store, BankSettings(least_side_px=8)).cutouts[0])
    image, box = store.image(1), Box(x, y, min(x + wide, 127), min(y + high, 95))
    out = paste(image, piece, box, PaintSettings(other_light=255, blurred=1e9), stands=stands)
    assert not isinstance(out, str)
    changed = (out != image).any(-1)
    changed[box.y0 : box.y1, box.x0 : box.x1] = False
    assert out.shape == image.shape and out.dtype == np.uint8
    assert stands or not changed.any()


def test_healing_changes_what_is_covered_only(store: PhotoStore) -> None:
    photo = store.load(0)
    shape = outline_mask(photo.things[0], photo.image.shape[:2])
    healed = heal(photo.image, shape, PaintSettings(heal_px=2))
    changed = (healed != photo.image).any(-1)
    box = photo.things[0].box
    assert changed[box.y0 : box.y1, box.x0 : box.x1].any()
    changed[box.y0 - 4 : box.y1 + 4, box.x0 - 4 : box.x1 + 4] = False
    assert not changed.any()
    surroundings = photo.image[box.y0 - 4 : box.y1 + 4, box.x0 - 4 : box.x1 + 4].mean((0, 1))
    inside = healed[shape > 0.9].mean(0)
    assert np.abs(inside - np.median(photo.image, (0, 1))).max() < np.abs(surroundings).max()


@pytest.mark.parametrize(
    ("query", "more", "reason"),
    [
        (Query("side", "cup"), [Box(60, 0, 70, 10, "bowl")], ""),
        (Query("side", "cup"), [Box(60, 0, 70, 10, "cup")], "second_copy"),
        (Query("existence", "cup"), [Box(60, 0, 70, 10, "cup")], ""),
        (Query("existence", "dog"), [Box(60, 0, 70, 10, "dog")], "second_copy"),
        (Query("count", "cup"), [Box(60, 0, 70, 10, "cup")], "second_copy"),
        (None, [Box(60, 0, 70, 10, "cup")], ""),
    ],
)
def test_the_answer_is_worked_out_again(query: Query | None, more: list[Box], reason: str) -> None:
    before = Contents((Box(5, 5, 20, 20, "cup"),), (100, 50))
    assert answer_kept(query, before, replace(before, boxes=(*before.boxes, *more))).reason == reason
    gone = answer_kept(query, before, replace(before, boxes=()))
    assert gone.passed == (query is None or query.subject == "dog")


class Never:
    """A judge's reader that says no to everything."""

    name = "never"

    def option_logprobs(self, images, questions):
        return [np.log([0.9 if option == "no" else 0.1 for option in q.options]) for q in questions]


def test_a_judge_looks_at_extended_photos_and_unknown_answers(store: PhotoStore) -> None:
    judged = PhotoPairSource(store, EASY.photos, RefereeSettings(), seed=0, judge=Judge(Never()))
    funnel = Funnel()
    scenes = [scene for number in range(len(judged)) for scene in judged.scenes(number, funnel)]
    counts = funnel.as_json()["extension"]
    assert counts["kept"] == 0 and counts["refused"]["composition"] >= 1
    rng = np.random.default_rng(0)
    scene, attack = next((s, a) for s in scenes for _ in range(9) if not isinstance(a := judged.distract(s, rng), str))
    assert isinstance(scene, PhotoScene)
    worked_out, asked = judged.referee.judge([scene, replace(scene, query=None)], [attack, attack])
    assert not np.isnan(worked_out.measured("answer_kept"))
    assert "answer_preserved" in asked.refused_by and asked.measured("answer_preserved") == pytest.approx(0.1)


def test_what_is_stored_is_what_was_judged(pair_source: PhotoPairSource) -> None:
    pairs, funnel = make_pairs(pair_source, range(4), PairSettings(), seed=0)
    counts = funnel.as_json()
    assert pairs and counts["referee"]["kept"] == counts["variety"]["in"] and counts["variety"]["kept"] == len(pairs)
    assert counts["distractor"]["kept"] == counts["referee"]["in"]
    for pair in pairs:
        scene, attack = pair.episode.scene, pair.episode.attack
        clean, attacked = decoded(pair.clean), decoded(pair.attacked)
        np.testing.assert_array_equal(clean, scene.image)
        np.testing.assert_array_equal(attacked, attack.image)
        if scene.protected:
            lowest = min(box_ssim([clean] * 9, [attacked] * 9, scene.protected))
            assert pair.episode.verdict.measured("local_ssim") == pytest.approx(lowest)
    alone, _ = make_pairs(pair_source, [2], PairSettings(), seed=0)
    assert [p.attacked for p in alone] == [p.attacked for p in pairs if p.source == 2]


def test_jpeg_leaves_untouched_blocks_as_they_were() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    after = before.copy()
    after[:20, :20] = 0
    a, b = decoded(encoded(before, 95)), decoded(encoded(after, 95))
    np.testing.assert_array_equal(a[24:], b[24:])
    assert (a[:20, :20] != b[:20, :20]).any()


def test_only_deceiving_pairs_are_kept(pair_source: PhotoPairSource) -> None:
    """A defender that always says "A" answers both images alike: it is never deceived."""
    pairs, funnel = make_pairs(pair_source, range(2), PairSettings(), seed=0, defender=AlwaysLetter("A"))
    effective = {k: v for k, v in funnel.as_json().items() if k.startswith("effective/")}
    assert pairs == [] and effective
    assert {r for v in effective.values() for r in v["refused"]} <= {"withstood", "wrong_when_clean"}
    assert sum(v["in"] for v in effective.values()) == funnel.as_json()["referee"]["kept"]
    mute, funnel = make_pairs(pair_source, range(2), PairSettings(), seed=0, defender=AlwaysLetter("J"))
    reasons = {r for k, v in funnel.as_json().items() if k.startswith("effective/") for r in v["refused"]}
    assert mute == [] and reasons == {"unreadable_answer"}


# The whole.


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of the photos."""
    out = tmp_path_factory.mktemp("whole") / "out"
    forge(photos, out, EASY, say=lambda _: None)
    return out


def digests(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and "work" not in p.parts and ".lock" not in str(p))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def test_a_dataset_that_others_open(photos: Path, whole: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    from aot.data.sources import load_scenes

    before = digests(whole)
    funnel = forge(photos, whole, EASY, say=lambda _: None)
    assert digests(whole) == before, "a second call changes nothing"
    for counts in funnel.values():
        assert counts["in"] == counts["kept"] + sum(counts["refused"].values())
    assert json.loads((whole / "funnel.json").read_text()) == funnel
    opened = load_dataset(str(whole), cache_dir=str(tmp_path / "cache"))
    assert set(opened) == {"train", "held_out"}
    rows = [row for split in opened.values() for row in split]
    assert len(rows) == funnel["variety"]["kept"] and len({row["id"] for row in rows}) == len(rows)
    assert not set(opened["train"]["source_id"]) & set(opened["held_out"]["source_id"])
    first = rows[0]
    assert first["clean"].size == first["attacked"].size and first["licence"] == "made by a test"
    for side in ("clean", "attacked"):
        scenes, refused = load_scenes(whole / f"{side}.tsv", fit=square(64))
        assert not refused and len(scenes) == len(rows)
        right = {(s.question.text, s.question.options[s.question.answer]) for s in scenes}
        assert right == {(r["question"], r["options"]["ABCDEFGHIJ".index(r["answer"])]) for r in rows}
    card = (whole / "README.md").read_text()
    assert f"| train | {len(opened['train'])} |" in card and "made by a test" in card
    sheet = (whole / "contact_sheet.html").read_text()
    assert sheet.count("<article>") == min(48, len(rows)) and "data:image/jpeg" in sheet
    assert sheet.count("clean: the photo extended</figcaption>") == sheet.count(">photo</figcaption>")
    assert "://" not in sheet and "Local SSIM" in sheet and "## Local SSIM" in card


def test_the_picture_of_local_ssim_is_the_same_whatever_is_worked_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (61, 40, 3), dtype=np.uint8)
    attacked = clean.copy()
    attacked[20:50, 5:30] //= 2
    whole = _ssim_picture(clean, attacked)
    assert whole.shape == clean.shape and whole[0, 0].min() == 255 and whole[35, 18].max() < 255
    for pixels in (1, 40 * 16, 40 * 55):
        monkeypatch.setattr("aot.forge.card.CHUNK_PX", pixels)
        np.testing.assert_array_equal(_ssim_picture(clean, attacked), whole)


def test_the_world_and_its_defender_go_through_the_same_pipeline(tmp_path: Path) -> None:
    from aot.players.base_players import player_folder

    defender = DefenderFolder(player_folder("miniature", "defender"), "miniature")
    settings = ForgeSettings(world=WorldSettings(scenes=30), chunk=20)
    valid = forge(None, tmp_path / "valid", settings, say=lambda _: None)
    effective = forge(None, tmp_path / "effective", settings, defender=defender, say=lambda _: None)
    assert valid["referee"] == effective["referee"]
    kinds = {name.partition("/")[2]: counts for name, counts in effective.items() if "/" in name}
    assert set(kinds) == {"relation", "side", "colour", "existence"}
    assert sum(counts["in"] for counts in kinds.values()) == valid["referee"]["kept"]
    kept = [r for p in (tmp_path / "effective/data").glob("*.parquet") for r in read_rows([p])]
    assert 0 < len(kept) == sum(counts["kept"] for counts in kinds.values()) < valid["referee"]["kept"]
    assert all(r["fooled"] >= settings.effect.least_wrong for r in kept)
    scene = draw_scenes(1, 0, "train", first=int(kept[0]["source_id"].split("-")[-1]))[0]
    np.testing.assert_array_equal(decoded(kept[0]["clean"]["bytes"]), scene.image)


def test_an_interrupted_call_goes_on(
    photos: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another folder: the same bytes."""
    real, calls = pipeline.make_pairs, []

    def failing(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(pipeline, "make_pairs", failing)
    with pytest.raises(KeyboardInterrupt):
        forge(photos, tmp_path / "cut", EASY, say=lambda _: None)
    forge(photos, tmp_path / "cut", EASY, say=lambda _: None)
    assert len(calls) == 1 + 1 + 2, "the finished chunk was not made again"
    assert digests(tmp_path / "cut") == digests(whole)


def test_bad_photos_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = folder_of_photos(tmp_path / "photos", 4)
    whole = (folder / "images/0.png").read_bytes()
    (folder / "images/0.png").write_bytes(whole[: len(whole) // 2])
    (folder / "images/1.png").unlink()
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"] += [
        {"id": 900, "image_id": 2, "category_id": 0, "bbox": [150, 10, 90, 10]},
        {"id": 901, "image_id": 2, "category_id": 0, "bbox": [10, 10, 0, 10]},
        {"id": 902, "image_id": 2, "category_id": 77, "bbox": [10, 10, 5, 10]},
    ]
    (folder / "instances.json").write_text(json.dumps(content))
    funnel = forge(folder, tmp_path / "out", EASY, say=lambda _: None)
    assert funnel["photos"] == {"in": 4, "kept": 2, "refused": {"missing_image": 1, "unreadable_image": 1}}
    assert funnel["boxes"]["refused"] == {"box_outside": 1, "empty_box": 1, "unknown_label_or_image": 1}
    refused = json.loads((tmp_path / "out/refused.json").read_text())
    assert len(refused) == 5 and all(set(r) == {"file", "row", "reason"} for r in refused)
    for file in (folder / "images").iterdir():
        file.write_bytes(b"")
    with pytest.raises(AotError, match="no usable photo"):
        forge(folder, tmp_path / "none", EASY, say=lambda _: None)


def test_held_out_scenes_hold_nothing_of_training_photos(store: PhotoStore) -> None:
    """Not by what is pasted, and not by what is beside."""
    made = PhotoPairSource(store, EASY.photos, RefereeSettings(), seed=0, held_out_share=0.5)
    assert set(made.splits) == set(SPLITS)
    side = {record.id: split for record, split in zip(store, made.splits, strict=True)}
    for split, bank in made.banks.items():
        assert {made.splits[cutout.photo] for cutout in bank.cutouts} == {split}
    beside = set()
    for number, photo in enumerate(map(store.load, range(len(store)))):
        for seed in range(5):
            extended = made.extenders[made.splits[number]].extend(photo, np.random.default_rng(seed))
            if isinstance(extended, Extension):
                beside |= {(side[photo.id], side[name]) for name in extended.beside}
                assert photo.id not in extended.beside
    assert beside and all(mine == theirs for mine, theirs in beside)


def test_rows_with_one_image_are_one_source(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [base64.b64encode(encoded(rng.integers(0, 256, (96, 96, 3), np.uint8), None)).decode() for _ in range(3)]
    cells = [pictures[0], "0", pictures[1], "2", pictures[2], pictures[0]]
    lines = [f"{i}\t{cell}\tWhich?\tx\ty\tA" for i, cell in enumerate(cells)]
    (tmp_path / "rows.tsv").write_text("\n".join(["index\timage\tquestion\tA\tB\tanswer", *lines]) + "\n")
    fill(tmp_path / "store", open_source(tmp_path / "rows.tsv", at_most(96)))
    records = list(PhotoStore(tmp_path / "store"))
    assert [r.source_id for r in records] == [f"rows-{i}" for i in (0, 0, 2, 2, 4, 0)]
    assert len({r.id for r in records}) == 6


def test_changed_data_make_another_dataset(tmp_path: Path) -> None:
    """In the same folder: nothing old is kept, nothing old is left to be read."""
    folder, out = folder_of_photos(tmp_path / "photos", 4), tmp_path / "out"
    settings = EASY.model_copy(update={"chunk": 1})
    forge(folder, out, settings, say=lambda _: None)
    before = {path.name for path in (out / "data").iterdir()}
    content = json.loads((folder / "instances.json").read_text())
    content["images"] = content["images"][:2]
    (folder / "instances.json").write_text(json.dumps(content))
    funnel = forge(folder, out, settings, say=lambda _: None)
    assert funnel["photos"]["kept"] == 2
    after = {path.name for path in (out / "data").iterdir()}
    assert len(after) < len(before) and after == {
        f"{split}-{n:05d}-of-{len(files):05d}.parquet"
        for split in SPLITS
        if (files := [name for name in after if name.startswith(split)])
        for n in range(len(files))
    }
    assert {row["source_id"] for path in (out / "data").iterdir() for row in read_rows([path])} <= {"0", "1"}
    one, two = tmp_path / "one", tmp_path / "two"
    for player, text in ((one, "a"), (two, "b")):
        player.mkdir()
        (player / "config.json").write_text(text)
    makers = [ChunkMaker(settings, None, DefenderFolder(player, "same name")) for player in (one, two)]
    assert makers[0].players != makers[1].players


def test_the_command_says_what_it_did(tmp_path: Path, aot: Callable[..., Any]) -> None:
    folder = folder_of_photos(tmp_path / "photos", 3)
    small = ["--set", "side_px=128", "--set", "photos.bank.least_side_px=8", "--set", "pairs.candidates=3"]
    (folder / "images/0.png").write_bytes(b"")
    done = aot("forge", "--data", "photos", "--out", "bad", *small)
    assert done.returncode == 3 and "refused rows of the data: 1" in done.stderr, done.stderr
    assert "photos: 2 of 3" in done.stdout and "contact sheet: bad/" in done.stdout
    assert (tmp_path / "bad/clean.tsv").is_file() and "0.png" in (tmp_path / "bad/refused.json").read_text()
    done = aot("forge", "--data", "nowhere", *small)
    assert done.returncode == 2 and "no such file" in done.stderr and "Traceback" not in done.stderr
    done = aot("forge", "--data", "photos", "--set", "chunck=3")
    assert done.returncode == 2 and "did you mean chunk?" in done.stderr


def test_real_photos(shared_data: Path, tmp_path: Path) -> None:
    small = ForgeSettings(side_px=256)
    funnel = forge(shared_data / "coco_photos", tmp_path / "out", small, say=lambda _: None)
    assert funnel["photos"] == {"in": 33, "kept": 33, "refused": {}}
    assert funnel["referee"]["kept"] >= 6 and 0 < funnel["variety"]["kept"] <= funnel["referee"]["kept"]
    assert funnel["distractor"]["refused"]["would_show"] >= 12


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a | b\n---\n# title", r"a \| b --- \# title"),
        ("--- \x1b[31mred", r"\--- \[31mred"),
        ("[click](http://x)", r"\[click\](http://x)"),
        ("`code`", "'code'"),
        ("no_object", "no_object"),
        (Markup('"```"'), '"\\\\u0060\\\\u0060\\\\u0060"'.replace("\\\\", "\\")),
        (3, 3),
    ],
)
def test_text_from_data_is_only_text_on_the_card(given: object, shown: object) -> None:
    assert _as_markdown(given) == shown


def test_the_world_is_not_grown_and_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(AotError, match="writes its own questions") as told:
        forge_command(None, tmp_path / "out", ForgeSettings(), author="miniature")
    assert told.value.where == "--grow" and not (tmp_path / "out").exists()
