"""The audit's page: text from data is text, nothing comes from outside, every picture shows, wide and narrow."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage
from rich.console import Console

from aot.audit.charts import accuracy_figure, budget_figure
from aot.audit.page import build_page, headline, terminal_table
from aot.audit.panel import ATTACKS, build_panel
from aot.audit.plan import AuditSettings
from aot.audit.run import run_audit
from aot.audit.showcase import cards
from aot.audit.subjects import Subjects
from aot.backends.base.backend import Ask, Reply
from aot.backends.base.scripted import ScriptedBackend
from aot.data.images.reading import Refusal
from aot.types import LETTERS, Question, Scene
from html_page import Page, chromium, measured_in_frames, needs_chromium

EVIL = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}&"
SETTINGS = AuditSettings(draws=2, gallery=10)


class Hostile(Subjects):
    """Scenes of the world whose words are an attack on the page."""

    def __getitem__(self, number: int) -> Scene:
        scene = super().__getitem__(number)
        own = scene.question
        options = tuple(f"{option} {EVIL}" for option in own.options)
        question = Question(f"{EVIL} {own.text}", options, own.answer, EVIL + own.kind)
        return replace(scene, id=f"{EVIL}{scene.id}", question=question)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    subjects, panel = Hostile(world=8), build_panel(ATTACKS, SETTINGS.strengths, None)

    def reply(ask: Ask) -> Reply:
        number, attack, nth = ask.id.split("/")
        question = subjects[int(number)].question
        wrong = attack in ("distractor", "jpeg") and int(number) % 2 == 0 and nth == "1"
        letter = "ABCD"[(question.answer + wrong) % len(question.options)]
        status: Any = "refused" if attack == "noise" and number == "3" else "answered"
        return Reply(f"\\boxed{{{letter}}}\n{EVIL}", status, error=EVIL, seconds=0.5, visual_tokens=64)

    out = tmp_path_factory.mktemp("audit")
    refused = [Refusal(EVIL, EVIL, EVIL, EVIL)]
    backend = ScriptedBackend(reply, name=EVIL, identity={EVIL: EVIL})
    about = {EVIL: EVIL}
    result, audit = run_audit(
        backend, subjects, panel, SETTINGS, out, refused=refused, about=about, say=lambda _: None
    )
    return result, build_page(result, cards(audit, EVIL), out)


def test_text_from_data_is_text_and_nothing_comes_from_outside(audited: tuple[dict[str, Any], Path]) -> None:
    source = audited[1].read_text(encoding="utf-8")
    page = Page(source)
    page.check_self_contained()
    assert len(page.images) == 30
    assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}" in page.text


def test_every_part_is_on_the_page(audited: tuple[dict[str, Any], Path]) -> None:
    result, path = audited
    text = Page(path.read_text(encoding="utf-8")).text
    worst = result["worst_case"]["edit"]["success"]
    assert worst["hits"] > 0 and f"{100 * worst['value']:.1f}" in text
    for words in (
        "95 % interval", "Accuracy under attack", "Success against tries", "Which questions break",
        "Protocol and costs",
        "The most fragile questions", "What became of the attacks", "Status of the replies", "1 refused row of",
        "Distractor", "hold no answer that can be read", "of these visual",
    ):  # fmt: skip
        assert words in text, words
    assert json.loads((path.with_suffix(".json")).read_text())["format"] == "aot-audit"
    for width in (860, 350):
        for figure in (accuracy_figure(result, width=width), budget_figure(result, width=width)):
            assert ElementTree.fromstring(figure).get("viewBox", "").startswith(f"0 0 {width} ")


def test_the_headline_follows_the_metrics(audited: tuple[dict[str, Any], Path]) -> None:
    result = json.loads(json.dumps(audited[0]))
    success = result["worst_case"]["edit"]["success"]
    success |= {"value": 0.342, "ci": [0.31, 0.375], "hits": 300, "n": 877}
    result["defender"]["name"] = "/models/mine"
    assert headline(result) == (
        "Fair edits deceive mine on 34.2 % of the questions that it answers rightly (95 % interval 31.0–37.5 %)."
    )
    success |= {"value": 0.0, "hits": 0, "ci": [0.0, 0.004]}
    assert "turned none of the 877 answers that mine gets right (95 % interval 0.0–0.4 %)" in headline(result)
    assert terminal_table(result).row_count == 14  # twelve attacks, and two groups of several


def test_one_image_has_no_interval_and_the_page_says_why(tmp_path: Path) -> None:
    panel = build_panel(["distractor", "blur", "jpeg"], SETTINGS.strengths, None)
    subjects = Subjects(world=1)
    right = f"\\boxed{{{LETTERS[subjects[0].question.answer]}}}"
    backend = ScriptedBackend(lambda ask: right)
    result, audit = run_audit(backend, subjects, panel, SETTINGS, tmp_path, say=lambda _: None)
    assert {share["ci_absent"] for share in (result["clean"]["accuracy"], result["attacks"]["jpeg"]["integrity"])} == {
        "one cluster"
    }
    page = build_page(result, cards(audit, "scripted"), tmp_path).read_text(encoding="utf-8")
    assert "no 95 % interval: one cluster" in page and '<span class="ci">one cluster</span>' in page
    console = Console(width=80)
    with console.capture() as shown:
        console.print(terminal_table(result))
    assert "0.0 (one cluster)" in shown.get() and "±" not in shown.get().partition("clean and attacked")[0]


# In a browser ------------------------------------------------------------------------------------------------

def console(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if "CONSOLE" in line]


@needs_chromium
def test_every_image_shows_and_nothing_sticks_out(audited: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    source = audited[1].read_text(encoding="utf-8")
    assert measured_in_frames(source, tmp_path, (420, 1200)) == ["420 30 30", "1200 30 30"]


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_browser_draws_it_without_a_word(
    audited: tuple[dict[str, Any], Path], tmp_path: Path, scheme: str
) -> None:
    """The page's own policy reports whatever would be loaded or run: nothing is."""
    shot = tmp_path / "shot.png"
    setting = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    done = chromium(tmp_path, setting, f"--screenshot={shot}", "--window-size=1200,2400", audited[1].as_uri())
    assert console(done.stderr) == []
    pixels = np.asarray(PilImage.open(shot).convert("L"), dtype=float)
    assert (pixels.mean() > 200) == (scheme == "light") and pixels[1200:].std() > 10


@needs_chromium
def test_the_browser_would_have_told(audited: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    """The test above can fail: the same page with markup that was not escaped."""
    source = audited[1].read_text(encoding="utf-8")
    path = tmp_path / "page.html"
    path.write_text(source.replace("</body>", f'{EVIL}<img src="http://127.0.0.1:9/a.png"></body>'), encoding="utf-8")
    done = chromium(tmp_path, "--window-size=1200,800", f"--screenshot={tmp_path / 'shot.png'}", path.as_uri())
    assert len(console(done.stderr)) >= 2
