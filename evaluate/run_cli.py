"""`python -m evaluate run`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evaluate.captions.cli_options import (
    COMPUTING,
    SEARCH,
    Beams,
    Choose,
    Device,
    LengthPenalty,
    MaxLength,
    MinLength,
    NoRepeat,
    Precision,
    RunFolder,
    Seed,
    TagDraws,
    decoding_options,
)

_WRITTEN = "What is written"


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
        int | None,
        typer.Option(
            help="Prompts decoded together.",
            show_default="32, on a GPU 256",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    n_best: Annotated[
        int, typer.Option(help="Captions with probabilities per clip.", rich_help_panel=_WRITTEN)
    ] = 1,
    export: Annotated[
        list[Export] | None,
        typer.Option(
            help="Write captions.coco.json or captions.dcase.csv too; may be repeated.",
            rich_help_panel=_WRITTEN,
        ),
    ] = None,
    spice: Annotated[
        bool,
        typer.Option(
            "--spice/--no-spice", help="SPICE and SPIDEr too: minutes.", rich_help_panel=_WRITTEN
        ),
    ] = True,
    beams: Beams = None,
    length_penalty: LengthPenalty = None,
    max_length: MaxLength = None,
    min_length: MinLength = None,
    no_repeat_ngram: NoRepeat = None,
    early_stopping: Annotated[
        bool | None,
        typer.Option(
            help="Stop once as many captions are finished as there are beams.",
            show_default="off",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    published_decoding: Annotated[
        bool,
        typer.Option(
            "--published-decoding",
            help="As the paper's published code: 5 to 20 tokens, no 3-gram twice, early stopping.",
            rich_help_panel=SEARCH,
        ),
    ] = False,
    tag_draws: TagDraws = 0,
    choose: Choose = "consensus",
    seed: Seed = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for a program.", rich_help_panel=_WRITTEN)
    ] = False,
) -> None:
    """Caption a split and score it: OUT/predictions.jsonl, scores.json and scores.csv.

    Tags are each row's likeliest, as in the paper. Clips without references are captioned, but not
    scored: they go to OUT/unscored.jsonl.

    Next: python -m evaluate report OUT --out REPORT --features FEATURES --audio DUMP

    Example: python -m evaluate run runs/demo features --split test --out runs/demo/test
    """
    search = {
        "beams": beams,
        "length_penalty": length_penalty,
        "max_length": max_length,
        "min_length": min_length,
        "no_repeat_ngram": no_repeat_ngram,
        "early_stopping": early_stopping,
    }
    options = decoding_options(
        search,
        published=published_decoding,
        n_best=n_best,
        batch_size=batch_size,
        precision=precision,
        tag_draws=tag_draws,
        choose=choose,
        seed=seed,
    )
    from evaluate.evaluation import EvaluationJob, evaluate

    evaluate(
        EvaluationJob(
            run=run,
            features=features,
            split=split,
            out=out,
            device=device,
            options=options,
            exports=tuple(item.value for item in export or ()),
            spice=spice,
            as_json=as_json,
        )
    )
