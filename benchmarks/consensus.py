"""What decoding over several drawn tag prompts changes, against the likeliest tags alone.

    python -m benchmarks.consensus FEATURES RUN … [--draws 8] [--split test]

The runs are seeds of one recipe. Each is decoded in the paper's way, and with drawn prompts besides
it, choosing by consensus and by likelihood (evaluate/captions/options.py). Differences are paired:
the same run, the same clip; they are averaged over runs, the interval is a bootstrap over clips.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from evaluate.captions.options import AMONG_PROMPTS, DecodingOptions
from evaluate.captions.search import open_run
from evaluate.evaluation import caption_features
from evaluate.scores.bootstrap import draw_weights, paired
from evaluate.scores.layout import aligned
from evaluate.scores.predictions import PredictionSets
from evaluate.scores.results import METRICS, Scores
from evaluate.scores.score import Wanted, new_scorer
from features.common.command import run_app
from features.common.console import log
from features.common.errors import ConfigError
from features.reader import Features
from train.run_folder.checkpoint import check_streams

COLUMNS = ("cider_d", "meteor", "rouge_l")  # per clip; the corpus' is their mean but for METEOR

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    features: Annotated[Path, typer.Argument(metavar="FEATURES")],
    runs: Annotated[list[Path], typer.Argument(metavar="RUN …", help="Seeds of one recipe.")],
    draws: Annotated[int, typer.Option(help="Prompts of drawn tags per clip.")] = 8,
    split: Annotated[str, typer.Option(help="Split to caption.")] = "test",
    beams: Annotated[int, typer.Option(help="Beams.")] = 4,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Print scores of the three ways, and the differences to the first with 95 % intervals."""
    if draws < 1:
        raise ConfigError(f"--draws is {draws}, expected at least 1")
    ways = {"likeliest tags": DecodingOptions(beams=beams)}
    for choice in AMONG_PROMPTS:
        ways[f"{draws} draws, {choice}"] = DecodingOptions(
            beams=beams, tag_draws=draws, choose=choice
        )
    clips = Features(features, split)
    texts = {way: [_captions(run, clips, o, device) for run in runs] for way, o in ways.items()}
    flat = tuple(captions for of_way in texts.values() for captions in of_way)
    sets = PredictionSets(
        clips=tuple(clips.ids),
        references=tuple(clips[clip].captions for clip in clips.ids),
        candidates=flat,
    )
    log("scoring; METEOR takes some 10 s to start")
    with new_scorer(Wanted(spice=False)) as scorer:
        scores = iter(scorer.score(sets))
    found = {way: [next(scores) for _ in runs] for way in ways}
    print(f"{len(clips):,} clips of {features} {split}, {len(runs)} runs, scores × 100")
    print(table(found, texts))


def table(found: dict[str, list[Scores]], texts: dict[str, list[tuple[str, ...]]]) -> str:
    """Scores per way, mean over clips and runs; below it what differs from the first way.

    Args:
        found: per way, the scores of each run.
        texts: per way, the captions of each run.
    """
    (first, base), *others = found.items()
    rows = [["", *(METRICS[name] for name in COLUMNS), "captions changed"]]
    rows.append([first, *(f"{100 * per_clip(base, name).mean():.1f}" for name in COLUMNS), ""])
    for way, scores in others:
        changed = np.array(texts[way]) != np.array(texts[first])
        cells = [f"{100 * per_clip(scores, name).mean():.1f}" for name in COLUMNS]
        rows.append([way, *cells, f"{100 * changed.mean():.0f} %"])
        differences = [per_clip(scores, name) - per_clip(base, name) for name in COLUMNS]
        rows.append(["  difference", *map(_with_interval, differences), ""])
        rows.append(["  of each run", *map(_of_runs, differences), ""])
    return aligned(rows)


def per_clip(scores: Sequence[Scores], name: str) -> np.ndarray:
    """One metric of several runs, float64 [runs, clips]."""
    return np.array([item.per_clip[name] for item in scores])


def paired_interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean over runs and clips, and its 95 % bootstrap interval over clips.

    Args:
        differences: float64 [runs, clips].
    """
    of_clips = differences.mean(axis=0)
    return paired(of_clips, draw_weights(len(of_clips)))


def _captions(
    path: Path, clips: Features, options: DecodingOptions, device: str
) -> tuple[str, ...]:
    run = open_run(path, device)
    check_streams(run, clips.streams, clips.root)
    return tuple(caption.text for caption in caption_features(run, clips, options))


def _with_interval(differences: np.ndarray) -> str:
    mean, low, high = (100 * value for value in paired_interval(differences))
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


def _of_runs(differences: np.ndarray) -> str:
    return " ".join(f"{100 * value:+.1f}" for value in differences.mean(axis=1))


if __name__ == "__main__":
    run_app(app, "benchmarks.consensus")
