"""Stages that ask a frozen defender through a server of ours: what it answers is what it answers in this process."""

from __future__ import annotations

import base64
import json
import math
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PilImage

from aot.coevolve.loop import coevolve
from aot.coevolve.recipes.load import load_recipe
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.scenes.game import open_game
from aot.coevolve.stages.make import Stages
from aot.errors import AotError
from aot.players.defender.qwen import QwenDefender
from aot.players.defender.shared_prefix import packed_hidden
from aot.runs.run import Run
from aot.types import Image, Question
from fake_vllm import Upstream

SMALL: dict[str, Any] = {
    "game": {"train_scenes": 8, "held_out_scenes": 8},
    "players": {"attacker": {"steps": 3}},
    "attacker": {"flow_grpo": {"updates": 1, "groups": 2, "group_size": 4}},
    "evaluation": {"distractors": 1},
    "processes": 1,
    **{"warm_up": {"steps": 0}, "hits": {"steps": 0}, "sft_scripted_steps": 0, "best_response_updates": 0},
}
ASKING = {"concurrency": 4, "attempts": 2}


class Answering:
    """The miniatures of the folders that are asked for, in this process."""

    def __init__(self) -> None:
        self.loaded: dict[str, QwenDefender] = {}
        self.lock = threading.Lock()

    def __call__(self, folder: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        picture, words = body["messages"][-1]["content"]
        url, [text, *options, _] = picture["image_url"]["url"], words["text"].split("\n")
        image = np.array(PilImage.open(BytesIO(base64.b64decode(url.partition(",")[2]))))
        question = Question(text, tuple(option.partition(". ")[2] for option in options), 0)
        with self.lock:
            if folder not in self.loaded:
                self.loaded[folder] = QwenDefender.load(folder, name=name)
            defender = self.loaded[folder]
            if "logprobs" not in body:
                how = {"temperature": body["temperature"], "seed": body.get("seed", 0)}
                return {"text": defender.answer([image], [question], k=1, **how)[0][0].text}
            return self.with_odds(defender, image, question, body["top_logprobs"])

    @torch.no_grad()
    def with_odds(self, defender: QwenDefender, image: Image, question: Question, top: int) -> dict[str, Any]:
        """The greedy answer, token by token, each with its likeliest alternatives: as vLLM gives them."""
        prompts, tokens = defender.encode([image], [question]), []
        text = defender.answer([image], [question])[0][0].text
        ids, mask = defender.pad_answers([[text]])
        logits = defender.model.lm_head(packed_hidden(defender.model, prompts, ids)[mask]).float()
        logprobs, decode = logits.log_softmax(-1), defender.tokenizer.decode
        for row, token in zip(logprobs, ids[mask].tolist(), strict=True):
            best = row.topk(top)
            listed = [
                {"token": decode([i]), "logprob": p}
                for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
            tokens.append({"token": decode([token]), "logprob": float(row[token]), "top_logprobs": listed})
        return {"text": text, "logprobs": {"content": tokens}}


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(Answering()) as running:
        yield running


def through(upstream: Upstream, folder: Path, **more: Any) -> Recipe:
    vllm = {"command": str(upstream.install(folder / "bin")), "stop_timeout_s": 5, "placement": "own_gpus", "gpus": "0"}
    return smoke().changed(**SMALL).changed(compute={"answers": "vllm", "asking": ASKING, "vllm": vllm} | more)


def made(recipe: Recipe, out: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    game = open_game(recipe.game, recipe.referee, seed=recipe.seed)
    with Run(out, recipe.model_dump(mode="json"), say=lambda _: None) as run:
        stages = Stages(recipe, run, game)
        return {name: stages.make(name).metrics for name in names}


def test_answers_through_a_server_are_those_of_this_process(upstream: Upstream, tmp_path: Path) -> None:
    """Greedy answers to the letter; rewards by log-odds to rounding. Sampled ones have other random streams."""
    names = ["evaluation/base/scripted", "iteration_1/attacker", "iteration_1/known_attacks"]
    here = made(smoke().changed(**SMALL), tmp_path / "here", names)
    there = made(through(upstream, tmp_path), tmp_path / "there", names)
    answers = [json.loads((tmp_path / run / names[0] / "answers.json").read_text()) for run in ("here", "there")]
    assert answers[0] == answers[1] and any(answers[0]["clean"]["texts"])
    one, other = here[names[1]], there[names[1]]
    assert one["reward"] > 0 and one.keys() == other.keys()
    for figure in ("reward", "integrity", "efficacy", "valid_success"):
        assert math.isclose(one[figure], other[figure], abs_tol=1e-5), figure
    counts = [metrics[names[2]] for metrics in (here, there)]
    assert [c["episodes"] for c in counts] == [16, 16]
    assert len(upstream.commands) == 1, "one start for all stages that ask the same defender"
    assert (tmp_path / "there/logs/vllm.log").read_text().count("INFO loading") == 1
    assert not list((tmp_path / "there").rglob("answers*.sqlite")), "kept only until the stage is finished"
    asked = {name for name, _ in upstream.asked}
    assert len(asked) == 1 and asked.pop().startswith("base/defender-")


def test_a_server_without_log_odds_is_told_and_answers_count(
    upstream: Upstream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete = upstream.answer
    upstream.answer = lambda *asked: complete(*asked) | {"logprobs": None}
    metrics = made(through(upstream, tmp_path), tmp_path / "run", ["iteration_1/attacker"])["iteration_1/attacker"]
    assert metrics["ungraded"] == 1.0 and metrics["reward"] > 0
    told = capsys.readouterr().err
    assert told.count("gives no probabilities of all its answers") == 1 and "rewarded by whether" in told


def test_what_cannot_answer_is_told_before_the_run_begins(tmp_path: Path) -> None:
    recipe = load_recipe("smoke", ["compute.answers=vllm", f"compute.vllm.command={tmp_path}/nothing"])
    with pytest.raises(AotError, match=r"vLLM is not here(.|\n)*pip install"):
        coevolve(recipe, tmp_path / "run", say=lambda _: None)
    assert not (tmp_path / "run").exists()
    with pytest.raises(AotError, match=r"compute\.answers: in_process, vllm, or the http\(s\) URL"):
        load_recipe("smoke", ["compute.answers=vlm"])
