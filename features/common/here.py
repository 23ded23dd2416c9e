"""Where this program's own modules are: in place, or installed as the package tagbart."""

import sys
from pathlib import Path

# "" in place; "tagbart." where the four folders are sub-packages of an installed package.
PREFIX = (__package__ or "").removesuffix("features.common")
# What has to be on Python's path for our modules to be found.
ROOT = Path(__file__).parents[2 + PREFIX.count(".")]


def module_command(name: str) -> list[str]:
    """The command that runs one of our modules, such as `evaluate`, in this Python.

    It finds the module where ROOT is on the path: the folder to start it in, when in place.
    """
    return [sys.executable, "-m", f"{PREFIX}{name}"]
