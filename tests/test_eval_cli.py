"""`aot eval` as a user runs it: the miniature, a server that stumbles, a kill and a resume, a comparison."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
import sys
import time
import zlib
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image as PilImage

from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Ask, Backend, Reply
from aot.backends.base.scripted import ScriptedBackend
from aot.backends.openai.backend import OpenAiBackend
from aot.backends.opening import open_backend
from aot.bench.command import settings_of, wanted
from aot.bench.comparison import compare_runs
from aot.bench.evaluation.protocol import EvalSettings
from aot.bench.evaluation.records import SCHEMA
from aot.bench.evaluation.run import Outcome, evaluate, plan
from aot.cli import main
from aot.errors import AotError
from aot.runs.files import held
from aot.types import LETTERS
from aot.world.scenes import draw_scenes
from bench_layouts import base64_picture, lmu, vstar_folder, write_tsv
from fault_server import FAULTS, FaultServer
from forked import aot_in_a_fork, in_a_fork, kill

N, MANY = 24, 48
MEASURED = ("seconds", "attempts", "faults")


def world_rows(n: int) -> list[dict[str, Any]]:
    """Scenes of the miniature world as LMUData."""
    rows = []
    for i, scene in enumerate(draw_scenes(n, 7, "test")):
        out = BytesIO()
        PilImage.fromarray(scene.image).save(out, "PNG")
        options = dict(zip(LETTERS, scene.question.options, strict=False))
        image = base64.b64encode(out.getvalue()).decode()
        known = {"answer": scene.question.letter, "category": scene.question.kind}
        rows.append({"index": str(i), "image": image, "question": scene.question.text, **options, **known})
    return rows


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tsv(tmp_path_factory.mktemp("world") / "world.tsv", world_rows(N))


def aot_eval(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["aot", "eval", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def answers(folder: Path, *, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    rows = pyarrow.parquet.read_table(folder / "answers.parquet").to_pylist()
    return [{key: value for key, value in row.items() if key not in without} for row in rows]


def scores(folder: Path) -> dict[str, Any]:
    known = json.loads((folder / "scores.json").read_text())
    for entry in known.values():
        del entry["call"]
        for measured in ("seconds", "stored_before"):
            del entry["asked"][measured]
    return known


def run(backend: Any, pairs: list[str], out: Path, **settings: Any) -> Outcome:
    chosen = settings_of(**settings)
    with AnswerStore(out / "replies.sqlite") as store:
        return evaluate(backend, plan(backend, wanted(pairs), chosen, store), chosen, store, out)


def test_the_miniature_is_scored_killed_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what the contract promises: the keys of scores.json, the columns of answers.parquet, exit status 3."""
    rows, n = world_rows(MANY), MANY - 1
    rows[5]["answer"] = "Z"
    data = write_tsv(tmp_path / "mine.tsv", rows)
    common = ("--benchmark", f"custom:mine={data}", "--max-new-tokens", "16", "--batch", "4")
    assert aot_eval(monkeypatch, *common, "--out", tmp_path / "whole") == 3
    told = capsys.readouterr()
    assert f"{n} requests to miniature" in told.out and told.out.index("Plan") < told.out.index("custom:mine: ")
    assert "temperature 0, trials 1" in told.out and "visual tokens 16 (min 16, max 16)" in told.out
    assert "refused rows of the data: 1" in told.err and "row 7 (index 5): the answer 'Z'" in told.err
    entry = json.loads((tmp_path / "whole" / "scores.json").read_text())["custom:mine"]
    assert entry["accuracy"] > 0.8 and entry["accuracy_ci"][0] < entry["accuracy"] <= entry["accuracy_ci"][1]
    assert {s: entry[s] for s in ("n", "answered", "unparsed", "truncated", "refused", "error")} == {
        "n": n, "answered": n, "unparsed": 0, "truncated": 0, "refused": 0, "error": 0
    }  # fmt: skip
    assert entry["rows"] == {"read": MANY, "kept": n, "refused": 1, "left_out": {}, "published": None}
    assert entry["protocol"]["name"] == "default" and len(entry["protocol"]["data"]["digest"]) == 64
    assert set(answers(tmp_path / "whole")[0]) >= {
        "id", "benchmark", "prompt_digest", "text", "status", "given", "gold", "right", "confidence",
        "prompt_tokens", "completion_tokens", "seconds", "attempts",
    }  # fmt: skip

    child = aot_in_a_fork("eval", *common, "--out", tmp_path / "cut")
    until = time.monotonic() + 240
    while stored(tmp_path / "cut") < 4 and child.is_alive() and time.monotonic() < until:
        time.sleep(0.005)
    kill(child)
    before = stored(tmp_path / "cut")
    assert 4 <= before < n and not (tmp_path / "cut" / "scores.json").exists()
    assert aot_eval(monkeypatch, *common, "--out", tmp_path / "cut") == 3
    assert f"{n - before} requests to miniature" in capsys.readouterr().out
    cut = json.loads((tmp_path / "cut" / "scores.json").read_text())["custom:mine"]
    assert (cut["asked"]["asked"], cut["asked"]["stored_before"]) == (n, before)
    assert (cut["call"]["asked"], cut["call"]["stored"]) == (n - before, before)
    assert answers(tmp_path / "cut", without=MEASURED) == answers(tmp_path / "whole", without=MEASURED)
    assert scores(tmp_path / "cut") == scores(tmp_path / "whole")


@pytest.mark.parametrize("answered", [0, 1, 5, 8])
def test_what_was_asked_is_the_same_for_a_run_that_was_cut(tmp_path: Path, answered: int) -> None:
    """Nine rows of which two ask the same: eight questions, whichever call asked them. A question that failed is asked
    again and is still one."""
    rows = lmu(9, random.Random(0))
    rows[7] |= {key: rows[0][key] for key in ("image", "question", "answer", *"ABCD")}
    pair = f"custom:mine={write_tsv(tmp_path / 'mine.tsv', rows)}"

    def reply(ask: Ask, cut: bool = False) -> Reply:
        if cut and len(came) == answered:
            raise KeyboardInterrupt
        came.append(ask.id)
        return Reply("A", prompt_tokens=10, attempts=2, faults=("429",))

    came: list[str] = []
    whole = run(ScriptedBackend(reply), [pair], tmp_path / "whole").scores["custom:mine"]
    assert (whole["asked"]["asked"], whole["asked"]["requests"], whole["call"]["asked"]) == (8, 16, 8)
    came.clear()
    if answered < 8:
        with pytest.raises(KeyboardInterrupt):
            run(ScriptedBackend(lambda ask: reply(ask, cut=True)), [pair], tmp_path / "cut")
    else:
        run(ScriptedBackend(lambda ask: reply(ask) if ask.id != "3" else Reply("", "error")), [pair], tmp_path / "cut")
    before = len(came)
    cut = run(ScriptedBackend(reply), [pair], tmp_path / "cut").scores["custom:mine"]
    assert (cut["asked"].pop("stored_before"), cut["call"]["asked"]) == (before, 8 - before)
    assert whole["asked"].pop("stored_before") == 0
    assert cut["asked"] == whole["asked"] and cut["call"]["requests"] == 2 * (8 - before)


def stored(folder: Path) -> int:
    """Replies in the store of a process that is at work."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'replies.sqlite'}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM replies").fetchone()[0])
    except sqlite3.OperationalError:  # not there yet, or just being made
        return 0


def test_a_server_with_faults_gives_the_score_of_one_without(tmp_path: Path, world: Path) -> None:
    """The miniature behind HTTP: three requests of ten fail, every fault is counted, nothing is asked twice."""
    local = open_backend("miniature")
    pairs, settings = [f"custom:mine={world}"], {"max_new_tokens": 16}
    direct = run(local, pairs, tmp_path / "direct", **settings).scores["custom:mine"]
    replies = answered_by(local, pairs)
    with FaultServer(lambda content, body: replies[content], rate=0.3, seed=4, timeout_s=3.0) as server:
        faulty = OpenAiBackend(server.url, "mini", timeout=server.timeout_s, backoff_s=0.01)
        outcome = run(faulty, pairs, tmp_path / "faulty", **settings)
        entry, counts = outcome.scores["custom:mine"], outcome.counts["custom:mine"]
        asked_once = server.requests.total()
        assert server.faults.total() > 4
        again = run(faulty, pairs, tmp_path / "faulty", **settings).scores["custom:mine"]
        assert again["call"]["asked"] == entry["error"] and again["asked"]["asked"] == entry["asked"]["asked"] == N
    assert all(times == 1 for times in server.delivered.values())
    assert counts.requests == asked_once
    assert entry["refused"] == server.faults["refusal"] and entry["n"] == N
    assert counts.faults.total() == asked_once - entry["answered"] - entry["refused"]
    truth = {row["id"]: (row["given"], row["right"]) for row in answers(tmp_path / "direct")}
    for row in answers(tmp_path / "faulty"):
        assert (row["given"], row["right"]) == (truth[row["id"]] if row["status"] == "answered" else ("", None))
    kept = [row["right"] for row in answers(tmp_path / "faulty") if row["status"] == "answered"]
    assert entry["accuracy"] == sum(kept) / len(kept) and entry["accuracy_all"] == sum(kept) / N
    assert direct["answered"] == N
    mishaps = [fault for fault in FAULTS if fault != "refusal"]
    with FaultServer(lambda content, body: replies[content], rate=0.3, seed=1, faults=mishaps, timeout_s=3.0) as server:
        faulty = OpenAiBackend(server.url, "mini", timeout=server.timeout_s, backoff_s=0.01)
        entry = run(faulty, pairs, tmp_path / "mishaps", **settings).scores["custom:mine"]
        assert len(server.faults) > 3
    for key in ("answered", "accuracy", "accuracy_ci", "accuracy_all", "accuracy_macro"):
        assert entry[key] == direct[key]


def test_a_url_is_killed_and_resumed_without_asking_again(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(lambda content, body: "\\boxed{A}", delay_s=0.1) as server:
        model = ["--defender", server.url, "--model", "mini", "--concurrency", "2"]
        common = [*model, "--benchmark", f"custom:mine={world}"]
        child = aot_in_a_fork("eval", *common, "--out", tmp_path)
        until = time.monotonic() + 240
        while stored(tmp_path) < 4 and child.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        kill(child)
        before = stored(tmp_path)
        assert 4 <= before < N
        server.delay_s = 0.0
        assert aot_eval(monkeypatch, *common, "--out", tmp_path) == 0
        assert f"{N - before} requests to mini" in capsys.readouterr().out
        twice = [times for times in server.delivered.values() if times > 1]
        # Twice: what was on its way when the process was killed, and whether the model sees (three questions).
        assert len(server.delivered) == N + 3 and len(twice) <= 2 + 3
        assert aot_eval(monkeypatch, *common, "--out", tmp_path) == 0
        assert server.delivered.total() == N + 3 + len(twice)
        assert aot_eval(monkeypatch, *common, "--model", "nobody", "--out", tmp_path / "other") == 2
        assert "mini" in capsys.readouterr().err
    assert len(answers(tmp_path)) == N


def answered_by(backend: Backend, pairs: list[str]) -> dict[tuple[str | bytes, ...], str]:
    """What a model says to each question, known before the server is asked: a slow machine is no time-out then."""
    settings = EvalSettings(max_new_tokens=16)
    with AnswerStore() as store:
        asks = plan(backend, wanted(pairs), settings, store)[0].asks(1)
    return {ask.content: reply.text for ask, reply in backend.ask(asks, settings.sampling)}


def test_real_photos_through_a_server_with_faults(shared_data: Path, tmp_path: Path) -> None:
    pairs = [f"{name}={shared_data / 'tsv' / f'{name}_with_images.tsv'}" for name in ("POPE", "VSR")]

    def says(content: tuple[str | bytes, ...]) -> str:
        return "Yes." if zlib.crc32(repr(content).encode()) % 3 else "No."

    direct = run(ScriptedBackend(lambda ask: says(ask.content)), pairs, tmp_path / "direct").scores
    mishaps = [fault for fault in FAULTS if fault != "refusal"]
    with FaultServer(lambda content, body: says(content), rate=0.3, seed=2, faults=mishaps, timeout_s=1.5) as server:
        backend = OpenAiBackend(server.url, "mini", timeout=server.timeout_s, backoff_s=0.01)
        outcome = run(backend, pairs, tmp_path / "faulty")
        assert len(server.faults) > 3 and outcome.refused_rows == 0
    for name, measured in (("POPE", "f1"), ("VSR", "accuracy")):
        entry = outcome.scores[name]
        assert entry["answered"] == entry["n"] > 20 and 0 < entry[measured] < 1
        for key in (measured, f"{measured}_ci", f"{measured}_all", "yes_ratio", "answered"):
            assert entry[key] == direct[name][key], (name, key)


def test_another_cap_prompt_or_trial_is_another_question(tmp_path: Path, world: Path) -> None:
    backend = ScriptedBackend(lambda ask: "\\boxed{A}")
    pairs = [f"custom:mine={world}"]
    for settings, new in [
        ({}, N), ({}, 0), ({"max_pixels": 4096}, N), ({"trials": 3, "temperature": 0.5}, 3 * N), ({"limit": 5}, 0),
        ({"limit": 5, "seed": 1}, 5),
    ]:  # fmt: skip
        before = len(backend.asked)
        entry = run(backend, pairs, tmp_path, **settings).scores["custom:mine"]
        assert len(backend.asked) - before == new, settings
        assert entry["n"] == min(settings.get("limit", N), N) * settings.get("trials", 1)
        assert entry["protocol"]["trials"] == settings.get("trials", 1)


def test_confidence_gives_calibration(tmp_path: Path, world: Path) -> None:
    backend, pairs = open_backend("miniature"), [f"custom:mine={world}"]
    entry = run(backend, pairs, tmp_path, max_new_tokens=16, confidence=True).scores["custom:mine"]
    found = entry["calibration"]
    assert found["n"] == N and 0 <= found["ece"] < 0.3 and found["selective"][0]["coverage"] == 1
    assert all(0.25 <= row["confidence"] <= 1 for row in answers(tmp_path))
    assert run(ScriptedBackend(lambda ask: "A"), pairs, tmp_path).scores["custom:mine"]["calibration"] is None


def test_the_release_protocol_is_its_own_name(tmp_path: Path) -> None:
    """V* in the order of its files: whoever says A is always right there, and at chance by default."""
    vstar_folder(tmp_path / "vstar", 40, random.Random(0))
    backend = ScriptedBackend(lambda ask: "A")
    pairs = [f"vstar={tmp_path / 'vstar'}"]
    released = run(backend, pairs, tmp_path / "release", protocol="aot_release").scores["VStar"]
    assert released["strict_accuracy_all"] == 1 and released["n"] == 120 and "accuracy" not in released
    assert released["protocol"]["name"] == "aot_release" and released["protocol"]["prompt"]["name"] == "boxed"
    entry = run(backend, pairs, tmp_path / "default").scores["VStar"]
    assert 0.1 < entry["accuracy"] < 0.7
    based = ScriptedBackend(lambda ask: "Based on the image, I cannot tell.")
    hr = write_tsv(tmp_path / "hr.tsv", [row | {"cycle_category": "0"} for row in lmu(20, random.Random(0))])
    defect = run(based, [f"hrbench4k={hr}"], tmp_path / "defect", protocol="aot_release").scores["HRBench-4K"]
    assert defect["answered"] == 60  # "Based" is B there
    assert run(based, [f"hrbench4k={hr}"], tmp_path / "honest").scores["HRBench-4K"]["answered"] == 0
    with pytest.raises(AotError, match="does not evaluate MMStar"):
        run(based, [f"mmstar={hr}"], tmp_path / "none", protocol="aot_release")


def test_two_runs_are_compared_pair_by_pair(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    golds = {row["index"]: row["answer"] for row in world_rows(N)}

    def right_below(number: int) -> ScriptedBackend:
        wrong = {"A": "B"}
        return ScriptedBackend(lambda ask: golds[ask.id] if int(ask.id) < number else wrong.get(golds[ask.id], "A"))

    for name, number in (("before", 10), ("after", 20)):
        run(right_below(number), [f"custom:mine={world}"], tmp_path / name)
    found = compare_runs(tmp_path / "before", tmp_path / "after")["custom:mine"]
    assert (found["gained"], found["lost"], found["warnings"]) == (10, 0, [])
    assert found["p_value"] == pytest.approx(2 / 2**10)
    difference = found["metrics"]["accuracy"]
    assert difference["difference"] == pytest.approx(10 / N) and difference["difference_ci"][0] > 0
    run(right_below(20), [f"custom:mine={world}"], tmp_path / "capped", limit=12, max_pixels=1024)
    warnings = compare_runs(tmp_path / "before", tmp_path / "capped")["custom:mine"]["warnings"]
    assert any("max_pixels" in told for told in warnings) and any("12 items are in one run only" in w for w in warnings)
    older = pyarrow.parquet.read_table(tmp_path / "capped" / "answers.parquet").to_pandas().assign(groups="{}")
    pyarrow.parquet.write_table(pa.Table.from_pandas(older, schema=SCHEMA), tmp_path / "capped" / "answers.parquet")
    with pytest.raises(AotError, match="another version's or damaged"):
        compare_runs(tmp_path / "capped", tmp_path / "before")
    runs = [tmp_path / "before", tmp_path / "after"]
    assert aot_eval(monkeypatch, "--compare", *runs, "--out", tmp_path / "compared") == 0
    told = capsys.readouterr().out
    assert "+41.7" in told and "0.00195" in told
    assert json.loads((tmp_path / "compared" / "compare.json").read_text())["custom:mine"]["gained"] == 10


def test_seven_questions_about_one_image_have_no_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in scores.json, nor in the tables, nor where two runs are compared: the reason stands there."""
    rows = [row | {"image": base64_picture(0), "answer": "A"} for row in lmu(7, random.Random(0))]
    pair = f"custom:one={write_tsv(tmp_path / 'one.tsv', rows)}"
    for name, right in (("before", 1), ("after", 3)):
        backend = ScriptedBackend(lambda ask, n=right: "A" if int(ask.id) < n else "B", name=name)
        monkeypatch.setattr("aot.bench.command.open_backend", lambda *_, given=backend, **__: given)
        assert aot_eval(monkeypatch, "--benchmark", pair, "--out", tmp_path / name) == 0
    told = capsys.readouterr().out
    assert "14.3 one cluster" in " ".join(told.split()) and "14.3..14.3" not in told
    entry = scores(tmp_path / "before")["custom:one"]
    assert (entry["accuracy"], entry["accuracy_ci"]) == (1 / 7, None)
    assert entry["accuracy_ci_absent"] == entry["accuracy_all_ci_absent"] == "one cluster"
    assert aot_eval(monkeypatch, "--compare", tmp_path / "before", tmp_path / "after", "--out", tmp_path) == 0
    assert "+28.6 one cluster" in " ".join(capsys.readouterr().out.split())
    found = json.loads((tmp_path / "compare.json").read_text())["custom:one"]["metrics"]["accuracy"]
    assert (found["difference_ci"], found["difference_ci_absent"]) == (None, "one cluster")


def test_what_a_user_needs_to_know_is_said(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are no emoji, failures have a reason, lost scores are told, half a file from before is no obstacle."""
    fine, out = ScriptedBackend(lambda ask: "A", name="fine"), tmp_path / "out"
    failing = ScriptedBackend(lambda ask: Reply("", "error", "timeout: no answer within 60 s"), name="failing")

    def told(backend: ScriptedBackend, name: str) -> str:
        monkeypatch.setattr("aot.bench.command.open_backend", lambda *_, **__: backend)
        status = aot_eval(monkeypatch, "--benchmark", f"custom:{name}={world}", "--limit", "3", "--out", out)
        assert status == (2 if backend is failing else 0)
        said = capsys.readouterr()
        assert f"custom:{name}: protocol default" in said.out
        return said.out + said.err

    assert "note:" not in told(fine, "x")
    second = told(failing, "bug")
    assert "will hold no custom:x of fine any more" in second
    assert "custom:bug: 3 questions failed, mostly: timeout: no answer within 60 s" in second
    assert "not one question was answered (3 error)" in second
    assert "note:" not in told(failing, "bug")
    (out / "scores.json").write_text('{"half')
    assert "note:" not in told(fine, "x")


def test_one_process_works_in_a_folder(tmp_path: Path) -> None:
    def works(said: Path) -> int | None:
        def hold() -> None:
            with held(tmp_path):
                pass

        other = in_a_fork(hold, said)
        other.join(60)
        return other.exitcode

    with held(tmp_path):
        assert works(tmp_path / "said") and "the folder is in use by another process" in (tmp_path / "said").read_text()
    assert works(tmp_path / "said") == 0


def test_nothing_to_ask_says_why(tmp_path: Path) -> None:
    fine = ScriptedBackend(lambda ask: "A")
    rows = [row | {"image": "", "image_path": "gone.jpg"} for row in lmu(3, random.Random(0))]
    with pytest.raises(AotError, match="3 rows refused") as caught:
        run(fine, [f"custom:x={write_tsv(tmp_path / 'gone.tsv', rows)}"], tmp_path / "out")
    assert "put the images beside the questions" in str(caught.value)
    for text, why in (("index\timage\tquestion\tanswer\n", "it has no rows"), ("", "the file is empty")):
        (tmp_path / "none.tsv").write_text(text)
        with pytest.raises(AotError, match=why):
            run(fine, [f"custom:x={tmp_path / 'none.tsv'}"], tmp_path / "out")


def test_mistakes_are_told_before_a_model_is_loaded(
    tmp_path: Path, world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, told in [
        ((), "no benchmark is given"),
        (("--benchmark", "POPE"), "'POPE' is not NAME=PATH"),
        (("--benchmark", f"mmbench={world}"), "unknown benchmark 'mmbench'"),
        (("--benchmark", f"custom:a={world}", "--min-pixels", "9", "--max-pixels", "4"), "min_pixels is above"),
        (("--compare", "nowhere", "nowhere"), "no such file"),
    ]:
        assert aot_eval(monkeypatch, *arguments, "--out", tmp_path / "out") == 2
        assert told in capsys.readouterr().err
    backend = ScriptedBackend(lambda ask: "A")
    bad = write_tsv(tmp_path / "bad.tsv", [row | {"answer": "Z"} for row in lmu(3, random.Random(0))])
    for pairs, told in [
        (["AI2D=nowhere.tsv"], "no such file or folder"),
        ([f"custom:a={world}", f"custom:a={world}"], "given twice"),
        ([f"MMVP={bad}"], "nothing to ask"),
    ]:
        with pytest.raises(AotError, match=told):
            run(backend, pairs, tmp_path / "out")
    assert not (tmp_path / "out" / "scores.json").exists()


def test_ask_ids_are_items_and_trials(tmp_path: Path, world: Path) -> None:
    seen: list[Ask] = []
    backend = ScriptedBackend(lambda ask: seen.append(ask) or "\\boxed{A}")  # type: ignore[func-returns-value]
    settings = EvalSettings(trials=2, temperature=1.0)
    with AnswerStore() as store:
        exams = plan(backend, wanted([f"custom:mine={world}"]), settings, store)
        assert seen == [] and (exams[0].requests, exams[0].stored) == (2 * N, 0)
        evaluate(backend, exams, settings, store, tmp_path)
        third = settings.model_copy(update={"trials": 3})
        assert plan(backend, wanted([f"custom:mine={world}"]), third, store)[0].stored == 2 * N
    assert [(ask.id, ask.trial) for ask in seen] == [(str(i), trial) for i in range(N) for trial in (0, 1)]
    assert [(row["id"], row["trial"]) for row in answers(tmp_path)] == [(ask.id, ask.trial) for ask in seen]
