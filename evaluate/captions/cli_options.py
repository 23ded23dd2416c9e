"""Options that several commands share: what a model runs on, and how a caption is searched."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.common.errors import ConfigError

if TYPE_CHECKING:
    from evaluate.captions.options import DecodingOptions

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a trained run.")]

COMPUTING = "Computing"
SEARCH = "Search"
_PROMPTS = "Several prompts per clip"
Device = Annotated[
    str | None,
    typer.Option(
        metavar="cpu|cuda",
        help="What the model runs on.",
        show_default="cuda where there is one",
        rich_help_panel=COMPUTING,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="float32|bf16",
        help="Arithmetic; bf16 needs a GPU to be faster.",
        rich_help_panel=COMPUTING,
    ),
]
Weights = Annotated[
    Path,
    typer.Option(
        help="Folder with the networks' weights; python -m extract fetch fills it.",
        envvar="TAGBART_WEIGHTS",
        rich_help_panel=COMPUTING,
    ),
]
# None stands for the default, so that --published-decoding can tell what was asked for.
Beams = Annotated[
    int | None,
    typer.Option(
        help="Captions that the search keeps open.", show_default="4", rich_help_panel=SEARCH
    ),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        help="Captions rank by log-probability / tokens ** this.",
        show_default="1.0",
        rich_help_panel=SEARCH,
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        help="Most tokens, special ones counted.", show_default="64", rich_help_panel=SEARCH
    ),
]
MinLength = Annotated[
    int | None,
    typer.Option(
        help="Least tokens before EOS, counted likewise.",
        show_default="0",
        rich_help_panel=SEARCH,
    ),
]
NoRepeat = Annotated[
    int | None,
    typer.Option(
        "--no-repeat-ngram",
        help="Let no n-gram of this size occur twice.",
        show_default="0, off",
        rich_help_panel=SEARCH,
    ),
]
TagDraws = Annotated[
    int,
    typer.Option(
        help="Prompts of drawn tags, besides the one of the likeliest tags.",
        rich_help_panel=_PROMPTS,
    ),
]
Choose = Annotated[
    str,
    typer.Option(
        metavar="consensus|likelihood",
        help="How one caption is picked; likelihood is that given the likeliest tags.",
        rich_help_panel=_PROMPTS,
    ),
]
Seed = Annotated[int, typer.Option(help="Draws the tags.", rich_help_panel=_PROMPTS)]


def decoding_options(
    search: dict[str, Any], *, published: bool = False, **others: Any
) -> "DecodingOptions":
    """Options from the command line; None in `search` stands for the default."""
    from evaluate.captions.options import DecodingOptions

    asked = {name: value for name, value in search.items() if value is not None}
    if not published:
        return DecodingOptions(**asked, **others)
    if asked:
        option = "--" + next(iter(asked)).replace("_", "-")
        raise ConfigError(f"--published-decoding sets the search whole; leave {option} out")
    return DecodingOptions.published(**others)
