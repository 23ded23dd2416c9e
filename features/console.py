"""What a person at a terminal sees: progress and one-line errors on stderr, results on stdout."""

import sys
from collections.abc import Iterable

import click
import typer
from tqdm import tqdm

from features.errors import COULD_NOT_RUN, INTERRUPTED, TagbartError


def log(message: str) -> None:
    """Write one line to stderr without breaking a progress bar."""
    tqdm.write(message, file=sys.stderr)


def progress(
    items: Iterable | None = None, *, total: int | None = None, what: str, unit: str
) -> tqdm:
    """A progress bar on stderr with rate and time left, e.g. `extract: 40%|… 12.3clips/s`.

    Args:
        items: what to iterate over, or None to call `.update(n)` by hand.
        total: number of units, when `items` has no length.
        what: the label in front.
        unit: what is counted, in the plural (clips, captions).
    """
    # A log file gets a line every ten seconds, a terminal a bar that moves.
    interval_s = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(
        items,
        total=total,
        desc=what,
        unit=f" {unit}",
        mininterval=interval_s,
        maxinterval=max(interval_s, 10.0),
        file=sys.stderr,
        dynamic_ncols=True,
        smoothing=0.1,
    )


def new_app(help_text: str) -> typer.Typer:
    """A typer application in the style that all our commands share."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run_app(app: typer.Typer, name: str) -> None:
    """Run a typer application; turn our errors into one line and the documented exit code."""
    try:
        code = app(prog_name=f"python -m {name}", standalone_mode=False)
    except TagbartError as error:
        log(f"error: {error}")
        code = COULD_NOT_RUN
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer makes this code of most interrupts itself, without a word
        log("interrupted: what was finished is kept; run the same command again to go on")
    sys.exit(code if isinstance(code, int) else 0)
