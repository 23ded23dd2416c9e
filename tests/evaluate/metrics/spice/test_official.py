"""Genuine SPICE against values that others published, and the official program's own answers.

120 of the 1,045 published captions; all of them with `TAGBART_ALL_SPICE=1`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluate.metrics import jvm
from evaluate.metrics.child import ScoreError
from evaluate.metrics.spice.client import Spice
from tests.evaluate.metrics.spice.conftest import published, strange, tokenized

pytestmark = pytest.mark.real_data
CLIPS = 120
PLAIN = (["a dog barks"], "a dog barks loudly")


def varied(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Rows spread evenly over all SPICE values, shortest and longest captions among them."""
    by_length = sorted(rows, key=lambda row: len(row["candidate"]))
    ends = by_length[:10] + by_length[-10:]
    rest = sorted(by_length[10:-10], key=lambda row: row["spice"])
    picked = np.linspace(0, len(rest) - 1, count - len(ends)).astype(int)
    return ends + [rest[i] for i in picked]


@pytest.fixture(scope="module")
def rows(real_data: Path) -> list[dict[str, Any]]:
    every = published(real_data)
    chosen = every if os.environ.get("TAGBART_ALL_SPICE") else varied(every, CLIPS)
    return chosen + strange(real_data)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parses") / "parses.sqlite"


@pytest.fixture(scope="module")
def spice(corenlp: list[Path], cache: Path) -> Iterator[Spice]:
    with Spice(corenlp, cache=cache, versions="1") as process:
        yield process


@pytest.fixture(scope="module")
def alone(spice: Spice, rows: list[dict[str, Any]]) -> np.ndarray:
    """The values of one run with one predictions file."""
    references, candidates = tokenized(rows)
    return spice.scores(references, [candidates])[0]


def test_every_value_is_the_published_one(alone, rows):
    expected = [row["spice"] for row in rows]
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-9)


def test_several_files_at_once_give_each_the_values_it_has_alone(spice, alone, rows):
    references, candidates = tokenized(rows)
    first, turned, again = spice.scores(references, [candidates, candidates[::-1], candidates])
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_array_equal(again, alone)
    assert (turned != alone).any()


def test_kept_parses_give_the_same_values_to_the_last_bit_and_load_no_models(
    corenlp, cache, alone, rows
):
    references, candidates = tokenized(rows)
    models = [jar for jar in corenlp if not jar.name.endswith("-models.jar")]
    with Spice(models, cache=cache, versions="1") as process:
        np.testing.assert_array_equal(process.scores(references, [candidates])[0], alone)


def test_a_killed_worker_is_a_clear_error_and_what_it_parsed_is_kept(corenlp, tmp_path):
    cache = tmp_path / "parses.sqlite"
    with Spice(corenlp, cache=cache, versions="1") as process:
        process.scores([PLAIN[0]], [[PLAIN[1]]])
        process._process._child.kill()
        with pytest.raises(ScoreError, match=r"exit code -9 \(SIGKILL.*Java was allowed 1,000 MB"):
            process.scores([PLAIN[0]], [["a cat"]])
    models = [jar for jar in corenlp if not jar.name.endswith("-models.jar")]
    with Spice(models, cache=cache, versions="1") as process:
        [[value]] = process.scores([PLAIN[0]], [[PLAIN[1]]])
    assert value == 1.0  # dog and dog-bark on both sides; "loudly" is no tuple of SPICE's


def test_too_little_memory_ends_java_at_once_and_says_how_much_it_had(corenlp, monkeypatch):
    monkeypatch.setattr(jvm, "spice_memory_mb", lambda words, threads: 60)
    with (
        Spice(corenlp) as process,
        pytest.raises(ScoreError, match=r"OutOfMemoryError.*Java was allowed 60 MB.*--no-spice"),
    ):
        process.scores([PLAIN[0]], [[PLAIN[1]]])
