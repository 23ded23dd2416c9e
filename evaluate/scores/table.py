"""The paper's two tables with our own results beside them, mean (standard deviation) over seeds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluate.scores import layout
from evaluate.scores.paper import TABLES, TEST_CLIPS, PaperTable, Row
from evaluate.scores.results import JSON_NAME, METRICS, Result, mean_and_std, read_results
from features.common.errors import TagbartError


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our results with one recipe, one split and one way of decoding; one per seed."""

    recipe: str
    name: str
    results: tuple[Result, ...]

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
        return f"{self.name}, {count}, {clips}"

    def statistics(self) -> tuple[dict[str, float], dict[str, float]]:
        """Means and, for two seeds or more, standard deviations; metrics that all seeds have."""
        return mean_and_std([result.corpus for result in self.results])


def gather(folders: Sequence[Path]) -> list[Ours]:
    """Read evaluation folders and put the seeds of one recipe together.

    Args:
        folders: each holds a scores.json, or is a run folder whose test/ does.

    Returns:
        In the order in which recipes first appear.

    Raises:
        TagbartError: if a folder has no scores, or a seed appears twice.
    """
    groups: dict[tuple[str, str, str], dict[int, tuple[Path, Result]]] = {}
    for number, folder in enumerate(folders):
        if not (folder / JSON_NAME).is_file() and (folder / "test" / JSON_NAME).is_file():
            folder = folder / "test"
        result = read_results(folder)
        made = result.evaluation
        if made is None:  # a predictions file from elsewhere: a row of its own
            groups[str(folder), "", str(number)] = {0: (folder, result)}
            continue
        decoding = json.dumps(made.decoding, sort_keys=True)
        seeds = groups.setdefault((made.recipe, made.split, decoding), {})
        if made.seed in seeds:
            raise TagbartError(
                f"{folder}: seed {made.seed} of recipe {made.recipe!r} is in "
                f"{seeds[made.seed][0]} too; name each run once"
            )
        seeds[made.seed] = (folder, result)
    return [
        Ours(
            recipe=recipe,
            name=_name(recipe, split, decoding, list(groups)),
            results=tuple(result for _, result in seeds.values()),
        )
        for (recipe, split, decoding), seeds in groups.items()
    ]


def as_text(ours: Sequence[Ours]) -> str:
    return _render(ours, layout.aligned, "{}")


def as_markdown(ours: Sequence[Ours]) -> str:
    return _render(ours, layout.markdown, "### {}\n")


def as_csv(ours: Sequence[Ours]) -> str:
    """A row per table row: means and standard deviations in columns of their own, × 100."""
    columns = [name + suffix for name in METRICS for suffix in ("", "_std")]
    rows = [["table", "row", "source", "recipe", "seeds", "clips", *columns]]
    for number, table in enumerate(TABLES, start=1):
        for row, results in _placed(number, table, ours):
            if row is not None:
                values = dict(zip(table.metrics, map(_number, row.values), strict=True))
                if row.std:
                    named = zip(table.metrics, row.std, strict=True)
                    values |= {f"{name}_std": _number(std) for name, std in named}
                head = [str(number), row.name, "paper", row.recipe or "", "", ""]
                rows.append([*head, *(values.get(name, "") for name in columns)])
            for item in results:
                mean, std = item.statistics()
                values = {name: f"{100 * value:.3f}" for name, value in mean.items()}
                values |= {f"{name}_std": f"{100 * value:.3f}" for name, value in std.items()}
                name = row.name if row else item.name
                head = [str(number), name, "ours", item.recipe, str(len(item.results)), item.clips]
                rows.append([*head, *(values.get(column, "") for column in columns)])
    return layout.comma_separated(rows)


def _render(ours: Sequence[Ours], draw, title: str) -> str:
    parts = []
    for number, table in enumerate(TABLES, start=1):
        rows = [["", *(METRICS[name] for name in table.metrics)]]
        for row, results in _placed(number, table, ours):
            if row is not None:
                stds = row.std or (None,) * len(row.values)
                cells = [_cell(value, std) for value, std in zip(row.values, stds, strict=True)]
                rows.append([row.name, *cells])
            for item in results:
                mean, std = item.statistics()
                cells = [_cell(mean.get(name), std.get(name), 100) for name in table.metrics]
                rows.append([f"  {item.label}", *cells])
        parts.append(f"{title.format(table.title)}\n{draw(rows)}")
    notes = [f"Ours: mean (sample standard deviation) over seeds, × 100. {_missing(ours)}".rstrip()]
    return "\n\n".join([*parts, *notes])


def _placed(
    number: int, table: PaperTable, ours: Sequence[Ours]
) -> list[tuple[Row | None, list[Ours]]]:
    """The paper's rows, each with ours below it; the first table ends with those that fit none."""
    placed: list[tuple[Row | None, list[Ours]]] = [
        (row, [item for item in ours if row.recipe and item.recipe == row.recipe])
        for row in table.rows
    ]
    if number == 1:
        known = {row.recipe for each in TABLES for row in each.rows}
        placed.append((None, [item for item in ours if item.recipe not in known]))
    return placed


def _name(recipe: str, split: str, decoding: str, keys: list[tuple[str, str, str]]) -> str:
    """Ours, the recipe, and what tells it from another group of the same recipe."""
    parts = [f"ours: {recipe}"] if split else [recipe]
    if split not in ("", "test"):
        parts.append(split)
    rivals = [json.loads(other) for name, part, other in keys if part and name == recipe]
    if len(rivals) > 1:
        own = json.loads(decoding)
        differ = sorted(
            key for key in set().union(*rivals) if any(r.get(key) != own.get(key) for r in rivals)
        )
        parts += [f"{key}={own.get(key)}" for key in differ]
    return " ".join(parts)


def _missing(ours: Sequence[Ours]) -> str:
    """One sentence on metrics that could not be computed for some of ours."""
    reasons = {
        METRICS[name]: reason
        for item in ours
        for result in item.results
        for name, reason in result.not_available.items()
    }
    return "; ".join(f"{name}: not available ({reason})" for name, reason in reasons.items())


def _cell(value: float | None, std: float | None, scale: float = 1) -> str:
    if value is None or value != value:
        return "–"
    spread = "" if std is None else f" ({scale * std:.1f})"
    return f"{scale * value:.1f}{spread}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
