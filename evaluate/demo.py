"""`python -m evaluate demo`: the whole journey on synthetic clips, then how good it is.

The stages are the commands that a user would type. What is added here is the comparison with two
baselines without a model, and with the model under the conditions of `--listen-check`.
"""

import os
import subprocess
from collections import Counter
from pathlib import Path
from time import monotonic

import numpy as np

from evaluate.captions.cli import counted
from evaluate.scores.cli import not_available
from evaluate.scores.computing.listening import FOLDER as LISTEN_CHECK
from evaluate.scores.layout import aligned, percent, span, terminal_width
from evaluate.scores.predictions import (
    Prediction,
    read_predictions,
    read_sets,
    write_predictions,
)
from evaluate.scores.results import METRICS, PREDICTIONS_NAME, Scores, write_results
from evaluate.scores.score import new_scorer
from features.common.console import log, say
from features.common.errors import TagbartError
from features.common.here import module_command
from features.reader import Features
from features.spec import INDEX_NAME
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.run_folder.checkpoint import FINISHED_NAME, Run, load_run

ROOT = Path(__file__).parent.parent
DEMO_WEIGHTS = ROOT / "extract" / "demo_weights"
SPLIT = "test"
# Row of the table: condition of the listen-check.
WITH_OTHER_AUDIO = {
    "features shuffled": "shuffled",
    "digital silence": "silent",
    "nothing heard": "missing",
    "tags alone": "tags",
}
EXAMPLES = {"a good clip": 0.9, "a middling one": 0.5, "a bad one": 0.1}


def demo(folder: Path, *, clips: int, seed: int) -> None:
    """Make or go on with the demo, and print its result.

    Args:
        folder: gets dump/, features/, run/ and evaluation/.
        clips: of the synthetic dump.
        seed: of the synthetic dump.
    """
    dump, features, run = folder / "dump", folder / "features", folder / "run"
    evaluation = folder / "evaluation"
    start = monotonic()
    if not (dump / f"{SPLIT}.csv").exists():
        _stage("extract", "demo", dump, "--clips", clips, "--seed", seed)
    if not (features / INDEX_NAME).exists():
        _stage("extract", "run", dump, "--out", features, "--weights", _shown(DEMO_WEIGHTS))
    if not (run / FINISHED_NAME).exists():
        resume = ["--resume"] if (run / RECIPE_NAME).exists() else []
        _stage("train", "run", features, "--out", run, "--recipe", "demo", *resume)
    asked = ["--split", SPLIT, "--out", evaluation, "--n-best", 4]
    asked += ["--listen-check", "--weights", _shown(DEMO_WEIGHTS)]
    _stage("evaluate", "run", run, features, *asked)
    _compare(load_run(run), features, evaluation)
    log(f"the demo took {monotonic() - start:.0f} s in {folder}")


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _stage(*arguments: object) -> None:
    log(f"\n$ python -m {' '.join(map(str, arguments))}")
    # Its table would come before ours and say the same: only the summary below goes to stdout.
    done = subprocess.run(
        [*module_command(str(arguments[0])), *map(str, arguments[1:])],
        stdout=subprocess.DEVNULL,
        cwd=Path.cwd(),
    )
    if done.returncode != 0:
        raise TagbartError(f"the stage above ended with exit code {done.returncode}")


def _compare(run: Run, root: Path, evaluation: Path) -> None:
    """Score model, conditions and baselines together, and print what there is to see."""
    test, train = Features(root, SPLIT), Features(root, "train")
    model = _captions(evaluation)
    rows = {
        "trained model": model,
        **{
            label: _captions(evaluation / LISTEN_CHECK / name)
            for label, name in WITH_OTHER_AUDIO.items()
        },
        "nearest training clip": nearest_captions(train, test, run.recipe.inputs.audio_streams[0]),
        "commonest caption": dict.fromkeys(test.ids, commonest_caption(train)),
    }
    paths = {name: evaluation / f"{name.replace(' ', '-')}.jsonl" for name in rows}
    for name, captions in rows.items():
        predictions = [
            Prediction(clip=clip.id, candidate=captions[clip.id], references=clip.captions)
            for clip in test
        ]
        write_predictions(paths[name], predictions)
    with new_scorer() as scorer:
        found = scorer.score(read_sets(list(paths.values())))
    scores = dict(zip(rows, found, strict=True))
    for name, path in paths.items():  # where `evaluate report` looks for baselines' scores
        write_results(path.with_suffix(""), scores[name], predictions=path.name)
    say(_summary(scores, len(test)))
    say(_examples(run, test, model, scores["trained model"]))
    say(_where_next(evaluation))


def _captions(folder: Path) -> dict[str, str]:
    """The captions of an evaluation folder, by clip id."""
    predictions = read_predictions(folder / PREDICTIONS_NAME)
    return {clip: item.candidate for clip, item in predictions.items()}


def commonest_caption(train: Features) -> str:
    """The caption that stands most often in a split; among equals the first."""
    counts = Counter(caption for shard in train.shards for caption in shard.caption_texts)
    return counts.most_common(1)[0][0]


def nearest_captions(train: Features, test: Features, stream: str) -> dict[str, str]:
    """For each test clip the first caption of the training clip with the likest embedding.

    Args:
        train: clips with captions.
        test: clips to caption.
        stream: an embedding; a clip's rows are averaged, likeness is the cosine.
    """
    known, wanted = _directions(train, stream), _directions(test, stream)
    best = (wanted @ known.T).argmax(axis=1)
    return {clip: train[int(i)].captions[0] for clip, i in zip(test.ids, best, strict=True)}


def _directions(clips: Features, stream: str) -> np.ndarray:
    """float64 [clips, D], mean rows of unit length."""
    means = np.array([clip.streams[stream].mean(axis=0, dtype=np.float64) for clip in clips])
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


def _summary(scores: dict[str, Scores], clips: int) -> str:
    columns = list(next(iter(scores.values())).corpus)
    rows = [["", *(METRICS[name] for name in columns)]]
    for label, of_row in scores.items():
        rows.append([label, *(percent(of_row.corpus[name]) for name in columns)])
    cider = {label: of_row.corpus["cider_d"] for label, of_row in scores.items()}
    better = max(cider["nearest training clip"], cider["commonest caption"])
    return "\n".join(
        [
            f"\n{clips} test clips, five references each, scores × 100",
            aligned(rows, terminal_width()),
            f"CIDEr-D of the trained model: {percent(cider['trained model'])} "
            f"(95 % {span(scores['trained model'].intervals['cider_d'])}), "
            f"{cider['trained model'] / better:.2f} times the better baseline.",
            "No test clip's combination of sounds occurs in training.",
            *not_available(scores),
        ]
    )


def _examples(run: Run, test: Features, model: dict[str, str], scores: Scores) -> str:
    """A good clip, a middling one and a bad one, by CIDEr-D: those at nine, five and one tenths."""
    order = np.argsort(scores.per_clip["cider_d"], kind="stable")
    lines = []
    for label, share in EXAMPLES.items():
        place = int(order[round(share * (len(order) - 1))])
        clip = test[place]
        value = percent(float(scores.per_clip["cider_d"][place]))
        better = f"better than {share:.0%} of the clips"
        tags = run.builder.tag_names(clip.streams)
        lines += [f"\n{label}: {clip.path}, CIDEr-D {value}, {better}"]
        lines += [f"  tags       {counted(tags)}"]
        lines += [f"  reference  {caption}" for caption in clip.captions]
        lines += [f"  caption    {model[clip.id]}"]
    return "\n".join(lines)


def _where_next(evaluation: Path) -> str:
    root = evaluation.parent
    activate = ["  source .venv/bin/activate      once per terminal, for what begins with python"]
    return "\n".join(
        [
            "\nWhere to go next",
            *([] if os.environ.get("VIRTUAL_ENV") else activate),
            f"  python -m features info {root / 'features'}",
            f"  python -m evaluate caption {root / 'run'} {root / 'dump' / SPLIT} "
            f"--weights {_shown(DEMO_WEIGHTS)}",
            f"  python -m evaluate report {evaluation} --out {root / 'report'} "
            f"--features {root / 'features'} --audio {root / 'dump'}",
            f"  make serve RUN={root / 'run'} ARGS='--weights {_shown(DEMO_WEIGHTS)} "
            f"--examples {root / 'dump' / SPLIT}'",
            f"  {evaluation / PREDICTIONS_NAME}, {evaluation / 'scores.csv'}: every clip",
            "  README.md: the three commands on a real AudioCaps dump",
        ]
    )
