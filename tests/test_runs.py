"""The run folder: stages are made once, verified, resumed; two processes and two recipes do not mix."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors import SafetensorError
from threadpoolctl import threadpool_info

from aot.errors import AotError
from aot.runs.background import Background, out_of_reach, within_reach
from aot.runs.files import canonical_hash, disk_errors, held, read_json, replacing, sha256_of, write_json
from aot.runs.run import Run, Stage
from aot.runs.streams import ENDING, PIPE_CLOSED
from aot.runs.threads import use_threads
from forked import in_a_fork, kill

RECIPE = {"name": "test", "seed": 3, "dapo": {"updates": 5}}


def opened(folder: Path, recipe: dict[str, Any] = RECIPE) -> Run:
    return Run(folder, recipe, say=lambda _: None)


def builder(calls: list[str], name: str, text: str = "weights") -> Callable[[Path], dict[str, Any]]:
    def build(folder: Path) -> dict[str, Any]:
        calls.append(name)
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model/weights.bin").write_text(text)
        (folder / "log.jsonl").write_text(f"{time.time()}\n")
        (folder / "checkpoint").mkdir(exist_ok=True)
        (folder / "checkpoint/latest.json").write_text("{}")
        return {"success": 0.25}

    return build


def two_stages(
    folder: Path, calls: list[str], *, lr: float = 0.1, text: str = "weights"
) -> tuple[Stage, Stage]:
    with opened(folder) as run:
        first = run.stage("1/attacker", builder(calls, "attacker", text), key={"lr": lr}, seed=7)
        second = run.stage("1/defender", builder(calls, "defender"), parents=[first])
    return first, second


def test_stages_are_made_once(tmp_path: Path) -> None:
    calls: list[str] = []
    made = two_stages(tmp_path, calls)
    kept = two_stages(tmp_path, calls)
    assert calls == ["attacker", "defender"]
    assert made == kept
    assert kept[0].metrics == {"success": 0.25}


def test_manifest_says_what_was_made_from_what(tmp_path: Path) -> None:
    first, second = two_stages(tmp_path, [])
    manifest = json.loads((tmp_path / "1/attacker/manifest.json").read_text())
    assert manifest["recipe"] == canonical_hash(RECIPE) == canonical_hash(dict(reversed(RECIPE.items())))
    assert manifest["seed"] == 7 and manifest["settings"] == {"lr": 0.1}
    assert set(manifest["files"]) == {"model/weights.bin", "log.jsonl"}
    assert manifest["files"]["model/weights.bin"]["bytes"] == 7
    assert manifest["wall_seconds"] >= 0 and manifest["versions"]["torch"]
    assert second.manifest["parents"] == {"1/attacker": first.hash}
    assert json.loads((tmp_path / "recipe.json").read_text()) == RECIPE
    assert not (tmp_path / "1/attacker/checkpoint").exists()
    assert not (tmp_path / "1/attacker/started.json").exists()


def test_changed_inputs_make_a_stage_and_its_children_anew(tmp_path: Path) -> None:
    calls: list[str] = []
    two_stages(tmp_path, calls)
    two_stages(tmp_path, calls, lr=0.2, text="other weights")
    assert calls == ["attacker", "defender"] * 2
    aside = list((tmp_path / "superseded/1").glob("attacker-*/model/weights.bin"))
    assert [path.read_text() for path in aside] == ["weights"]
    two_stages(tmp_path, calls)  # back again: the copy aside of equal inputs is replaced
    two_stages(tmp_path, calls, lr=0.2, text="other weights")
    assert len(list((tmp_path / "superseded/1").glob("attacker-*"))) == 2


def test_equal_output_of_a_remade_parent_keeps_the_child(tmp_path: Path) -> None:
    calls: list[str] = []
    two_stages(tmp_path, calls)
    (tmp_path / "1/attacker/manifest.json").unlink()
    two_stages(tmp_path, calls)  # only the log, which holds the time here, is another one
    assert calls == ["attacker", "defender", "attacker"]


def test_failed_stage_goes_on_in_its_folder(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "checkpoint").mkdir()
        (folder / "checkpoint/step").write_text("12")
        raise RuntimeError("killed")

    said: list[str] = []
    with Run(tmp_path, RECIPE, say=said.append) as run, pytest.raises(RuntimeError):
        run.stage("a", fails)
    with Run(tmp_path, RECIPE, say=said.append) as run:
        run.stage("a", lambda folder: {"found": (folder / "checkpoint/step").read_text()})
        assert run.stages["a"].metrics == {"found": "12"}
    assert said[:2] == ["a: begins", "a: goes on"]
    assert not (tmp_path / "a/checkpoint").exists()


def test_half_finished_stage_of_other_inputs_is_not_gone_on_with(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError

    with opened(tmp_path) as run, pytest.raises(RuntimeError):
        run.stage("a", fails, key=1)
    with opened(tmp_path) as run:
        run.stage("a", lambda folder: {"found": (folder / "half").exists()}, key=2)
        assert run.stages["a"].metrics == {"found": False}


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest"])
def test_damage_names_the_file_and_what_to_delete(tmp_path: Path, damage: str) -> None:
    two_stages(tmp_path, [])
    weights, manifest = tmp_path / "1/attacker/model/weights.bin", tmp_path / "1/attacker/manifest.json"
    if damage == "changed":
        weights.write_text("weighty")
    elif damage == "missing":
        weights.unlink()
    else:
        manifest.write_text('{"key": ')
    with pytest.raises(AotError) as caught:
        two_stages(tmp_path, [])
    assert caught.value.where == str(manifest if damage == "manifest" else weights)
    assert f"delete {tmp_path / '1/attacker'}" in (caught.value.hint or "")


def test_another_recipe_is_refused_and_named(tmp_path: Path) -> None:
    two_stages(tmp_path, [])
    other = {"name": "test", "seed": 4, "dapo": {"updates": 6}}
    with (
        pytest.raises(AotError, match=r"another recipe \(different: dapo\.updates, seed\)"),
        opened(tmp_path, other),
    ):
        pass
    two_stages(tmp_path, [])  # and the lock is free again


def test_a_recipe_changed_by_hand_is_not_taken_for_another_run(tmp_path: Path) -> None:
    two_stages(tmp_path, [])
    kept = json.loads((tmp_path / "recipe.json").read_text())
    write_json(tmp_path / "recipe.json", kept | {"seed": 9})
    told = r"recipe\.json: changed since .* \(different from this command's: seed\)\n  next: put it back, or delete it"
    with pytest.raises(AotError, match=told), opened(tmp_path):
        pass
    with pytest.raises(AotError, match="a run of another recipe"), opened(tmp_path, {"name": "another command's"}):
        pass
    (tmp_path / "recipe.json").unlink()
    made: list[str] = []
    two_stages(tmp_path, made)
    assert made == [] and json.loads((tmp_path / "recipe.json").read_text()) == kept


def test_folder_in_use_by_another_process(tmp_path: Path) -> None:
    reader, writer = os.pipe()

    def hold() -> None:
        with opened(tmp_path):
            os.write(writer, b"held")
            time.sleep(60)

    process = in_a_fork(hold)
    os.close(writer)
    assert os.read(reader, 4) == b"held"
    with pytest.raises(AotError, match="in use by another process") as caught, opened(tmp_path):
        pass
    assert "--out" in (caught.value.hint or "")
    kill(process)
    os.close(reader)
    with opened(tmp_path):
        pass  # a killed process holds nothing


def test_full_disk_within_a_stage_keeps_what_was_finished(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path) as run:
        run.stage("a", lambda folder: None)
        with pytest.raises(AotError, match="the disk is full; finished stages"):
            run.stage("b", full)
        with pytest.raises(FileNotFoundError):  # any other error of a stage is not dressed up
            run.stage("c", lambda folder: {"text": (folder / "absent").read_text()})
    with opened(tmp_path) as run:
        assert run.stage("a", full).metrics == {}


def test_summary_is_written(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        assert json.loads(run.write_summary({"name": "é"}).read_text()) == {"name": "é"}


def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_json(path, 1)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("aot.runs.files.os.fsync", full)
    with pytest.raises(AotError, match="the disk is full; what was there before is kept") as caught:
        write_json(path, 2)
    assert caught.value.where == str(path) and "make room" in (caught.value.hint or "")
    assert read_json(path, hint="") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_errors_that_are_not_about_the_disk_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x") as temporary:
        temporary.write_text(str(1 / 0))
    with pytest.raises(SafetensorError), disk_errors(tmp_path, "kept"):
        raise SafetensorError("header too large")
    with pytest.raises(AotError, match="the disk is full"), disk_errors(tmp_path, "kept", only_full=True):
        raise SafetensorError("I/O error: No space left on device (os error 28)")
    with pytest.raises(AotError, match="cannot write"), disk_errors(tmp_path, "kept"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_missing_and_unreadable_json(tmp_path: Path) -> None:
    with pytest.raises(AotError, match="no such file"):
        read_json(tmp_path / "absent.json", hint="h")
    with pytest.raises(AotError, match="cannot be read as JSON"):
        read_json(tmp_path, hint="h")


def test_sha256_is_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "abc") == known


MANIFESTS = {
    "a list": "[]",
    "null": "null",
    "nested deep": "[" * 100_000,
    "no files": '{"key": "KEY", "finished": 1, "wall_seconds": 1}',
    "files is a list": '{"key": "KEY", "files": [], "finished": 1, "wall_seconds": 1}',
    "an entry is a number": '{"key": "KEY", "files": {"a": 1}, "finished": 1, "wall_seconds": 1}',
    "time as text": '{"key": "KEY", "files": {}, "finished": "now", "wall_seconds": 1}',
    "metrics is a list": '{"key": "KEY", "files": {}, "finished": 1, "wall_seconds": 1, "metrics": []}',
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_the_wrong_shape_is_a_clear_error(tmp_path: Path, name: str) -> None:
    def run() -> Stage:
        with Run(tmp_path, {}, say=lambda _: None) as held:
            return held.stage("s", lambda folder: {"x": 1})

    path = tmp_path / "s/manifest.json"
    key = run().manifest["key"]
    path.write_text(MANIFESTS[name].replace("KEY", key))
    with pytest.raises(AotError) as caught:
        run()
    assert str(path) in str(caught.value) and f"delete {tmp_path / 's'}" in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "null", '"text"', "[" * 100_000])
def test_a_recipe_of_the_wrong_shape_is_a_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(AotError, match=r"recipe\.json"), Run(tmp_path, {}, say=lambda _: None):
        pass


def test_what_a_killed_write_left_is_no_part_of_a_stage(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "kept.txt").write_text("kept")
        (folder / ".answers.json.4242.tmp").write_text("half")

    with Run(tmp_path, {}, say=lambda _: None) as run:
        stage = run.stage("s", build)
    assert set(stage.manifest["files"]) == {"kept.txt"}
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_stage_that_stands_is_cleared_of_what_a_kill_left_beside_it(tmp_path: Path) -> None:
    first, _ = two_stages(tmp_path, [])
    (first.folder / "checkpoint").mkdir()
    (first.folder / "started.json").write_text("{}")
    with opened(tmp_path) as run:
        assert run.standing("1/attacker", key={"lr": 0.2}, seed=7) is None
        assert (first.folder / "checkpoint").exists()
        assert run.standing("1/attacker", key={"lr": 0.1}, seed=7) is not None
    assert not (first.folder / "checkpoint").exists() and not (first.folder / "started.json").exists()


def test_a_folder_of_a_name_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"run \xff")
    with pytest.raises(AotError, match=r"run \\udcff: the folder's name is not UTF-8\n  next: "), held(folder):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sent", ENDING)
def test_a_worker_that_has_just_begun_ends_by_a_signal_whatever_its_parent_does_then(sent: signal.Signals) -> None:
    before = signal.signal(sent, lambda *_: sys.exit(3))
    try:
        with out_of_reach(forked=True):
            if not (child := os.fork()):
                try:
                    os.kill(os.getpid(), sent)
                    within_reach()
                finally:
                    os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -sent
    finally:
        signal.signal(sent, before)


def test_a_worker_that_was_killed_is_told(tmp_path: Path) -> None:
    background = Background(enabled=True)
    background.submit(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(AotError, match=r"a background process was killed \(SIGKILL\)"):
        background.wait()


def test_a_worker_whose_words_nobody_reads_ends_the_command_as_they_would(tmp_path: Path) -> None:
    background = Background(enabled=True)
    background.submit(lambda: sys.exit(PIPE_CLOSED))
    with pytest.raises(SystemExit, match=str(PIPE_CLOSED)):
        background.wait()


def test_workers_never_hear_of_ctrl_c(tmp_path: Path) -> None:
    """A terminal sends it to all processes, also to one that has only just been started."""

    def job() -> None:
        blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        (tmp_path / "blocked").write_text(str(blocked))

    with Background(enabled=True) as background:
        background.submit(job)
    assert (tmp_path / "blocked").read_text() == "True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sent", [*ENDING, signal.SIGKILL])
def test_workers_end_with_the_main_process(tmp_path: Path, sent: signal.Signals) -> None:
    worker, said = tmp_path / "pid", tmp_path / "said"

    def job() -> None:
        worker.write_text(str(os.getpid()))
        time.sleep(60)

    def work() -> None:
        with Background(enabled=True) as background:
            background.submit(job)
            background.submit(job)
            time.sleep(60)

    main = in_a_fork(work, said)
    until = time.monotonic() + 120
    while not (worker.exists() and worker.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    assert main.pid is not None
    os.kill(main.pid, sent)
    main.join(120)
    assert main.exitcode == -sent and "Traceback" not in said.read_text()
    alive = Path(f"/proc/{worker.read_text()}/cmdline")
    until = time.monotonic() + 10
    while alive.exists() and alive.read_bytes() and time.monotonic() < until:
        time.sleep(0.05)
    assert not (alive.exists() and alive.read_bytes())


def test_all_libraries_compute_with_the_threads_of_the_settings() -> None:
    """A BLAS that takes all cores for itself waits in loops that cost CPU seconds."""
    counts = []
    for threads in (2, 1):
        use_threads(threads)
        blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        counts.append((torch.get_num_threads(), blas, cv2.getNumThreads()))
    assert counts == [(2, {2}, 2), (1, {1}, 1)]
