"""Sounds in many codings."""

import pytest

from tests.extract.sound.foreign import Ffmpeg, Sounds, make_sounds


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg) -> Sounds:
    """Noise of 2.1 s in some codings, by name."""
    return make_sounds(tmp_path_factory.mktemp("sounds"), ffmpeg)
