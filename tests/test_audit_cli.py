"""`aot audit` as a user runs it: the miniature on both kinds of data, a server that stumbles, a kill and a resume."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aot.audit.command import audit, audit_settings
from aot.audit.panel import ATTACKS, build_panel
from aot.audit.run import OUTCOMES, run_audit
from aot.audit.subjects import Subjects
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.opening import open_backend
from aot.cli import main
from aot.errors import AotError
from fault_server import FAULTS, FaultServer, backed_by
from forked import aot_in_a_fork, kill


def told(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "audit.json").read_text(encoding="utf-8")))


def test_the_miniature_on_world_scenes(tmp_path: Path, aot: Callable[..., Any]) -> None:
    out = tmp_path / "out"
    own = ["--defender", "miniature", "--data", "world", "--limit", "8", "--draws", "1"]
    done = aot("audit", *own, "--attacker", "miniature", "--out", out)
    assert done.returncode == 0, done.stderr
    plan, answers = done.stdout.index("at most 112 requests"), done.stdout.index("answers of at most 112")
    assert plan < answers and "8 images, 8 questions, 13 attacks x 1 draws" in done.stdout
    assert "all corruptions" in done.stdout and str(out / "audit.html") in done.stdout.replace("\n", "")
    result = told(out)
    assert result["clean"]["accuracy"]["value"] >= 0.75  # the shipped reader answers 99.8 %
    assert result["protocol"]["attacker"]["name"] == "miniature" and result["costs"]["visual_tokens"] > 0
    before = {name: (out / name).read_bytes() for name in ("audit.html", OUTCOMES)}
    said: list[str] = []
    settings = audit_settings([], draws=1)
    again, _ = audit("miniature", None, out, settings, attacker="miniature", limit=8, say=said.append)
    assert again["call"]["asked"] == 0 and f"{result['costs']['questions']} replies stored already" in said[0]
    assert {name: (out / name).read_bytes() for name in before} == before


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["aot", "audit", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_miniature_on_real_photos(monkeypatch: pytest.MonkeyPatch, shared_data: Path, tmp_path: Path) -> None:
    """It was never taught photos; whatever it says, every answer is read or counted."""
    own = ["--defender", "miniature", "--data", str(shared_data / "coco_photos"), "--budget", "24"]
    small = ["--set", "side_px=192", "--set", "gallery=4", "--attacks", "occlusion,blur,distractor"]
    assert run(monkeypatch, *own, *small, "--out", str(tmp_path)) == 0
    result = told(tmp_path)
    assert "data:image/jpeg;base64," in (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert result["costs"]["questions"] == 24 == sum(result["costs"]["statuses"].values())
    every = Counter(result["clean"]["statuses"])
    for attack in result["attacks"].values():
        every.update(attack["statuses"])
        assert attack["attacked_accuracy"]["n"] <= attack["statuses"].get("answered", 0)
    assert sum(every.values()) == 24 and list(result["attacks"]) == ["distractor", "occlusion", "blur"]


@pytest.mark.slow  # as in `test_eval_cli.py`, by the same client
def test_a_server_that_stumbles_gives_the_figures_of_one_that_does_not(tmp_path: Path) -> None:
    subjects, settings = Subjects(world=6), audit_settings([], draws=1)
    panel = build_panel(ATTACKS, settings.strengths, None)
    model = open_backend("miniature")

    def outcomes(backend: Any, out: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        result, _ = run_audit(backend, subjects, panel, settings, out, say=lambda _: None)
        rows = [json.loads(line) for line in (out / OUTCOMES).read_text(encoding="utf-8").splitlines()]
        return result, {f"{r['scene']} {r['attack']} {r['draw']}": r for r in rows}

    _, calm = outcomes(model, tmp_path / "calm")
    with FaultServer(backed_by(model), rate=0.3, timeout_s=2.5, stall_s=0.01, seed=3) as server:
        backend = OpenAiBackend(server.url, "mini", timeout=server.timeout_s, backoff_s=0.01)
        result, rough = outcomes(backend, tmp_path / "rough")
    assert set(server.faults) <= set(FAULTS) and sum(server.faults.values()) > 5
    assert calm.keys() == rough.keys()
    read = [key for key, row in rough.items() if row["status"] == "answered"]
    assert len(read) > 30 and all(rough[key]["given"] == calm[key]["given"] for key in read)
    statuses = Counter(row["status"] for row in rough.values() if row["status"])
    assert statuses["refused"] == server.faults["refusal"] and result["costs"]["questions"] == statuses.total()
    counted = Counter(result["costs"]["faults"])
    for word, of_server in (("429", "429"), ("500", "500"), ("invalid_json", "truncated_json"), ("empty", "empty")):
        assert counted[word] == server.faults[of_server]
    assert all(row["right"] is None for row in rough.values() if row["status"] not in ("answered", None))


def test_killed_for_real_and_run_again_asks_nothing_twice(tmp_path: Path) -> None:
    with FaultServer(lambda content, body: "\\boxed{A}", delay_s=0.05) as server:
        own = ["--defender", server.url, "--model", "mini", "--data", "world", "--limit", "8", "--draws", "2"]
        running = aot_in_a_fork("audit", *own, "--out", tmp_path)
        started = time.monotonic()
        while sum(server.delivered.values()) < 40 and running.is_alive() and time.monotonic() < started + 240:
            time.sleep(0.02)
        kill(running)
        before, server.delay_s = sum(server.delivered.values()), 0.0
        result, page = audit(
            server.url, None, tmp_path, audit_settings([], draws=2), model="mini", limit=8, say=lambda _: None
        )
        twice = sum(n - 1 for n in server.requests.values())
    assert 40 <= before < result["costs"]["questions"]
    assert twice <= 2 * 8 and result["call"]["stored"] >= before - 2 * 8  # only what was on its way
    assert page.is_file() and result["costs"]["questions"] == sum(result["costs"]["statuses"].values())


def test_refused_rows_end_in_three(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image as PilImage

    PilImage.radial_gradient("L").resize((96, 64)).save(tmp_path / "a.png")
    rows = ["a.png\tIs it dark?\tA\tyes\tno", "b.png\tIs it dark?\tA\tyes\tno", "a.png\t\tA\tyes\tno"]
    lines = ["index\timage_path\tquestion\tanswer\tA\tB", *(f"{i}\t{row}" for i, row in enumerate(rows))]
    (tmp_path / "rows.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    own = ["--data", str(tmp_path / "rows.tsv"), "--draws", "1", "--attacks", "blur", "--out", str(tmp_path / "out")]
    with FaultServer(lambda content, body: "\\boxed{A}") as server:
        status = run(monkeypatch, "--defender", server.url, "--model", "mini", *own)
    assert status == 3 and "refused rows of the data: 2" in capsys.readouterr().err
    first = told(tmp_path / "out")["refused_rows"]["first"]
    assert [re.sub(r" \(.*", "", row["row"]) for row in first] == ["row 3", "row 4"]
    page = (tmp_path / "out/audit.html").read_text(encoding="utf-8")
    assert "2 rows of the data were refused" in page and "the question is empty" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--defender", "miniature", "--data", "world", "--attacks", "blurr"], "did you mean blur?"),
        (["--defender", "/no/model", "--data", "world"], "/no/model"),
        (["--defender", "miniature", "--data", "nowhere.tsv"], "no such file or folder"),
        (["--defender", "miniature", "--data", "world", "--set", "draws=0"], "draws"),
        (["--defender", "miniature", "--data", "world", "--attacker", "/no/editor"], "/no/editor"),
    ],
)
def test_mistakes_end_in_two_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_a_url_needs_a_model(tmp_path: Path) -> None:
    with (
        FaultServer(lambda content, body: "x", models=("one", "two")) as server,
        pytest.raises(AotError, match="which of the server's models"),
    ):
        audit(server.url, None, tmp_path, audit_settings([]), say=lambda _: None)


def test_another_models_audit_is_named_before_it_goes(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text('{"defender": {"name": "other"}}')
    said: list[str] = []
    with FaultServer(lambda content, body: "\\boxed{A}") as server:
        for _ in range(2):
            settings = audit_settings([], draws=1)
            audit(server.url, None, tmp_path, settings, model="mini", attacks=("noise",), limit=2, say=said.append)
    assert [line for line in said if "goes with this one" in line] == [
        f"the audit of other in {tmp_path} goes with this one; --out keeps it"
    ]
