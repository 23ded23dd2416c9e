"""What a person at a terminal sees: progress and one-line errors on stderr, results on stdout."""

import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from tqdm import tqdm

from features.common.errors import COULD_NOT_RUN, INTERRUPTED, TagbartError
from features.common.version import version_text


def log(message: str) -> None:
    """Write one line to stderr without breaking a progress bar."""
    tqdm.write(message, file=sys.stderr)


def progress(
    items: Iterable | None = None, *, total: int | None = None, what: str, unit: str
) -> tqdm:
    """A progress bar on stderr with rate and time left, e.g. `extract: 40%|… 12.3 clips/s`.

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


def new_app(help_text: str, *, several: bool = True) -> typer.Typer:
    """A typer application in the style that all our commands share.

    Args:
        help_text: what `--help` begins with.
        several: whether it is a group of commands, which then has `--version` too.
    """
    app = typer.Typer(
        help=help_text,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    if several:
        app.callback(invoke_without_command=True)(_group)
    return app


def _group(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the versions of tagbart, torch and Java, and the GPU."),
    ] = False,
) -> None:
    if version:
        print(version_text())
    elif context.invoked_subcommand is None:
        context.get_help()  # typer prints it by itself
    else:
        return
    raise typer.Exit


def run_app(app: typer.Typer, name: str) -> None:
    """Run a typer application; turn our errors into one line and the documented exit code."""
    try:
        code = app(prog_name=f"python -m {name}", standalone_mode=False)
    except TagbartError as error:
        log(f"error: {error}")
        code = COULD_NOT_RUN
    except typer.TyperException as error:  # a wrong option, command or value
        context = getattr(error, "ctx", None)
        where = context.command_path if context else f"python -m {name}"
        found = error.format_message()
        log(f"error: {found}{'' if found.endswith(('.', '?')) else '.'} See: {where} --help")
        code = COULD_NOT_RUN
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer makes this code of most interrupts itself, without a word
        log("interrupted: what was finished is kept; run the same command again to go on")
    sys.exit(code if isinstance(code, int) else 0)
