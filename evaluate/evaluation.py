"""From a run and a split of features to an evaluation folder: captions, then their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from evaluate import listen_check
from evaluate.captions.candidate import Caption
from evaluate.captions.choosing.by_ear import Ear
from evaluate.captions.generate import caption_clips
from evaluate.captions.options import CLAP, DecodingOptions
from evaluate.captions.search import open_run
from evaluate.exports import COCO_NAME, DCASE_NAME, write_coco, write_dcase
from evaluate.metrics.clap import default_folder
from evaluate.same_settings import check_same_settings, note_settings
from evaluate.scores.cli import score_table
from evaluate.scores.computing import listening
from evaluate.scores.predictions import Prediction, read_sets, write_predictions
from evaluate.scores.results import (
    PREDICTIONS_NAME,
    Origin,
    Scores,
    as_result,
    to_json,
    write_results,
)
from evaluate.scores.score import Wanted, new_scorer
from features.common.console import json_text, log, progress, say
from features.common.publish import EVALUATION, check_writable
from features.reader import Features
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.recipes.files import read_resolved
from train.run_folder.card import note_evaluation, write_model_card
from train.run_folder.checkpoint import FINISHED_NAME, Run, check_streams, require_run

UNSCORED_NAME = "unscored.jsonl"
# These change how fast captions come and how many are kept, not which one is the clip's.
_NO_DECISION = ("batch_size", "n_best")


@dataclass(frozen=True, kw_only=True)
class EvaluationJob:
    """What `python -m evaluate run` was asked for; `exports` names further forms of captions,
    `device` None is this machine's own (train/model/device.py); `wanted` are the metrics;
    `overwrite` replaces an evaluation of other settings; `listen_check` captions under other audio,
    too (evaluate/listen_check.py), with the networks in the folder `weights`."""

    run: Path
    features: Path
    split: str
    out: Path
    device: str | None
    options: DecodingOptions
    exports: tuple[str, ...]
    wanted: Wanted
    as_json: bool
    overwrite: bool = False
    listen_check: bool = False
    weights: Path = Path("weights")


def evaluate(asked: EvaluationJob) -> None:
    """Caption a split, write the captions, score them, print the table.

    Raises:
        TagbartError: if run, features or references cannot be used as asked, or the folder holds
            captions of other settings.
    """
    if asked.wanted.clap:
        asked.wanted.clap.missing()  # said before the captions are made, not after
    if asked.listen_check:
        listen_check.check_possible(asked.options)
    scored = caption_split(asked)
    if not scored:
        return
    made = origin(asked)
    conditions, why_not = _listen(asked, made) if asked.listen_check else ({}, {})
    log(f"scoring {scored:,} captions; METEOR takes some 10 s to start")
    scores, *others = score_folders({asked.out: made, **conditions}, asked.wanted)
    check = None
    if asked.listen_check:
        named = dict(zip((folder.name for folder in conditions), others, strict=True))
        check = listening.write_check(asked.out, scores, named, why_not)
    note_scores(asked.out, made)
    if asked.as_json:
        result = to_json(as_result(scores, PREDICTIONS_NAME, made))
        print(json_text(result if check is None else {**result, "listen_check": check}))
        return
    say(score_table({str(asked.out): scores}))
    if check is not None:
        say(listening.as_text(check))


def _listen(asked: EvaluationJob, made: Origin) -> tuple[dict[Path, Origin], dict[str, str]]:
    """Caption the split under the conditions of `--listen-check`; their folders, and why not all
    of them are there."""
    asked_about = listen_check.Listening(
        run=open_run(asked.run, asked.device, asked.options.precision),
        features=Features(asked.features, asked.split),
        options=asked.options,
        weights=asked.weights,
    )
    captions, why_not = asked_about.caption()
    written = listen_check.write_captions(asked.out, asked_about.features, captions)
    folders = {
        folder: replace(made, decoding={**made.decoding, listening.FOLDER: folder.name})
        for folder in written
    }
    return folders, why_not


def caption_split(asked: EvaluationJob) -> int:
    """Caption a split and write the captions.

    Returns:
        How many captions have references to be scored against.

    Raises:
        TagbartError: if run or features cannot be used as asked, or the folder holds captions of
            other settings.
    """
    require_run(asked.run)
    check_writable(asked.out, EVALUATION)
    features = Features(asked.features, asked.split)
    log(f"{asked.split}: {len(features.ids):,} clips")  # every shard is checked before the work
    run = open_run(asked.run, asked.device, asked.options.precision)
    check_streams(run, features.streams, asked.features)
    made = origin(asked)
    if not asked.overwrite:
        check_same_settings(asked.out, made, asked.features)
    ear = None
    if asked.options.choose == CLAP:
        clap = asked.wanted.clap
        folder = clap.folder if clap else default_folder()
        ear = Ear.load(folder, features, str(run.model.device))
    captions = caption_features(run, features, asked.options, ear)
    note_settings(asked.out, made, asked.features)
    scored = write_captions(asked, features, captions)
    if not scored:
        log(f"none of the {len(captions):,} clips has references, so there is nothing to score")
    return scored


def origin(asked: EvaluationJob) -> Origin:
    """Where the captions come from, for scores.json."""
    recipe = read_resolved(asked.run / RECIPE_NAME)
    return Origin(
        recipe=recipe.name,
        seed=recipe.train.seed,
        split=asked.split,
        run=str(asked.run),
        decoding=as_record(asked.options),
    )


def score_folders(folders: Mapping[Path, Origin], wanted: Wanted) -> list[Scores]:
    """Score the predictions of evaluation folders, which share clips and references; in place.

    Args:
        folders: each with where its captions came from.
        wanted: the metrics.

    Raises:
        TagbartError: if a scorer fails, or clips or references differ.
    """
    with new_scorer(wanted) as scorer:
        found = scorer.score(read_sets([folder / PREDICTIONS_NAME for folder in folders]))
    for (folder, made), scores in zip(folders.items(), found, strict=True):
        write_results(folder, scores, predictions=PREDICTIONS_NAME, evaluation=made)
    return found


def note_scores(folder: Path, made: Origin) -> None:
    """List an evaluation folder's scores in its run's model card."""
    run = Path(made.run)
    if (run / FINISHED_NAME).is_file():
        note_evaluation(run, folder)
        write_model_card(run)


def caption_features(
    run: Run, features: Features, options: DecodingOptions, ear: Ear | None = None
) -> list[Caption]:
    """Caption every clip of a split, with progress on stderr."""
    total = len(features) * options.passes
    with progress(total=total, what="caption", unit="captions") as bar:
        return caption_clips(run, features, options, ear=ear, done=bar.update)


def write_captions(asked: EvaluationJob, features: Features, captions: Sequence[Caption]) -> int:
    """Write predictions, exports, and apart from them the captions that cannot be scored.

    Returns:
        How many captions have references.
    """
    # Chosen by ear even a single one's numbers are of interest.
    keeps_lists = asked.options.n_best > 1 or asked.options.choose == CLAP
    predictions = [
        Prediction(
            clip=caption.clip,
            candidate=caption.text,
            references=features[caption.clip].captions,
            n_best=tuple(item.as_json() for item in caption.n_best) if keeps_lists else (),
        )
        for caption in captions
    ]
    scored = [item for item in predictions if item.references]
    unscored = [item for item in predictions if not item.references]
    for name, items in ((PREDICTIONS_NAME, scored), (UNSCORED_NAME, unscored)):
        if items:
            write_predictions(asked.out / name, items)
        else:  # of an earlier evaluation in this folder
            (asked.out / name).unlink(missing_ok=True)
    if unscored:
        clips = "1 clip has" if len(unscored) == 1 else f"{len(unscored):,} clips have"
        log(f"{clips} no references and no score: {asked.out / UNSCORED_NAME}")
    if "coco" in asked.exports:
        write_coco(asked.out / COCO_NAME, {item.clip: item.text for item in captions})
    if "dcase" in asked.exports:
        rows = [(Path(features[item.clip].path).name, item.text) for item in captions]
        write_dcase(asked.out / DCASE_NAME, rows)
    return len(scored)


def as_record(options: DecodingOptions) -> dict[str, Any]:
    """What decides the captions, for scores.json: results that share it are of one kind."""
    unused = {*_NO_DECISION} | (set() if options.task else {"task"})
    if options.choose != CLAP:
        unused |= {"candidates", "choose_weight"}
        unused |= set() if options.tag_draws else {"choose", "seed"}
    return {key: value for key, value in asdict(options).items() if key not in unused}
