"""`python -m evaluate choose-weight`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evaluate.scores.cli_options import Cache, WithSpice
from features.common.console import json_text, log, say
from features.common.options import AsJson

if TYPE_CHECKING:
    from evaluate.scores.results import Scores

_SHOWN = ("cider_d", "spice", "spider")


def choose_weight_command(
    evaluation: Annotated[
        Path,
        typer.Argument(
            metavar="EVALUATION",
            help="Folder of `evaluate run … --split val --choose clap` with all its candidates.",
        ),
    ],
    spice: WithSpice = True,
    cache: Cache = True,
    as_json: AsJson = False,
) -> None:
    """Rank candidates chosen by ear anew under weights of 0 to 1, and score what each chooses.

    Then caption the test split with the best one: evaluate run … --choose clap --choose-weight W.

    Example: python -m evaluate choose-weight runs/demo/val
    """
    from evaluate.captions.choosing.weight import score_weights
    from evaluate.scores.results import recorded_origin
    from evaluate.scores.score import Wanted

    made = recorded_origin(evaluation)
    if made is not None and made.split == "test":
        log(
            "warning: these are candidates of the test split; a weight that is chosen on it "
            "flatters the scores there, so choose on val"
        )
    wanted = Wanted(spice=spice, fense=False, cache=cache, spider_max=False)
    found = score_weights(evaluation, wanted)
    if as_json:
        record = {
            str(weight): {
                name: {"value": scores.corpus[name], "interval": scores.intervals[name]}
                for name in _SHOWN
                if name in scores.corpus
            }
            for weight, scores in found.items()
        }
        print(json_text(record))
    else:
        say(weights_table(found))


def weights_table(found: "dict[float, Scores]") -> str:
    """Scores × 100 per weight, the best of each marked; what is not available stands below."""
    from evaluate.scores.cli import not_available
    from evaluate.scores.layout import aligned, percent, span, terminal_width
    from evaluate.scores.results import METRICS

    first = next(iter(found.values()))
    names = [name for name in _SHOWN if all(name in item.corpus for item in found.values())]
    highest = {name: max(item.corpus[name] for item in found.values()) for name in names}
    rows = [["weight", *(cell for name in names for cell in (METRICS[name], "95 %"))]]
    for weight, scores in found.items():
        row = [f"{weight:.1f}"]
        for name in names:
            mark = "*" if scores.corpus[name] == highest[name] else ""
            row += [mark + percent(scores.corpus[name]), span(scores.intervals[name])]
        rows.append(row)
    shown = {name: why for name, why in first.not_available.items() if name in _SHOWN}
    lacking = not_available({"": replace(first, not_available=shown)})
    size = f"{len(first.clips):,} clips, scores × 100; the weight of likelihood, * the highest"
    return "\n".join([size, aligned(rows, terminal_width()), *lacking])
