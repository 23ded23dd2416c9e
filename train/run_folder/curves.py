"""RUN/curves.png: how the losses and the learning rate went, drawn from metrics.jsonl."""

from pathlib import Path
from typing import Any

from features.common.publish import published
from train.run_folder.metrics import read_metrics

NAME = "curves.png"
_TRAIN, _VALIDATION, _RATE = "tab:blue", "tab:orange", "tab:gray"


def draw_curves(run: Path) -> None:
    """Publish the picture: training and validation loss per label, the best update marked, and
    the learning rate; nothing where metrics.jsonl has no line yet."""
    lines = read_metrics(run)
    if not lines:
        return
    # matplotlib takes a second to import; Figure alone draws by Agg and leaves no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    losses, rates = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    losses.plot(*_points(lines, "train_loss"), color=_TRAIN, linewidth=1, label="training")
    updates, values = _points(lines, "val_loss")
    losses.plot(updates, values, color=_VALIDATION, marker="o", markersize=3, label="validation")
    if values:
        best = min(range(len(values)), key=values.__getitem__)
        label = f"lowest, {values[best]:.3f} after update {updates[best]:,}"
        losses.plot(updates[best], values[best], "*", color="black", markersize=11, label=label)
    losses.set_ylabel("loss per label (nats)")
    losses.grid(alpha=0.3)
    losses.legend()
    rates.plot(*_points(lines, "learning_rate"), color=_RATE)
    rates.set_ylabel("learning rate")
    rates.set_xlabel("update")
    rates.grid(alpha=0.3)
    with published(run / NAME) as draft:
        figure.savefig(draft, format="png")


def _points(lines: list[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Updates and values of the lines that have `name`."""
    there = [line for line in lines if name in line]
    return [line["update"] for line in there], [line[name] for line in there]
