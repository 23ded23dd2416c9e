"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest

from features.common.machine import let_threads_sleep

let_threads_sleep()  # as our commands do, before a test imports torch


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real clips, weights and golden files; without it the test is skipped."""
    folder = os.environ.get("TAGBART_REAL_DATA")
    if not folder:
        pytest.skip("TAGBART_REAL_DATA is not set: no real clips, weights or golden files at hand")
    path = Path(folder).resolve()
    assert path.is_dir(), f"TAGBART_REAL_DATA={folder} is not a folder"
    return path
