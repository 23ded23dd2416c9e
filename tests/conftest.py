"""Fixtures that every test may use."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from features.common.machine import let_threads_sleep

Ffmpeg = Callable[..., bytes]

let_threads_sleep()  # as our commands do, before a test imports torch
# A core each: `make test` runs as many processes as there are cores, and what a test computes must
# not depend on which of them it is in. Commands that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests say themselves how wide a terminal is. pytest's readline leaves its guess to the processes.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real clips, weights and golden files; without it the test is skipped."""
    folder = os.environ.get("TAGBART_REAL_DATA")
    if not folder:
        pytest.skip("TAGBART_REAL_DATA is not set: no real clips, weights or golden files at hand")
    path = Path(folder).resolve()
    assert path.is_dir(), f"TAGBART_REAL_DATA={folder} is not a folder"
    return path


@pytest.fixture(scope="session")
def ffmpeg_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an executable `ffmpeg` in it."""
    import imageio_ffmpeg

    folder = tmp_path_factory.mktemp("ffmpeg")
    (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    return folder


@pytest.fixture(scope="session")
def ffmpeg(ffmpeg_folder: Path) -> Ffmpeg:
    """Runs ffmpeg, the reference of these tests, and gives its stdout."""

    def run(*arguments: object) -> bytes:
        command = [ffmpeg_folder / "ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return run


@pytest.fixture
def with_ffmpeg(ffmpeg_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{ffmpeg_folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def without_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = os.environ["PATH"].split(os.pathsep)
    kept = [folder for folder in folders if not shutil.which("ffmpeg", path=folder)]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))


@pytest.fixture
def four_threads() -> Iterator[None]:
    """torch's threads, whatever the machine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)
