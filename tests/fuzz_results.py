"""Readers of what the arena, an experiment, mixed and chunked games and adapters leave on disk."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aot.arena.cells.store import ANSWERS, ATTACKS, AnswerCell, CellStore
from aot.arena.players.pool import pool_of, read_runs
from aot.attacks.base.family import FamilyAttacker
from aot.attacks.families import families
from aot.attacks.judging.referees import referees
from aot.coevolve.recipes.load import load_recipe
from aot.coevolve.recipes.miniature import smoke
from aot.coevolve.recipes.stage_names import (
    attacker_stage_of,
    attackers,
    best_response_targets,
    defenders,
    stage_of,
)
from aot.coevolve.rounds.chunks import Chunk, in_chunks
from aot.coevolve.rounds.payoff import FILE, Payoff
from aot.coevolve.rounds.scoring import AttackSet, attack_all
from aot.data.episodes.records import load_episodes, save_episodes
from aot.experiment.results import is_stored, store_seed
from aot.experiment.run import experiment_settings, write_results
from aot.experiment.unit import RESULT, unit_folder, unit_key
from aot.game.referee import RefereeSettings
from aot.players.adapter_folder import ADAPTER
from aot.players.attacker.condition_store import read_conditions, write_conditions
from aot.players.attacker.edit_attacker import EditAttacker
from aot.players.base_players import SHIPPED, placed
from aot.players.digests import player_digests
from aot.players.settings import DefenderSettings
from aot.prompts import attack_instruction
from aot.runs.files import canonical_hash, read_whole, write_json
from aot.runs.manifest import MANIFEST
from aot.types import Episode
from aot.world.scenes import draw_scenes
from fuzz_readers import Outcome, Reader

SCENES = draw_scenes(3, 7, "test")


def _attacked() -> AttackSet:
    (family,) = families(["distractor"])
    referee = referees(RefereeSettings(), photos=False)[family.rule]
    return attack_all(SCENES, FamilyAttacker(family), referee, seed=1)


def _store(folder: Path) -> CellStore:
    return CellStore(folder, lambda _: None)


def _cells(folder: Path) -> Path:
    cell = _store(folder).keep_attacks("a", SCENES, _attacked(), 0.5)
    answers = AnswerCell(np.array([1, 0, -1], np.int8), ["\\boxed{A}", "B", ""], 0.25)
    _store(folder).keep_answers("b", cell.content, answers)
    return folder


def _read_cells(folder: Path) -> Outcome:
    """A damaged cell is no error: it counts as missing."""
    path = folder / ANSWERS / "b.json"
    store, content = _store(folder), json.dumps(SCENES[0].id)
    attacks = store.attacks("a", SCENES)
    answers = store.answers("b", attacks.content if attacks else content, len(SCENES))
    _resealed(path)
    sealed = store.answers("b", attacks.content if attacks else content, len(SCENES))
    for cell in (attacks, answers, sealed):
        assert cell is None or cell.seconds is None or cell.seconds >= 0
    kept = sum(cell is not None for cell in (attacks, answers))
    return kept, 2 - kept


def _resealed(path: Path) -> None:
    """As if it had been written so: what is behind the digest is read, too."""
    try:
        read = json.loads(read_whole(path))
        write_json(path, read | {"digest": canonical_hash(read["said"])})
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return


EXPERIMENT = experiment_settings("smoke", ['variants=["newest"]'])


def _landed(folder: Path) -> Path:
    """One unit stands in the seed's file and in its run folder, the other one in the file alone."""
    columns = ("clean", *EXPERIMENT.measure.families, "pgd_8", "best_response")
    scores = dict.fromkeys(columns, "10-1" * 4)
    for unit in EXPERIMENT.units():
        names = [n for n in EXPERIMENT.names() if n.rpartition("/")[2] in EXPERIMENT.defenders_of(unit)]
        result = {
            "key": unit_key(EXPERIMENT, unit, 0),
            "seed": 0,
            "unit": unit,
            "wall_seconds": 3.5,
            "defenders": {name: {"cpu_seconds": 1.5, "scores": scores} for name in names},
        }
        (unit_folder(folder, 0, unit)).mkdir(parents=True)
        write_json(unit_folder(folder, 0, unit) / RESULT, result)
    store_seed(EXPERIMENT, folder, folder, 0)
    (unit_folder(folder, 0, "baselines") / RESULT).unlink()
    return folder


def _results(folder: Path) -> Outcome:
    write_results(folder)
    there = [is_stored(EXPERIMENT, folder, 0, unit) for unit in EXPERIMENT.units()]
    store_seed(EXPERIMENT, folder, folder, 0)
    return 1 + sum(there), 0


def _payoff(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows = {"distractor": {"warm_up": 0.5, "iteration_1/defender": 0.25}, "base/attacker": {"warm_up": 0.25}}
    rows["base/attacker"]["iteration_1/defender"] = 0.5
    write_json(folder / FILE, {"payoff": rows, "scenes": 8})
    return folder


def _strategies(folder: Path) -> Outcome:
    recipe = smoke().changed(meta={"rule": "nash"})
    found = Payoff.read(folder)
    for weights in (found.attackers(recipe), found.defenders(recipe)):
        assert abs(sum(weights.values()) - 1) < 1e-6
    return 1, 0


def _chunks(folder: Path) -> Path:
    _keep_chunk(folder)
    return folder


def _keep_chunk(folder: Path) -> list[list[Episode]]:
    made = _attacked()
    episodes = [Episode(*each) for each in zip(SCENES, made.attacks, made.verdicts, strict=True)]
    load = partial(load_episodes, scenes=SCENES)
    return in_chunks([Chunk(0, len(SCENES), 0)], folder, lambda: nullcontext(lambda _: episodes), save_episodes, load)


def _rounds(folder: Path) -> Outcome:
    (episodes,) = _keep_chunk(folder)
    return len(episodes), 0


def _conditions(folder: Path) -> Path:
    attacker = EditAttacker.load(SHIPPED / "attacker")
    folder.mkdir(parents=True)
    write_conditions(folder, attacker, *_edits(), dtype=torch.float32, at_once=2)
    return folder


def _edits() -> tuple[list[Any], list[str]]:
    return [scene.image for scene in SCENES], [attack_instruction(scene) for scene in SCENES]


def _conditioned(folder: Path) -> Outcome:
    return len(read_conditions(folder, *_edits()).take(torch.arange(len(SCENES))).images), 0


LORA = DefenderSettings.model_validate({"lora": {"rank": 1}})


def _adapters(folder: Path) -> Path:
    from aot.players.defender.opening import open_defender

    begun = open_defender(SHIPPED / "defender", LORA, name="base")
    begun.begin_training(seed=1)
    begun.save(folder)
    return folder


def _opened(folder: Path) -> Outcome:
    from aot.backends.vllm.command import served
    from aot.players.defender.opening import open_defender

    if (folder / ADAPTER).is_file():
        served(folder, "mine")
    placed(folder)
    open_defender(folder, LORA, name="mine")
    return 1, 0


PLAYED = smoke().changed(clean_rl=False, sft_scripted_steps=0)


def _finished_run(folder: Path) -> Path:
    """Players of a few bytes with their manifests: an arena reads them before it opens any."""
    folder.mkdir(parents=True)
    write_json(folder / "recipe.json", PLAYED.model_dump(mode="json") | {"data": None})
    columns = [*attackers(PLAYED), *(f"best_response_{name}" for name in best_response_targets(PLAYED))]
    stages = [*(stage_of(PLAYED, role) for role in defenders(PLAYED)), *map(attacker_stage_of, columns)]
    for stage in dict.fromkeys(stages):
        (folder / stage).mkdir(parents=True)
        (folder / stage / "weights.bin").write_text(stage)
        files = {"weights.bin": {"sha256": player_digests(folder / stage)["weights.bin"], "bytes": 9}}
        write_json(folder / stage / MANIFEST, {"key": stage, "files": files})
    write_json(folder / "summary.json", {})
    return folder


def _pool(folder: Path) -> Outcome:
    return len(pool_of(read_runs([folder]), []).defenders), 0


def _recipe_file(folder: Path) -> Path:
    folder.mkdir(parents=True)
    changes = {"base": "smoke", "data": "photos", "seed": 3, "meta": {"rule": "nash"}, "name": "mine"}
    changes |= {
        "compute": {"launch": "python", "vllm": {"command": "vllm"}},
        "scripted_attacks": {"families": ["noise"]},
    }
    write_json(folder / "mine.json", changes)
    return folder / "mine.json"


def _recipe(path: Path) -> Outcome:
    chosen = load_recipe(str(path), [])
    for together in (True, False):
        if chosen.compute.launch:
            chosen.compute.command(together=together)
    return int(bool(chosen.name)), 0


SWEPT = ("seed_0.json", "summary.json", "table.md", "headline.svg", "headline.html")
RESULTS = [
    Reader("results", "arena_cells", _cells, _read_cells, ("b.json", ATTACKS, ANSWERS)),
    Reader("results", "arena_runs", _finished_run, _pool),
    Reader("results", "experiment", _landed, _results, (*SWEPT, "")),
    Reader("results", "payoff", _payoff, _strategies),
    Reader("results", "rounds", _chunks, _rounds, None),  # a damaged chunk is made anew
    Reader("results", "conditions", _conditions, _conditioned),
    Reader("results", "adapters", _adapters, _opened),
    Reader("results", "recipe_file", _recipe_file, _recipe),
]
