"""`python -m evaluate run`."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from evaluate.captions.cli_options import (
    Beams,
    Candidates,
    Choose,
    ChooseWeight,
    Device,
    LengthPenalty,
    MaxLength,
    MinLength,
    NoRepeat,
    Precision,
    RunFolder,
    Seed,
    TagDraws,
    Task,
    by_ear_options,
    computing,
    decoding_options,
    searching,
)
from evaluate.scores.cli_options import Cache, Clap, SpiderMax, WithFense, WithSpice
from features.common.options import Weights

written = partial(typer.Option, rich_help_panel="What is written")


class Export(StrEnum):
    """Other forms of the captions."""

    coco = "coco"
    dcase = "dcase"


def run_command(
    run: RunFolder,
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="Features folder.")],
    out: Annotated[Path, typer.Option(help="Evaluation folder to write.")],
    split: Annotated[str, typer.Option(help="Split to caption.")] = "test",
    device: Device = None,
    precision: Precision = "float32",
    batch_size: Annotated[
        int | None, computing(help="Prompts decoded together.", show_default="32, on a GPU 256")
    ] = None,
    n_best: Annotated[
        int | None,
        written(help="Captions with probabilities per clip.", show_default="1, chosen by ear all"),
    ] = None,
    export: Annotated[
        list[Export] | None,
        written(help="Write captions.coco.json or captions.dcase.csv too; may be repeated."),
    ] = None,
    spice: WithSpice = True,
    fense: WithFense = None,
    spider_max: SpiderMax = True,
    cache: Cache = True,
    beams: Beams = None,
    length_penalty: LengthPenalty = None,
    max_length: MaxLength = None,
    min_length: MinLength = None,
    no_repeat_ngram: NoRepeat = None,
    early_stopping: Annotated[
        bool | None,
        searching(
            help="Stop once as many captions are finished as there are beams.", show_default="off"
        ),
    ] = None,
    published_decoding: Annotated[
        bool,
        searching(
            "--published-decoding",
            help="As the published code: 5 to 20 tokens (or the checkpoint's), no 3-gram twice.",
        ),
    ] = False,
    task: Task = "",
    tag_draws: TagDraws = 0,
    choose: Choose = "consensus",
    seed: Seed = 0,
    candidates: Candidates = None,
    choose_weight: ChooseWeight = None,
    clap: Clap = None,
    listen_check: Annotated[
        bool,
        written(
            "--listen-check",
            help="Caption once more with other audio and with none: does the run listen?",
        ),
    ] = False,
    weights: Weights = Path("weights"),
    as_json: Annotated[bool, written("--json", help="Print JSON for a program.")] = False,
    overwrite: Annotated[
        bool, written("--overwrite", help="Replace an evaluation of other settings in OUT.")
    ] = False,
) -> None:
    """Caption a split and score it: OUT/predictions.jsonl, scores.json and scores.csv.

    Tags are each row's likeliest, as in the paper. Clips without references are captioned, but not
    scored: they go to OUT/unscored.jsonl.

    --listen-check scores the run under shuffled and silent audio, with none, and by its tags alone
    (docs/scoring.md); silence needs the run's networks, in the folder of --weights.

    Next: python -m evaluate report OUT --out REPORT --features FEATURES --audio DUMP

    Example: python -m evaluate run runs/demo features --split test --out runs/demo/test
    """
    from evaluate.captions.options import DecodingOptions

    search = {
        "beams": beams,
        "length_penalty": length_penalty,
        "max_length": max_length,
        "min_length": min_length,
        "no_repeat_ngram": no_repeat_ngram,
        "early_stopping": early_stopping,
    }
    by_ear = by_ear_options(choose, candidates, choose_weight)
    kept = by_ear.get("candidates", DecodingOptions.candidates) if choose == "clap" else 1
    options = decoding_options(
        search,
        published=run if published_decoding else None,
        n_best=kept if n_best is None else n_best,
        batch_size=batch_size,
        precision=precision,
        task=task,
        tag_draws=tag_draws,
        choose=choose,
        seed=seed,
        **by_ear,
    )
    from evaluate.evaluation import EvaluationJob, evaluate
    from evaluate.metrics.clap import clap_source
    from evaluate.scores.score import Wanted
    from features.spec import Index
    from train.run_folder.checkpoint import require_run

    require_run(run)  # what is said first, whatever else is wrong
    split = Index.read(features).split_name(features, split)
    ear = clap_source(features, split, clap, weights)
    evaluate(
        EvaluationJob(
            run=run,
            features=features,
            split=split,
            out=out,
            device=device,
            options=options,
            exports=tuple(item.value for item in export or ()),
            wanted=Wanted(spice=spice, fense=fense, cache=cache, spider_max=spider_max, clap=ear),
            as_json=as_json,
            overwrite=overwrite,
            listen_check=listen_check,
            weights=weights,
        )
    )
