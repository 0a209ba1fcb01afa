"""The shape of the package: imports go one way, heavy libraries stay in their place, nothing is pickled."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"
LAYERS = (
    ("errors", "types"),
    ("prompts", "files", "overrides", "pictures"),
    ("answers", "rl", "background", "checkpoints", "train_log", "runs"),
    ("scores",),
    ("world",),
    ("referee",),
    ("players",),
    ("backends",),
    ("judge",),
    ("arena",),
    ("data",),
    ("bench",),
    ("forge",),
    ("game",),
    ("train",),
    ("evaluate", "pretrain", "sft", "exhibition"),
    ("recipes",),
    ("attack_rounds", "examiner", "plan"),
    ("gallery",),
    ("coevolve",),
    ("report",),
    ("audit",),
    ("cli",),
    ("__main__",),
)
"""Lowest first; a module imports only from lower layers, or from its own package."""
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

MODELS = {"accelerate", "datasets", "diffusers", "peft", "transformers", "trl"}
ALLOWED = {
    "train": MODELS,
    "players": MODELS - {"trl"},
    "backends": {"transformers"},
    "forge": {"datasets"},
    "data": {"datasets"},
}
HEAVY = {*MODELS, "matplotlib", "torch", "torchmetrics", "scipy", "skimage"}
LIGHT = ("errors", "types", "prompts", "files", "cli", "__main__", "__init__")
"""Modules that import no heavy library at the top, so that `aot --help` and a typing error answer at once."""
FORBIDDEN = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}

FILES = {
    path.relative_to(SOURCE / "aot"): ast.parse(path.read_text())
    for path in sorted((SOURCE / "aot").rglob("*.py"))
}


def part_of(path: Path) -> str:
    """First name below `aot`: the module or package that the layers speak of."""
    return path.parts[0].removesuffix(".py")


def walk_what_runs(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from walk_what_runs(node)


def imported(tree: ast.AST) -> list[str]:
    """Every imported dotted name, inside functions too; `from a import b` counts as `a.b`. What only type
    checkers read (a name in a signature) is no dependency."""
    names: list[str] = []
    for node in walk_what_runs(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def at_the_top(tree: ast.Module) -> ast.Module:
    """Only the statements that run on import (not those for type checkers)."""
    return ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def libraries(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imported(tree)}


def test_imports_go_one_way() -> None:
    upwards = []
    for path, tree in FILES.items():
        part = part_of(path)
        if part == "__init__":
            continue  # the package's own lazy exports
        assert part in RANK, f"{part} has no place among the layers"
        ours = {name.split(".")[1] for name in imported(tree) if name.startswith("aot.")} - {part}
        upwards += [f"{path} <- {other}" for other in ours if other in RANK and RANK[other] >= RANK[part]]
    assert upwards == []


def test_model_libraries_stay_with_players_and_trainings() -> None:
    for path, tree in FILES.items():
        allowed = ALLOWED.get(part_of(path), set())
        assert libraries(tree) & MODELS <= allowed, path


def test_light_modules_import_nothing_heavy_at_the_top() -> None:
    for path, tree in FILES.items():
        if part_of(path) in LIGHT:
            assert not libraries(at_the_top(tree)) & HEAVY, path


def test_nothing_is_pickled_or_evaluated() -> None:
    for path, tree in FILES.items():
        assert not libraries(tree) & FORBIDDEN, path
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"torch.save", "torch.load", "np.load", "eval", "exec"}, path


def test_no_broad_except() -> None:
    for path, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, path
                assert ast.unparse(node.type) not in {"Exception", "BaseException"}, path


def test_every_file_says_what_it_is() -> None:
    assert [str(path) for path, tree in FILES.items() if not ast.get_docstring(tree)] == []


def test_every_folder_with_code_is_a_package() -> None:
    assert [str(p.parent) for p in FILES if p.parent / "__init__.py" not in FILES] == []


def test_the_command_line_starts_without_heavy_libraries() -> None:
    code = "import sys, aot, aot.cli; print(*{'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
