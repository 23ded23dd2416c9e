"""Fixtures of the scoring tests (brought in by conftest.py): METEOR takes some 10 s to start."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluate.metrics import jvm
from evaluate.metrics.meteor import Meteor
from evaluate.metrics.spice import jars
from evaluate.scores import score
from evaluate.scores.results import Scores


@pytest.fixture(scope="session")
def spaced_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pycocoevalcap under a path that an address would escape. Real files: from a link
    the jar finds its way back."""
    folder = tmp_path_factory.mktemp("My späces") / "José #1 [x] 50%20"
    shutil.copytree(jvm.pycocoevalcap_folder(), folder, copy_function=_linked)
    return folder


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy(source, target)


@pytest.fixture(scope="session")
def meteor(spaced_folder: Path) -> Iterator[Meteor]:
    """One METEOR for all tests: in a path with spaces, on a machine that writes 0,5 for 0.5."""
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("LC_ALL", "C")
        machine.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
        process = Meteor(folder=spaced_folder)
    with process:
        yield process


def made_scores(clips: Iterable[str], values: Mapping[str, Sequence[float]], **more: Any) -> Scores:
    """Scores of made-up values: the corpus has their mean, an interval is from least to most."""
    per_clip = {name: np.array(of_clips) for name, of_clips in values.items()}
    return Scores(
        clips=tuple(clips),
        corpus={name: float(of_clips.mean()) for name, of_clips in per_clip.items()},
        per_clip=per_clip,
        intervals={name: (min(of_clips), max(of_clips)) for name, of_clips in values.items()},
        **more,
    )


class _Borrowed:
    """The shared METEOR for code that would end its own when done."""

    def __init__(self, meteor: Meteor) -> None:
        self.statistics, self.scores = meteor.statistics, meteor.scores

    def close(self) -> None: ...


@pytest.fixture
def shared_meteor(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scorer made during the test talks to the shared METEOR."""
    share_meteor(meteor, monkeypatch)


def share_meteor(meteor: Meteor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is undone, every scorer that is made talks to one METEOR."""
    monkeypatch.setattr(score, "Meteor", lambda: _Borrowed(meteor))


@pytest.fixture(scope="session")
def corenlp() -> list[Path]:
    """SPICE's class path; the test is skipped where CoreNLP's jars are not."""
    why_not = jars.missing()
    if why_not:
        pytest.skip(f"SPICE cannot run here: {why_not}")
    return jars.class_path()
