"""The pool of the arena: the players of finished runs, and scripted attackers; each identified by its content, not its
name.

A defender or attacker is identified by the digests of its files and the settings that it is loaded with: one that two
runs share (the base players of two seeds) plays once, under its first name. *Ours.*
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from aot.attacks.base.family import Rule, Threat
from aot.coevolve.recipes.load import recipe_of
from aot.coevolve.recipes.recipe import Recipe
from aot.coevolve.recipes.stage_names import (
    BEST_RESPONSE,
    attacker_of,
    attacker_stage_of,
    attackers,
    baselines,
    best_response_targets,
    defenders,
    stage_of,
)
from aot.errors import AotError
from aot.players.digests import player_digests
from aot.runs.files import canonical_hash
from aot.runs.manifest import MANIFEST, remake_hint, trusted

Kind = Literal["trained", "best_response", "scripted", "white_box"]


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A finished run of `aot coevolve`. `label` names it among the runs of the arena."""

    label: str
    folder: Path
    recipe: Recipe
    data: Path | None


@dataclass(frozen=True, eq=False)
class PoolDefender:
    """A defender. `role`: its name within its run ("base", "iteration_2", "sft_scripted"); `also`: the same weights in
    other places, such as the base of another run."""

    name: str
    run: RunFolder
    role: str
    folder: Path
    digest: str
    also: tuple[PoolDefender, ...] = ()

    @property
    def iteration(self) -> int | None:
        """0 for the base, else of the main line; None for warm-up and baselines."""
        return iteration_in(self.role)

    def within(self, run: RunFolder) -> PoolDefender | None:
        """Who it is in that run, if it plays there."""
        return next((one for one in (self, *self.also) if one.run is run), None)


@dataclass(frozen=True, eq=False)
class PoolAttacker:
    """An attacker. `identity`: the JSON value of all that its attacks depend on besides scenes, seed and referee;
    `column`: its name within its run; `folder`: the weights of one that was trained; `against`: whom a best response
    was trained against; `rule`: who judges a family (None: the run's own referee)."""

    name: str
    kind: Kind
    threat: Threat
    identity: Any
    run: RunFolder | None = None
    column: str = ""
    folder: Path | None = None
    against: str = ""
    rule: Rule | None = None
    also: tuple[PoolAttacker, ...] = ()

    @property
    def iteration(self) -> int | None:
        """0 for the cold start; None for who is no attacker of an iteration."""
        return iteration_in(self.column) if self.kind == "trained" else None

    def within(self, run: RunFolder) -> PoolAttacker | None:
        """The trained attacker that it is in that run, if it is one there."""
        return next((one for one in (self, *self.also) if one.run is run and one.iteration is not None), None)


@dataclass(frozen=True)
class Pool:
    runs: Sequence[RunFolder]
    attackers: Sequence[PoolAttacker]
    defenders: Sequence[PoolDefender]

    def attacker(self, name: str) -> PoolAttacker:
        return next(one for one in self.attackers if one.name == name)

    def defender(self, name: str) -> PoolDefender:
        return next(one for one in self.defenders if one.name == name)


def iteration_in(role: str) -> int | None:
    """0 of "base" and "iteration_0", 2 of "iteration_2"; None of any other role."""
    if role == "base":
        return 0
    number = role.removeprefix("iteration_")
    return int(number) if number != role and number.isdecimal() else None


def read_runs(folders: Sequence[Path]) -> list[RunFolder]:
    """The runs, each with a label of its own. Raises `AotError` for a folder that holds no run, or an unfinished one,
    or the same one twice."""
    found: list[RunFolder] = []
    for folder in folders:
        if not folder.is_dir():
            hint = "give the folder of a run that `aot coevolve` has finished"
            raise AotError("no such folder", where=str(folder), hint=hint)
        recipe, data = recipe_of(folder)
        if not (folder / "summary.json").is_file():
            hint = f"`aot coevolve` with its recipe and --out {folder} goes on with it"
            raise AotError("this run is not finished: it has no summary.json", where=str(folder), hint=hint)
        if any(folder.resolve() == run.folder.resolve() for run in found):
            raise AotError("the same run is given twice", where=str(folder), hint="name each run once")
        name = folder.resolve().name
        times = sum(run.folder.resolve().name == name for run in found)
        found.append(RunFolder(f"{name}-{times + 1}" if times else name, folder, recipe, data))
    return found


def pool_of(runs: Sequence[RunFolder], scripted: Sequence[PoolAttacker]) -> Pool:
    """All players of the runs, and the scripted attackers. Raises `AotError` where a player's files are damaged."""
    attacking: list[PoolAttacker] = []
    defending: list[PoolDefender] = []
    for run in runs:
        prefix = f"{run.label}/" if len(runs) > 1 else ""
        for role in defenders(run.recipe):
            folder, digest = _player(run, stage_of(run.recipe, role))
            digest = canonical_hash([digest, run.recipe.players.defender.key])
            _add(defending, PoolDefender(prefix + role, run, role, folder, digest), lambda one: one.digest)
        responses = {f"{BEST_RESPONSE}_{defender}": defender for defender in best_response_targets(run.recipe)}
        for column in (*attackers(run.recipe), *responses):
            folder, digest = _player(run, attacker_stage_of(column))
            identity = [digest, run.recipe.players.attacker.key]
            kind: Kind = "best_response" if column in responses else "trained"
            against = prefix + responses[column] if column in responses else ""
            one = PoolAttacker(prefix + column, kind, "semantic", identity, run, column, folder, against)
            _add(attacking, one, lambda other: canonical_hash(other.identity))
    return Pool(runs, [*attacking, *scripted], defending)


def with_responses(pool: Pool, found: Sequence[PoolAttacker]) -> Pool:
    """The pool with fresh best responses, where they are not the runs' own ones again."""
    attacking = [one for one in pool.attackers if one.kind in ("trained", "best_response")]
    others = [one for one in pool.attackers if one not in attacking]
    for one in found:
        _add(attacking, one, lambda other: canonical_hash(other.identity))
    return replace(pool, attackers=[*attacking, *others])


def final_defenders(pool: Pool) -> list[PoolDefender]:
    """Those that something is claimed of: the bases, the last iterations' and the baselines."""
    return [one for one in pool.defenders if any(map(_is_final, (one, *one.also)))]


def _is_final(one: PoolDefender) -> bool:
    recipe = one.run.recipe
    return one.role in ("base", f"iteration_{recipe.iterations}", *baselines(recipe))


def last_defender(pool: Pool, run: RunFolder) -> PoolDefender | None:
    """That of the run's last iteration."""
    role = f"iteration_{run.recipe.iterations}"
    return next((d for d in pool.defenders if (own := d.within(run)) and own.role == role), None)


def cold_start(run: RunFolder) -> tuple[Path, str]:
    """The folder and the digest of the attacker that a run's trainings start from."""
    return _player(run, attacker_of(0))


def _player(run: RunFolder, stage: str) -> tuple[Path, str]:
    """The folder of the player that a finished stage left, and the digest of its files, which are those recorded."""
    folder = run.folder / stage
    if not (folder / MANIFEST).is_file():
        hint = f"`aot coevolve` with its recipe and --out {run.folder} makes what is missing"
        raise AotError(f"this run is not finished: stage {stage} is missing", where=str(run.folder), hint=hint)
    recorded = trusted(stage, folder).manifest["files"]
    found = player_digests(folder)
    for name, entry in recorded.items():
        if name in found and found[name] != entry.get("sha256"):
            what = "damaged: its sha256 is not the manifest's"
            raise AotError(what, where=str(folder / name), hint=remake_hint(folder))
    if missing := sorted(name for name in recorded if name not in found and not (folder / name).is_file()):
        what = "missing, though the stage's manifest lists it"
        raise AotError(what, where=str(folder / missing[0]), hint=remake_hint(folder))
    return folder, canonical_hash(found)


def _add(known: list[Any], one: Any, what: Any) -> None:
    """Adds a player, or lets the one that is the same stand for it, too."""
    for place, other in enumerate(known):
        if what(other) == what(one):
            known[place] = replace(other, also=(*other.also, one))
            return
    known.append(one)
