"""Drawing SVG by hand: text stays text in the page's own font, colours follow its scheme (as variables,
with the light scheme's values behind them for use outside the page), and the same data give the same bytes.

Every label passes through `Markup.format`, which escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

INK, MUTED, LINE = "var(--ink,#1d2026)", "var(--muted,#686b73)", "var(--line,#e2ddd2)"
CARD, BAND = "var(--card,#fff)", "var(--band,#f8f5ee)"
ATTACK, DEFEND = "var(--attack,#c2560c)", "var(--defend,#2a5bb0)"
_SERIES = ("#8c4a2f", "#c98a2b", "#5d7f4e", "#3f7f93", "#6a64a8", "#a85a86")
SERIES = tuple(f"var(--c{n},{colour})" for n, colour in enumerate(_SERIES))
"""Colours of categories that are neither the attacker's nor the defender's."""
MAX_POINTS = 160
"""Longer curves are averaged down to about this many points: more cannot be seen, and the page stays small."""

Point = tuple[float, float]


def svg(width: float, height: float, label: str, marks: Sequence[Markup]) -> str:
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" aria-label="{}" ')
    font = 'style="font-family:inherit;font-variant-numeric:tabular-nums">'
    return head.format(width, height, label) + Markup(font) + Markup("").join(marks) + Markup("</svg>")


def text(
    x: float,
    y: float,
    content: str,
    *,
    colour: str = INK,
    size: float = 12,
    weight: int = 400,
    anchor: str = "middle",
    halo: bool = False,
) -> Markup:
    style = f"fill:{colour};font-size:{size}px;font-weight:{weight};text-anchor:{anchor}"
    if halo:
        style += f";paint-order:stroke;stroke:{CARD};stroke-width:4px;stroke-linejoin:round"
    return Markup('<text x="{}" y="{}" style="{}">{}</text>').format(fix(x), fix(y), style, content)


def line(
    points: Sequence[Point], colour: str, width: float, *, opacity: float = 1.0, dash: str = ""
) -> Markup:
    """A polyline; nothing for fewer than two points."""
    if len(points) < 2:
        return Markup("")
    style = f"fill:none;stroke:{colour};stroke-width:{width};stroke-linejoin:round;stroke-linecap:round"
    style += (f";opacity:{opacity}" if opacity < 1 else "") + (f";stroke-dasharray:{dash}" if dash else "")
    path = " ".join(f"{fix(x)},{fix(y)}" for x, y in points)
    return Markup('<polyline points="{}" style="{}"/>').format(path, style)


def rect(x: float, y: float, width: float, height: float, colour: str, rim: str = "none") -> Markup:
    shape = Markup('<rect x="{}" y="{}" width="{}" height="{}" style="fill:{};stroke:{};stroke-width:2"/>')
    return shape.format(fix(x), fix(y), fix(width), fix(height), colour, rim)


def dot(x: float, y: float, radius: float, colour: str, rim: str = CARD) -> Markup:
    shape = Markup('<circle cx="{}" cy="{}" r="{}" style="fill:{};stroke:{};stroke-width:2"/>')
    return shape.format(fix(x), fix(y), radius, colour, rim)


def percent_axis(
    high: float, y: Callable[[float], float], left: float, right: float, *, floor: float = 0.0
) -> list[Markup]:
    marks = []
    for tick in ticks(floor, high, 4):
        marks.append(line([(left, y(tick)), (right, y(tick))], LINE, 1))
        marks.append(text(left - 7, y(tick) + 4, f"{100 * tick:g}", colour=MUTED, size=11.5, anchor="end"))
    return marks


def fix(value: float) -> str:
    """Coordinates to a tenth of a pixel: small pages, and no differences in the last bits."""
    return f"{value:.1f}".removesuffix(".0")


def nice_ceiling(value: float) -> float:
    """The next round number above: a multiple of 5 % up to 30 %, of 10 % beyond."""
    step = 0.05 if value <= 0.3 else 0.1
    return math.ceil(round(value / step, 6)) * step


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within [low, high], about `about` of them."""
    raw = (high - low) / max(1, about)
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(s * scale for s in (1, 2, 2.5, 5, 10) if s * scale >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def thin(series: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS points, each the mean of its neighbours."""
    size = math.ceil(len(series) / MAX_POINTS) or 1
    bins = [series[i : i + size] for i in range(0, len(series), size)]
    return [(sum(s for s, _ in b) / len(b), sum(v for _, v in b) / len(b)) for b in bins]


def smooth(series: Sequence[Point]) -> list[Point]:
    """Centred moving mean over a seventh of the curve; at its ends over what there is of that."""
    half = max(1, len(series) // 14)
    means = []
    for i, (step, _) in enumerate(series):
        window = [value for _, value in series[max(0, i - half) : i + half + 1]]
        means.append((step, sum(window) / len(window)))
    return means
