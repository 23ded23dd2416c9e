"""The paper's two tables with our own results beside them, mean (standard deviation) over seeds.

The paper's rows say something about ours only on the clips that they are about, AudioCaps' test
split: what was scored on other clips stands in a table of its own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from evaluate.scores import layout
from evaluate.scores.paper import TABLES, TEST_CLIPS, PaperTable, Row
from evaluate.scores.results import (
    JSON_NAME,
    METRICS,
    Origin,
    Result,
    mean_and_std,
    read_clip_ids,
    read_results,
)
from evaluate.scores.settings import differing, heard_of, named, settings_of
from evaluate.scores.which_clips import all_of_audiocaps
from features.common.errors import TagbartError

FOLDED = (
    "The paper's tables are left out: these are other clips than AudioCaps' test split, which they "
    "are about (--paper shows them)."
)


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our results with one recipe, one split and one way of decoding; one per seed.

    Attributes:
        recipe: its name, "" for predictions from elsewhere.
        name: how the table calls it, with what tells it from others of the same recipe.
        differs: settings in which the recipes of the table differ, as this one has them.
        results: one per seed.
        audiocaps: whether all their clips are of AudioCaps' test split.
        heard: whether the networks behind them have heard those clips: yes, no or unknown.
    """

    recipe: str
    name: str
    differs: str
    results: tuple[Result, ...]
    audiocaps: bool
    heard: str

    @property
    def clips(self) -> str:
        """How many clips were scored, e.g. "957" or "893 to 957"."""
        counts = sorted({result.clips for result in self.results})
        return f"{counts[0]:,}" + (f" to {counts[-1]:,}" if len(counts) > 1 else "")

    @property
    def label(self) -> str:
        seeds = len(self.results)
        count = f"{seeds} seed{'s' if seeds > 1 else ''}"
        short = min(result.clips for result in self.results) < TEST_CLIPS
        clips = f"{self.clips} of {TEST_CLIPS} clips" if short else f"{self.clips} clips"
        clips = clips if self.audiocaps else f"{self.clips} other clips"
        made = f", {count}" if self.recipe else ""  # of captions from elsewhere no seed is known
        return f"{self.name}{made}, {clips}" + (f"; {self.differs}" if self.differs else "")

    def statistics(self) -> tuple[dict[str, float], dict[str, float]]:
        """Means and, for two seeds or more, standard deviations; metrics that all seeds have."""
        return mean_and_std([result.corpus for result in self.results])


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Evaluations of one kind by seed, and what they come from: None for predictions alone."""

    made: Origin | None
    settings: dict[str, Any]
    seeds: dict[int, tuple[Path, Result]] = field(default_factory=dict)


def gather(folders: Sequence[Path]) -> list[Ours]:
    """Read evaluation folders and put the seeds of one recipe together.

    Args:
        folders: each holds a scores.json, or is a run folder whose test/ does.

    Returns:
        In the order in which recipes first appear.

    Raises:
        TagbartError: if a folder has no scores, or a seed appears twice.
    """
    groups: dict[str, _Group] = {}
    for folder in folders:
        if not (folder / JSON_NAME).is_file() and (folder / "test" / JSON_NAME).is_file():
            folder = folder / "test"
        result = read_results(folder)
        made = result.evaluation
        if made is None:  # a predictions file from elsewhere: a row of its own
            alone = _Group(made=None, settings={}, seeds={0: (folder, result)})
            groups[f"{folder} {len(groups)}"] = alone
            continue
        settings = settings_of(made.run, folder)
        key = json.dumps([made.recipe, made.split, made.decoding, settings], sort_keys=True)
        group = groups.setdefault(key, _Group(made=made, settings=settings))
        if made.seed in group.seeds:
            raise TagbartError(
                f"{folder}: seed {made.seed} of recipe {made.recipe!r} is in "
                f"{group.seeds[made.seed][0]} too; name each run once"
            )
        group.seeds[made.seed] = (folder, result)
    every = list(groups.values())
    differ = differing([group.settings for group in every if group.settings])
    return [_ours(group, every, differ) for group in every]


def as_text(ours: Sequence[Ours], *, paper: bool = False) -> str:
    draw = partial(layout.aligned, width=layout.terminal_width())
    return _render(ours, draw, "{}", paper)


def as_markdown(ours: Sequence[Ours], *, paper: bool = False) -> str:
    return _render(ours, layout.markdown, "### {}\n", paper)


def as_csv(ours: Sequence[Ours], *, paper: bool = False) -> str:
    """A row per table row: means and standard deviations in columns of their own, × 100.

    The paper's rows are always there: `source` and `audiocaps` tell a program what is what.
    """
    columns = [name + suffix for name in METRICS for suffix in ("", "_std")]
    heads = ["table", "row", "source", "recipe", "seeds", "clips", "audiocaps", "differs"]
    rows = [[*heads, *columns]]
    for number, table in enumerate(TABLES, start=1):
        for row, results in _placed(number, table, ours):
            if row is not None:
                values = dict(zip(table.metrics, map(_number, row.values), strict=True))
                if row.std:
                    pairs = zip(table.metrics, row.std, strict=True)
                    values |= {f"{name}_std": _number(std) for name, std in pairs}
                head = [str(number), row.name, "paper", row.recipe or "", "", "", "yes", ""]
                rows.append([*head, *(values.get(name, "") for name in columns)])
            for item in results:
                mean, std = item.statistics()
                values = {name: f"{100 * value:.3f}" for name, value in mean.items()}
                values |= {f"{name}_std": f"{100 * value:.3f}" for name, value in std.items()}
                name = row.name if row else item.name
                head = [str(number), name, "ours", item.recipe, str(len(item.results)), item.clips]
                head += ["yes" if item.audiocaps else "no", item.differs]
                rows.append([*head, *(values.get(column, "") for column in columns)])
    return layout.comma_separated(rows)


def _render(
    ours: Sequence[Ours], draw: Callable[[layout.Rows], str], title: str, paper: bool
) -> str:
    others = [item for item in ours if not item.audiocaps]
    parts = []
    if others:
        known = [n for n in METRICS if any(n in r.corpus for i in others for r in i.results)]
        rows = [["", *(METRICS[name] for name in known)]]
        rows += [_row(item.label, item, known) for item in others]
        parts.append(f"{title.format('Other clips')}\n{draw(rows)}")
    shown = paper or len(others) < len(ours)
    for number, table in enumerate(TABLES if shown else (), start=1):
        rows = [["", *(METRICS[name] for name in table.metrics)]]
        for row, results in _placed(number, table, [item for item in ours if item.audiocaps]):
            if row is not None:
                stds = row.std or (None,) * len(row.values)
                cells = [_cell(value, std) for value, std in zip(row.values, stds, strict=True)]
                rows.append([row.name, *cells])
            rows += [_row(f"  {item.label}", item, table.metrics) for item in results]
        parts.append(f"{title.format(table.title)}\n{draw(rows)}")
    notes = [f"Ours: mean (sample standard deviation) over seeds, × 100. {_missing(ours)}".rstrip()]
    notes += _hearing(ours)
    return "\n\n".join([*parts, *notes, *([] if shown else [FOLDED])])


def _row(label: str, item: Ours, metrics: Sequence[str]) -> list[str]:
    mean, std = item.statistics()
    return [label, *(_cell(mean.get(name), std.get(name), 100) for name in metrics)]


def _placed(
    number: int, table: PaperTable, ours: Sequence[Ours]
) -> list[tuple[Row | None, list[Ours]]]:
    """The paper's rows, each with ours below it; the first table ends with those that fit none."""
    below = [item for item in ours if item.audiocaps]
    placed: list[tuple[Row | None, list[Ours]]] = [
        (row, [item for item in below if row.recipe and item.recipe == row.recipe])
        for row in table.rows
    ]
    if number == 1:
        known = {row.recipe for each in TABLES for row in each.rows}
        rest = [item for item in ours if not item.audiocaps or item.recipe not in known]
        placed.append((None, rest))
    return placed


def _ours(group: _Group, groups: Sequence[_Group], differ: Sequence[str]) -> Ours:
    found = list(group.seeds.values())
    clips = [read_clip_ids(folder) for folder, _ in found]
    return Ours(
        recipe=group.made.recipe if group.made else "",
        name=_name(group.made, groups) if group.made else str(found[0][0]),
        differs=named(group.settings, differ),
        results=tuple(result for _, result in found),
        audiocaps=all(map(all_of_audiocaps, clips)),
        heard=_heard(found),
    )


def _heard(found: Sequence[tuple[Path, Result]]) -> str:
    words = {
        heard_of(result.evaluation.run, folder) if result.evaluation else "unknown"
        for folder, result in found
    }
    return words.pop() if len(words) == 1 else "unknown"


def _hearing(ours: Sequence[Ours]) -> list[str]:
    """One line for all rows of AudioCaps' clips, or one for each where they differ."""
    told = {item.name: item.heard for item in ours if item.audiocaps}
    line = "Networks have heard the test clips: {} (docs/scoring.md)."
    if len(set(told.values())) < 2:
        return [line.format(word) for word in set(told.values())]
    return [f"{name}: {line.format(word)}" for name, word in told.items()]


def _name(made: Origin, groups: Sequence[_Group]) -> str:
    """Ours, the recipe, and what tells it from another group of the same recipe."""
    parts = [f"ours: {made.recipe}", *([] if made.split == "test" else [made.split])]
    others = [group.made for group in groups if group.made and group.made.recipe == made.recipe]
    differ = differing([other.decoding for other in others])
    return " ".join([*parts, *(f"{key}={made.decoding.get(key)}" for key in differ)])


def _missing(ours: Sequence[Ours]) -> str:
    """Metrics that could not be computed for some of ours, and why; each reason once."""
    sentences = (
        f"{METRICS[name]}: not available ({reason})"
        for item in ours
        for result in item.results
        for name, reason in result.not_available.items()
    )
    return "; ".join(dict.fromkeys(sentences))


def _cell(value: float | None, std: float | None, scale: float = 1) -> str:
    if value is None or value != value:
        return "–"
    spread = "" if std is None else f" ({scale * std:.1f})"
    return f"{scale * value:.1f}{spread}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
