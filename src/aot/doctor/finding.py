"""What one check found, and the command that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "doubtful", "wrong"]
"""wrong: the run will fail; doubtful: it may, or it is slower or other than what was likely meant."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at, `what` says what was found; `mend` is a command for the shell, or where there
    is none the next step."""

    check: str
    what: str
    state: State = "ok"
    mend: str = ""


def wrong(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state == "wrong"]


def as_size(count: float) -> str:
    """Bytes as people read them: "81.7 GB", "8 MB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
