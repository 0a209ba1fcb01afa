"""Installed packages: against the ranges that `aot` declares, against each other, and against what a recipe wants."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from aot.doctor.finding import Finding

OURS = "aot-vlm"
CORE = ("torch", "transformers", "diffusers", "trl", "peft", "accelerate")
"""Shown one by one; of all other packages only what is wrong."""
PINNING = ("torchvision", "vllm")
"""Optional packages that need a certain torch or transformers."""


def versions() -> list[Finding]:
    """Python and every package that `aot` needs, against the declared ranges."""
    found = [Finding("python", ".".join(map(str, sys.version_info[:3])))]
    for requirement in requirements(OURS):
        finding = met(requirement, by="aot")
        if requirement.name in CORE or finding.state != "ok":
            found.append(finding)
    return found + conflicts()


def conflicts() -> list[Finding]:
    """What optional packages that are installed demand of the core ones and do not get."""
    return [
        finding
        for name in PINNING
        if version_of(name)
        for requirement in requirements(name)
        if requirement.name in CORE and (finding := met(requirement, by=name)).state != "ok"
    ]


def requirements(name: str, extra: str = "") -> Iterator[Requirement]:
    """What a package needs here; with `extra`, what that extra adds. Nothing where it is not installed as a package."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        without, with_extra = (
            requirement.marker is None or requirement.marker.evaluate({"extra": name}) for name in ("", extra)
        )
        if with_extra and (not extra or not without):
            yield requirement


def met(requirement: Requirement, *, by: str) -> Finding:
    """Whether the installed version lies in the range that `by` declares."""
    name, wanted = requirement.name, str(requirement.specifier)
    range_ = f" ({by} needs {wanted})" if wanted else ""
    mend = f"pip install '{name}{wanted}'"
    version = version_of(name)
    if version is None:
        return Finding(name, f"not installed{range_}", "wrong", mend)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(name, f"{version}{range_}", "wrong", mend)
    return Finding(name, f"{version}{range_}")


def version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def wanted(module: str, why: str, install: str, *, else_: str = "") -> Finding:
    """A module that a recipe asks for. `else_`: what happens without it; a run that needs it fails."""
    if importlib.util.find_spec(module) is not None:
        return Finding(module, f"installed; {why}")
    told = f"not installed; {why}"
    return Finding(module, f"{told}: {else_}" if else_ else told, "doubtful" if else_ else "wrong", install)


def torchvision_install() -> str:
    """The torchvision for the torch that is here: its minor version is torch's and 15."""
    version = (version_of("torch") or "").partition("+")[0].split(".")
    if len(version) < 2 or not version[1].isdigit():
        return "pip install torchvision"
    return f"pip install torchvision==0.{int(version[1]) + 15}.*"
