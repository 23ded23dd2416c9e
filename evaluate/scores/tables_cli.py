"""`python -m evaluate human` and `python -m evaluate table`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evaluate.scores.cli import not_available
from evaluate.scores.cli_options import Cache, WithFense, WithSpice
from features.common.console import json_text, log, progress, say
from features.common.options import AsJson


def human_command(
    captions: Annotated[
        Path, typer.Argument(metavar="CAPTIONS.csv", help="AudioCaps' or Clotho's captions file.")
    ],
    spice: WithSpice = True,
    fense: WithFense = None,
    cache: Cache = True,
    as_json: AsJson = False,
) -> None:
    """Score people against each other: every caption of a clip against the clip's others, averaged.

    Example: python -m evaluate human audiocaps/test.csv
    """
    from evaluate.scores.human import leave_one_out, read_captions
    from evaluate.scores.layout import aligned, percent, terminal_width
    from evaluate.scores.paper import HUMAN, TABLE1_METRICS
    from evaluate.scores.results import METRICS, mean_and_std
    from evaluate.scores.score import Wanted, new_scorer
    from evaluate.scores.which_clips import all_of_audiocaps

    rounds = leave_one_out(read_captions(captions), captions)
    log("METEOR takes some 10 s to start")
    with new_scorer(Wanted(spice=spice, fense=fense, cache=cache)) as scorer:
        begun = [scorer.begin(sets) for sets in rounds]
        scores = [finish()[0] for finish in progress(begun, what="human", unit="rounds")]
    mean, _ = mean_and_std([item.corpus for item in scores])
    named = {f"round {number}": item for number, item in enumerate(scores, start=1)}
    lacking = {name: why for item in scores for name, why in item.not_available.items()}
    if as_json:
        record = {
            "clips": len(scores[0].clips),
            "captions_per_clip": len(rounds),
            "mean": mean,
            "not_available": lacking,
        }
        print(json_text(record))
        return
    paper = dict(zip(TABLE1_METRICS, HUMAN.values, strict=True))
    rows = [["", *(METRICS[name] for name in mean)]]
    rows.append([captions.name, *(percent(value, decimals=2) for value in mean.values())])
    if all_of_audiocaps(scores[0].clips):
        cells = [f"{paper[name]:.1f}" if name in paper else "–" for name in mean]
        rows.append(["paper, AudioCaps test", *cells])
    say(f"{len(scores[0].clips):,} clips, each of {len(rounds)} captions against the others, × 100")
    say(aligned(rows, terminal_width()))
    for line in not_available(named):
        say(line)


def table_command(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN …", help="Evaluation folders (with scores.json), any seeds."),
    ],
    form: Annotated[
        Literal["text", "markdown", "csv"], typer.Option("--format", help="Form of the tables.")
    ] = "text",
    paper: Annotated[
        bool, typer.Option("--paper", help="Print the paper's rows beside other clips, too.")
    ] = False,
) -> None:
    """Print the paper's Table 1 and 2 with our results beside them, mean (std) over seeds.

    Results of one recipe, split and way of decoding are put together, whatever their seed; settings
    in which the runs differ stand beside each row. What was scored on fewer clips than the test
    split's 975 says on how many; other clips than AudioCaps' get a table of their own.

    Example: python -m evaluate table runs/seed-*/test
    """
    from evaluate.scores import table

    write = {"text": table.as_text, "markdown": table.as_markdown, "csv": table.as_csv}
    say(write[form](table.gather(runs), paper=paper))
