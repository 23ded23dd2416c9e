"""What one setting changes: evaluations of some seeds with it against those without it.

    python -m benchmarks.paired WITHOUT … --against WITH …

Each names an evaluation folder (`python -m evaluate run`), the same seeds in the same order. A
metric is averaged over the seeds clip by clip; the interval is a bootstrap over clips of the
difference, and the differences of each seed stand beside it.
"""

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from evaluate.scores.computing.bootstrap import draw_weights, paired
from evaluate.scores.layout import aligned
from evaluate.scores.results import METRICS
from features.common.command import run_app
from features.common.errors import ConfigError

COLUMNS = ("cider_d", "meteor", "rouge_l")  # per clip; the corpus' is their mean but for METEOR

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    first: Annotated[list[Path], typer.Argument(metavar="WITHOUT …", help="Evaluations.")],
    against: Annotated[list[Path], typer.Option(help="Evaluations with it; once for each.")],
) -> None:
    """Print both groups' scores x 100, and the difference with its 95 % interval."""
    if len(first) != len(against):
        raise ConfigError(f"{len(first)} evaluations without, {len(against)} with; expected pairs")
    rows = [["", *(METRICS[name] for name in COLUMNS)]]
    groups = [[_per_clip(folder) for folder in folders] for folders in (first, against)]
    for label, group in zip(("without", "with"), groups, strict=True):
        rows.append([label, *(_mean_std(group, name) for name in COLUMNS)])
    differences = {
        name: np.array([b[name] - a[name] for a, b in zip(*groups, strict=True)]) * 100
        for name in COLUMNS
    }
    intervals = {name: paired_interval(found) for name, found in differences.items()}
    rows.append(["difference", *(f"{m:+.2f} ({a:+.2f} to {b:+.2f})" for m, a, b in
                                 (intervals[name] for name in COLUMNS))])  # fmt: skip
    rows.append(["of each seed", *(" ".join(f"{seed.mean():+.1f}" for seed in differences[name])
                                   for name in COLUMNS)])  # fmt: skip
    print(f"{len(groups[0][0][COLUMNS[0]]):,} clips, {len(first)} seeds, scores x 100")
    print(aligned(rows))


def paired_interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds and clips, and its 95 % bootstrap interval over clips.

    Args:
        differences: float64 [seeds, clips].
    """
    of_clips = differences.mean(axis=0)
    return paired(of_clips, draw_weights(len(of_clips)))


def _per_clip(folder: Path) -> dict[str, np.ndarray]:
    """float64 [clips] per metric, from an evaluation's scores.csv, in the order of clip ids."""
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["clip"])
    return {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS}


def _mean_std(group: list[dict[str, np.ndarray]], name: str) -> str:
    means = 100 * np.array([item[name].mean() for item in group])
    return f"{means.mean():.1f} ({means.std(ddof=1) if len(means) > 1 else 0:.1f})"


if __name__ == "__main__":
    run_app(app, "benchmarks.paired")
