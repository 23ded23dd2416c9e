"""Slow starters, shared: METEOR's tables take some 10 s to load."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluate import jvm
from evaluate.meteor import Meteor


@pytest.fixture(scope="session")
def spaced_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pycocoevalcap under a path with spaces and a letter that is not ASCII."""
    link = tmp_path_factory.mktemp("a path with späces") / "pycocoevalcap here"
    link.symlink_to(jvm.pycocoevalcap_folder(), target_is_directory=True)
    return link


@pytest.fixture(scope="session")
def meteor(spaced_folder: Path) -> Iterator[Meteor]:
    """One METEOR for all tests, started from a path with spaces."""
    with Meteor(folder=spaced_folder) as process:
        yield process
