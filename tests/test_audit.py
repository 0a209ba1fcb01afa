"""The audit: laws that hold for models whose robustness is known, the plan, the panel, and the metrics by hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aot.attacks.base.family import answer_is_guarded, draw
from aot.attacks.families import FAMILIES
from aot.attacks.judging.checks import NotNamed
from aot.attacks.strengths import Strengths
from aot.audit.charts import spread
from aot.audit.command import audit_settings
from aot.audit.metrics import Member, Outcome, Tally
from aot.audit.page import build_page, caveats, headline
from aot.audit.panel import build_panel, group_of
from aot.audit.plan import AuditSettings, plan_of, turns
from aot.audit.run import OUTCOMES, RESULT, Audit, run_audit
from aot.audit.shares import change
from aot.audit.showcase import cards, chosen
from aot.audit.subjects import Subjects, fingerprint, open_subjects
from aot.audit.trained import TrainedAttacker
from aot.backends.base.backend import Ask, Reply, Sampling
from aot.backends.base.scripted import ScriptedBackend
from aot.errors import AotError
from aot.forge.photo_source import PhotoSettings
from aot.game.referee import RefereeSettings, box_ssim
from aot.miniature.scripted import RandomDistractor
from aot.prompts import gold_answer
from aot.scores.intervals import mcnemar, paired_difference, wilson
from aot.types import LETTERS, Attack, Box, Question, Scene
from aot.world.scenes import draw_scenes

N = 8
ATTACKS = ("distractor", "removal", "occlusion", "noise", "blur", "jpeg", "brightness")
SETTINGS = AuditSettings(draws=2, world_scenes=N, gallery=8)
WORLD = Subjects(world=N)
PANEL = build_panel(ATTACKS, SETTINGS.strengths, None)
EDITS = [attack for attack in PANEL if group_of(attack) == "edit"]


def where(ask: Ask) -> tuple[int, str]:
    """(scene, attack) of a request."""
    number, attack, _ = ask.id.split("/")
    return int(number), attack


def gold(ask: Ask, wrong: bool = False) -> str:
    question = WORLD[where(ask)[0]].question
    return gold_answer(question, (question.answer + wrong) % len(question.options))


MODELS: dict[str, Callable[[Ask], str | Reply]] = {
    "always right": gold,
    "wrong where the image differs": lambda ask: gold(ask, wrong=bool(where(ask)[1])),
    "always A": lambda ask: "\\boxed{A}",
    "never readable": lambda ask: "I would rather not say.",
    "always wrong": lambda ask: gold(ask, wrong=True),
}


def audited(model: str | Callable[[Ask], str | Reply], out: Path, **settings: Any) -> tuple[dict[str, Any], Audit]:
    backend = ScriptedBackend(MODELS[model] if isinstance(model, str) else model)
    budget = settings.pop("budget", None)
    return run_audit(
        backend, WORLD, PANEL, SETTINGS.model_copy(update=settings), out, budget=budget, say=lambda _: None
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Audit, Path]:
    """The metrics, the audit and the folder of one that fails on every change."""
    out = tmp_path_factory.mktemp("whole")
    return (*audited("wrong where the image differs", out), out)


# Laws ------------------------------------------------------------------------------------------------------


def test_attacks_drawn_together_are_those_drawn_one_by_one() -> None:
    audit = Audit(WORLD, build_panel(FAMILIES, SETTINGS.strengths, None), SETTINGS)
    plan = list(turns(N, audit.panel, 2, None))
    every = audit.drawing.block(iter(plan), None)
    assert [(t.number, t.attack, t.nth) for t in every] == plan
    for turn in every:
        if turn.attack is None:
            assert turn.made == ""
            continue
        (alone,) = audit.drawing.attempts(turn.attack, [(WORLD[turn.number], turn.nth)])
        if isinstance(alone, str):
            assert turn.made == alone
            continue
        together, verdict = turn.made
        assert np.array_equal(together.image, alone[0].image)
        for found, expected in zip(verdict.findings, alone[1].findings, strict=True):
            # What reads a picture of the world back leaves a rest of nearly nothing, a rounding of the batch's.
            rounding = 0.1 if found.check == "answer_preserved" else 0
            assert (found.check, found.passed, found.reason) == (expected.check, expected.passed, expected.reason)
            assert found.measured == pytest.approx(expected.measured, rel=0, abs=rounding, nan_ok=True)
    assert len(audit.drawing.block(iter(plan), 3)) == 3 and audit.drawing.block(iter([]), None) == []


def test_a_model_that_is_always_right_is_never_deceived(tmp_path: Path) -> None:
    result, _ = audited("always right", tmp_path)
    assert result["clean"]["accuracy"]["value"] == 1
    for attack in result["attacks"].values():
        assert attack["attacked_accuracy"]["value"] == 1 == attack["worst_draw_accuracy"]["value"]
        assert attack["success"]["value"] == 0 and attack["difference"]["p"] == 1
    assert all(worst["accuracy"]["value"] == 1 for worst in result["worst_case"].values())
    assert not any("guessing" in caveat for caveat in caveats(result))
    assert result["fragile"] == [] and "turned none of the 8 answers" in headline(result)


def test_a_model_that_fails_on_every_change_is_deceived_wherever_there_is_a_fair_attack(
    uninterrupted: tuple[dict[str, Any], Audit, Path],
) -> None:
    result, audit, _ = uninterrupted
    assert result["clean"]["accuracy"]["value"] == 1
    for name, attack in result["attacks"].items():
        fair = {o.scene for o in audit.outcomes.values() if o.attack == name and o.state == "asked"}
        reached = attack["success_where_fair"]
        assert reached["value"] == 1 and reached["hits"] == reached["n"] == len(fair)
        assert attack["success"]["hits"] == len(fair) and attack["success"]["n"] == N
        assert attack["attacked_accuracy"]["value"] == 0 and attack["difference"]["value"] == -1
    assert result["worst_case"]["all"]["accuracy"]["value"] == 0
    assert len(result["fragile"]) > 0 and "deceive scripted on 100.0 %" in headline(result)


def test_always_the_same_letter_scores_chance_and_cannot_be_deceived(tmp_path: Path) -> None:
    result, _ = audited("always A", tmp_path)
    first = sum(WORLD[i].question.answer == 0 for i in range(N))
    assert result["clean"]["accuracy"]["hits"] == first < N
    assert any("cannot be told from guessing" in caveat for caveat in caveats(result))
    assert all(attack["success"]["hits"] == 0 for attack in result["attacks"].values())
    assert all(attack["success"]["n"] == first for attack in result["attacks"].values())


def test_what_was_wrong_when_clean_is_no_success(tmp_path: Path) -> None:
    result, _ = audited("always wrong", tmp_path)
    assert result["clean"]["accuracy"]["value"] == 0
    result["clean"]["accuracy"]["ci"] = [0, result["clean"]["chance"] - 0.01]
    assert any("is below that of guessing" in caveat for caveat in caveats(result))
    assert not any("cannot be told from guessing" in caveat for caveat in caveats(result))
    assert all(attack["success"]["n"] == 0 for attack in result["attacks"].values())
    assert "Nothing can be said" in headline(result)


@pytest.mark.parametrize("status", ["unparsed", "truncated", "refused", "error"])
def test_an_answer_that_cannot_be_read_is_counted_and_never_wrong(tmp_path: Path, status: Any) -> None:
    silent = "never readable" if status == "unparsed" else lambda ask: Reply(gold(ask, wrong=True), status)
    result, audit = audited(silent, tmp_path, draws=1)
    assert result["clean"]["statuses"] == {status: N} and result["clean"]["accuracy"]["value"] is None
    for attack in result["attacks"].values():
        assert attack["statuses"] == {status: attack["fair"]} and attack["fair"] > 0
        assert attack["attacked_accuracy"]["n"] == attack["success"]["n"] == attack["success"]["hits"] == 0
    page = build_page(result, cards(audit, "scripted"), tmp_path).read_text(encoding="utf-8")
    assert "no answer to a clean image could be read" in page


def test_a_status_under_attack_is_no_success(tmp_path: Path) -> None:
    """Right when clean, then silent: the same accuracy on what was answered, and nobody was deceived."""
    result, _ = audited(lambda ask: Reply("", "error", "500") if where(ask)[1] else gold(ask), tmp_path)
    assert result["clean"]["accuracy"]["value"] == 1
    for attack in result["attacks"].values():
        assert attack["success"]["hits"] == 0 and attack["success"]["n"] == N
        assert attack["success_where_fair"]["n"] == 0 and attack["attacked_accuracy"]["value"] is None


# Plan, budget, resume ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 8, 40, 10_000])
def test_the_budget_is_kept_to_the_question(tmp_path: Path, budget: int) -> None:
    backend = ScriptedBackend(gold)
    full, _ = audited("always right", tmp_path / "full")
    run_audit(backend, WORLD, PANEL, SETTINGS, tmp_path / "cut", budget=budget, say=lambda _: None)
    assert len(backend.asked) == min(budget, full["costs"]["questions"])
    asked = Counter(where(ask)[1] for ask in backend.asked)
    scenes = {where(ask)[0] for ask in backend.asked}
    assert asked[""] == len(scenes)  # the clean question of every scene that is attacked, once


def test_a_budget_pays_every_attack_on_fewer_scenes() -> None:
    planned = list(turns(100, PANEL, 4, budget=40))[:40]
    by_attack = Counter(attack.name if attack else "clean" for _, attack, _ in planned)
    assert by_attack == dict.fromkeys(("clean", *ATTACKS), 5)
    assert [turn[1] for turn in planned[:5]] == [None] * 5


@given(st.integers(0, 7), st.integers(1, 3), st.one_of(st.none(), st.integers(1, 80)))
def test_the_plan_has_every_turn_once_and_clean_ones_first(questions: int, draws: int, budget: int | None) -> None:
    every = turns(questions, PANEL, draws, budget)
    planned = [(scene, attack.name if attack else "", nth) for scene, attack, nth in every]
    assert len(planned) == len(set(planned)) == questions * (1 + len(PANEL) * draws)
    seen: set[int] = set()
    for scene, attack, _ in planned:
        assert attack == "" or scene in seen
        seen.add(scene)


def test_the_plan_says_what_it_costs() -> None:
    told = "\n".join(plan_of(3, 10, PANEL, 2, 100, stored=40, seconds_each=0.5).lines())
    assert "3 images, 10 questions, 7 attacks x 2 draws" in told
    assert "at most 100 requests (--budget; all would be 150), 40 replies stored already" in told and "30 s" in told


def files(out: Path) -> dict[str, Any]:
    result = json.loads((out / RESULT).read_text())
    result.pop("call")
    return {"result": result, "outcomes": (out / OUTCOMES).read_text()}


def test_equal_seeds_give_equal_files_and_other_seeds_other_ones(
    uninterrupted: tuple[dict[str, Any], Audit, Path], tmp_path: Path
) -> None:
    result, audit, first = uninterrupted
    again, same = audited("wrong where the image differs", tmp_path / "same")
    audited("wrong where the image differs", tmp_path / "other", seed=1)
    pages = [
        build_page(*each).read_bytes()
        for each in ((result, cards(audit, "scripted"), first), (again, cards(same, "scripted"), tmp_path / "same"))
    ]
    assert files(first) == files(tmp_path / "same") and pages[0] == pages[1]
    assert files(first)["outcomes"] != files(tmp_path / "other")["outcomes"]


class Killed(RuntimeError):
    pass


class Dying(ScriptedBackend):
    """Ends the process, as it were, after so many replies."""

    def __init__(self, after: int):
        super().__init__(MODELS["wrong where the image differs"])
        self.after = after

    def ask(self, asks: Iterable[Ask], sampling: Sampling) -> Iterator[tuple[Ask, Reply]]:
        for n, each in enumerate(super().ask(asks, sampling)):
            if n == self.after:
                raise Killed
            yield each


@pytest.mark.parametrize("after", [0, 5, 60])
def test_killed_and_resumed_is_uninterrupted_and_asks_nothing_twice(
    uninterrupted: tuple[dict[str, Any], Audit, Path], tmp_path: Path, after: int
) -> None:
    whole, _, folder = uninterrupted
    dying = Dying(after)
    with pytest.raises(Killed):
        run_audit(dying, WORLD, PANEL, SETTINGS, tmp_path / "cut", say=lambda _: None)
    backend = ScriptedBackend(MODELS["wrong where the image differs"])
    resumed, _ = run_audit(backend, WORLD, PANEL, SETTINGS, tmp_path / "cut", say=lambda _: None)
    assert files(folder) == files(tmp_path / "cut")
    assert len(backend.asked) == whole["costs"]["questions"] - after and resumed["call"]["stored"] == after
    again, _ = run_audit(backend, WORLD, PANEL, SETTINGS, tmp_path / "cut", say=lambda _: None)
    assert again["call"]["asked"] == 0


def test_two_audits_do_not_share_a_folder(tmp_path: Path) -> None:
    def second(ask: Ask) -> str:
        with pytest.raises(AotError, match="another process"):
            audited("always right", tmp_path)
        return gold(ask)

    run_audit(ScriptedBackend(second), WORLD, PANEL[:1], SETTINGS, tmp_path, budget=1, say=lambda _: None)


# The panel -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", EDITS, ids=lambda attack: attack.name)
def test_a_fair_edit_leaves_the_boxes_alone(attack: Any) -> None:
    judge = WORLD.referees(RefereeSettings(), 0.4)[attack.rule]
    fair = 0
    for scene, nth in ((WORLD[i], nth) for i in range(N) for nth in range(6)):
        made = draw(attack, scene, nth, 0)
        if isinstance(made, str):
            continue
        scores = box_ssim([scene.image] * len(scene.protected), [made.image] * len(scene.protected), scene.protected)
        if attack.name == "occlusion":
            assert (scores == 1).all()  # before any referee
        if judge.judge([scene], [made])[0].valid:
            fair += 1
            assert (scores >= 0.9).all() and not np.array_equal(made.image, scene.image)
    assert fair > 3 * N


@pytest.mark.parametrize("attack", [a for a in PANEL if a.name != "removal"], ids=lambda attack: attack.name)
def test_an_attack_depends_on_its_scene_number_and_seed_only(attack: Any) -> None:
    def drawn(number: int, seed: int) -> Any:
        made = [draw(attack, WORLD[i], number, seed) for i in (3, 5, 6)]
        return [m if isinstance(m, str) else m.image.tobytes() for m in made]

    assert drawn(0, 0) == drawn(0, 0) != drawn(1, 0)
    assert drawn(0, 0) != drawn(0, 1)


def test_an_edit_inside_the_boxes_is_refused() -> None:
    scene = next(WORLD[i] for i in range(N) if WORLD[i].protected)
    box, image = scene.protected[0], scene.image.copy()
    image[box.y0 : box.y1, box.x0 : box.x1] = 128
    judge = WORLD.referees(RefereeSettings(), 0.4)["paint"]
    verdict = judge.judge([scene], [Attack(scene.id, "occlusion", "any", image)])[0]
    assert not verdict.valid and "protected_changed" in verdict.refused_by


def test_noise_is_bounded_and_corruptions_have_the_strength_that_is_set() -> None:
    scene = WORLD[0]
    noise = next(attack for attack in PANEL if attack.name == "noise")
    moved = [np.abs(draw(noise, scene, n, 0).image.astype(int) - scene.image).max() for n in range(20)]  # type: ignore[union-attr]
    assert 4 <= min(moved) < max(moved) <= 8
    mild, harsh = (
        build_panel(["jpeg"], Strengths(jpeg_quality=(q, q)), None)[0] for q in (95, 5)
    )
    gaps = [np.abs(draw(a, scene, 0, 0).image.astype(int) - scene.image).mean() for a in (mild, harsh)]  # type: ignore[union-attr]
    assert gaps[0] < gaps[1]
    with pytest.raises(AotError, match="first limit"):
        audit_settings(["strengths.noise_levels=[8,4]"])
    for setting in ("occlusion_share=[-1,0.1]", "scale=[0,1]", "blur_sigma_px=[0,1]", "jpeg_quality=[10,1e6]"):
        with pytest.raises(AotError, match=r"both limits must lie between [\d.]+ and \d+"):
            audit_settings([f"strengths.{setting}"])
    for eps, told in (("[8,8]", "one is named twice"), ("[-8]", "greater than 0")):
        with pytest.raises(AotError, match=told):
            audit_settings([f"pixels.eps={eps}"])
    with pytest.raises(AotError, match="no such attack: 'jpg'"):
        build_panel(["jpg"], Strengths(), None)


def test_a_trained_attacker_is_asked_once_for_each_edit(tmp_path: Path) -> None:
    calls = []

    class Player(RandomDistractor):
        def attack(self, scenes: Any, *, seed: int, kind: Any = "any") -> list[Attack]:
            calls.append(seed)
            return super().attack(scenes, seed=seed, kind=kind)

    trained = TrainedAttacker(Player(), "digest", tmp_path)
    first, again, _ = (draw(trained, WORLD[0], n, 0) for n in (0, 0, 1))
    assert isinstance(first, Attack) and isinstance(again, Attack) and len(calls) == 2
    assert np.array_equal(first.image, again.image) and first.instruction == again.instruction
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"damaged")
    assert np.array_equal(draw(trained, WORLD[0], 0, 0).image, first.image) and len(calls) == 3  # type: ignore[union-attr]
    names = [attack.name for attack in build_panel(["blur", "removal"], Strengths(), None, trained)]
    assert names == ["removal", "attacker", "blur"]


# The user's own images -------------------------------------------------------------------------------------------


def table(folder: Path, rows: Iterable[str]) -> Path:
    """An LMUData TSV of questions without boxes about one generated photo."""
    from PIL import Image as PilImage

    rng = np.random.default_rng(0)
    PilImage.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).resize((300, 200)).save(folder / "a.png")
    lines = ["index\timage_path\tquestion\tanswer\tA\tB", *(f"{i}\ta.png\t{row}" for i, row in enumerate(rows))]
    (folder / "rows.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "rows.tsv"


def opened(data: Path, folder: Path, **changes: Any) -> Any:
    how = {"photos": PhotoSettings(extensions=0), "referee": RefereeSettings(), "side_px": 128, "world_scenes": 4}
    return open_subjects(data, folder, **(how | {"seed": 0, "limit": None} | changes))


def test_without_boxes_only_corruptions_are_asked(tmp_path: Path) -> None:
    data = table(tmp_path, ["Is it noise?\tA\tyes\tno", "Is it a cat?\tB\tyes\tno", "Bad row?\tmaybe\tyes\tno"])
    subjects, refused = opened(data, tmp_path / "photos")
    assert len(subjects) == 2 and [r.word for r in refused] == ["answer_not_among_options"]
    panel = build_panel(ATTACKS, Strengths(), subjects.objects)
    result, _ = run_audit(
        ScriptedBackend(lambda ask: "\\boxed{A}" if "noise" in str(ask.content[1]) else "\\boxed{B}"),
        subjects, panel, SETTINGS, tmp_path / "out", refused=refused, say=lambda _: None,
    )  # fmt: skip
    for attack in result["attacks"].values():
        if attack["group"] == "edit":
            assert attack["impossible"] == {"no_boxes": 4} and attack["fair"] == 0
        else:
            assert attack["fair"] > 0
    assert result["refused_rows"]["by_reason"] == {"answer_not_among_options": 1}
    assert headline(result).startswith("Corrupted images turned none")


def test_nothing_to_ask_is_told(tmp_path: Path) -> None:
    with pytest.raises(AotError, match="nothing can be asked"):
        opened(table(tmp_path, ["Bad row?\tmaybe\tyes\tno"]), tmp_path / "photos")


def test_objects_that_a_given_question_names_neither_come_nor_go() -> None:
    question = Question("How many dogs are there?", ("one", "two"), 0)
    scene = Scene("s", np.zeros((8, 8, 3), np.uint8), question, (Box(0, 0, 4, 4, "cat"),), (Box(0, 0, 4, 4, "cat"),))
    assert answer_is_guarded(scene) and not answer_is_guarded(replace(scene, protected=()))
    for label, passes in (("dog", False), ("bus", True)):
        attack = Attack("s", "x", "add", scene.image, objects=(*scene.objects, Box(4, 4, 8, 8, label)))
        assert NotNamed()([scene], [attack])[0].passed == passes


def test_a_limit_keeps_as_many_photos_as_it_can(shared_data: Path, tmp_path: Path) -> None:
    every, _ = opened(shared_data / "coco_photos", tmp_path / "photos")
    few = Subjects(every.pair_source, limit=20)
    assert len(every) > 60 and few.images == len(few) == 20
    assert fingerprint(few[0]) == fingerprint(every[0]) != fingerprint(every[1])
    panel = build_panel(["distractor", "removal", "occlusion"], Strengths(), every.objects)
    subjects = Subjects(every.pair_source, limit=6)
    backend = ScriptedBackend(lambda ask: "\\boxed{A}")
    result, _ = run_audit(backend, subjects, panel, SETTINGS, tmp_path / "out", say=lambda _: None)
    assert sum(attack["fair"] for attack in result["attacks"].values()) > 0
    assert all(attack["unverified"] == 0 for attack in result["attacks"].values())


# Figures by hand ---------------------------------------------------------------------------------------------------

ASKED = {
    scene: Question("?", ("a", "b"), 0, kind) for scene, kind in (("s0", "x"), ("s1", "x"), ("s2", "y"), ("s3", "y"))
}
MEMBERS = [Member("edit", "edit"), Member("noise", "corruption")]


def said(scene: str, attack: str, nth: int, right: bool | None, status: Any = "answered") -> Outcome:
    return Outcome(scene, attack, nth, status=status, right=right, given="" if right is None else LETTERS[not right])


def tally() -> dict[str, Any]:
    """s0: breaks at the second edit. s1: stands. s2: wrong when clean, right under attack. s3: its edits are unfair and
    impossible; the noise is answered with an error, then wrongly."""
    outcomes = [said("s0", "", 0, True), said("s1", "", 0, True), said("s2", "", 0, False), said("s3", "", 0, True)]
    outcomes += [said("s0", "edit", 0, True), said("s0", "edit", 1, False)]
    outcomes += [said("s1", "edit", 0, True), said("s1", "edit", 1, True)]
    outcomes += [said("s2", "edit", 0, True), said("s2", "edit", 1, False)]
    outcomes += [
        Outcome("s3", "edit", 0, "unfair", ("protected_changed", "overlap")),
        Outcome("s3", "edit", 1, "impossible", ("no_place",)),
    ]
    for scene in ("s0", "s1", "s2"):
        outcomes += [said(scene, "noise", 0, scene != "s2"), said(scene, "noise", 1, scene != "s2")]
    outcomes += [said("s3", "noise", 0, None, "error"), said("s3", "noise", 1, False)]
    return Tally(outcomes, ASKED, MEMBERS).metrics()


def test_figures_of_an_attack() -> None:
    edit = tally()["attacks"]["edit"]
    assert (edit["clean_accuracy"]["hits"], edit["clean_accuracy"]["n"]) == (2, 3)
    assert (edit["attacked_accuracy"]["hits"], edit["attacked_accuracy"]["n"]) == (3, 3)  # first draws only
    assert edit["difference"]["value"] == pytest.approx(1 / 3)
    assert edit["difference"]["p"] == mcnemar([1, 1, 1], [1, 1, 0]) == 1
    assert (edit["worst_draw_accuracy"]["hits"], edit["worst_draw_accuracy"]["n"]) == (1, 3)  # of the same scenes
    assert (edit["success"]["hits"], edit["success"]["n"]) == (1, 3)
    assert edit["success"]["ci"] == list(wilson(1, 3))
    assert (edit["success_where_fair"]["hits"], edit["success_where_fair"]["n"]) == (1, 2)
    assert {b: (s["hits"], s["n"]) for b, s in edit["success_by_budget"].items()} == {"1": (0, 3), "2": (1, 3)}
    assert (edit["integrity"]["hits"], edit["integrity"]["n"]) == (6, 7)
    assert edit["impossible"] == {"no_place": 1}
    assert edit["refused_by_referee"] == {"overlap": 1, "protected_changed": 1}


def test_replies_that_decline_are_told_before_the_metrics(tmp_path: Path) -> None:
    """The backend calls them answered; it is their words that decline."""
    result, _ = audited(lambda ask: "I'm sorry, I can't help with that.", tmp_path)
    n = result["costs"]["questions"]
    assert any(f"{n} of {n} replies hold no answer" in caveat for caveat in caveats(result))


def test_images_are_the_clusters_of_the_intervals() -> None:
    """Questions about one image, and draws on one, are not independent; one image alone tells nothing of others."""
    turns = [("", 0), ("edit", 0), ("edit", 1)]
    outcomes = [said(scene, attack, nth, scene != "s0") for scene in ASKED for attack, nth in turns]
    pairs, one = dict(zip(ASKED, "aabb", strict=True)), dict.fromkeys(ASKED, "a")
    shares = {}
    for name, images in (("each", None), ("pairs", pairs), ("one", one)):
        metrics = Tally(outcomes, ASKED, MEMBERS, images).metrics()
        edit = metrics["attacks"]["edit"]
        shares[name] = [metrics["clean"]["accuracy"], edit["integrity"], edit["difference"]]
        assert [s["value"] for s in shares[name]] == [3 / 4, 1, 0]
    assert shares["each"][0]["ci"] == list(wilson(3, 4)) and shares["each"][1]["ci"] == list(wilson(4, 4))
    assert shares["pairs"][0]["ci"] == [0.5, 1] and shares["pairs"][1]["ci"] == list(wilson(2, 2))
    assert all(s["ci"] is None and s["ci_absent"] == "one cluster" for s in shares["one"])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=20))
def test_a_change_over_images_with_one_question_each_is_the_paired_difference(pairs: list[tuple[bool, bool]]) -> None:
    found = change((str(i), *pair) for i, pair in enumerate(pairs))
    before, after = zip(*pairs, strict=True)
    expected = paired_difference(after, before)
    assert (found["value"], *found["ci"]) == pytest.approx((expected.value, expected.low, expected.high), abs=1e-12)
    twice = change((str(i), *pair) for i, pair in enumerate(pairs) for _ in range(2))
    assert twice["ci"] == pytest.approx(found["ci"], abs=1e-12) and twice["n"] == 2 * found["n"]


def test_what_could_not_be_asked_has_no_success() -> None:
    """Neither 0 % nor an interval: an attack that was never made says nothing, nor does the worst case of only such."""
    edit = Outcome("s0", "edit", 0, "impossible", ("no_place",))
    outcomes = [said("s0", "", 0, True), edit, said("s0", "noise", 0, True)]
    metrics = Tally(outcomes, ASKED, MEMBERS).metrics()
    nothing = {"value": None, "ci": None, "ci_absent": "nothing counted", "hits": 0, "n": 0}
    attack, worst = metrics["attacks"]["edit"], metrics["worst_case"]
    assert attack["success"] == nothing and attack["success_by_budget"] == {}
    assert worst["edit"]["accuracy"] == nothing and worst["corruption"]["accuracy"]["n"] == 1
    assert metrics["by_kind"][0]["success"]["edit"] == nothing


def test_worst_case_kinds_and_fragile_questions() -> None:
    metrics = tally()
    worst = metrics["worst_case"]
    assert {g: (w["accuracy"]["hits"], w["accuracy"]["n"]) for g, w in worst.items()} == {
        "edit": (2, 4), "corruption": (2, 4), "all": (1, 4),
    }  # fmt: skip
    assert worst["all"]["success"] | {"ci": None} == {"value": 2 / 3, "ci": None, "hits": 2, "n": 3}
    assert metrics["attacks"]["noise"]["statuses"] == {"answered": 7, "error": 1}
    assert [row["kind"] for row in metrics["by_kind"]] == ["y", "x"]
    assert [(row["scene"], row["broken_by"], row["wrong"], row["fair"]) for row in metrics["fragile"]] == [
        ("s0", {"edit": 1}, 1, 4), ("s3", {"noise": 1}, 1, 2),
    ]  # fmt: skip


def test_success_never_falls_with_the_budget(tmp_path: Path) -> None:
    coin = np.random.default_rng(0)
    result, _ = audited(lambda ask: gold(ask, wrong=bool(where(ask)[1] and coin.random() < 0.3)), tmp_path, draws=4)
    for metrics in (*result["attacks"].values(), result["worst_case"]["all"]):
        shares = metrics["success_by_budget"]
        values = [shares[b]["value"] for b in ("1", "2", "4")]
        assert values == sorted(values) and len({shares[b]["n"] for b in shares}) == 1
    worst = result["worst_case"]
    assert worst["all"]["success"]["value"] >= max(worst[g]["success"]["value"] for g in ("edit", "corruption"))
    best = max(a["success"]["value"] for a in result["attacks"].values() if a["group"] == "edit")
    assert worst["edit"]["success"]["value"] >= best


# The page's parts --------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 300), min_size=1, max_size=12))
def test_labels_are_apart_and_in_order(places: list[float]) -> None:
    moved = spread(places, 17, 0, 300)
    order = sorted(range(len(places)), key=lambda i: places[i])
    assert all(moved[b] - moved[a] >= 17 - 1e-9 for a, b in pairwise(order))
    assert max(moved) <= 300 + 1e-9


def test_the_gallery_shows_successes_first_and_other_scenes_first(
    uninterrupted: tuple[dict[str, Any], Audit, Path],
) -> None:
    _, audit, _ = uninterrupted
    keys = chosen(audit, 8)
    wrong = [key for key in keys if audit.outcomes[key].wrong]
    assert len(keys) == 8 and keys[: len(wrong)] == wrong and len(wrong) >= 7
    assert [key[1] for key in wrong[: len(PANEL)]] == [attack.name for attack in PANEL]
    assert len({key[0] for key in wrong}) >= len(wrong) - 1  # seven attacks, eight scenes
    assert chosen(audit, 0) == []


def test_world_scenes_are_held_out_ones() -> None:
    assert WORLD[2].id == draw_scenes(1, 0, "test", first=2)[0].id
