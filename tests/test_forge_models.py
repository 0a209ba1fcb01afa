"""Models in the forge: one that writes questions for images without, one that proposes edits, one that makes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

from aot import prompts
from aot.backends.opening import model_at, open_backend
from aot.data.images.reading import at_most, square
from aot.data.sources import load_scenes, open_source
from aot.errors import AotError
from aot.forge import pipeline
from aot.forge.funnel import Funnel
from aot.forge.grow import Author
from aot.forge.models import DefenderFolder, DefenderUrl
from aot.forge.pairs import EffectSettings, PairSettings, make_pairs
from aot.forge.photo_edits.bank import BankSettings
from aot.forge.photo_edits.implant import Editor
from aot.forge.photo_edits.model_proposals import Idea, ideas_in, label_of, realised, side_of, write_ideas
from aot.forge.photo_edits.place import Origin, PlaceSettings, Site
from aot.forge.photo_edits.propose import ProposalContext, ProposeSettings
from aot.forge.photo_source import PhotoPairSource, PhotoScene, PhotoSettings
from aot.forge.pipeline import ForgeSettings, forge
from aot.forge.store import PhotoStore, fill
from aot.forge.world import WorldSettings
from aot.game.referee import RefereeSettings
from aot.players.base_players import player_folder
from aot.prompts import attack_instruction, edit_instruction
from aot.runs.files import digests_of
from aot.types import Answer, Box
from aot.world.scenes import draw_scenes
from fault_server import FaultServer, backed_by
from test_forge import folder_of_photos

SMALL = BankSettings(least_side_px=8)
QUESTIONS = """Question: What colour is the wall?
A. grey
B. blue
Answer: A

Question: Is it day?
A. yes
B. no
Answer: A

Question: broken
"""


class Scribe:
    """Writes the same text about every image."""

    name = "scribe"

    def __init__(self, text: str):
        self.text, self.asked = text, []

    def write(self, images, prompts, *, k=1, temperature=0.0, seed=0):
        self.asked += prompts
        return [(self.text,)] * len(images)


class Reader:
    """Says grey; of anything else whatever comes first."""

    name = "reader"

    def answer(self, images, questions, *, k=1, temperature=0.0, seed=0):
        return [(Answer("", q.options.index("grey") if "grey" in q.options else 0),) for q in questions]


def plain_folder(folder: Path, n: int = 3) -> Path:
    """Images of which nothing is said, one of them below, and a file that is none."""
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(n):
        small = rng.integers(60, 200, (6, 8, 3), dtype=np.uint8)
        PilImage.fromarray(small).resize((96, 72)).save(folder / ("more" if i == 1 else ".") / f"{i}.png")
    (folder / "notes.txt").write_text("not an image")
    return folder


def pair_source_of(folder: Path, store: Path, settings: PhotoSettings, author: Author | None = None) -> PhotoPairSource:
    fill(store, open_source(folder, at_most(128)))
    return PhotoPairSource(PhotoStore(store), settings, RefereeSettings(), seed=0, author=author)


def law(funnel: dict[str, dict[str, object]]) -> None:
    for counts in funnel.values():
        assert counts["in"] == counts["kept"] + sum(counts["refused"].values())


# Questions for images without.


def test_a_plain_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path / "photos")
    (folder / "9.jpg").write_bytes(b"broken")
    items = list(open_source(folder, at_most(64)).items)
    assert [getattr(item, "id", None) for item in items] == ["0.png", "2.png", None, "more/1.png"]
    assert items[0].image.shape == (48, 64, 3) and not items[0].complete and items[2].word == "unreadable_image"
    (tmp_path / "none").mkdir()
    with pytest.raises(AotError, match=r"instances\.json"):
        open_source(tmp_path / "none", at_most(64))


def test_questions_grow_and_are_scenes_and_rows(tmp_path: Path) -> None:
    """With objects of other images to put in: pairs of grown questions, under the global rule, answers unmeasured."""
    folder = folder_of_photos(tmp_path / "photos", 3)
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"] = [note for note in content["annotations"] if note["image_id"] != 0]
    (folder / "instances.json").write_text(json.dumps(content))
    author = Author(Scribe(QUESTIONS), Reader())
    made = pair_source_of(folder, tmp_path / "store", PhotoSettings(bank=SMALL, extensions=0), author)
    funnel = Funnel()
    scenes = made.scenes(0, funnel)
    assert [s.question.text for s in scenes] == ["What colour is the wall?"] and scenes[0].protected == ()
    assert funnel.as_json()["grow"] == {"in": 3, "kept": 1, "refused": {"disagreed": 1, "malformed": 1}}
    (row,) = made.grown
    assert row["image"] == "images/0000000.png" and row["options"][0] == "grey" and row["answer"] == "A"
    before = len(author.writer.asked)
    assert made.scenes(1, Funnel()) and len(author.writer.asked) == before, "images with boxes are not grown"
    pairs, counts = make_pairs(made, [0], PairSettings(), seed=0)
    law(counts.as_json())
    assert all(np.isnan(p.episode.verdict.measured("answer_kept")) for p in pairs)
    assert set(counts.as_json()["distractor"]["refused"]) <= {"nothing_to_remove", "nothing_to_resize", "no_kin"}


def test_a_folder_of_images_gives_questions_that_other_commands_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = plain_folder(tmp_path / "photos"), []
    monkeypatch.setattr(DefenderFolder, "load", lambda self: Reader())
    monkeypatch.setattr(pipeline, "QwenWriter", lambda model: Scribe(QUESTIONS))
    model = tmp_path / "model"
    model.mkdir()
    settings = ForgeSettings(side_px=64, chunk=2)
    funnel = forge(folder, tmp_path / "out", settings, author=DefenderFolder(model, "scribe"), say=said.append)
    law(funnel)
    assert funnel["grow"]["kept"] == 3 and funnel["question"]["kept"] == 3
    assert set(funnel["distractor"]["refused"]) == {"no_object", "nothing_to_remove"}
    assert "`grown.jsonl` holds 3 questions" in (tmp_path / "out/README.md").read_text()
    text = (tmp_path / "out/grown.jsonl").read_text()
    scenes, refused = load_scenes(tmp_path / "out/grown.jsonl", fit=square(64))
    assert not refused and [s.question.text for s in scenes] == ["What colour is the wall?"] * 3
    assert all(s.question.options[s.question.answer] == "grey" for s in scenes) and "more/1.png-0" in text
    forge(folder, tmp_path / "again", settings, author=DefenderFolder(model, "scribe"), say=said.append)
    assert (tmp_path / "again/grown.jsonl").read_text() == text
    again = forge(tmp_path / "out/grown.jsonl", tmp_path / "more", settings, say=said.append)
    assert again["photos"]["kept"] == again["question"]["kept"] == 3


def test_the_command_with_the_miniature_says_what_it_did(tmp_path: Path, aot: Callable[..., Any]) -> None:
    """It was never taught to write questions: nothing it writes is one."""
    plain_folder(tmp_path / "photos", 1)
    grow = str(player_folder("miniature", "defender"))
    done = aot("forge", "--data", "photos", "--out", "out", "--grow", grow, "--set", "side_px=64")
    assert done.returncode == 0, done.stderr
    funnel = json.loads((tmp_path / "out/funnel.json").read_text())
    law(funnel)
    kept = funnel["grow"]["kept"]
    assert funnel["grow"]["in"] >= 1 and f"grown questions: {kept}, in out/grown.jsonl" in done.stdout
    assert len((tmp_path / "out/grown.jsonl").read_text().splitlines()) == kept
    assert "no pair was made" in done.stderr


# Edits that a model thinks of.

LINES = """add: a red cup, on the left
Add: Bowl, at the top
replace: dog, the car
remove: the bus, on the right.
I would add a cup.
add: cup
- add: cup, on the left
add: a red cup, on the left

swap: cup, bowl
"""


def test_lines_are_taken_as_meant_or_not_at_all() -> None:
    found = ideas_in(LINES)
    assert [idea for idea in found if isinstance(idea, Idea)] == [
        Idea("add", "red cup", "on the left"),
        Idea("add", "bowl", "at the top"),
        Idea("replace", "dog", "car"),
        Idea("remove", "bus", "on the right"),
        Idea("add", "red cup", "on the left"),
    ]
    assert found.count("unreadable_line") == 4 and len(found) == 9 and ideas_in("\n") == []
    assert [idea.sentence for idea in found[:4]] == [
        "Add a red cup, on the left.",
        "Add a bowl, at the top.",
        "Replace the car with a dog.",
        "Remove the bus, on the right.",
    ]
    assert label_of("a red cup", ["cup", "teddy bear", ""]) == "cup" and label_of("cupcake", ["cup"]) is None
    assert label_of("old teddy bear", ["bear", "teddy bear"]) == "teddy bear"
    assert side_of("near the top") == ("upper", "in the upper half") and side_of("behind it") == ("", "")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[PhotoPairSource, Scribe]:
    """A pair_source whose edits a scribe thinks of."""
    folder, scribe = tmp_path_factory.mktemp("told"), Scribe(LINES)
    settings = PhotoSettings(bank=SMALL, extensions=0, propose=ProposeSettings(by="model"))
    photos = folder_of_photos(folder / "photos", 6)
    return pair_source_of(photos, folder / "store", settings, Author(scribe, Reader())), scribe


def test_the_model_is_shown_the_question_and_its_lines_are_counted(told: tuple[PhotoPairSource, Scribe]) -> None:
    made, scribe = told
    funnel = Funnel()
    scenes = made.scenes(1, funnel)
    for scene, asked in zip(scenes, scribe.asked[-len(scenes) :], strict=True):
        assert scene.question.text in asked and scene.question.options[scene.question.answer] in asked
        assert all(box.label in asked for box in scene.protected)
    counts = funnel.as_json()["idea"]
    refused = {"unreadable_line": 4 * len(scenes), "written_before": len(scenes)}
    assert counts == {"in": 9 * len(scenes), "kept": 4 * len(scenes), "refused": refused}
    silent = Funnel()
    assert write_ideas(scenes[0], Scribe(" \n"), ProposeSettings(), silent, seed=0) == ()
    assert silent.as_json()["idea"]["refused"] == {"nothing_written": 1}


def test_ideas_become_edits_beside_the_question(told: tuple[PhotoPairSource, Scribe]) -> None:
    made, _ = told
    pairs, funnel = make_pairs(made, range(len(made)), PairSettings(), seed=0)
    law(funnel.as_json())
    assert pairs and {p.episode.attack.kind for p in pairs} <= {"add", "replace", "remove"}
    for pair in pairs:
        words = pair.episode.attack.instruction
        assert not words.startswith("Add") or ("cup on the left" in words or "bowl in the upper half" in words)
    beside = Path(made.store.folder).parent
    mute = pair_source_of(beside / "photos", beside / "two", made.settings)
    scene = mute.scenes(0, Funnel())[0]
    assert mute.distract(scene, np.random.default_rng(0)) == "no_idea"


def test_what_is_not_to_be_had_is_refused_with_a_reason(told: tuple[PhotoPairSource, Scribe]) -> None:
    made, _ = told
    scene = next(s for n in range(6) for s in made.scenes(n, Funnel()) if s.question.kind != "count")
    assert isinstance(scene, PhotoScene)
    bank, s, rng = made.banks["train"], ProposeSettings(), np.random.default_rng(0)

    def tried(idea: Idea, **options: object) -> object:
        context = ProposalContext(scene.site, scene.queried, bank, lambda _: Origin(0.2, 0.5), s)
        return realised(idea, context, rng, **options)

    assert tried(Idea("add", "spaceship", "on the left")) == "not_in_bank"
    assert tried(Idea("remove", "spaceship", "here")) == "no_such_thing"
    asked = scene.protected[0].label if scene.protected else ""
    if asked:
        assert tried(Idea("remove", asked, "here")) == "not_removable"
    dark = realised(Idea("add", "dog", "x"), ProposalContext(scene.site, (), bank, lambda _: None, s), rng)
    assert dark == "other_light"
    painted = tried(Idea("add", "red spaceship", "on the left"), painted=made.store.labels)
    if not isinstance(painted, str):  # a generator paints what no cut-out is there for; what it is, nobody can check
        assert painted.place.label == "red spaceship" and not painted.known
        assert (painted.place.x0 + painted.place.x1) / 2 <= scene.image.shape[1] / 2
        assert not any(painted.place.overlap_px(box) for box in scene.protected)


def test_nobody_there_to_propose(tmp_path: Path) -> None:
    settings = ForgeSettings(photos=PhotoSettings(propose=ProposeSettings(by="model")))
    with pytest.raises(AotError, match="--grow"):
        forge(plain_folder(tmp_path / "photos"), tmp_path / "out", settings, say=lambda _: None)


def test_the_text_changes_with_its_version() -> None:
    digest = hashlib.sha256(prompts.PROPOSALS_WANTED.encode()).hexdigest()[:8]
    assert (prompts.FORGE_PROMPTS, digest) == (1, "157278ac"), "new texts need a new FORGE_PROMPTS"


# Edits that an attacker makes.


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.load(player_folder("miniature", "attacker"))


def test_the_attacker_edits_as_it_does_when_it_plays(editor: Editor) -> None:
    scene = draw_scenes(1, 3)[0]
    (attack,) = editor.attacker.attack([scene], seed=5, kind="add")
    edited = editor.edit(scene.image, attack_instruction(scene, "add"), seed=5)
    np.testing.assert_array_equal(edited, attack.image)
    np.testing.assert_array_equal(edited, editor.edit(scene.image, attack_instruction(scene, "add"), seed=5))
    assert (edited != editor.edit(scene.image, attack_instruction(scene, "add"), seed=6)).any()


@pytest.mark.parametrize("size", [(50, 70), (96, 33)])
def test_any_size_comes_back_as_it_went_in(editor: Editor, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert editor.edit(image, "Add a cup.", seed=0).shape == image.shape


def test_an_attacker_implants(tmp_path: Path) -> None:
    settings = PhotoSettings(bank=SMALL, extensions=0, implanter="attacker", attacker_folder="miniature")
    made = pair_source_of(folder_of_photos(tmp_path / "photos", 2), tmp_path / "store", settings)
    scene = made.scenes(0, Funnel())[0]
    attack = made.distract(scene, np.random.default_rng(0))
    assert attack.objects is None and attack.attacker == "forge/attacker" and attack.image.shape == scene.image.shape
    assert attack.instruction == attack_instruction(scene, attack.kind)
    (verdict,) = made.referee.judge([scene], [attack])
    assert np.isnan(verdict.measured("answer_kept")), "what it changed is not known, and no judge is there"
    idea = Idea("add", "cup", "behind the dog")
    by_model = made.settings.model_copy(update={"propose": ProposeSettings(by="model")})
    made.settings = by_model
    told = made.distract(replace(scene, ideas=(idea,)), np.random.default_rng(0))
    assert told.kind == "add" and told.instruction == edit_instruction(scene, "Add a cup, behind the dog.")
    _, funnel = make_pairs(made, [0], PairSettings(candidates=1), seed=0)
    law(funnel.as_json())


def test_a_missing_attacker_is_named(tmp_path: Path) -> None:
    settings = PhotoSettings(implanter="attacker", attacker_folder=str(tmp_path))
    with pytest.raises(AotError, match=r"photos\.attacker_folder"):
        pair_source_of(folder_of_photos(tmp_path / "photos", 1), tmp_path / "store", settings)


# Where things can be.


def test_nothing_is_put_where_nothing_is_known_to_stand() -> None:
    from aot.data.photos.photo import Thing
    from aot.data.photos.questions import Contents
    from aot.forge.photo_edits.place import somewhere

    image = np.full((200, 300, 3), 120, np.uint8)
    rng, s = np.random.default_rng(0), PlaceSettings()

    def site(*boxes: Box) -> Site:
        return Site(image, tuple(Thing(b) for b in boxes), Contents(boxes, (300, 200)), ())

    dog, cut_off = Box(100, 100, 130, 150, "dog"), Box(100, 150, 130, 200, "dog")
    assert somewhere("cat", (200, 200), site(), s, rng) is None
    assert somewhere("cat", (200, 200), site(cut_off), s, rng) is None, "where its foot is nobody sees"
    assert somewhere("cup", (200, 200), site(dog), s, rng) is None, "a cup stands on no ground"
    assert somewhere("train", (200, 200), site(dog), s, rng) is None
    near, far = Box(40, 60, 90, 190, "person"), Box(240, 50, 252, 80, "person")
    for _ in range(50):
        place = somewhere("person", (200, 520), site(near, far), s, rng)
        if place is None:
            continue
        share = (place.y1 - 80) / (190 - 80)
        assert -0.3 <= share <= 1.3
        expected = 30 + (130 - 30) * share
        assert abs(place.y1 - place.y0 - expected) < 0.2 * expected + 12, "as large as people are there"


def test_a_defender_behind_a_url_filters_as_the_same_one_on_disk(tmp_path: Path) -> None:
    settings = ForgeSettings(
        world=WorldSettings(scenes=16),
        pairs=PairSettings(candidates=2),
        effect=EffectSettings(answers=1, temperature=0, least_wrong=1),
    )
    folder = DefenderFolder(player_folder("miniature", "defender"), "mini")
    with FaultServer(backed_by(open_backend("miniature")), models=("mini",)) as server:
        url = DefenderUrl(server.url, model_at(server.url, None))
        funnels = [
            forge(None, tmp_path / name, settings, defender=defender, say=lambda _: None)
            for name, defender in (("folder", folder), ("url", url))
        ]
    assert funnels[0] == funnels[1]
    assert sum(counts["kept"] for stage, counts in funnels[0].items() if stage.startswith("effective/")) > 0
    files = [digests_of(tmp_path / name / "data") for name in ("folder", "url")]
    assert files[0] == files[1]
