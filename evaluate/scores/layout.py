"""Rows of cells as plain text, Markdown or CSV. The first row is the heading."""

import csv
import io
import math
import os
import shutil
import sys
from collections.abc import Sequence
from textwrap import wrap

Rows = Sequence[Sequence[str]]
GAP = 2


def aligned(rows: Rows, width: int | None = None) -> str:
    """Columns side by side: the first to the left, the others to the right.

    Args:
        rows: of equal length.
        width: characters that a line may have; what is wider is folded: long names go on in the
            line below, and columns that do not fit stand further down, under the names once more.
            None folds nothing.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if width is None or sum(widths) + GAP * (len(widths) - 1) <= width:
        return _lines(rows, widths)
    names = max(12, width * 2 // 5)
    rows = [line for row in rows for line in _folded(row, names)]
    widths[0] = max(len(row[0]) for row in rows)
    blocks: list[list[int]] = [[]]
    room = width - widths[0]
    for column, wide in enumerate(widths[1:], start=1):
        if blocks[-1] and room < wide + GAP:
            blocks.append([])
            room = width - widths[0]
        blocks[-1].append(column)
        room -= wide + GAP
    parts = [
        _lines([[row[i] for i in (0, *block)] for row in rows], [widths[i] for i in (0, *block)])
        for block in blocks
    ]
    return "\n\n".join(parts)


def terminal_width() -> int | None:
    """How wide a line on stdout may be; None where that is a file or another program."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def markdown(rows: Rows) -> str:
    """A Markdown table."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def comma_separated(rows: Rows) -> str:
    """CSV text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().removesuffix("\n")


def percent(value: float, *, decimals: int = 1) -> str:
    """A fraction × 100, with one decimal as papers print metrics; a dash for NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.{decimals}f}"


def span(bounds: tuple[float, float]) -> str:
    """An interval of fractions × 100, with words between where a sign could be taken for a dash."""
    low, high = map(percent, bounds)
    return f"{low} to {high}" if bounds[0] < 0 else f"{low}–{high}"


def _lines(rows: Rows, widths: Sequence[int]) -> str:
    lines = []
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append((" " * GAP).join(cells).rstrip())
    return "\n".join(lines)


def _folded(row: Sequence[str], width: int) -> list[list[str]]:
    """A row whose name is too long as several, the values in the last."""
    indent = " " * (len(row[0]) - len(row[0].lstrip()))
    names = wrap(row[0], width, initial_indent=indent, subsequent_indent=indent + "  ") or [row[0]]
    return [*([name, *("" for _ in row[1:])] for name in names[:-1]), [names[-1], *row[1:]]]
