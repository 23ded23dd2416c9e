"""`tagbart …`, the one command of the installed package; `python -m tagbart …` is the same."""

import sys
from importlib import import_module

from tagbart.features.common.machine import let_threads_sleep

let_threads_sleep()  # read once, when the commands below import torch

FLOORS = {
    "extract": "Stage one: a folder of clips becomes shards of features.",
    "features": "Look into a features folder and check it.",
    "train": "Stage two: fine-tune BART on cached features.",
    "evaluate": "Stage three: captions by beam search, their scores, and pages to look at.",
}
# What people come for, without the floor it stands on.
SHORT = {"caption": "evaluate", "score": "evaluate", "serve": "evaluate"}

USAGE = "usage: tagbart COMMAND …\n\n" + "\n".join(
    [
        *(f"  tagbart {name:9} {says}" for name, says in FLOORS.items()),
        *(f"  tagbart {name:9} short for: tagbart {floor} {name}" for name, floor in SHORT.items()),
        "\nEach has --help, and tagbart extract --version says the versions.",
    ]
)


def main() -> None:
    """Hand the command line to the floor that it names."""
    from tagbart.features.common.command import run_app

    first = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if first in ("--help", "-h"):
        print(USAGE)
        sys.exit(0)
    if first == "--version":
        first, sys.argv[1:] = "features", ["features", "--version"]
    if first in SHORT:
        sys.argv.insert(1, SHORT[first])
        first = SHORT[first]
    if first not in FLOORS:
        print(f"error: no command {first!r}\n\n{USAGE}", file=sys.stderr)
        sys.exit(2)
    del sys.argv[1]
    run_app(import_module(f"tagbart.{first}.cli").app, first)


if __name__ == "__main__":
    main()
