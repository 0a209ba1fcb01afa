"""`aot audit` from what the user typed to the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aot.audit.confidence import sure_line
from aot.audit.page import build_page, headline, short_name, terminal_table
from aot.audit.panel import ATTACKS, build_panel
from aot.audit.plan import AuditSettings
from aot.audit.run import RESULT, run_audit
from aot.audit.shares import Json
from aot.audit.showcase import cards
from aot.audit.subjects import open_subjects
from aot.audit.trained import open_attacker
from aot.audit.white_box import check_attacks, open_white_box, white_box_names
from aot.backends.asking.ask_all import check_answered
from aot.backends.asking.sight import SightChecked, unmoved_note
from aot.backends.opening import is_url, open_backend
from aot.players.base_players import quiet_loading
from aot.runs.files import held, read_whole
from aot.runs.overrides import overridden
from aot.runs.terminal import Terminal, echo, warn
from aot.runs.threads import use_threads


def audit_settings(
    overrides: Sequence[str], draws: int | None = None, confidence: bool = False
) -> AuditSettings:
    """The settings with overrides like "strengths.noise_levels=[4,8]". Raises `AotError` that names a bad one."""
    given = [*overrides, *([f"draws={draws}"] if draws else []), *["confidence=true"] * confidence]
    return overridden(AuditSettings, AuditSettings().model_dump(), given, where="audit")


def audit(
    defender: str,
    data: Path | None,
    out: Path,
    settings: AuditSettings,
    *,
    model: str | None = None,
    attacks: Sequence[str] | None = None,
    attacker: str | None = None,
    transfer_from: Sequence[str] = (),
    budget: int | None = None,
    limit: int | None = None,
    blind: bool = False,
    say: Callable[[str], None] = echo,
) -> tuple[Json, Path]:
    """Audits a model (`open_backend` says what `defender` may be) on `data`, none: the miniature world. Writes
    `audit.html`, `audit.json` and `outcomes.jsonl`, returns the metrics and the page's path. `blind`: as
    `SightChecked`. Attacks by gradients are made against the model itself, or against each of `transfer_from`.
    Raises `AotError` for a mistake of the user, before anything is asked where that can be told."""
    use_threads(settings.threads)
    names = tuple(ATTACKS if attacks is None else attacks)
    by_gradients = white_box_names(names)
    plain = tuple(name for name in names if name not in by_gradients)
    check_attacks(names, defender, transfer_from)
    build_panel(plain, settings.strengths, None)  # a misspelt attack is told before anything is loaded
    backend = open_backend(defender, model=model, **settings.connection.model_dump())
    if is_url(defender):
        backend = SightChecked(backend, blind=blind, say=say)
    with held(out / "work"):  # the photos that are attacked lie there
        subjects, refused = open_subjects(
            data,
            out / "work" / "photos",
            photos=settings.photos,
            referee=settings.referee,
            side_px=settings.side_px,
            world_scenes=settings.world_scenes,
            seed=settings.seed,
            limit=limit,
        )
        trained = open_attacker(attacker, out / "work" / "edits") if attacker else None
        panel = build_panel(plain, settings.strengths, subjects.objects, trained)
        if by_gradients:
            models = transfer_from or [defender]
            panel += open_white_box(by_gradients, models, out / "work" / "pixels", settings, say)
        about = {
            "data": "the miniature world" if data is None else str(data),
            "attacks": [attack.name for attack in panel],
            "attacker": {"name": attacker, "digest": trained.digest} if trained else None,
            "transfer_from": list(transfer_from),
            "limit": limit,
        }
        if before := _other_model(out / RESULT, backend.name):
            say(f"the audit of {before} in {out} goes with this one; --out keeps it")
        result, done = run_audit(
            backend, subjects, panel, settings, out, budget=budget, refused=refused, about=about, say=say
        )
        page = build_page(result, cards(done, short_name(backend.name)), out)
    said = [outcome.said for outcome in done.outcomes.values() if outcome.state == "asked"]
    check_answered(result["costs"]["statuses"], said, page)
    return result, page


def _other_model(result: Path, name: str) -> str:
    """Whose audit stands there, if it is another model's. A damaged one is nobody's."""
    try:
        before = str(json.loads(read_whole(result))["defender"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return before if before != name else ""


def run(defender: str, data: Path | None, out: Path, settings: AuditSettings, **given: Any) -> int:
    """`audit`, and the result on the terminal. Returns how many rows of the data were refused."""
    if given.get("attacker") or white_box_names(tuple(given.get("attacks") or ())):
        quiet_loading()
    result, page = audit(defender, data, out, settings, **given)
    if result["unmoved"]:
        echo(unmoved_note(result["unmoved"]))
    echo(headline(result))
    if sure := result.get("confidence"):
        echo(sure_line(sure))
    Terminal().print(terminal_table(result))
    echo(f"page: {page}\nmetrics: {page.with_suffix('.json')}")
    refused: int = result["refused_rows"]["n"]
    if refused:
        told = f"refused rows of the data: {refused}, named on the page; the rest was audited"
        warn(told)
    return refused
