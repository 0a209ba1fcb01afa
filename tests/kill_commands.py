"""The commands of the kill campaign, each as small as it can be while it goes through all of its stages."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Words = Callable[[Path], list[str]]


def _nothing(folder: Path) -> None:
    """Begins in an empty folder."""


@dataclass(frozen=True)
class Command:
    """`words(out)`: its arguments. `prepare(folder)`: makes the folder that it begins with, `before(out)`: commands
    that have to end there first. `modules`: imported once, before any of its runs. `statuses`: those of success."""

    name: str
    words: Words
    prepare: Callable[[Path], None] = _nothing
    before: Callable[[Path], list[list[str]]] = lambda _: []
    modules: Sequence[str] = ()
    statuses: tuple[int, ...] = (0, 3)

    def load(self) -> None:
        for module in ("torch", "aot.cli", "aot.backends.store", *self.modules):
            importlib.import_module(module)
        importlib.import_module("torch").set_num_threads(1)


def _photos(folder: Path) -> None:
    from test_forge import folder_of_photos

    folder_of_photos(folder / "photos", 4)


def _questions(folder: Path) -> None:
    from bench_layouts import write_tsv
    from test_eval_cli import world_rows

    write_tsv(folder / "mine.tsv", world_rows(6))


def _recipe(engine: str) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        from aot.coevolve.miniature_recipes import smoke

        recipe = smoke().changed(**SMALL, processes=1, dapo={"engine": engine}).model_dump(mode="json")
        (folder / "recipe.json").write_text(json.dumps(recipe | {"data": None}))

    return prepare


SMALL = {
    "game": {"train_scenes": 24, "held_out_scenes": 24},
    "attacker": {"flow_grpo": {"updates": 2, "groups": 4, "group_size": 4}, "checkpoint_every": 1},
    "evaluation": {"distractors": 2},
    "defender_checkpoint_every": 1,
}
SMOKE = [
    "coevolve",
    "--recipe=smoke",
    "--set=defender_checkpoint_every=1",
    "--set=attacker.checkpoint_every=1",
]
SMOKE += ["--set=game.train_scenes=24", "--set=game.held_out_scenes=24"]
WORLD = ["forge", "--data=world", "--set=world.scenes=6", "--set=chunk=3"]
EASY = ["--set=chunk=2", "--set=side_px=128", "--set=held_out_share=0.4"]
EASY += ["--set=photos.canvas.fade_px=4", "--set=photos.bank.least_side_px=8"]
SFT = ["--set=cold_start.sft.steps=3", "--set=cold_start.sft.batch=4"]
PRETRAIN = [
    'defender.phases=[{"steps":2}]',
    "defender.images=1",
    "defender.questions=1",
    "editor.autoencoder.scenes=50",
    "editor.reader.steps=2",
    "editor.reader.batch=2",
    "editor.painting_scenes=8",
    "editor.painting.steps=2",
    "editor.painting.batch=2",
    "pairs.world.scenes=24",
    "plain_scenes=8",
    "cold_start.sft.steps=2",
    "cold_start.sft.batch=2",
    "gate_scenes=4",
]
LOOP = ("aot.coevolve.loop", "aot.report", "aot.players.base_players", "aot.train.attacker.flow_grpo")
ENGINES = (*LOOP, "aot.train.defender.dapo.packed", "aot.train.defender.dapo.trl.engine")


def _stage(name: str, engine: str = "packed") -> Command:
    """One stage of a run whose earlier stages are finished."""
    before = {"attacker": "iteration_1/known_attacks", "defender": "iteration_1/attacks/2"}[name]
    return Command(
        f"stage_{name}_{engine}",
        lambda out: ["stage", str(out), f"iteration_1/{name}"],
        _recipe(engine),
        lambda out: [["stage", str(out), before]],
        ENGINES,
    )


_ALL = (
    Command("forge_world", lambda out: [*WORLD, f"--out={out}"], modules=("aot.forge.command",)),
    Command(
        "forge_effective",
        lambda out: [*WORLD, "--effective-against=miniature", f"--out={out}"],
        modules=("aot.forge.command", "aot.players.defender.qwen"),
    ),
    Command(
        "forge_photos",
        lambda out: ["forge", f"--data={out}/photos", *EASY, f"--out={out}/forged"],
        _photos,
        modules=("aot.forge.command",),
    ),
    Command(
        "eval",
        lambda out: ["eval", f"--benchmark=custom:mine={out}/mine.tsv", "--batch=2", f"--out={out}/eval"],
        _questions,
        modules=("aot.bench.command", "aot.players.defender.qwen"),
    ),
    Command(
        "audit",
        lambda out: [
            "audit",
            "--defender=miniature",
            "--data=world",
            "--limit=2",
            "--draws=1",
            f"--out={out}",
        ],
        modules=("aot.audit.command", "aot.players.defender.qwen"),
    ),
    Command(
        "sft",
        lambda out: ["sft", f"--data={out}/forged", *SFT, f"--out={out}/sft"],
        before=lambda out: [[*WORLD, f"--out={out}/forged"]],
        modules=("aot.forge.command", "aot.train.attacker.command"),
    ),
    _stage("attacker"),
    _stage("defender"),
    _stage("defender", "trl"),
    Command(
        "pretrain",
        lambda out: ["pretrain", *(f"--set={setting}" for setting in PRETRAIN), f"--out={out}"],
        modules=("aot.miniature.pretrain.run", "aot.forge.command"),
        statuses=(
            2,
        ),  # so small, no pair deceives the defender: the attacker, which `sft` trains, is not begun
    ),
    Command(
        "coevolve",
        lambda out: [*SMOKE, "--set=processes=1", "--set=dapo.engine=trl", f"--out={out}"],
        modules=ENGINES,
    ),
    Command("coevolve_two", lambda out: [*SMOKE, "--set=processes=2", f"--out={out}"], modules=ENGINES),
)
COMMANDS = {command.name: command for command in _ALL}
