"""`headline.html`: figure, sentences and tables on one page that needs nothing else. *Ours.*"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup, escape

from aot.experiment.figure import headline_figure
from aot.experiment.table import MARKED, family_table, headline_table, sentences
from aot.report.page import stylesheet

Json = dict[str, Any]
STYLE = """
main { padding-top: 24px; padding-bottom: 48px; }
table { display: block; overflow-x: auto; font-size: 13px; margin-bottom: 2rem; }
td, th { padding: 3px 10px; text-align: right; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; }
"""


def page(summary: Json) -> str:
    """The same summary gives the same bytes."""
    told, *claims = (line for line in sentences(summary) if line)
    title = f"{summary['name']}: {len(summary['seeds'])} seeds"
    body = [
        Markup("<h1>{}</h1><p>{}</p>").format(title, told),
        Markup(headline_figure(summary)),
        Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(_bold(c[2:])) for c in claims)),
        _html_table(headline_table(summary)),
        Markup("<h2>By family</h2><p>{}</p>").format(MARKED),
        _html_table(family_table(summary)),
    ]
    head = Markup(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{}</title><style>{}{}</style></head>'
    )
    shown = Markup("<body><main>{}</main></body></html>\n").format(Markup("\n").join(body))
    return head.format(title, stylesheet(), Markup(STYLE)) + shown


def _html_table(markdown: str) -> Markup:
    """Of a table that `table` made."""
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines())
    heads = Markup("").join(Markup("<th>{}</th>").format(cell) for cell in head)
    cells = [Markup("").join(Markup("<td>{}</td>").format(_bold(cell)) for cell in row) for row in rows]
    lines = Markup("").join(Markup("<tr>{}</tr>").format(row) for row in cells)
    return Markup("<table><tr>{}</tr>{}</table>").format(heads, lines)


def _bold(text: str) -> Markup:
    pieces = [escape(piece) for piece in text.split("**")]
    marked = [Markup("<b>{}</b>").format(p) if n % 2 else p for n, p in enumerate(pieces)]
    return Markup("").join(marked)
