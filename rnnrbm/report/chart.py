"""Line charts as SVG inside a page: sharp at every size, in the colours of the page, with labels of constant size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rnnrbm.report.markup import Html, number, safe

__all__ = ["MOST_POINTS", "Line", "chart", "legend", "style_of", "ticks"]

#: points of a line; of more, the least and the greatest of every few are drawn
MOST_POINTS = 400
_COLOURS, _DASHES = 8, 4


class Line(NamedTuple):
    """A line of a chart.

    Attributes
    ----------
    name : str
    x, y : sequence of float
        Of the same length; points whose y is NaN are left out.
    style : int
        Number of its colour and dashes; see :func:`style_of`.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0

    @property
    def points(self) -> list[tuple[float, float]]:
        return [(x, y) for x, y in zip(self.x, self.y, strict=True) if math.isfinite(x) and math.isfinite(y)]


def style_of(i: int) -> tuple[str, str]:
    """Return the classes of a line: its colour, and its dashes, which differ when all colours are used."""
    return f"c{i % _COLOURS}", f"d{i // _COLOURS % _DASHES}"


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from `low` to `high`, at most `most` of them.

    Raises
    ------
    ValueError
        If the numbers are not finite, or not in order.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"low and high are {low} and {high}: expected two finite numbers in order")
    if low == high:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * f for f in (1, 2, 5, 10, 20) if (high - low) / (step * f) <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return fewer points with the same peaks: of every few, the least and the greatest."""
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(len(points) / (MOST_POINTS / 2 - 1))
    kept = {points[0], points[-1]}
    for start in range(0, len(points), size):
        block = points[start : start + size]
        kept |= {min(block, key=lambda p: p[1]), max(block, key=lambda p: p[1])}
    return [point for point in points if point in kept]


def chart(
    lines: Sequence[Line], *, label: str, x_name: str = "epoch", first: float = 1.0, best: float | None = None
) -> Html:
    """Return a chart of lines.

    Parameters
    ----------
    lines : sequence of Line
    label : str
        What the chart shows, for those who cannot see it.
    x_name : str
        Name of the horizontal axis.
    first : float
        Where the horizontal axis begins, unless a line begins before.
    best : float or None
        Where a dashed vertical line stands.

    Returns
    -------
    Html
        Empty if no line has a point.
    """
    drawn = [(line, points) for line in lines if (points := line.points)]
    if not drawn:
        return Html("")
    xs, ys = ([point[i] for _, points in drawn for point in points] for i in (0, 1))
    left, right, bottom, top = min(first, *xs), max(xs), min(ys), max(ys)
    if left == right:
        left, right = left - 0.5, right + 0.5
    margin = 0.06 * (top - bottom) or 0.5 * abs(top) or 0.5
    bottom, top = bottom - margin, top + margin

    def across(x: float) -> float:
        return 100 * (x - left) / (right - left)

    def down(y: float) -> float:
        return 100 * (top - y) / (top - bottom)

    y_ticks = ticks(bottom, top, 6)
    x_ticks = [x for x in ticks(left, right, 7) if x == round(x)] or [round((left + right) / 2)]
    paths = [f'<path class="grid" d="M0 {down(y):.2f}H100"/>' for y in y_ticks]
    if best is not None and left <= best <= right:
        paths.append(f'<path class="best" d="M{across(best):.2f} 0V100"/>')
    for line, points in drawn:
        shown = [(f"{across(x):.2f} {down(y):.2f}") for x, y in _thinned(points)]
        classes = " ".join(style_of(line.style))
        course = "L".join(shown)
        paths.append(f'<path class="{classes}" d="M{course}"><title>{safe(line.name)}</title></path>')
        if len(points) <= 60:  # few measurements are marked; a line of no length is a round dot at every size
            dots = "".join(f"M{point}h0" for point in shown)
            paths.append(f'<path class="{style_of(line.style)[0]} dots" d="{dots}"/>')
    digits = max(0, -math.floor(math.log10(y_ticks[1] - y_ticks[0]) + 1e-9)) if len(y_ticks) > 1 else 3
    y_labels = "".join(f'<span style="top:{down(y):.2f}%">{_tick(y, digits)}</span>' for y in y_ticks)
    x_labels = "".join(f'<span style="left:{across(x):.2f}%">{x:g}</span>' for x in x_ticks)
    drawing = "".join(paths)
    return Html(
        f'<div class="chart" role="img" aria-label="{safe(label)}"><div class="yticks">{y_labels}</div>'
        f'<div class="plot"><svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f"{drawing}</svg></div>"
        f'<div class="xticks">{x_labels}</div><div class="xname">{safe(x_name)}</div></div>'
    )


def _tick(value: float, digits: int) -> str:
    return f"{value:.2g}" if abs(value) >= 1e5 or digits > 5 else number(value, digits)


def legend(names: Sequence[tuple[str, int]]) -> Html:
    """Return the names of lines beside their colours: (name, style) of each."""
    items = []
    for name, style in names:
        colour, dashes = style_of(style)
        line = f'<path class="{colour} {dashes}" d="M0 3.5H18"/>'
        items.append(f'<li><svg viewBox="0 0 18 7" aria-hidden="true">{line}</svg>{safe(name)}</li>')
    return Html(f'<ul class="legend">{"".join(items)}</ul>')
