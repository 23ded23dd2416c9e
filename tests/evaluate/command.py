"""The command `python -m evaluate` in tests, as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def evaluate(
    *arguments: object, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it from the house's root, with some variables beside ours."""
    command = [sys.executable, "-m", "evaluate", *map(str, arguments)]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
