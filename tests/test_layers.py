"""The shape of the package: imports go one way, heavy libraries stay in their place, nothing is pickled."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
LAYERS = (
    ("errors", "types"),
    ("prompts",),
    ("answers", "rl", "runs"),
    ("scores",),
    ("data/images", "data/episodes"),
    ("data/records",),
    ("data/photos",),
    ("data/annotations/base", "data/tables"),
    ("data/annotations/datasets", "data/annotations/programs"),
    ("data/annotations",),
    ("data",),
    ("players",),
    ("players/attacker", "players/defender"),
    ("players/inpaint",),
    ("backends/base",),
    ("backends/asking", "backends/local", "backends/openai"),
    ("backends/vllm",),
    ("backends",),
    ("game",),
    ("world",),
    ("bench/reading",),
    ("bench/benchmarks",),
    ("bench/evaluation",),
    ("bench", "forge"),
    ("attacks/base",),
    ("attacks/judging", "attacks/white_box"),
    ("attacks/semantic",),
    ("attacks",),
    ("train",),
    ("train/attacker/reinforcement", "train/attacker/sft", "train/defender"),
    ("train/attacker/alternatives", "train/attacker/flow_grpo"),
    ("train/attacker",),
    ("miniature",),
    ("miniature/pretrain",),
    ("coevolve/scenes",),
    ("coevolve/recipes",),
    ("coevolve/rounds",),
    ("coevolve/stages",),
    ("coevolve/evaluation",),
    ("coevolve",),
    ("doctor", "plan", "report"),
    ("arena/players", "audit"),
    ("arena/cells", "arena/statistics"),
    ("arena/page",),
    ("arena",),
    ("experiment",),
    ("cli",),
    ("__main__",),
)
"""Lowest first; a package imports only from lower layers, or from itself. A folder inside a folder counts alone where
it is named here: the packages of `SPLIT` are made of folders that build on each other, and the miniature's pretraining
lies above its scripted players."""
SPLIT = ("arena", "attacks", "backends", "bench", "coevolve", "data", "train/attacker")
"""Packages all of whose folders are named in `LAYERS`."""
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

MODELS = {"accelerate", "datasets", "diffusers", "peft", "transformers", "trl"}
ALLOWED = {
    "train": MODELS,
    "miniature": {"diffusers", "transformers"},
    "players": MODELS - {"trl"},
    "backends": {"transformers"},
    "forge": {"datasets"},
    "data": {"datasets"},
    "plan": {"diffusers", "transformers"},
}
HEAVY = {*MODELS, "matplotlib", "torch", "torchmetrics", "scipy", "skimage"}
LIGHT = ("errors", "types", "prompts", "runs/files.py", "cli", "__main__", "__init__")
"""Modules that import no heavy library at the top, so that `aot --help` and a typing error answer at once."""
FORBIDDEN = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}

FILES = {
    path.relative_to(SOURCE / "aot"): ast.parse(path.read_text())
    for path in sorted((SOURCE / "aot").rglob("*.py"))
}


def package_of(name: str) -> str:
    """The package of a dotted or slashed name below `aot`: the longest beginning that has a layer of its own."""
    parts = name.removesuffix(".py").replace(".", "/").split("/")
    named = ("/".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((one for one in named if one in RANK), parts[0])


def walk_what_runs(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from walk_what_runs(node)


@cache
def imported(tree: ast.AST) -> tuple[str, ...]:
    """Every imported dotted name, inside functions too; `from a import b` counts as `a.b`. What only type
    checkers read (a name in a signature) is no dependency."""
    names: list[str] = []
    for node in walk_what_runs(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def dotted(node: ast.AST) -> str:
    """Of a name, or an attribute of one: "np.load"; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{before}.{node.attr}" if (before := dotted(node.value)) else ""
    return node.id if isinstance(node, ast.Name) else ""


def imported_modules(tree: ast.AST) -> set[str]:
    """Every module of ours that the tree imports from, without the names that it takes."""
    return {
        node.module
        for node in walk_what_runs(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("aot.")
    }


def at_the_top(tree: ast.Module) -> ast.Module:
    """Only the statements that run on import (not those for type checkers)."""
    return ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def libraries(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imported(tree)}


def test_imports_go_one_way() -> None:
    upwards = []
    for path, tree in FILES.items():
        package = package_of(path.as_posix())
        if package == "__init__":
            continue  # the package's own lazy exports
        assert package in RANK, f"{package} has no place among the layers"
        ours = {package_of(name.removeprefix("aot.")) for name in imported(tree) if name.startswith("aot.")} - {package}
        upwards += [f"{path} <- {other}" for other in ours if other in RANK and RANK[other] >= RANK[package]]
    assert upwards == []


def test_every_folder_of_a_split_package_has_a_layer_of_its_own() -> None:
    folders = {path.parent.as_posix() for path in FILES}
    for package in SPLIT:
        inside = {folder for folder in folders if folder.startswith(f"{package}/")}
        assert inside and inside <= RANK.keys(), package


def needed() -> dict[str, set[str]]:
    """By package those that it imports from, without those that follow from others of them, and without what lies below
    everything."""
    direct: dict[str, set[str]] = {}
    for path, tree in FILES.items():
        names = {package_of(name.removeprefix("aot.")) for name in imported(tree) if name.startswith("aot.")}
        direct.setdefault(package_of(path.as_posix()), set()).update(names & RANK.keys())

    @cache
    def all_below(package: str) -> frozenset[str]:
        return frozenset({package}).union(*(all_below(other) for other in direct[package] - {package}))

    found = {}
    for package in RANK.keys() - {"errors", "types", "prompts", "__main__"}:
        others = direct[package] - {package, "errors", "types", "prompts"}
        found[package] = {one for one in others if not any(one in all_below(o) for o in others - {one})}
    return found


def test_every_package_says_what_it_builds_on() -> None:
    for package, packages in needed().items():
        told = " ".join((ast.get_docstring(FILES[Path(package) / "__init__.py"]) or "").split())
        assert "Builds on " in told, package
        assert set(re.findall("`([a-z_/]+)`", told.rpartition("Builds on ")[2])) == packages, package


def test_the_picture_of_the_packages_is_the_codes() -> None:
    drawn = set(re.findall(r'\["(.*?)"\] --> .*?\["(.*?)"\]', (SOURCE.parent / "docs/architecture.md").read_text()))
    assert drawn == {(other, package) for package, others in needed().items() for other in others}


def test_files_of_a_package_do_not_import_each_other_in_a_circle() -> None:
    imports = {
        ".".join(("aot", *path.with_suffix("").parts)): imported_modules(tree)
        for path, tree in FILES.items()
    }
    graph = {module: {name for name in names if name in imports} for module, names in imports.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_the_trainings_do_not_know_the_miniature() -> None:
    for path, tree in FILES.items():
        if path.parts[0] in ("train", "players", "game", "rl"):
            assert not [name for name in imported(tree) if name.startswith("aot.miniature")], path


def test_model_libraries_stay_with_players_and_trainings() -> None:
    for path, tree in FILES.items():
        allowed = ALLOWED.get(path.parts[0], set())
        assert libraries(tree) & MODELS <= allowed, path


def test_light_modules_import_nothing_heavy_at_the_top() -> None:
    for path, tree in FILES.items():
        if path.parts[0].removesuffix(".py") in LIGHT or path.as_posix() in LIGHT:
            assert not libraries(at_the_top(tree)) & HEAVY, path


def test_nothing_is_pickled_or_evaluated() -> None:
    for path, tree in FILES.items():
        assert not libraries(tree) & FORBIDDEN, path
        calls = {dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"torch.save", "torch.load", "np.load", "eval", "exec"}, path


def test_no_broad_except() -> None:
    for path, tree in FILES.items():
        if path.as_posix() in ("players/load_errors.py", "runs/ray_cluster.py"):
            # tokenizers raises the bare class on a damaged file, Ray where it does not start in time; anything else is
            # raised again there.
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, path
                assert ast.unparse(node.type) not in {"Exception", "BaseException"}, path


def test_every_file_says_what_it_is() -> None:
    assert [str(path) for path, tree in FILES.items() if not ast.get_docstring(tree)] == []


def test_every_folder_with_code_is_a_package() -> None:
    assert [str(p.parent) for p in FILES if p.parent / "__init__.py" not in FILES] == []


STARTS = {"aot.cli": HEAVY, "aot.coevolve.recipes.load": {*MODELS, "scipy"}}
"""What a module must not import, itself or by others: the command line nothing heavy; settings no library of models,
which would take three times as long as all else."""


@pytest.mark.parametrize("module", STARTS)
def test_what_only_reads_settings_starts_without_heavy_libraries(module: str) -> None:
    code = f"import sys, {module}; print(*{STARTS[module]!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
