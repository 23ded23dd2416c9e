"""`python -m evaluate sample`.

Training starts it as a process of its own on weights saved for it (train/run_folder/samples.py).
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from evaluate.captions.cli_options import Device, RunFolder
from evaluate.metrics.child import answers_alone
from features.common.errors import ConfigError


def sample_command(
    run: RunFolder,
    features: Annotated[
        list[Path], typer.Argument(metavar="FEATURES …", help="Features folder, or several.")
    ],
    ids: Annotated[Path, typer.Option(metavar="FILE", help="A clip id a line; what to caption.")],
    split: Annotated[str, typer.Option(help="Split that holds them.")] = "val",
    show: Annotated[int, typer.Option(help="Print the captions of so many, the first.")] = 10,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Answer each line on stdin, by RUN's weights of then. A number of seconds is the "
            "processors' time that it may take: CIDEr-D is left out where it would be more.",
        ),
    ] = False,
    device: Device = None,
) -> None:
    """Caption some clips and score them by CIDEr-D alone, as JSON on one line.

    Training runs this beside itself, with --ask; what is answered stands in RUN/captions.jsonl.

    Example: python -m evaluate sample runs/first features --ids ids.txt --split test
    """
    from evaluate.sample import Sample, clips_of  # h5py: not for --help

    sample = Sample(run=run, device=device, asked=clips_of(features, split, ids), show=show)
    with answers_alone() as answers:
        for line in sys.stdin if ask else [""]:
            answer = sample.answer(_seconds(line) if line.strip() else None)
            print(json.dumps(answer, ensure_ascii=False), file=answers, flush=True)


def _seconds(line: str) -> float:
    try:
        return float(line)
    except ValueError:
        raise ConfigError(f"--ask: found {line.strip()!r}, expected seconds, or nothing") from None
