"""`python -m evaluate paper`."""

from pathlib import Path
from typing import Annotated

import typer

from evaluate.scores.cli_options import Cache, WithFense, WithSpice
from features.common.console import log
from features.common.errors import DONE, SOME_CLIPS_FAILED, ConfigError


def paper_command(
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="Features folder.")],
    out: Annotated[Path, typer.Option(help="Gets a folder per recipe and seed, and the tables.")],
    recipes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE,…", help="What to run.", show_default="all of the paper's tables"
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N,…", help="Of every recipe.")] = "0,1,2",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="On top of every recipe; repeatable."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|cuda", help="Where to compute.", show_default="cuda where there is one"
        ),
    ] = None,
    spice: WithSpice = True,
    fense: WithFense = None,
    cache: Cache = True,
) -> int:
    """Train, caption and score the paper's experiments, and fill its two tables.

    Runs are OUT/RECIPE/SEED, the tables OUT/tables.txt, .md and .csv: mean (standard deviation)
    over seeds beside the paper's. The same command goes on after an interruption. A run that fails
    is named at the end, with exit code 1; the others go on.

    Example: python -m evaluate paper features-audiocaps --out runs/paper --recipes yamnet,vggish
    """
    from evaluate.paper_runs import Experiments, paper_recipes, run_experiments
    from evaluate.scores.score import Wanted
    from train.model.device import own_device  # torch and transformers: not for --help

    failed = run_experiments(
        Experiments(
            features=features,
            out=out,
            recipes=tuple(recipes.split(",")) if recipes else paper_recipes(),
            seeds=_seeds(seeds),
            settings=tuple(settings or ()),
            device=own_device(device),
            wanted=Wanted(spice=spice, fense=fense, cache=cache),
        )
    )
    for path, why in failed.items():
        log(f"failed: {path}: {why}")
    return SOME_CLIPS_FAILED if failed else DONE


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(map(int, text.split(",")))
    except ValueError as error:
        raise ConfigError(f"--seeds {text}: expected numbers, e.g. 0,1,2") from error
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds {text}: names a seed twice")
    return seeds
