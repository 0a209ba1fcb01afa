"""`aot forge` from what the user typed to the files, said on the terminal."""

from __future__ import annotations

from pathlib import Path

from aot.backends.opening import is_url, model_at
from aot.errors import AotError
from aot.forge.models import DefenderFolder, DefenderUrl
from aot.forge.pipeline import NO_PAIR, ROWS, ForgeSettings, summary_lines
from aot.forge.pipeline import forge as make_pairs
from aot.forge.publish import GROWN, REFUSED
from aot.players.base_players import player_folder
from aot.runs.executor import Executor
from aot.runs.terminal import echo, warn


def forge(
    data: Path | None,
    out: Path,
    settings: ForgeSettings,
    *,
    defender: str | None = None,
    model: str | None = None,
    judge: str | None = None,
    judge_model: str | None = None,
    author: str | None = None,
    executor: Executor = "local",
    workers: int | None = None,
) -> int:
    """The dataset in `out`. Models by what the user calls them; those at a URL with their names there (`model`,
    `judge_model`). Returns how many rows of the data were refused."""
    if author and data is None:
        hint = "leave it out, or give own images with --data"
        raise AotError("the world writes its own questions", where="--grow", hint=hint)
    funnel = make_pairs(
        data,
        out,
        settings,
        defender=_anywhere(defender, model, "--effective-against"),
        judge=_anywhere(judge, judge_model, "--judge"),
        author=_on_disk(author, "--grow") if author else None,
        executor=executor,
        workers=workers,
    )
    echo("\n".join(summary_lines(funnel)))
    echo(f"dataset: {out}\ncontact sheet: {out / 'contact_sheet.html'}")
    if author and (written := funnel.get("grow")):
        echo(f"grown questions: {written['kept']}, in {out / GROWN}")
    if not funnel.get("referee", {}).get("kept"):
        warn(NO_PAIR)
    refused = sum(sum(funnel.get(stage, {}).get("refused", {}).values()) for stage in ROWS)
    if refused:
        told = f"refused rows of the data: {refused}, see {out / REFUSED}; the rest went through"
        warn(told)
    return refused


def _anywhere(name: str | None, known_as: str | None, option: str) -> DefenderFolder | DefenderUrl | None:
    if not name:
        return None
    return DefenderUrl(name, model_at(name, known_as)) if is_url(name) else _on_disk(name, option)


def _on_disk(name: str, option: str) -> DefenderFolder:
    return DefenderFolder(player_folder(name, "defender", option=f"{option} FOLDER").absolute(), name)
