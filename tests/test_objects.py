"""The source of objects for attacks on own photos: scenes of any size, in runs, in the arena and in audits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from aot.attacks.base.family import FamilyAttacker, NoAttack, draw
from aot.attacks.families import families
from aot.attacks.judging.referees import possible, possible_line, referees
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.scenes.game import Game, open_game
from aot.coevolve.scenes.possible import FILE, possible_attacks
from aot.coevolve.scenes.scripted import ScriptedAttackSettings
from aot.data.photos.photo import AnnotatedScene
from aot.data.photos.questions import Contents, answer
from aot.forge.objects import FOR_ATTACKS, ObjectSource, at_least
from aot.forge.photo_edits.free_place import place_anywhere
from aot.forge.photo_edits.place import Origin, PlaceSettings
from aot.game.referee import RefereeSettings
from aot.types import Scene

LABELS = ("car", "bus", "dog", "horse", "cow", "cat")
NAMES = ("distractor", "look_alike", "removal", "scale")


def write_photos(folder: Path, number: int) -> Path:
    """COCO photos, 320 x 240, each with three ellipses on a calm ground, and their outlines."""
    (folder / "images").mkdir(parents=True)
    images, notes = [], []
    y, x = np.mgrid[:240, :320]
    for n in range(number):
        rng = np.random.default_rng(n)
        image = np.full((240, 320, 3), 120.0) + rng.normal(0, 2, (240, 320, 3))
        for place, middle in enumerate((60, 160, 260)):
            kind = (n + 2 * place + place * n) % len(LABELS)
            wide, high, foot = 50, 44, int(rng.integers(150, 190))
            inside = ((x + 0.5 - middle) / wide * 2) ** 2 + ((y + 0.5 - foot + high / 2) / high * 2) ** 2 <= 1
            image[inside] = rng.integers(40, 220, 3)
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            outline = np.stack([middle + wide / 2 * np.cos(turn), foot - high / 2 + high / 2 * np.sin(turn)], 1)
            box = [middle - wide // 2, foot - high, wide, high]
            entry = {"id": len(notes), "image_id": n, "category_id": kind, "bbox": box, "iscrowd": 0}
            notes.append(entry | {"segmentation": [outline.ravel().tolist()]})
        PilImage.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"images/{n}.png")
        images.append({"id": n, "file_name": f"{n}.png", "width": 320, "height": 240})
    labels = [{"id": n, "name": label} for n, label in enumerate(LABELS)]
    known = {"images": images, "annotations": notes, "categories": labels}
    (folder / "instances.json").write_text(json.dumps(known))
    return folder


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Game:
    folder = tmp_path_factory.mktemp("own")
    data = write_photos(folder / "data", 8)
    settings = smoke().game.model_copy(update={"train_scenes": 24})
    return open_game(settings, RefereeSettings(), seed=0, data=data, photos=folder / "photos")


def objects_of(game: Game) -> ObjectSource:
    assert game.objects is not None
    return game.objects


def scenes_of(game: Game) -> Sequence[Scene]:
    return [*game.train_scenes(0)[::3], *game.held_out[::3]]


def test_scenes_of_a_run_know_their_stored_photos(game: Game) -> None:
    for scene in scenes_of(game):
        assert isinstance(scene, AnnotatedScene) and scene.contents and scene.image.shape == (64, 64, 3)
        photo = objects_of(game).photo_of(scene)
        assert photo is not None and photo.contents is not None and photo.image.shape == (240, 320, 3)
        assert photo.question == scene.question and len(photo.protected) == len(scene.protected)
        assert [b.label for b in photo.objects] == [b.label for b in scene.objects]
        if scene.query:
            assert answer(scene.query, photo.contents) == answer(scene.query, scene.contents)
        assert objects_of(game).photo_of(photo) is photo
    assert objects_of(game).photo_of(replace(scene, photo="another")) is None


def test_objects_come_and_go_in_scenes_of_a_run(game: Game) -> None:
    rules, seen = referees(RefereeSettings(), photos=True), 0
    for family in families(NAMES, objects=objects_of(game)):
        for scene in scenes_of(game):
            made = draw(family, scene, 0, 0)
            if isinstance(made, str):
                continue
            assert isinstance(scene, AnnotatedScene) and scene.contents and made.image.shape == scene.image.shape
            assert made.objects is not None and all(b in scene.contents.boxes or b for b in made.objects)
            (verdict,) = rules[family.rule].judge([scene], [made])
            for box in scene.protected if verdict.valid else ():
                inner = np.s_[box.y0 + 1 : box.y1 - 1, box.x0 + 1 : box.x1 - 1]
                assert np.abs(made.image[inner].astype(int) - scene.image[inner]).max(initial=0) <= 2
            changed = (made.image != scene.image).any(-1).mean()
            assert 0 < changed < 0.5, "the rest of the scene has its own pixels"
            after = Contents(made.objects, scene.contents.size, scene.contents.doubtful, scene.contents.complete)
            if verdict.valid and scene.query and scene.query.kind != "existence":
                assert answer(scene.query, after) == answer(scene.query, scene.contents)
            seen += verdict.valid
    assert seen > 10


def test_what_is_put_into_held_out_photos_was_in_no_training_photo(game: Game) -> None:
    source = objects_of(game).pair_source
    photos = {"train": [s.image.tobytes() for s in game.train_scenes(0)]}
    photos["held_out"] = [s.image.tobytes() for s in game.held_out]
    scenes = [*game.train_scenes(0), *game.held_out]
    by_id = {s.photo: s.image.tobytes() for s in scenes if isinstance(s, AnnotatedScene)}
    for side, bank in source.banks.items():
        assert bank.cutouts and all(by_id[source.store.record(c.photo).id] in photos[side] for c in bank.cutouts)


def test_an_impossible_attack_is_refused_for_its_reason_and_counted(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aot.coevolve.scenes.possible.MOST", 8)
    (family,) = families(["look_alike"], objects=objects_of(game))
    rules, scenes = referees(RefereeSettings(), photos=True), scenes_of(game)
    attacks = FamilyAttacker(family).attack(scenes, seed=0)
    verdicts = rules[family.rule].judge(scenes, attacks)
    for attack, verdict in zip(attacks, verdicts, strict=True):
        if isinstance(attack, NoAttack):
            assert attack.reason and verdict.refused_by == (attack.reason,)
    reasons = possible(family, scenes, rules)
    assert sum(reasons.values()) == len(scenes) and reasons[""] > 0
    assert possible_line("x", {"": 1, "no_place": 2}) == "x: 1 of 3 questions (no_place 2)"
    recipe = smoke().changed(scripted_attacks={"families": list(NAMES)})
    scripted, referee = recipe.scripted_attacks, recipe.referee
    lines = possible_attacks(scripted, referee, game, tmp_path)
    assert len(lines) == 1 + 2 * len(NAMES) and lines == possible_attacks(scripted, referee, game, tmp_path)
    assert set(json.loads((tmp_path / FILE).read_text())["counts"]) == {"training", "held-out"}
    assert possible_attacks(ScriptedAttackSettings(families=("texture",)), referee, game, tmp_path) == []


def test_few_draws_are_remembered_whatever_the_seed(game: Game) -> None:
    (family,) = families(["distractor"], objects=objects_of(game))
    scene, attacker = scenes_of(game)[0], FamilyAttacker(family, most=3)
    made = [attacker.attack([scene] * 4, seed=seed) for seed in range(5)]
    assert len({attack.image.tobytes() for some in made for attack in some}) <= 3
    again = FamilyAttacker(family, most=3).attack([scene] * 4, seed=4)
    assert [a.image.tobytes() for a in again] == [a.image.tobytes() for a in made[4]]


def test_photos_are_stored_once_and_no_smaller_than_scenes(game: Game, tmp_path: Path) -> None:
    assert at_least(lambda size: (64, 64))((1000, 500)) == (512, 256)
    assert at_least(lambda size: size)((1000, 500)) == (1000, 500)
    assert at_least(lambda size: (640, 640))((1000, 500)) == (1000, 500), "never enlarged"
    data = write_photos(tmp_path / "data", 4)
    for _ in range(2):
        again = open_game(smoke().game, RefereeSettings(), seed=0, data=data, photos=tmp_path / "photos")
        assert again.objects is not None and len(list((tmp_path / "photos").iterdir())) == 1
    assert again.objects.pair_source.settings is FOR_ATTACKS


def test_what_a_border_cut_off_is_put_at_that_border(game: Game) -> None:
    scene = objects_of(game).photo_of(scenes_of(game)[0])
    assert scene is not None
    for side in ("left", "right", "lower", "upper"):
        how, size = {"origin": Origin(0.2, 0.4), "cut_off": (side,)}, (60, 50)
        draws = [np.random.default_rng(n) for n in range(4)]
        places = [place_anywhere("cat", size, scene.site, PlaceSettings(), rng, **how) for rng in draws]  # type: ignore[arg-type]
        ends = {"left": lambda b: b.x0 == 0, "right": lambda b: b.x1 == 320, "upper": lambda b: b.y0 == 0}
        found = [box for box in places if box]
        assert found and all(ends.get(side, lambda b: b.y1 == 240)(box) for box in found), side
