"""The report: built from whole, half-finished, damaged and hostile run folders, and opened in a browser."""

from __future__ import annotations

import base64
import json
import os
import xml.etree.ElementTree as ElementTree
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console

from aot.errors import AotError
from aot.report import arms_race_figure, build_report, save_png, terminal_table
from aot.report.gallery import read_picture
from aot.report.summary import Summary, in_order
from aot.report.svg import MAX_POINTS, nice_ceiling, smooth, thin, ticks
from aot.report.words import duration, headline, race_note
from conftest import further
from html_page import Page, chromium, measured_in_frames, needs_chromium

# A made-up run ------------------------------------------------------------------------------------------

WORST = {"base": 0.541, "iteration_1": 0.648, "iteration_2": 0.699, "iteration_3": 0.727, "clean_rl": 0.552}
CLEAN = {"base": 0.978, "iteration_1": 0.976, "iteration_2": 0.981, "iteration_3": 0.980, "clean_rl": 0.984}
ATTACKERS = (
    "random_distractor",
    "best_of_8_distractors",
    "iteration_0",
    "iteration_1",
    "iteration_2",
    "iteration_3",
)
HARDNESS = (0.15, 0.9, 0.5, 0.62, 0.58, 0.55)
TYPES = {"relation": -0.05, "side": -0.03, "colour": 0.09, "existence": 0.0}


def wilson(rate: float, n: int) -> list[float]:
    centre, half = (rate + 1.92 / n) / (1 + 3.84 / n), 1.96 * (rate * (1 - rate) / n + 0.96 / n**2) ** 0.5
    return [max(0.0, centre - half), min(1.0, centre + half)]


def fake_defender(name: str, n: int = 1200) -> dict[str, Any]:
    clean, worst = CLEAN[name], WORST[name]
    by_attacker = {a: clean - h * (clean - worst) for a, h in zip(ATTACKERS, HARDNESS, strict=True)}
    by_type = {
        t: {
            "clean": clean,
            "clean_ci": wilson(clean, n // 4),
            "worst_case": worst + shift,
            "worst_case_ci": wilson(worst + shift, n // 4),
        }
        for t, shift in TYPES.items()
    }
    return {
        "clean": clean,
        "clean_ci": wilson(clean, n),
        "worst_case": worst,
        "worst_case_ci": wilson(worst, n),
        "by_attacker": by_attacker,
        "by_attacker_ci": {a: wilson(v, n) for a, v in by_attacker.items()},
        "by_question_type": by_type,
        "n": n,
    }


def fake_summary() -> dict[str, Any]:
    attackers: dict[str, Any] = {
        "iteration_0": {"valid_success_vs_base": 0.224, "integrity": 0.982, "n": 1200}
    }
    for i, (start, end) in enumerate(((0.224, 0.318), (0.205, 0.271), (0.181, 0.236)), start=1):
        attackers[f"iteration_{i}"] = {
            "valid_success_vs_base": 0.3 + 0.01 * i,
            "valid_success_vs_base_ci": wilson(0.3 + 0.01 * i, 1200),
            "valid_success_vs_current": end,
            "valid_success_vs_current_ci": wilson(end, 1200),
            "valid_success_of_start_vs_current": start,
            "gain": end - start,
            "gain_ci": [end - start - 0.024, end - start + 0.024],
            "integrity": 0.97 + 0.004 * i,
            "n": 1200,
        }
    race = [
        ("cold start", 0, "base", 0.224),
        ("attacker 1", 1, "base", 0.318),
        ("defender 1", 1, "iteration_1", 0.205),
    ]
    race += [("attacker 2", 2, "iteration_1", 0.271), ("defender 2", 2, "iteration_2", 0.181)]
    race += [("attacker 3", 3, "iteration_2", 0.236), ("defender 3", 3, "iteration_3", 0.152)]
    stages = {
        "base/attacker": 0.4,
        "base/defender": 0.2,
        "evaluation/attacks/distractor_1": 9.1,
        "evaluation/base/scripted": 8.3,
    }
    stages |= {"iteration_1/known_attacks": 11.0}
    for i in (1, 2, 3):
        stages[f"iteration_{i}/attacker"] = 74.0
        stages |= {
            f"evaluation/attacks/iteration_{i}": 5.0,
            f"evaluation/iteration_{i - 1}/iteration_{i}": 3.0,
        }
        stages |= {
            f"iteration_{i}/attacks": 12.5,
            f"iteration_{i}/defender": 58.0,
            f"evaluation/iteration_{i}/scripted": 8.0 + i,
        }
    stages |= {
        "clean_rl/1": 19.0,
        "clean_rl/2": 19.5,
        "clean_rl/3": 18.8,
        "evaluation/clean_rl/scripted": 15.0,
    }
    reasons = ("answer_changed", "protected_changed", "second_copy", "unrecognised", "overlap", "unchanged")
    return {
        "name": "miniature",
        "seed": 0,
        "wall_seconds": sum(stages.values()),
        "stages": stages,
        "defenders": {name: fake_defender(name) for name in sorted(WORST)},
        "attackers": attackers,
        "refusals": {
            a: {r: max(0, (17 * (i + 2) * (6 - j)) % 53 - 4 * j + 2 * i) for j, r in enumerate(reasons)}
            for i, a in enumerate(ATTACKERS[2:])
        }
        | {"random_distractor": {}},
        "arms_race": [
            {
                "step": s,
                "attacker": f"iteration_{a}",
                "defender": d,
                "valid_success": v,
                "valid_success_ci": wilson(v, 1200),
            }
            for s, a, d, v in race
        ],
        "notes": [
            "Attacker trained on rejection-sampling fine-tuning (the measured best at equal time).",
            "Evaluation is greedy, one answer a question.",
        ],
    }


def draw(folder: Path, rng: np.random.Generator, number: int) -> tuple[str, str, list[list[int]]]:
    """A clean and an attacked picture: gradient, shapes on a grid, one shape more in the second."""
    ramp = np.linspace(0, 1, 256)[:, None, None]
    top, bottom = rng.integers(120, 235, (2, 3))
    sky = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (256, 256, 3)).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(sky))
    colours = ["#d8322f", "#2f8f46", "#2a55c9", "#e8c22c", "#8b3fb5", "#ee8322"]
    cells = rng.choice(16, 4, replace=False)
    boxes, names = [], (f"{number:04d}_clean.png", f"{number:04d}_attacked.png")
    for i, cell in enumerate(cells):
        x, y = 64 * (cell % 4) + 6 + rng.integers(5), 64 * (cell // 4) + 6 + rng.integers(5)
        if i == 3:
            picture.resize((64, 64), Image.Resampling.BOX).save(folder / names[0])
        shape = ImageDraw.Draw(picture)
        getattr(shape, ("ellipse", "rectangle")[int(rng.integers(2))])(
            [x, y, x + 48, y + 48], fill=str(rng.choice(colours))
        )
        shape.line([x + 14, y + 12, x + 14, y + 34], fill="white", width=5)
        boxes.append([int(x) // 4, int(y) // 4, int(x) // 4 + 13, int(y) // 4 + 13])
    picture.resize((64, 64), Image.Resampling.BOX).save(folder / names[1])
    return *names, boxes[:2]


def fake_gallery(folder: Path, n: int = 10) -> list[dict[str, Any]]:
    folder.mkdir(parents=True)
    rng, records = np.random.default_rng(4), []
    asked = [
        ("relation", "Is the cup left or right of the ball?", ["left", "right"]),
        ("colour", "What colour is the cup?", ["red", "green", "blue", "yellow"]),
        ("existence", "Is there a red cup?", ["yes", "no"]),
        ("side", "Is the phone in the upper or lower half?", ["upper half", "lower half"]),
    ]
    for i in range(n):
        kind, question, options = asked[i % 4]
        clean, attacked, boxes = draw(folder, rng, i)
        wrong, valid = (i + 1) % len(options), i % 5 != 4
        answer = i % len(options)

        def said(who: str, choice: int, options: list[str] = options) -> dict[str, Any]:
            return {
                "defender": who,
                "text": f"{options[choice]} \\boxed{{{'ABCD'[choice]}}}",
                "choice": choice,
                "status": "answered",
            }

        after = [said("base", wrong), said(f"iteration_{1 + i % 3}", answer if i % 3 else wrong)]
        if i == 3:
            after[1] |= {"status": "truncated", "choice": None}
        records.append(
            {
                "scene_id": f"test-{i}",
                "attacker": f"iteration_{1 + i % 3}",
                "defender": "base",
                "question": question,
                "options": options,
                "answer": answer,
                "question_type": kind,
                "kind": ("add", "replace", "any")[i % 3],
                "instruction": f"Edit the image so that this question is answered wrongly: {question}",
                "protected": boxes,
                "valid": valid,
                "findings": [
                    {"check": "local_ssim", "passed": True, "measured": 0.9874, "reason": ""},
                    {
                        "check": "answer_preserved",
                        "passed": valid,
                        "measured": 1.0,
                        "reason": "" if valid else "second_copy",
                    },
                ],
                "answers_before": [said("base", answer), said(f"iteration_{1 + i % 3}", answer)],
                "answers_after": after,
                "clean": clean,
                "attacked": attacked,
            }
        )
    (folder / "gallery.json").write_text(json.dumps(records))
    return records


def fake_log(path: Path, player: str, low: float, high: float, steps: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path.parent.name)) + steps)
    rise = low + (high - low) * (1 - np.exp(-np.linspace(0, 3.5, steps))) + rng.normal(0, 0.03, steps)
    rates = ("valid_success", "integrity") if player == "attacker" else ("accuracy", "informative")
    lines = [
        {
            "step": i + 1,
            "reward": round(float(v), 4),
            rates[0]: round(float(np.clip(v * 0.9, 0, 1)), 4),
            rates[1]: round(float(np.clip(0.97 if player == "attacker" else 0.6 - v / 3, 0, 1)), 4),
            "loss": 0.1,
        }
        for i, v in enumerate(rise)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))


def fake_run(run: Path) -> Path:
    """A whole run folder as the contract has it, with invented figures."""
    fake_gallery(run / "gallery")
    summary = fake_summary()
    (run / "summary.json").write_text(json.dumps(summary))
    recipe = {
        "name": "miniature",
        "seed": 0,
        "iterations": 3,
        "attacker": {"method": "rejection_sampling", "lr": 3e-3, "batch": 48},
        "defender": {"clip_low": 0.2, "clip_high": 0.28, "group": 16, "groups": 32, "entropy": 0.02},
        "referee": {"local_ssim": 0.9, "max_overlap": 0.0, "edit_area": [0.001, 0.2]},
    }
    (run / "recipe.json").write_text(json.dumps(recipe))
    for name, seconds in summary["stages"].items():
        (run / name).mkdir(parents=True)
        versions = {
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "diffusers": "0.42.1",
            "trl": "1.16.0",
            "numpy": "2.3.1",
            "python": "3.11.7",
        }
        (run / name / "manifest.json").write_text(json.dumps({"versions": versions, "wall_seconds": seconds}))
    old = run / "superseded/iteration_1/attacker-0a1b2c3d"
    fake_log(old / "log.jsonl", "attacker", 0.1, 0.2)
    (old / "manifest.json").write_text(json.dumps({"versions": {"torch": "1.0.0"}}))
    for i in (1, 2, 3):
        fake_log(run / f"iteration_{i}/attacker/log.jsonl", "attacker", 0.24 - 0.03 * i, 0.42 - 0.04 * i)
        fake_log(
            run / f"iteration_{i}/defender/log.jsonl", "defender", 0.45 + 0.05 * i, 0.68 + 0.04 * i, steps=45
        )
        fake_log(run / f"clean_rl/{i}/log.jsonl", "defender", 0.93, 0.96, steps=45)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run(tmp_path_factory.mktemp("runs") / "miniature")


# What is on the page --------------------------------------------------------------------------------------


def built(run: Path) -> Page:
    return Page(build_report(run).read_text(encoding="utf-8"))


def test_whole_run_has_every_part(run: Path) -> None:
    page = built(run)
    for words in (
        "After 3 iterations the defender’s worst-case error fell from 45.9 % to 27.3 % (−41 %)",
        "97.8 % before and 98.0 % after",
        "clean scenes ends at 44.8 %",
        "Recipe miniature · seed 0 · 1,200 held-out questions",
        "Best of 8 distractors",
        "Attacker 0 (cold start)",
        "Clean-data RL",
        "Relation",
        "Who beats whom",
        "+9.4",
        "answer changed",
        "clip_high",
        "2.13.0",
        "rejection-sampling fine-tuning",
        "second copy",
        "truncated",
        "iteration_2/defender",
        "iteration 3",
    ):
        assert words in page.text, words
    assert not [attrs for tag, attrs in page.tags if tag == "aside"]
    assert "1.0.0" not in page.text and "superseded" not in page.text
    assert len(page.images) == 30
    assert base64.b64decode(page.images[0].split(",")[1])[:4] == b"\x89PNG"
    order = [
        page.text.index(f"{name} n = 1,200")
        for name in ("Base", "Iteration 1", "Iteration 3", "Clean-data RL")
    ]
    assert order == sorted(order)


def test_page_needs_nothing_from_outside(run: Path) -> None:
    built(run).check_self_contained()


def test_same_run_same_bytes(run: Path, tmp_path: Path) -> None:
    first = build_report(run).read_bytes()
    assert build_report(run).read_bytes() == first
    assert not list(run.glob("*.tmp"))
    pictures = [save_png(fake_summary(), tmp_path / name) for name in ("a.png", "b.png")]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    assert Image.open(pictures[0]).size == (1720, 760)


# Missing, damaged, hostile -----------------------------------------------------------------------------


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(AotError, match="no such run folder"):
        build_report(tmp_path / "nowhere")


def test_empty_folder_says_what_is_missing(tmp_path: Path) -> None:
    text = built(tmp_path).text
    for words in (
        "This report is incomplete",
        "summary.json is not there",
        "no result yet",
        "No training has written a log",
    ):
        assert words in text, words


def test_run_still_going(tmp_path: Path) -> None:
    fake_log(tmp_path / "iteration_1/attacker/log.jsonl", "attacker", 0.1, 0.3)
    with (tmp_path / "iteration_1/attacker/log.jsonl").open("a") as log:
        log.write('{"step": 61, "rew')
    (tmp_path / "iteration_1/attacker/started.json").write_text("{}")
    (tmp_path / "curate").mkdir()
    (tmp_path / "curate/manifest.json").write_text('{"wall_seconds": 12.5}')
    (tmp_path / "recipe.json").write_text('{"name": "smoke", "seed": 3}')
    page = built(tmp_path)
    assert "iteration_1/attacker has begun and is not finished" in page.text
    assert "Recipe smoke · seed 3" in page.text and "12 s" in page.text
    assert any(
        "Training of iteration_1/attacker" in (attrs.get("aria-label") or "") for _, attrs in page.tags
    )


@pytest.mark.parametrize(
    "part", ["clean_rl", "base", "attackers", "refusals", "arms_race", "notes", "defenders", "stages", "seed"]
)
def test_any_part_may_be_missing(tmp_path: Path, part: str) -> None:
    summary = fake_summary()
    (summary["defenders"] if part in summary["defenders"] else summary).pop(part)
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    built(tmp_path)


def test_figures_may_be_missing(tmp_path: Path) -> None:
    summary = fake_summary()
    for row in summary["defenders"].values():
        row.update(
            worst_case=None, clean_ci=[float("nan")] * 2, by_attacker={"random_distractor": float("nan")}
        )
        row["by_question_type"]["relation"] = {}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    text = built(tmp_path).text
    assert "no result yet" in text and "Base n = 1,200 97.8" in text
    Console(quiet=True).print(terminal_table(summary))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"defenders": {"base": {"clean": "high"}}}, "defenders.base.clean"),
        ({"arms_race": [{"step": "attacker 1"}]}, "arms_race.0.valid_success"),
        ({"arms_race": [{"step": "attacker 1", "valid_success": 1e300}]}, "arms_race.0.valid_success"),
        ({"notes": "one"}, "notes"),
        ({"stages": [1]}, "stages"),
    ],
)
def test_damaged_part_is_named_and_the_rest_shown(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    (tmp_path / "summary.json").write_text(json.dumps(fake_summary() | change))
    text = built(tmp_path).text
    assert f"summary.json: {named}" in text and "Attacker 1" in text and "summary.json" in text


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00", "[" * 100_000])
def test_damaged_files_do_not_stop_the_report(tmp_path: Path, content: str) -> None:
    for name in (
        "summary.json",
        "recipe.json",
        "gallery/gallery.json",
        "stage/manifest.json",
        "stage/log.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert "incomplete" in built(tmp_path).text


EVIL = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}&"


def test_text_from_data_is_never_markup(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")

    def poison(value: Any) -> Any:
        if isinstance(value, str):
            return EVIL + value
        if isinstance(value, list):
            return [poison(inner) for inner in value]
        return {EVIL + k: poison(v) for k, v in value.items()} if isinstance(value, dict) else value

    summary, records = fake_summary(), json.loads((run / "gallery/gallery.json").read_text())
    for part in ("name", "stages", "refusals", "notes"):
        summary[part] = poison(summary[part])
    summary["defenders"] = {EVIL: summary["defenders"]["base"]} | summary["defenders"]
    summary["defenders"]["base"]["by_question_type"] = poison(
        summary["defenders"]["base"]["by_question_type"]
    ) and {EVIL: summary["defenders"]["base"]["by_question_type"]["side"]}
    summary["defenders"]["base"]["by_attacker"][EVIL] = 0.5
    summary["arms_race"][0] |= {"step": EVIL, "attacker": EVIL, "defender": EVIL}
    records = [{k: v if k in ("clean", "attacked") else poison(v) for k, v in r.items()} for r in records]
    for record in records:
        record["findings"] = [{"check": EVIL, "passed": False, "measured": 1.0, "reason": EVIL}]
        record["answers_after"] = [{"defender": EVIL, "text": EVIL, "choice": 99, "status": EVIL}]
        record["answers_before"] = []
    (run / "summary.json").write_text(json.dumps(summary))
    (run / "gallery/gallery.json").write_text(json.dumps(records))
    (run / "recipe.json").write_text(json.dumps(poison({"name": "x", "a": {"b": [1, "c"]}})))
    (run / "base/attacker/manifest.json").write_text(json.dumps({"versions": {EVIL: EVIL}}))
    page = built(run)
    assert "script" not in {tag for tag, _ in page.tags}
    assert all((attrs["src"] or "").startswith("data:") for tag, attrs in page.tags if tag == "img")
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "{{ 7*7 }}" in page.text and "49" not in [word.strip() for word in page.words]
    ElementTree.fromstring(arms_race_figure(summary))


LINKS = [partial(os.symlink, to) for to in ("/dev/zero", "0000_clean.png")]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, *LINKS])
def test_a_picture_of_the_gallery_that_is_no_plain_file_is_not_waited_for(tmp_path: Path, make: Any) -> None:
    fake_gallery(tmp_path / "gallery", n=1)
    picture = tmp_path / "gallery/0000_clean.png"
    picture.unlink()
    make(picture)
    with pytest.raises(ValueError, match=r"cannot be read|refused"):
        read_picture(tmp_path / "gallery", picture.name)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "/etc/passwd",
        "sub/a.png",
        "..",
        "",
        "a\\b.png",
        "recipe.json",
        "link.png",
        "x\0.png",
        "a" * 999 + ".png",
    ],
)
def test_gallery_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    records = fake_gallery(tmp_path / "gallery", n=2)
    Image.new("RGB", (64, 64)).save(tmp_path / "secret.png")
    (tmp_path / "gallery/link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises((ValueError, OSError)):
        read_picture(tmp_path / "gallery", name)
    records[0]["attacked"] = name
    (tmp_path / "gallery/gallery.json").write_text(json.dumps(records))
    page = built(tmp_path)
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 3
    assert "gallery.json, record 1" in page.text


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    fake_gallery(tmp_path / "gallery", n=4)
    whole = (tmp_path / "gallery/0000_clean.png").read_bytes()
    (tmp_path / "gallery/0000_clean.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "gallery/0001_clean.png").unlink()
    Image.new("RGB", (32, 64)).save(tmp_path / "gallery/0002_clean.png")
    text = built(tmp_path).text
    assert (
        "0000_clean.png cannot be read" in text
        and "0001_clean.png is not there" in text
        and "differ in size" in text
    )


def test_large_photos_are_reduced(tmp_path: Path) -> None:
    records = fake_gallery(tmp_path / "gallery", n=1)
    for name in (records[0]["clean"], records[0]["attacked"]):
        Image.new("L", (1600, 900), 90).save(tmp_path / "gallery" / name)
    page = built(tmp_path)
    source = next(attrs["src"] or "" for tag, attrs in page.tags if tag == "img")
    (tmp_path / "shown.png").write_bytes(base64.b64decode(source.split(",")[1]))
    assert Image.open(tmp_path / "shown.png").size == (320, 180)


# Words, numbers, metrics ------------------------------------------------------------------------------------


def test_half_characters_of_a_damaged_run_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/manifest.json").write_text('{"versions": {"torch": "\\ud83d"}}')
    assert "torch <b>?</b>" in build_report(tmp_path).read_text(encoding="utf-8")


def test_the_page_says_where_the_race_ended() -> None:
    summary = fake_summary()
    assert race_note(Summary.parse(summary)[0]).startswith("Every training of the attacker gained")
    summary["attackers"]["iteration_3"] |= {"gain": 0.002, "gain_ci": [-0.003, 0.007]}
    told = race_note(Summary.parse(summary)[0])
    assert told.startswith("Beyond doubt gained: Attacker 1, Attacker 2.") and "Attacker 3 met a defender" in told
    summary["attackers"]["iteration_2"] |= {"gain": -0.08, "gain_ci": [-0.12, -0.04]}
    told = race_note(Summary.parse(summary)[0])
    assert "Beyond doubt lost: Attacker 2 (−8.0 points, −12.0 to −4.0). Where the interval holds 0" in told
    assert "Attacker 2 met" not in told and "Attacker 3 met a defender" in told
    assert race_note(Summary()) == ""


def test_headline_follows_the_metrics() -> None:
    summary = fake_summary()
    summary["defenders"]["iteration_3"]["worst_case"] = 0.5
    summary["defenders"]["iteration_3"]["worst_case_ci"] = [0.4, 0.6]
    sentence = headline(Summary.parse(summary)[0])
    assert "rose from 45.9 % to 50.0 % (+9 %)" in sentence and "intervals overlap" in sentence
    summary["defenders"]["iteration_3"]["worst_case"] = 0.541
    assert "stayed at 45.9 %" in headline(Summary.parse(summary)[0])


def test_names_in_reading_order() -> None:
    names = [
        "clean_rl",
        "iteration_10",
        "iteration_2",
        "other",
        "base",
        "best_of_8_distractors",
        "random_distractor",
    ]
    expected = [
        "base",
        "random_distractor",
        "best_of_8_distractors",
        "iteration_2",
        "iteration_10",
        "other",
        "clean_rl",
    ]
    assert in_order(names) == expected


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (3.44, "3.4 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (552, "9 min 12 s"),
        (6720, "1 h 52 min"),
    ],
)
def test_duration(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_arms_race_is_valid_svg_and_zigzags() -> None:
    root = ElementTree.fromstring(arms_race_figure(fake_summary()))
    assert root.get("viewBox") == "0 0 860 340"
    heights = [float(dot.get("cy", 0)) for dot in root.iter("{http://www.w3.org/2000/svg}circle")]
    squares = [
        float(dot.get("y", 0)) + 5
        for dot in root.iter("{http://www.w3.org/2000/svg}rect")
        if dot.get("width") == "10"
    ]
    assert len(heights) == 4 and len(squares) == 3
    assert all(attacker < defender for attacker, defender in zip(heights[1:], squares, strict=True))
    assert arms_race_figure({}) == ""
    with pytest.raises(AotError, match="no arms race"):
        save_png({}, Path("nowhere.png"))


def test_curves_are_thinned_and_smoothed_without_bias() -> None:
    series = [(float(i), float(i)) for i in range(7 * 143)]
    assert len(thin(series)) <= MAX_POINTS
    np.testing.assert_allclose(smooth(thin(series))[20:-20], thin(series)[20:-20])
    assert smooth([(1.0, 2.0)]) == [(1.0, 2.0)] and smooth([]) == [] and thin([]) == []


def test_axes() -> None:
    assert [round(nice_ceiling(v), 3) for v in (0.01, 0.21, 0.3, 0.34, 0.97)] == [0.05, 0.25, 0.3, 0.4, 1.0]
    assert ticks(0, 0.4, 4) == [0, 0.1, 0.2, 0.3, 0.4]
    assert ticks(-1.2, 1.3, 3) == [-1, 0, 1]


@pytest.mark.parametrize("longest", ["Clean-data RL", "SFT on scripted attacks"])
@pytest.mark.parametrize("iterations", [3, 12])
def test_terminal_table_fits_80_columns(longest: str, iterations: int) -> None:
    summary = fake_summary()
    if longest != "Clean-data RL":
        summary["defenders"]["sft_scripted"] = summary["defenders"].pop("clean_rl")
    for row in summary["defenders"].values():
        row["clean"] = 1.0
        known = row["by_attacker"]
        known |= {f"iteration_{i}": 1.0 for i in range(4, iterations + 1) if known}
    console = Console(width=80, record=True, force_terminal=False)
    console.print(terminal_table(summary))
    text = console.export_text()
    for words in ("Base", "Iteration 3", "100.0", "72.7 ±2.5", "−41%", "of 8", f"A{iterations}", *longest.split()):
        assert words in text, text
    assert "…" not in text and ("more attackers" in text) == (iterations > 3)
    console.print(terminal_table({}))


# In a browser -----------------------------------------------------------------------------------------------


@needs_chromium
@pytest.mark.parametrize("scheme", ["dark", *further("light")])
def test_browser_draws_both_schemes(run: Path, tmp_path: Path, scheme: str) -> None:
    page, shot = build_report(run), tmp_path / "shot.png"
    setting = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    chromium(tmp_path, setting, f"--screenshot={shot}", "--window-size=1200,2400", page.as_uri())
    pixels = np.asarray(Image.open(shot).convert("L"), dtype=float)
    assert (pixels.mean() > 200) == (scheme == "light") and pixels.std() > 10
    assert pixels[:1200].std() > 10 and pixels[1200:].std() > 10


@needs_chromium
def test_page_does_not_scroll_sideways(run: Path, tmp_path: Path) -> None:
    measured = measured_in_frames(build_report(run).read_text(encoding="utf-8"), tmp_path, (390, 1200))
    assert [each.split()[0] for each in measured] == ["390", "1200"]
