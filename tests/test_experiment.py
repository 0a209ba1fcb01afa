"""The experiment over seeds: its defenders, its statistics and claims on made-up scores, and that it resumes."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap, ttest_1samp

from aot.cli import main
from aot.coevolve.recipes.stage_names import stage_names, stage_of
from aot.coevolve.scenes.game import open_game
from aot.errors import AotError
from aot.experiment.claims import Claims
from aot.experiment.cost import expected_seconds
from aot.experiment.figure import headline_figure
from aot.experiment.jobs import Task, make_units
from aot.experiment.measure import scores_of, scores_text
from aot.experiment.page import page
from aot.experiment.readme import BEGIN, END, claims_in_words, write_into
from aot.experiment.results import Entry, SeedResult, is_stored, read_results
from aot.experiment.run import experiment_settings, plan, run_experiment, write_results
from aot.experiment.settings import EXPERIMENTS, ExperimentSettings
from aot.experiment.sharing import equal_stages, link_stages
from aot.experiment.statistics import deceived, difference, of_columns, over_seeds, paired_bootstrap, spread
from aot.experiment.summary import summarise
from aot.experiment.table import markdown
from aot.experiment.unit import make_unit, unit_key
from aot.report.words import signed_points
from aot.runs.files import write_json
from aot.scores.intervals import unspread_difference
from conftest import Ended

SETTINGS = ['variants=["newest"]', "recipe.players.attacker.steps=3", "recipe.attacker.flow_grpo.steps=4"]
SETTINGS += ["recipe.attacker.flow_grpo.updates=1", "recipe.evaluation.distractors=1"]
SETTINGS += ["recipe.attacker.flow_grpo.groups=2", "recipe.attacker.flow_grpo.group_size=2"]
SETTINGS += ["recipe.warm_up.batch=4", "recipe.hits.batch=4", "recipe.game.train_scenes=8"]
SETTINGS += ["recipe.game.held_out_scenes=8", "measure.pgd_scenes=4"]
SMOKE = experiment_settings("smoke", SETTINGS)


# --- what is compared -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_defender_is_a_stage_of_its_unit_and_has_a_name_of_its_own(name: str) -> None:
    settings = EXPERIMENTS[name]()
    assert ExperimentSettings.model_validate_json(settings.model_dump_json()) == settings
    assert len(settings.names()) == len(set(settings.names()))
    for unit in settings.units():
        recipe = settings.recipe_of(unit, 1)
        assert recipe.seed == 1
        for defender in settings.defenders_of(unit):
            assert stage_of(recipe, defender) in stage_names(recipe)
        assert expected_seconds(settings, unit) > 0
    pgd = next(b for b in settings.recipe_of("baselines", 0).baselines if b.name == "pgd_at_8")
    assert pgd.sft.pixel.share == pgd.sft.attacked_share > 0 and pgd.sft.pixel.eps == 8 and pgd.attacks is None


def test_only_the_first_variant_has_the_baseline_on_its_attacks() -> None:
    settings = EXPERIMENTS["headline"]()
    assert settings.names()[0] == "base" and settings.names()[-1] == "pixel/iteration_3"
    assert [u for u in settings.units() if "sft_attacks" in settings.defenders_of(u)] == ["newest"]
    assert settings.methods == [f"{variant}/iteration_3" for variant in ("newest", "uniform", "nash", "pixel")]
    pixel = settings.recipe_of("pixel", 0)
    assert pixel.warm_up.pixel.share == pixel.hits.pixel.share == 0.25 and pixel.meta.rule == "newest"
    assert not settings.recipe_of("newest", 0).warm_up.pixel.share


def test_variants_share_what_no_meta_strategy_changes(tmp_path: Path) -> None:
    settings = EXPERIMENTS["headline"]()
    first, second = settings.recipe_of("newest", 0), settings.recipe_of("nash", 0)
    game = open_game(first.game, first.referee, seed=0)
    equal = equal_stages(second, first, game)
    assert equal[:2] == ["base/attacker", "base/defender"] and "warm_up" in equal
    assert not any(name.startswith("iteration_1/") for name in equal)
    changed = equal_stages(second, first.changed(warm_up={"steps": 3}), game)
    assert "warm_up" not in changed and "base/defender" in changed

    for name in ("warm_up", "base/defender"):
        (tmp_path / "one" / name).mkdir(parents=True)
        (tmp_path / "one" / name / "weights").write_text(name)
    write_json(tmp_path / "one/warm_up/manifest.json", {})  # the other one is not finished
    assert link_stages(equal, tmp_path / "one", tmp_path / "two") == 1
    assert (tmp_path / "two/warm_up/weights").read_text() == "warm_up"
    assert not (tmp_path / "two/base").exists()
    assert link_stages(equal, tmp_path / "one", tmp_path / "two") == 0


def test_of_a_family_training_saw_all_a_part_or_nothing() -> None:
    settings = EXPERIMENTS["headline"]()
    seen = {family: settings.seen(family) for family in settings.measure.families}
    assert seen["distractor+jpeg"] == seen["distractor"] == seen["removal"] == "trained"
    assert seen["look_alike+blur"] == seen["texture+noise"] == "in_part"
    assert seen["neutral"] == seen["mirrored"] == seen["noise"] == seen["look_alike"] == "left_out"
    # Semantic ones only, and none that was seen in part.
    assert {"mirrored", "neutral"} <= set(settings.left_out) <= set(settings.semantic) - {"distractor"}
    alone = experiment_settings("headline", ["recipe.scripted_attacks.composed_share=0"])
    assert alone.seen("distractor+jpeg") == "in_part", "where its parts were met alone"


def test_a_unit_is_done_again_where_what_it_depends_on_changed() -> None:
    key = unit_key(SMOKE, "newest", 0)
    other = {
        "seed": unit_key(SMOKE, "newest", 1),
        "unit": unit_key(SMOKE, "baselines", 0),
        "recipe": unit_key(experiment_settings("smoke", [*SETTINGS, "recipe.dapo.updates=3"]), "newest", 0),
        "measure": unit_key(experiment_settings("smoke", [*SETTINGS, "measure.draws=3"]), "newest", 0),
    }
    assert len({key, *other.values()}) == 5
    others = ['variants=["newest","nash"]', *SETTINGS[1:], "steps.augment=3", "recipe.compute.launch=x"]
    beside = experiment_settings("smoke", others)
    assert unit_key(beside, "newest", 0) == key  # nothing of this changes the unit


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("measure.families=[\"jpg\"]", "no such families: jpg"),
        ("variants=[]", "variants"),
        ('variants=["newst"]', "no such variant: 'newst'; `changes` has newest, uniform, nash"),
        ('changes={"nash": {"meta": {"rule": "x"}}}', "newest"),
        ("measure.eps=[-1]", r"measure\.eps\.0: input should be greater than 0"),
        ("measure.drews=1", "did you mean draws"),
    ],
)
def test_mistakes_are_named(override: str, told: str) -> None:
    with pytest.raises(AotError, match=told):
        experiment_settings("headline", [override])


def test_an_unknown_experiment_is_named() -> None:
    with pytest.raises(AotError, match="no such experiment"):
        experiment_settings("headlne", [])


# --- statistics -------------------------------------------------------------------------------------------


def test_scores_survive_their_text() -> None:
    scores = np.array([1, 0, -1, 1], np.int8)
    assert scores_text(scores) == "10-1" and scores_of("10-1").tolist() == scores.tolist()


def test_the_interval_over_seeds_is_students() -> None:
    values = [0.91, 0.94, 0.90, 0.97, 0.93]
    found = spread(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert found["ci"] == pytest.approx([expected.low, expected.high]) and found["mean"] == pytest.approx(0.93)
    assert spread([0.5])["ci"] is None
    assert spread([0.93, 0.93, 0.93])["ci"] is None, "seeds that agree are not certain"


def test_the_bootstrap_is_over_examples_within_seeds() -> None:
    rng = np.random.default_rng(0)
    one = [rng.integers(-1, 2, 200).astype(float)]
    theirs = bootstrap(one, np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert paired_bootstrap(one) == pytest.approx([theirs.low, theirs.high], abs=0.015)
    # Examples that all agree show no spread, and few of them are no certainty.
    assert paired_bootstrap([np.zeros(50), np.ones(50)]) == pytest.approx(unspread_difference(0.5, 100))
    assert paired_bootstrap([np.array([1.0, np.nan, 1.0])]) == pytest.approx(unspread_difference(1, 2))
    assert paired_bootstrap([np.zeros(400)]) == pytest.approx([-0.0095, 0.0095], abs=1e-4)


def result(seed: int, defenders: Mapping[str, Mapping[str, str]], seconds: float | None = 10.0) -> SeedResult:
    entries = {n: Entry(unit="newest", cpu_seconds=seconds, scores=dict(own)) for n, own in defenders.items()}
    return SeedResult(seed, entries)


def test_an_example_stands_if_it_is_right_in_every_column() -> None:
    one = result(0, {"a": {"clean": "110-1", "x": "100-1", "y": "111-0", "best_response": "0-001"}})
    assert of_columns("clean", "x", "y")(one, "a") == pytest.approx([1, 0, 0, np.nan, 0], nan_ok=True)
    assert of_columns("clean", "z")(one, "a") is None and of_columns("clean")(one, "b") is None
    assert deceived(one, "a").tolist() == [1, 0, 0, 0, 0]  # type: ignore[union-attr]


def test_differences_are_paired_and_need_both_defenders() -> None:
    results = [
        result(0, {"a": {"clean": "1100"}, "b": {"clean": "1000"}}),
        result(1, {"a": {"clean": "1111"}, "b": {"clean": "0-11"}}),
        result(2, {"a": {"clean": "0000"}}),
    ]
    found = difference(results, "a", "b", of_columns("clean"))
    assert found is not None and found["seeds"] == pytest.approx([0.25, 1 / 3])
    assert over_seeds(results, "a", of_columns("clean"))["seeds"] == [0.5, 1.0, 0.0]  # type: ignore[index]
    assert difference(results, "a", "c", of_columns("clean")) is None


# --- claims, tables, figure -------------------------------------------------------------------------------

N = 200


def text_of(wrong: int, *, at: int = 0) -> str:
    """So many wrong answers of N, from the place `at` on."""
    return "".join("0" if at <= i < at + wrong else "1" for i in range(N))


def made_up(worst: Mapping[str, int], *, fresh: Mapping[str, int] | None = None, **columns: int) -> list[SeedResult]:
    """Three seeds; `worst`: wrong answers of each defender under the distractor."""
    seeds = []
    for seed in range(3):
        own = {}
        for name, wrong in worst.items():
            left_out = 30 if name == "base" else 0
            scores = {"clean": text_of(0), "removal": text_of(0), "scale": text_of(left_out)}
            scores |= {"distractor": text_of(wrong + seed)}
            scores |= {"noise": text_of(columns.get("noise", 5)), "pgd_8": "10" * 4}
            if fresh is not None and name in fresh:
                scores["best_response"] = text_of(fresh[name] + seed)
            own[name] = scores
        seeds.append(result(seed, own))
    return seeds


WORST = {
    "base": 80, "clean_rl": 78, "augment_all": 30, "pgd_at_8": 90, "sft_counterfactual": 16, "sft_scripted": 14,
    "sft_attacks": 20,
}  # fmt: skip
RISING = WORST | {"newest/iteration_1": 8}


def claimed(results: list[SeedResult]) -> dict[str, tuple[bool, int]]:
    claims = Claims(SMOKE, results, "newest").found()
    return {claim["claim"]: (claim["holds"], claim["in_seeds"]) for claim in claims}


def test_claims_that_hold_are_told_as_such() -> None:
    fresh = {name: 30 for name in RISING if "/" not in name} | {"newest/iteration_1": 6}
    found = claimed(made_up(RISING, fresh=fresh))
    assert len(found) == 7 and all(claim == (True, 3) for claim in found.values())


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"clean_rl": 85}, "rises"),
        ({"newest/iteration_1": 79}, "rises"),
        ({"newest/iteration_1": 13}, "is cut by 85 %"),
        ({"sft_scripted": 8}, "every baseline in the worst case"),
        ({"base": 5}, "no family is worse"),
    ],
)
def test_claims_that_do_not_hold_are_told_as_such(changes: Mapping[str, int], failing: str) -> None:
    found = claimed(made_up(RISING | changes))
    assert [holds for claim, (holds, _) in found.items() if failing in claim] == [False]
    assert not any("fresh attacker" in claim for claim in found)  # it was not measured


@pytest.mark.parametrize(
    ("wrong", "under_pgd", "kept", "holds"),
    [(8, 190, (1.0, 0.9), True), (8, 180, (1.0, 0.8), False), (20, 200, (60 / 72, 1.0), False)],
)
def test_a_share_of_pgd_keeps_both_gains_or_not(
    wrong: int, under_pgd: int, kept: tuple[float, float], holds: bool
) -> None:
    """Base is right on 100 of 200 under PGD, PGD training on all of them."""
    settings = experiment_settings("smoke", ['variants=["newest","pixel"]'])
    results = made_up(RISING | {"pixel/iteration_1": wrong})
    for each in results:
        for name, entry in each.entries.items():
            right = {"pgd_at_8": 200, "pixel/iteration_1": under_pgd}.get(name, 100)
            entry.scores["pgd_8"] = text_of(N - right)
    (found,) = [c for c in Claims(settings, results, "pixel").found() if "both gains" in c["claim"]]
    assert found["holds"] == holds and found["in_seeds"] == 3 * holds
    assert list(found["numbers"]) == ["worst_case", "pgd_8"]
    assert tuple(found["numbers"].values()) == pytest.approx(kept)
    assert "Worst case 100.0 %, PGD 8/255 90.0 %" in markdown(summarise(settings, results)) or kept != (1.0, 0.9)
    to_come = [made_up(RISING)[0], *results[1:]]
    assert not any("both gains" in c["claim"] for c in Claims(settings, to_come, "pixel").found()), "a seed is missing"


def test_a_claim_is_about_the_seeds_that_measured_all_that_it_speaks_of() -> None:
    """Each seed's values stand beside its own; a baseline that no seed measured is no baseline that was beaten."""
    results = made_up(RISING)
    results[1].entries["augment_all"].scores["distractor"] = text_of(0)
    del results[0].entries["sft_scripted"]
    ahead = "ahead of every baseline in the worst case (95 %)"
    assert claimed(results)[ahead] == (False, 1)
    (claim,) = [c for c in Claims(SMOKE, results, "newest").found() if c["claim"] == ahead]
    assert claim["of_seeds"] == 2
    without = {name: wrong for name, wrong in RISING.items() if name != "sft_scripted"}
    assert ahead not in claimed(made_up(without))


def test_exactly_as_much_as_was_said_is_enough() -> None:
    """40 wrong answers become 6, and clean accuracy falls by 1 of 200: both are the limits themselves."""
    results = made_up(RISING)
    for each in results:
        each.entries["base"].scores["distractor"] = text_of(40)
        each.entries["newest/iteration_1"].scores.update(distractor=text_of(6), clean=text_of(1))
    found = claimed(results)
    assert found["the worst-case error is cut by 85 % or more against base, in every seed"] == (True, 3)
    assert found["clean accuracy is at most 0.5 points below base"] == (True, 3)


def test_one_close_baseline_is_enough_to_not_be_ahead() -> None:
    """However far the others are behind: of the closest one the interval must not reach zero."""
    results = made_up(RISING)
    for number, each in enumerate(results):
        each.entries["sft_scripted"].scores["distractor"] = text_of(8 + number + (number > 0))
    holds, in_seeds = next(v for k, v in claimed(results).items() if "every baseline in the worst" in k)
    assert not holds and in_seeds == 2


def test_the_summary_says_what_was_left_out_and_who_is_ahead() -> None:
    results = made_up(RISING, fresh=dict.fromkeys(RISING, 10))
    for result, seconds in zip(results, (None, 12.0, 14.0), strict=False):
        entry = result.entries["sft_scripted"]
        result.entries["sft_scripted"] = entry.model_copy(update={"cpu_seconds": seconds})
    summary = summarise(SMOKE, results)
    assert summary["left_out"] == ["scale"] and summary["seeds"] == [0, 1, 2]
    entry = summary["defenders"]["sft_scripted"]
    assert entry["cpu_seconds"] == 13.0 and entry["cpu_ratio"] == pytest.approx(1.3)
    assert entry["ahead"]["worst_case"]["mean"] == pytest.approx(6 / N)
    assert entry["metrics"]["left_out"]["mean"] == 1.0 and entry["metrics"]["pgd_8"]["mean"] == 0.5
    # Noise changes the whole image: it is no part of the worst case over edits.
    assert entry["metrics"]["worst_case"]["mean"] == pytest.approx(1 - 15 / N)
    assert "ahead" not in summary["defenders"]["newest/iteration_1"]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_tables_figure_and_page_are_made_of_the_summary() -> None:
    fresh = {name: 6 if "/" in name else 30 for name in RISING}
    summary = summarise(SMOKE, made_up(RISING, fresh=fresh))
    table = markdown(summary)
    row = next(line for line in table.splitlines() if line.startswith("| SFT on scripted attacks"))
    ahead = summary["defenders"]["sft_scripted"]["ahead"]["worst_case"]
    low, high = ahead["bootstrap"]
    assert ahead["ci"] is None and 0.01 < low < 0.03 < high < 0.05, "the seeds agree: the interval is over examples"
    assert "**92.5 ±1.2**" in row and f"+3.0 ({signed_points(low)} .. {signed_points(high)})" in row
    assert "| defender | Distractor | Removal | Scale † | Noise † |" in table
    widths = [{line.count("|") for line in part.splitlines()} for part in table.split("\n\n")[2:]]
    assert all(len(width) == 1 for width in widths)
    figure, html = headline_figure(summary), page(summary)
    assert figure.count("<circle") == 2 + len(RISING) * 5 and "AOT iteration 1" in figure
    assert figure in html and "against SFT on scripted attacks +3.0 points" in html
    assert "does not hold" not in html and html == page(summary)
    assert "<script" not in page(summary | {"name": "<script>"})


def test_readmes_part_is_written_between_its_marks(tmp_path: Path) -> None:
    summary, readme = summarise(SMOKE, made_up(RISING)), tmp_path / "README.md"
    readme.write_text(f"# Ours\n\n{BEGIN}\nold\n{END}\n\n## More\n")
    for _ in range(2):  # again: the same
        write_into(readme, summary, tmp_path / "results" / "smoke")
        told = readme.read_text()
        assert told.startswith(f"# Ours\n\n{BEGIN}\n![") and told.endswith(f"{END}\n\n## More\n")
        assert "\nold\n" not in told
        assert "(results/smoke/headline.svg)" in told and told.count("| SFT on scripted attacks |") == 1
        assert "x method" not in told and "AOT iteration 1" in told and "Does not hold" not in told
    shorter = summary | {"claims": [claim | {"holds": False} for claim in summary["claims"]]}
    assert claims_in_words(shorter).startswith("**Does not hold**")
    readme.write_text(f"# Ours\n{BEGIN}\n")
    with pytest.raises(AotError, match="marks of the part are missing"):
        write_into(readme, summary, tmp_path)
    assert readme.read_text() == f"# Ours\n{BEGIN}\n"
    with pytest.raises(AotError, match="cannot be read"):
        write_into(tmp_path / "none.md", summary, tmp_path)


def test_one_seed_has_intervals_over_examples() -> None:
    table = markdown(summarise(SMOKE, made_up(RISING)[:1]))
    assert "intervals are over examples" in table and "±" not in table.split("| defender")[1]


# --- running it -------------------------------------------------------------------------------------------


def test_a_plan_counts_what_is_left() -> None:
    tasks = [Task(seed, unit) for seed in range(2) for unit in SMOKE.units()]
    assert "nothing is missing" in plan(SMOKE, tasks, [], 1)
    told = plan(SMOKE, tasks, tasks[1:], 2)
    assert "1 of 4 runs are finished; about" in told and "with 2 processes" in told
    assert "base, clean_rl, augment_all, pgd_at_8, sft_counterfactual, sft_scripted" in told


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the command."""
    folder = tmp_path_factory.mktemp("experiment")
    words = ["experiment", "smoke", "--seeds", "1", *(f"--set={setting}" for setting in SETTINGS)]
    words += ["--out", str(folder / "out"), "--runs", str(folder / "runs")]
    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(told):
        patch.setattr(sys, "argv", ["aot", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    assert "plan: smoke" in told.getvalue() and "| AOT iteration 1 |" in told.getvalue()
    assert "seed 0, baselines: landed in" in told.getvalue()
    return folder


def results_of(out: Path) -> dict[str, Any]:
    """What does not depend on the clock."""
    _, (one,) = read_results(out, None)
    return {name: entry.scores for name, entry in one.entries.items()}


def test_every_defender_lands_with_every_column(whole: Path) -> None:
    scores = results_of(whole / "out")
    assert list(scores) == SMOKE.names()
    columns = {"clean", "distractor", "removal", "scale", "noise", "pgd_8"}
    for name, own in scores.items():
        finals = name not in ("base",) and not name.endswith("iteration_0")
        assert set(own) == columns | ({"best_response"} if finals else set()), name
        assert {len(text) for column, text in own.items() if column != "pgd_8"} == {8} and len(own["pgd_8"]) == 4
        for column in columns - {"clean", "pgd_8"}:  # an attack makes no wrong answer right
            assert all(c == "1" for c, a in zip(own["clean"], own[column], strict=True) if a == "1")
    _, (one,) = read_results(whole / "out", None)
    assert one.entries["base"].cpu_seconds == 0 and all(e.cpu_seconds is not None for e in one.entries.values())
    assert {"summary.json", "table.md", "headline.svg", "headline.html"} <= {p.name for p in (whole / "out").iterdir()}


def test_what_has_landed_is_not_made_again_even_without_its_runs(whole: Path, tmp_path: Path) -> None:
    before = (whole / "out/seed_0.json").read_bytes()
    said: list[str] = []
    summary = run_experiment(SMOKE, whole / "out", tmp_path / "elsewhere", seeds=1, say=said.append)
    assert "nothing is missing" in said[0] and len(said) == 1 and not (tmp_path / "elsewhere").exists()
    assert (whole / "out/seed_0.json").read_bytes() == before
    assert summary == write_results(whole / "out")
    assert not is_stored(SMOKE, whole / "out", 1, "newest")


def test_seeds_of_other_settings_are_never_put_into_one_table(whole: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        content = json.loads((whole / "out/seed_0.json").read_text()) | {"seed": seed}
        content["settings"]["measure"]["draws"] += seed
        write_json(tmp_path / f"seed_{seed}.json", content)
    with pytest.raises(AotError, match=r"seed_1.json: this seed was measured with other settings"):
        write_results(tmp_path)
    assert write_results(tmp_path, SMOKE)["seeds"] == [0]


def test_a_seed_is_counted_once(whole: Path, tmp_path: Path) -> None:
    shutil.copy(whole / "out/seed_0.json", tmp_path / "seed_0.json")
    shutil.copy(whole / "out/seed_0.json", tmp_path / "seed_00.json")
    assert write_results(tmp_path)["seeds"] == [0]
    shutil.copy(whole / "out/seed_0.json", tmp_path / "seed_1.json")
    with pytest.raises(AotError, match=r"seed_1\.json: holds seed 0, not 1\n  next: delete"):
        write_results(tmp_path)
    with pytest.raises(AotError, match=r"seed_1\.json"):  # at once, though only seed 0 is wanted
        run_experiment(SMOKE, tmp_path, tmp_path / "runs", seeds=1, say=lambda told: pytest.fail(told))


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("units", [], r"units: Input should be a valid dictionary"),
        ("defenders", {"base": {"unit": "baselines"}}, r"defenders.base.cpu_seconds: Field required"),
        ("wall_seconds", {"baselines": float("nan")}, r"wall_seconds.baselines: Input should be a finite number"),
        ("settings", {"name": "smoke"}, r"recipe: field required"),
    ],
)
def test_a_damaged_result_is_one_error(place: str, value: Any, told: str, whole: Path, tmp_path: Path) -> None:
    content = json.loads((whole / "out/seed_0.json").read_text())
    write_json(tmp_path / "seed_0.json", content | {place: value})
    with pytest.raises(AotError, match=rf"seed_0\.json: [\s\S]*{told}[\s\S]*next: delete"):
        write_results(tmp_path)


def test_stopped_it_goes_on_to_the_same_scores(whole: Path, tmp_path: Path) -> None:
    def stop(message: str) -> None:
        if message.endswith("iteration_1/defender: begins"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_unit(SMOKE, tmp_path, 0, "newest", stop)
    said: list[str] = []
    made = make_unit(SMOKE, tmp_path, 0, "newest", said.append)
    assert any(line.startswith("warm_up: kept from before") for line in said)
    expected = results_of(whole / "out")
    assert {name: entry.scores for name, entry in made.defenders.items()} == {
        name: own for name, own in expected.items() if name in made.defenders
    }
    assert list(made.defenders) == ["newest/iteration_1", "sft_attacks"]


def test_processes_land_what_they_finish_and_tell_what_failed(
    whole: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aot.experiment.jobs.START", "fork")  # a process from nothing takes seconds to import
    (whole / "runs/seed_1").write_text("a file where a folder must be")
    landed: list[Task] = []
    with pytest.raises(AotError, match=r"a process failed \(seed 1, newest: it ended with exit status 3\)"):
        make_units(SMOKE, whole / "runs", [Task(0, "newest"), Task(1, "newest")], 2, landed.append)
    assert landed == [Task(0, "newest")]
    told = capfd.readouterr().err
    assert "seed 1, newest: " in told and "Traceback" not in told


def test_the_command_makes_the_table_again_and_names_mistakes(aot: Callable[..., Ended], whole: Path) -> None:
    (whole / "out/table.md").unlink()
    done = aot("experiment", "smoke", "--table", "--out", whole / "out")
    assert done.returncode == 0 and "| AOT iteration 1 |" in done.stdout and (whole / "out/table.md").exists()
    empty = aot("experiment", "smoke", "--table", "--out", "nothing")
    assert empty.returncode == 2 and "no seed has landed here" in empty.stderr and "Traceback" not in empty.stderr
    assert aot("experiment", "headlne").returncode == 2


@pytest.mark.slow  # of one process in `test_cli.py`
def test_processes_whose_words_nobody_reads_end_without_one() -> None:
    code = (
        "from pathlib import Path\nfrom aot.experiment import jobs\nfrom aot.experiment.settings import EXPERIMENTS\n"
        "from aot.runs.streams import watched_streams\njobs.START = 'fork'\n"
        "jobs.make_unit = lambda settings, runs, seed, unit, say: say('begins')\n"
        "tasks = [jobs.Task(seed, 'newest') for seed in range(3)]\n"
        "with watched_streams():\n    jobs.make_units(EXPERIMENTS['smoke'](), Path(), tasks, 2, lambda task: None)\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
