"""The commands of the kill campaign, each as small as it can be while it goes through all of its stages."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aot.coevolve.recipes.recipe import Recipe

Words = Callable[[Path], list[str]]


def _nothing(folder: Path) -> None:
    """Begins in an empty folder."""


@dataclass(frozen=True)
class Command:
    """`words(out)`: its arguments. `prepare(folder)`: makes the folder that it begins with, `before(out)`: commands
    that have to end there first. `modules`: imported once, before any of its runs. `statuses`: those of success.
    `patch()`: called in its process before it begins; `body(out)`: what is done instead of the command. `worker`: who
    is killed (`kill_campaign`). `compared(name)`: which of the files that it leaves."""

    name: str
    words: Words
    prepare: Callable[[Path], None] = _nothing
    before: Callable[[Path], list[list[str]]] = lambda _: []
    modules: Sequence[str] = ()
    statuses: tuple[int, ...] = (0, 3)
    patch: Callable[[], None] = lambda: None
    body: Callable[[Path], None] | None = None
    worker: bool = False
    compared: Callable[[str], bool] = lambda _: True

    def load(self) -> None:
        for module in ("torch", "aot.cli", "aot.backends.asking.store", *self.modules):
            importlib.import_module(module)
        importlib.import_module("aot.runs.threads").use_threads(1)


def _photos(folder: Path) -> None:
    from test_forge import folder_of_photos

    folder_of_photos(folder / "photos", 4)


def _questions(folder: Path) -> None:
    from bench_layouts import write_tsv
    from test_eval_cli import world_rows

    write_tsv(folder / "mine.tsv", world_rows(6))


def _served(folder: Path) -> None:
    """The questions, and a server that answers them as long as this process lives."""
    from fault_server import FaultServer

    _questions(folder)
    if not SERVER:
        SERVER.append(FaultServer(lambda content, body: "\\boxed{A}").__enter__().url)


SERVER: list[str] = []


def _recipe(changes: Mapping[str, Any]) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        recipe = _small().changed(**changes)
        written = json.dumps(recipe.model_dump(mode="json") | {"data": None})
        (folder / "recipe.json").write_text(written)

    return prepare


def _small() -> Recipe:
    from aot.coevolve.recipes.miniature import smoke

    return smoke().changed(**SMALL, processes=1)


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
LOOP = ("aot.coevolve.loop", "aot.report", "aot.players.base_players", "aot.train.attacker.flow_grpo.train")
ENGINES = (*LOOP, "aot.train.defender.dapo.packed", "aot.train.defender.dapo.trl.engine")


WARM, ATTACKED = ("warm_up",), ("iteration_1/attacks/2", "iteration_1/known_attacks")
RETAINING = {"retention_scenes": 8}
NASH = {"meta": {"rule": "nash", "scenes": 8}}
LORA = {"lora": {"rank": 2}}
ON_DISK = {"players": {"attacker": LORA | {"conditions": "disk"}}}
IN_TURN = {"attacks": {"chunk": 8}, "evaluation": {"chunk": 8}}
BATCH = {"updates": 2, "groups": 2, "group_size": 4}
IMITATED = {"rounds": 2, "scenes": 4, "samples": 2, "updates": 2}
PAIRS = {"curate": {"world": {"scenes": 24}}, "sft": {"steps": 2, "batch": 4}}
STAGES: dict[str, tuple[str, Sequence[str], dict[str, Any]]] = {
    "attacker_packed": ("iteration_1/attacker", WARM, {}),
    "defender_packed": ("iteration_1/defender", ATTACKED, {}),
    "defender_trl": ("iteration_1/defender", ATTACKED, {"dapo": {"engine": "trl"}}),
    "warm_up": ("warm_up", ["base/defender"], {}),
    "warm_up_pixel": ("warm_up", ["base/defender"], {"warm_up": {"pixel": {"share": 0.25, "steps": 1}}}),
    "attacker_imitating": (
        "iteration_1/attacker",
        WARM,
        {"attacker": {"method": "rejection_sampling", "rejection_sampling": IMITATED, **RETAINING}},
    ),
    "attacker_nft": (
        "iteration_1/attacker",
        WARM,
        {"attacker": {"method": "diffusion_nft", "diffusion_nft": BATCH}},
    ),
    "attacker_curated": (
        "iteration_1/attacker",
        WARM,
        {"attacker": {"method": "curated_sft", "curated_sft": PAIRS, **RETAINING}},
    ),
    "attacker_on_disk": ("iteration_1/attacker", WARM, ON_DISK),
    "defender_lora": ("iteration_1/defender", ATTACKED, {"players": {"defender": LORA}}),
    "payoff": ("iteration_1/payoff/2", ["iteration_1/attacker"], NASH),
    "rounds": ("iteration_1/known_attacks", ["iteration_1/attacker"], IN_TURN),
    "answers": ("evaluation/warm_up/scripted", WARM, IN_TURN),
    "best_response": ("best_response/iteration_1", ["iteration_1/defender"], {}),
    "sft_scripted": ("sft_scripted", ["base/defender"], {}),
    "clean_rl": ("clean_rl/1", ["base/defender"], {}),
}
"""A stage, those that are finished before it, and what differs in the recipe."""


def _stage(label: str) -> Command:
    stage, before, changes = STAGES[label]
    return Command(
        f"stage_{label}",
        lambda out: ["stage", str(out), stage],
        _recipe(changes),
        lambda out: [["stage", str(out), *before]],
        ENGINES,
    )


def _finished(folder: Path) -> None:
    """The recipe of the run that an arena is played on, and the sign that it has ended."""
    (folder / "run").mkdir()
    (folder / "run/summary.json").write_text("{}")
    _recipe({"clean_rl": False, "sft_scripted_steps": 0, "best_response_updates": 0})(folder / "run")


ARENA = ["--draws=2", "--limit=6", "--set=budget_scenes=2", "--set=bootstrap=100", "--set=game_bootstrap=4"]
ARENA += ["--set=pixels.eps=[8]", "--set=pixels.pgd.steps=2"]


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
        "eval_url",
        lambda out: [
            *("eval", f"--benchmark=custom:mine={out}/mine.tsv", f"--defender={SERVER[0]}", "--model=mini"),
            f"--out={out}/eval",
        ],
        _served,
        modules=("aot.bench.command", "aot.backends.openai.backend"),
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
        modules=("aot.forge.command", "aot.train.attacker.sft.command"),
    ),
    Command(
        "sft_defender",
        lambda out: [
            *("sft", "--defender=miniature", f"--data={out}/forged", f"--out={out}/sft"),
            *("--set=sft.steps=3", "--set=sft.batch=4", "--set=checkpoint_every=1"),
        ],
        before=lambda out: [[*WORLD, f"--out={out}/forged"]],
        modules=("aot.forge.command", "aot.train.defender.command"),
    ),
    Command(
        "audit_pixels",
        lambda out: [
            *("audit", "--defender=miniature", "--data=world", "--limit=2", "--draws=1", "--confidence"),
            *("--attacks=noise,pgd", "--set=pixels.eps=[8]", "--set=pixels.pgd.steps=2", f"--out={out}"),
        ],
        modules=("aot.audit.command", "aot.players.defender.qwen"),
    ),
    *(_stage(label) for label in STAGES),
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
    Command(
        "arena",
        lambda out: [
            *("arena", f"{out}/run", "--attacks=distractor,noise,pgd", "--best-response=1", *ARENA),
            f"--out={out}/arena",
        ],
        _finished,
        lambda out: [["stage", f"{out}/run", "iteration_1/defender"]],
        (*ENGINES, "aot.arena.command"),
    ),
    Command(
        "coevolve_threats",
        lambda out: [*SMOKE, "--threats=pixel,occlusion", "--set=processes=1", f"--out={out}"],
        modules=(*ENGINES, "aot.coevolve.recipes.threats"),
    ),
    Command("coevolve_two", lambda out: [*SMOKE, "--set=processes=2", f"--out={out}"], modules=ENGINES),
)
COMMANDS = {command.name: command for command in _ALL}
