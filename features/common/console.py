"""What a person at a terminal sees: progress and one-line errors on stderr, results on stdout.

Names and captions are other people's: what steers a terminal is shown in them, never obeyed.
"""

import inspect
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from tqdm import tqdm
from typer.core import TyperArgument, TyperOption

from features.common.version import version_text

# Control characters but tabs and line breaks, what turns the direction of writing around, and
# halves of characters (of names that are not UTF-8), which cannot be written at all.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


# Below so many columns tqdm's own line leaves no room for its bar once a loss stands behind it.
WIDE = 110
SHORT = "{desc} {percentage:3.0f}%|{bar}| {remaining} left, {rate_fmt}{postfix}"


def log(message: str) -> None:
    """Write one line to stderr without breaking a progress bar."""
    tqdm.write(harmless(message), file=sys.stderr)


def say(text: str) -> None:
    """Print a result for people to stdout."""
    print(harmless(text), flush=True)


def harmless(text: str) -> str:
    """A text with what would steer a terminal written out, such as \\x1b for an escape."""
    return _STEERING.sub(lambda found: ascii(found.group())[1:-1], text)


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """A result for programs: indented JSON, or a line, that is as harmless on a terminal."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _STEERING.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


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
    known = total is not None or hasattr(items, "__len__")
    return tqdm(
        items,
        total=total,
        desc=harmless(what),
        unit=f" {unit}",
        mininterval=interval_s,
        maxinterval=max(interval_s, 10.0),
        file=sys.stderr,
        dynamic_ncols=True,
        smoothing=0.1,
        bar_format=SHORT if known and shutil.get_terminal_size().columns < WIDE else None,
    )


def _plain_type(of: Any, annotation: Any) -> str:
    """What help calls a type; a list of paths is `path …`, where typer writes `list[Path]`."""
    if inner := get_args(annotation):
        return f"{_plain_type(of, inner[0])} …"
    return "path" if annotation is Path else getattr(annotation, "__name__", str(annotation))


# typer has no setting for it; `tests/test_help.py` sees to it that an update of typer is noticed.
for _kind in (TyperArgument, TyperOption):
    _kind._bare_type = _plain_type  # type: ignore[method-assign,assignment]


def _flowing(text: str) -> str:
    """A docstring with each paragraph as one line, for a page of help to break at its own width."""
    # What ends in a backslash is a command that goes on, and stays as it is.
    return re.sub(r"(?<![\n\\])\n(?!\n)", " ", inspect.cleandoc(text))


class _App(typer.Typer):
    """Commands whose help flows; typer keeps the line breaks of their docstrings."""

    def command(self, *args: Any, **settings: Any) -> Callable[[Any], Any]:
        """See typer.Typer.command."""

        def add(function: Any) -> Any:
            text = settings.pop("help", None) or function.__doc__ or ""
            return super(_App, self).command(*args, help=_flowing(text), **settings)(function)

        return add


def new_app(help_text: str, *, several: bool = True) -> typer.Typer:
    """A typer application in the style that all our commands share.

    Args:
        help_text: what `--help` begins with.
        several: whether it is a group of commands, which then has `--version` too.
    """
    app = _App(
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
        say(version_text())
    elif context.invoked_subcommand is None:
        context.get_help()  # typer prints it by itself
    else:
        return
    raise typer.Exit
