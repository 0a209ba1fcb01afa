"""Readers of what a run, an evaluation or the forge left behind, which anything may have changed since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Reply
from aot.bench.comparison import compare_runs
from aot.bench.evaluation.records import Answered, write_answers
from aot.coevolve.recipes.load import load_recipe, recipe_of
from aot.coevolve.recipes.miniature import smoke
from aot.report import build_report
from aot.runs.checkpoints import Checkpoint
from aot.runs.files import write_json
from aot.runs.run import Run
from aot.runs.train_log import TrainLog
from aot.scores.result import Result
from fuzz_readers import Outcome, Reader


def _run(folder: Path) -> Run:
    return Run(folder, {"name": "fuzz", "seed": 1}, say=lambda _: None)


def _built(folder: Path) -> dict[str, Any]:
    (folder / "weights.bin").write_bytes(b"weights")
    return {"success": 0.5, "parts": {"a": [1, 2]}}


def _finished(folder: Path) -> Path:
    with _run(folder) as run:
        run.stage("1/attacker", _built, key={"lr": 0.1}, seed=1)
    return folder


def _stage(folder: Path) -> Outcome:
    """A damaged stage is made anew only where its manifest is gone."""
    with _run(folder) as run:
        stage = run.stage("1/attacker", _built, key={"lr": 0.1}, seed=1)
    return len(stage.hash) // 64 and isinstance(stage.metrics, dict), 0


def _state() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    adamw = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    adamw.step()
    return {"model": model}, {"adamw": adamw}, {"noise": torch.Generator().manual_seed(1)}


def _saved(folder: Path) -> Path:
    Checkpoint(folder, 1).save(1, *_state(), extra={"position": 3})
    return folder


def _restored(folder: Path) -> Outcome:
    assert Checkpoint(folder).restore(*_state()) in (0, 1)
    return 1, 0


def _recipe(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "recipe.json", smoke().model_dump(mode="json") | {"data": None})
    return folder


def _recipes(folder: Path) -> Outcome:
    recipe, _ = recipe_of(folder)
    load_recipe(str(folder / "recipe.json"))
    return int(bool(recipe.name)), 0


def _log(folder: Path) -> Path:
    with TrainLog(folder / "log.jsonl", 3, "t", quiet=True) as log:
        for step in (1, 2, 3):
            log.write(step, loss=0.5, reason="none")
    return folder


def _resumed(folder: Path) -> Outcome:
    TrainLog(folder / "log.jsonl", 3, "t", quiet=True).resume(2)
    return 1, 0


def _played(folder: Path) -> Path:
    from test_report import fake_run

    return fake_run(folder)


def _page(folder: Path) -> Outcome:
    return int(build_report(folder).stat().st_size > 0), 0


def _scored(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    result = Result("1", "answered", "A", "A", True, "one", {"image": "x"})
    write_answers(folder / "answers.parquet", {"custom:mine": [Answered("d", Reply("A"), result)]})
    entry = {"score": 1.0, "n": 1, "protocol": {"name": "default", "seed": 0}}
    (folder / "scores.json").write_text(json.dumps({"custom:mine": entry}))
    return folder


def _compared(folder: Path) -> Outcome:
    return len(compare_runs(folder, folder)), 0


def _stored(folder: Path) -> Path:
    with AnswerStore(folder / "replies.sqlite") as store:
        store.put("key", Reply("A", seconds=0.5))
        store.put("other", Reply("", "error", "timeout"), "run")
    return folder


def _replies(folder: Path) -> Outcome:
    with AnswerStore(folder / "replies.sqlite") as store:
        store.get("key")
        store.failed("other", "run")
        return 1 + min(len(store), store.counts().asked), 0


SQLITE = ("replies.sqlite", "replies.sqlite-wal", "replies.sqlite-shm")
RUN_FILES = [
    Reader("runs", "stage", _finished, _stage, None),  # a stage of another key is moved aside
    Reader("runs", "checkpoint", _saved, _restored),
    Reader("runs", "recipe", _recipe, _recipes),
    Reader("runs", "log", _log, _resumed, ("log.jsonl",)),
    Reader("runs", "report", _played, _page, ("report.html",)),
    Reader("runs", "comparison", _scored, _compared),
    Reader("runs", "replies", _stored, _replies, SQLITE),
]
