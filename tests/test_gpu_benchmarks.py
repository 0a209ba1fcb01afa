"""The benchmarks for a GPU run, tiny, on the CPU: the same code, with figures in every place."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fake_vllm import Upstream
from test_frozen_stages import Answering

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks/gpu"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Runs a benchmark, and gives the figures that it leaves."""
    monkeypatch.syspath_prepend(str(FOLDER))
    out = tmp_path / "figures.jsonl"

    def run(name: str, *words: str) -> dict[str, Any]:
        assert import_module(name).main(["--tiny", "--out", str(out), *words]) == 0
        figures = json.loads(out.read_text().splitlines()[-1])
        assert all(math.isfinite(value) for value in figures.values() if isinstance(value, float))
        return figures  # type: ignore[no-any-return]

    yield run
    for name in ("measure", "full_size", "editor_flow_grpo", "defender_dapo", "vllm_serve"):
        sys.modules.pop(name, None)


@pytest.mark.slow  # the other scripts measure by the same functions; its trainings have tests of their own
def test_editor(benchmark: Callable[..., dict[str, Any]]) -> None:
    figures = benchmark("editor_flow_grpo", "--edits", "2", "--micro-batch", "1", "--steps", "4", "--repeats", "1")
    assert figures["ratio deviation at first"] == 0.0 and figures["update, TFLOP an edit"] > 0
    assert 0 < figures["update, MFU"] < 1 and 0 < figures["rollout, MFU"] < 1


def test_defender(benchmark: Callable[..., dict[str, Any]]) -> None:
    figures = benchmark("defender_dapo", "--groups", "1", "--group-size", "2", "--tokens", "2", "--updates", "2")
    assert 0 < figures["share of sampling"] < 1 and figures["learning, TFLOP an answer"] > 0


def test_vllm(benchmark: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    with Upstream(Answering()) as upstream:
        command = str(upstream.install(tmp_path / "bin"))
        figures = benchmark("vllm_serve", "--command", command, "--images", "6", "--answers", "2")
    assert figures["greedy answers that agree"] == 1.0 and figures["options' odds apart"] < 1e-4
    assert figures["share with log-odds"] == 1.0 and figures["processes left"] == 0
    assert upstream.steered[:2] == ["/sleep?level=1", "/wake_up"]
