"""Options that several commands share: what a model runs on, and how a caption is searched."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.common.errors import ConfigError

if TYPE_CHECKING:
    from evaluate.captions.options import DecodingOptions

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")]

computing = partial(typer.Option, rich_help_panel="Computing")
searching = partial(typer.Option, rich_help_panel="Search")
prompting = partial(typer.Option, rich_help_panel="Several prompts per clip")
hearing = partial(typer.Option, rich_help_panel="Chosen by ear (--choose clap)")
Device = Annotated[
    str | None,
    computing(
        metavar="cpu|cuda", help="What the model runs on.", show_default="cuda where there is one"
    ),
]
Precision = Annotated[
    str,
    computing(
        metavar="float32|bf16|int8",
        help="Arithmetic of the captioner; int8 is the fastest on a CPU, and only there.",
    ),
]
# None stands for the default, so that --published-decoding can tell what was asked for.
Beams = Annotated[
    int | None,
    searching(help="Captions that the search keeps open.", show_default="4"),
]
LengthPenalty = Annotated[
    float | None,
    searching(help="Captions rank by log-probability / tokens ** this.", show_default="1.0"),
]
MaxLength = Annotated[
    int | None,
    searching(help="Most tokens, special ones counted.", show_default="64"),
]
MinLength = Annotated[
    int | None,
    searching(help="Least tokens before EOS, counted likewise.", show_default="0"),
]
NoRepeat = Annotated[
    int | None,
    searching(
        "--no-repeat-ngram", help="Let no n-gram of this size occur twice.", show_default="0, off"
    ),
]
Task = Annotated[
    str,
    searching(help="Whose wording: one of the run's inputs.tasks.", show_default="the first"),
]
TagDraws = Annotated[
    int,
    prompting(help="Prompts of drawn tags, besides the one of the likeliest tags."),
]
Choose = Annotated[
    str,
    prompting(
        metavar="consensus|likelihood|clap",
        help="How one caption is picked; likelihood is that given the likeliest tags, clap (of "
        "`evaluate run`) hears candidates for these.",
    ),
]
Seed = Annotated[int, prompting(help="Draws the tags, or candidates.")]
# None stands for the default, so that what is meant for another choice is noticed.
Candidates = Annotated[
    int | None,
    hearing(
        help="Captions to choose from: those of the search, the others drawn.", show_default="50"
    ),
]
ChooseWeight = Annotated[
    float | None,
    hearing(help="How much likelihood counts; CLAP's cosine has the rest.", show_default="0.3"),
]


def by_ear_options(
    choose: str, candidates: int | None, choose_weight: float | None
) -> dict[str, Any]:
    """What was asked for choosing by ear, for `decoding_options`.

    Raises:
        ConfigError: if something was, but captions are chosen otherwise.
    """
    asked = {"candidates": candidates, "choose_weight": choose_weight}
    asked = {name: value for name, value in asked.items() if value is not None}
    if asked and choose != "clap":
        option = "--" + next(iter(asked)).replace("_", "-")
        raise ConfigError(f"{option} is for captions chosen by ear; add --choose clap")
    return asked


def decoding_options(
    search: dict[str, Any], *, published: Path | None = None, **others: Any
) -> "DecodingOptions":
    """Options from the command line; None in `search` stands for the default.

    `published` is the run that shall be decoded as the published code does it.
    """
    from evaluate.captions.options import DecodingOptions

    asked = {name: value for name, value in search.items() if value is not None}
    if published is None:
        return DecodingOptions(**asked, **others)
    if asked:
        option = "--" + next(iter(asked)).replace("_", "-")
        raise ConfigError(f"--published-decoding sets the search whole; leave {option} out")
    from train.run_folder.checkpoint import own_decoding

    return DecodingOptions.published(own_decoding(published), **others)
