"""Charts as inline SVG: they follow the theme, and their dots and bars are links."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import floor, isfinite, log10

import numpy as np

WIDTH, HEIGHT = 340, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 12, 38


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A clip in a scatter: where, what it is called, where its page is."""

    x: float
    y: float
    title: str
    href: str


def scatter(dots: Sequence[Dot], *, x: str, y: str, diagonal: bool = False) -> str:
    """Clips by two numbers.

    Args:
        dots: those with a number that is not finite are left out.
        x, y: names of the axes.
        diagonal: draw the line on which both are equal, on axes of one scale.
    """
    kept = [dot for dot in dots if isfinite(dot.x) and isfinite(dot.y)]
    if not kept:
        return ""
    xs, ys = [dot.x for dot in kept], [dot.y for dot in kept]
    if diagonal:
        xs = ys = [*xs, *ys]
    across, up = _axis(xs, LEFT, WIDTH - RIGHT), _axis(ys, HEIGHT - BOTTOM, TOP)
    parts = [*_frame(across, up, x, y)]
    if diagonal:
        low, high = across.ticks[0], across.ticks[-1]
        parts.append(
            f'<line class="rule" x1="{across(low):.1f}" y1="{up(low):.1f}" '
            f'x2="{across(high):.1f}" y2="{up(high):.1f}"/>'
        )
    parts += [
        f'<a href="{escape(dot.href)}"><circle cx="{across(dot.x):.1f}" cy="{up(dot.y):.1f}" '
        f'r="3"><title>{escape(dot.title)}</title></circle></a>'
        for dot in kept
    ]
    return _svg(parts, f"{y} against {x}, a dot per clip", WIDTH, HEIGHT)


def histogram(values: np.ndarray, *, x: str, of: str = "clips", metric: str = "") -> str:
    """How clips are spread over a number.

    Args:
        values: [n]; those that are not finite are left out.
        x: what the number is called.
        of: what is counted.
        metric: the number's name in the table of clips, where each bar then leads to its own.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    edges = bar_edges(float(values.min()), float(values.max()))
    # numpy's last bar takes its upper edge, the table's filter does not: no value is there.
    counts = np.histogram(values, edges)[0].tolist()
    across = _axis([edges[0], edges[-1]], LEFT, WIDTH - RIGHT)
    up = _axis([0, max(counts)], HEIGHT - BOTTOM, TOP)
    parts = [*_frame(across, up, x, of)]
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        left, right, top = across(low), across(high), up(count)
        said = f"{low:g} to {high:g}: {count} {of}"
        shape = (
            f'<rect class="hit" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" '
            f'height="{HEIGHT - BOTTOM - TOP}"/>'
            f'<rect class="bar" x="{left + 0.5:.1f}" y="{top:.1f}" '
            f'width="{right - left - 1:.1f}" height="{HEIGHT - BOTTOM - top:.1f}">'
            f"<title>{said}</title></rect>"
        )
        href = f"?in={metric}:{low:g}:{high:g}#clips"
        link = f'<a data-filter href="{href}" aria-label="{said}">{shape}</a>'
        parts.append(link if metric else shape)
    return _svg(parts, f"How {x} is spread over the {of}", WIDTH, HEIGHT)


def forest(spans: Sequence[tuple[str, float, float, float]], *, x: str) -> str:
    """Differences with their intervals beside the line of no difference.

    Args:
        spans: name, difference, and the bounds of its interval; left out where they are not finite.
        x: what is compared.
    """
    kept = [span for span in spans if all(map(isfinite, span[2:]))]
    if not kept:
        return ""
    left, row = 170, 22
    width, height = 620, TOP + row * len(kept) + BOTTOM
    ends = [0.0, *(bound for span in kept for bound in span[2:])]
    across = _axis(ends, left, width - RIGHT)
    bottom = height - BOTTOM
    parts = _upright(across, bottom)
    parts.append(
        f'<line class="rule" x1="{across(0):.1f}" y1="{TOP}" x2="{across(0):.1f}" y2="{bottom}"/>'
    )
    for number, (name, value, low, high) in enumerate(kept):
        y = TOP + row * (number + 0.5)
        clear = " clear" if low > 0 or high < 0 else ""
        parts.append(
            f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<g class="span{clear}"><line x1="{across(low):.1f}" y1="{y:.1f}" '
            f'x2="{across(high):.1f}" y2="{y:.1f}"/>'
            f'<circle cx="{across(value):.1f}" cy="{y:.1f}" r="4"/>'
            f"<title>{value:+.1f}, 95 % {low:+.1f} to {high:+.1f}</title></g>"
        )
    parts.append(
        f'<text x="{(left + width - RIGHT) / 2}" y="{height - 6}" text-anchor="middle">'
        f"{escape(x)}</text>"
    )
    return _svg(parts, f"{x}, with 95 % intervals", width, height)


def bar_edges(low: float, high: float, *, most: int = 20) -> list[float]:
    """Edges of a histogram's bars at round values, which a person can repeat."""
    step = _step(high - low, most)
    first, last = floor(low / step), floor(high / step) + 1
    return [round(step * number, 10) for number in range(first, last + 1)]


@dataclass(frozen=True)
class _Axis:
    ticks: list[float]
    place: Callable[[float], float]

    def __call__(self, value: float) -> float:
        return self.place(value)


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = _step(high - low, 6)
    if all(value == round(value) for value in values):
        step = max(1.0, step)  # nobody has half a word
    first, last = floor(low / step + 1e-9), -floor(-high / step + 1e-9)
    ticks = [round(step * number, 10) for number in range(first, last + 1)]
    span = ticks[-1] - ticks[0]
    return _Axis(ticks, lambda value: start + (value - ticks[0]) / span * (end - start))


def _step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten of which `most` cover a span."""
    wanted = max(span, 0.01) / most
    power = 10.0 ** floor(log10(wanted))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= wanted * (1 - 1e-9))


def _frame(across: _Axis, up: _Axis, x: str, y: str) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = _upright(across, bottom)
    for value in up.ticks:
        at = up(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>')
        parts.append(
            f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    middle = (TOP + bottom) / 2
    return [
        *parts,
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x)}</text>',
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">'
        f"{escape(y)}</text>",
    ]


def _upright(across: _Axis, bottom: int) -> list[str]:
    """The lines of a grid at an axis' ticks, with what they stand for."""
    parts = []
    for value in across.ticks:
        at = f"{across(value):.1f}"
        parts.append(f'<line class="grid" x1="{at}" y1="{TOP}" x2="{at}" y2="{bottom}"/>')
        parts.append(
            f'<text x="{at}" y="{bottom + 13}" text-anchor="middle">{_number(value)}</text>'
        )
    return parts


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _svg(parts: Sequence[str], label: str, width: int, height: int) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="group" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
