"""All checks of a recipe, or of an installation alone: at leisure (`examine`), and before a run (`refuse_faults`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aot.backends.opening import is_url
from aot.backends.vllm.command import INSTALL
from aot.coevolve.recipes.recipe import Recipe
from aot.doctor import machine, packages
from aot.doctor.disk import bytes_written, downloads, players_of
from aot.doctor.finding import Finding, wrong
from aot.doctor.folders import Place, model_type_of, place_of, player_complete
from aot.doctor.launching import of_compute
from aot.errors import AotError
from aot.players.base_players import Role
from aot.players.hub import hub_cache
from aot.players.load_errors import package_of
from aot.players.settings import DefenderSettings, PlayerSettings
from aot.runs.terminal import warn

PACKED_MODEL = "qwen2_5_vl"
"""The type of model that DAPO's packed engine is written for."""
VLLM_PORT = 8000
"""Where TRL looks for its vLLM server."""
OPTIONAL = {
    "torchvision": "stock processors of images",
    "vllm": "dapo.trl.vllm",
    "bitsandbytes": "quantization=nf4",
    "torchao": "quantization=fp8",
    "ray": "--executor ray, compute.executor=ray, compute.launch on a cluster",
    "num2words": "the processor of SmolVLM",
}


def examine(recipe: Recipe | None, out: Path) -> list[Finding]:
    """Every check; without a recipe those of the installation alone. `out`: where the run would be written."""
    found = [*packages.versions(), *_imports()]
    if recipe is None:
        found += [
            Finding(name, f"{packages.version_of(name) or 'not installed'} (optional: {use})")
            for name, use in OPTIONAL.items()
        ]
        return found + machine.gpus("")
    return found + list(_of_recipe(recipe, out, quick=False))


def refuse_faults(recipe: Recipe, out: Path) -> None:
    """Before a run, in a fraction of a second: a fault that would end it later ends it now, in an AotError with the
    commands that mend it. Versions out of their ranges are only told, on stderr. Silent where all is well."""
    for finding in wrong(packages.versions()):
        warn(f"{finding.check} {finding.what}; next: {finding.mend}")
    if faults := wrong(list(_of_recipe(recipe, out, quick=True))):
        told = "\n  ".join(f"{fault.check}: {fault.what}" for fault in faults)
        hint = "\n        ".join(dict.fromkeys(fault.mend for fault in faults if fault.mend))
        raise AotError(told, where=f"recipe {recipe.name} cannot run here", hint=hint)


def _of_recipe(recipe: Recipe, out: Path, *, quick: bool) -> Iterator[Finding]:
    players = players_of(recipe)
    yield from machine.gpus(_needs_gpu(recipe), quick=quick)
    for role, settings in players:
        yield _player(settings, role, quick=quick)
        yield from _libraries(role, settings)
    if stock := [f"players.{role}" for role, settings in players if settings.model != "miniature"]:
        why, ours = f"for the processor of {' and '.join(stock)}", "ours reads images in its place"
        yield packages.wanted("torchvision", why, packages.torchvision_install(), else_=ours)
    if package := package_of(kind := model_type_of(recipe.players.defender)):
        yield packages.wanted(package, f"for the processor of players.defender, a {kind}", f"pip install {package}")
    yield from _engine(recipe)
    yield from _of_trl(recipe)
    yield from _judge(recipe, quick=quick)
    if recipe.pairs and not (Path(recipe.pairs) / "funnel.json").is_file():
        what = f"no dataset in {recipe.pairs} (funnel.json is missing)"
        yield Finding("pairs", what, "wrong", "aot forge --data PHOTOS --out pairs")
    yield from of_compute(recipe)
    places = {role: place_of(settings, role) for role, settings in players}
    yield from _disk(recipe, places, out)


def _disk(recipe: Recipe, places: dict[Role, Place], out: Path) -> Iterator[Finding]:
    """Room for what the run writes, and where the hub's client keeps what it fetches."""
    written, (fetched, unknown) = sum(bytes_written(recipe, places)), downloads(recipe, places)
    cache = hub_cache()
    if fetched and machine.same_disk(out, cache):
        yield machine.room(out, written, of_what="its players and checkpoints, and models from the hub,", more=fetched)
    else:
        yield machine.room(out, written, of_what="its players and checkpoints")
        if fetched:
            mend = "export HF_HOME=FOLDER_ON_A_LARGER_DISK"
            what = "models from the hub"
            yield machine.room(cache, 0, of_what=what, more=fetched, check="disk for downloads", larger=mend)
    for name in unknown:
        yield Finding("disk for downloads", f"how large {name} is cannot be known before it is fetched", "doubtful")


def _needs_gpu(recipe: Recipe) -> str:
    """What in the recipe cannot do without a CUDA device; "" where nothing is."""
    for role, settings in players_of(recipe):
        for name, needs in (
            ("device", settings.device.startswith("cuda")),
            ("quantization", settings.quantization != "none"),
            ("attention", settings.attention == "flash_attention_2"),
        ):
            if needs:
                return f"players.{role}.{name}={getattr(settings, name)} needs one"
    return f"dapo.trl.vllm={recipe.dapo.trl.vllm} needs one" if _wants_vllm(recipe) else ""


def _libraries(role: Role, settings: PlayerSettings) -> Iterator[Finding]:
    why = f"players.{role}"
    if settings.quantization == "nf4":
        yield packages.wanted("bitsandbytes", f"{why}.quantization=nf4", "pip install bitsandbytes")
    if settings.quantization == "fp8":
        yield packages.wanted("torchao", f"{why}.quantization=fp8", "pip install torchao")
    if settings.attention == "flash_attention_2":
        install = "pip install flash-attn --no-build-isolation"
        yield packages.wanted("flash_attn", f"{why}.attention=flash_attention_2", install)


def _engine(recipe: Recipe) -> Iterator[Finding]:
    """Whether DAPO's engine is written for the defender's class, as far as its configuration lies on this machine."""
    if recipe.dapo.engine == "packed" and (kind := model_type_of(recipe.players.defender)) not in ("", PACKED_MODEL):
        what = f"packed is written for Qwen2.5-VL, and players.defender is a {kind}"
        yield Finding("dapo.engine", what, "wrong", "--set dapo.engine=trl")


def _wants_vllm(recipe: Recipe) -> bool:
    return recipe.dapo.engine == "trl" and recipe.dapo.trl.vllm != "off"


def _of_trl(recipe: Recipe) -> Iterator[Finding]:
    """The vLLM within TRL's trainer."""
    if not _wants_vllm(recipe):
        return
    found = packages.wanted("vllm", f"dapo.trl.vllm={recipe.dapo.trl.vllm}", INSTALL)
    yield found
    if found.state == "ok":
        yield from (packages.met(r, by="trl") for r in packages.requirements("trl", "vllm") if r.name == "vllm")
    if recipe.dapo.trl.vllm == "server" and not machine.answers("127.0.0.1", VLLM_PORT):
        what = "dapo.trl.vllm=server, and no server answers there"
        serve = f"trl vllm-serve --model {recipe.players.defender.model} --port {VLLM_PORT}"
        yield Finding(f"port {VLLM_PORT}", what, "wrong", serve)


def _player(settings: PlayerSettings, role: Role, *, quick: bool) -> Finding:
    found = player_complete(settings, role)
    if quick:
        return found
    from aot.doctor.opened import opened  # imports model libraries

    return opened(found, settings, role)


def _judge(recipe: Recipe, *, quick: bool) -> Iterator[Finding]:
    name = recipe.judge.player
    if not name:
        return
    if is_url(name):
        yield machine.listens(name, "judge", "--set judge.player=ANOTHER_URL")
    else:
        found = _player(DefenderSettings(model=name), "defender", quick=quick)
        yield Finding("judge", found.what, found.state, found.mend)


def _imports() -> Iterator[Finding]:
    """Whether the trainings can be imported with the libraries as they are."""
    try:
        import aot.coevolve.loop  # noqa: F401
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        ranges = [str(r) for r in packages.requirements(packages.OURS) if r.name == library]
        mend = f"pip install --upgrade '{ranges[0]}'" if ranges else "pip install --force-reinstall aot-vlm"
        yield Finding("imports", f"{error}", "wrong", mend)
