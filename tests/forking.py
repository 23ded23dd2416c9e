"""Processes forked from a server that has imported what they would.

A test process has one such server, and who asks first settles what it has imported.
"""

import os
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

ROOT = Path(__file__).parents[1]


def from_server() -> ForkServerContext:
    """The context whose processes begin with torch, the networks' libraries and training there."""
    os.environ["PYTHONPATH"] = str(ROOT)  # for the server
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.extract.warm", "train.run"])
    return context
