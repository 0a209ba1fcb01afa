"""`headline.html`: figure, sentences and tables on one page that needs nothing else. *Ours.*"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from aot.experiment.figure import headline_figure
from aot.experiment.table import MARKED, family_rows, headline_rows, sentences
from aot.report.page import environment

Json = dict[str, Any]
PAGE = "headline.html"


def page(summary: Json) -> str:
    """The same summary gives the same bytes."""
    told, *claims = (line for line in sentences(summary) if line)
    seeds = len(summary["seeds"])
    return (
        environment("aot.experiment")
        .get_template(PAGE)
        .render(
            title=f"{summary['name']}: {seeds} seed{'s' if seeds != 1 else ''}",
            told=told,
            seeds=seeds,
            wide=Markup(headline_figure(summary)),
            narrow=Markup(headline_figure(summary, width=350)),
            claims=[claim.removeprefix("- ") for claim in claims],
            headline=headline_rows(summary),
            families=family_rows(summary),
            marked=MARKED,
        )
    )
