"""SPICE as far as it goes without CoreNLP 3.6.0's models, and wholly where they are."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluate.metrics import jvm, spice_jars
from evaluate.metrics.child import ScoreError
from evaluate.metrics.spice import Spice
from evaluate.metrics.spice_worker import read_values, serve, spice_values
from evaluate.metrics.tokenizer import tokenize


@pytest.fixture
def no_jars(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(spice_jars.FOLDER_VARIABLE, str(tmp_path / "no jars"))
    return tmp_path / "no jars"


STAND_IN = [sys.executable, "-m", "tests.evaluate.metrics.spice_standin"]


def stand_in_class_path() -> list[Path]:
    """SPICE's own jars, and the tokenizer's older CoreNLP, which has the graph classes."""
    tokenizer = jvm.pycocoevalcap_folder() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    return [*(jar for jar in spice_jars.class_path() if jar.is_file()), tokenizer]


@pytest.fixture(scope="module")
def spice(spaced_folder):
    """SPICE with a stand-in parser: jars in a path with spaces and an ä, no locale set."""
    own = jvm.pycocoevalcap_folder()
    jars = [spaced_folder / jar.relative_to(own) for jar in stand_in_class_path()]
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("LC_ALL", "C")
        process = Spice(jars, command=STAND_IN, timeout_s=600)
    with process:
        yield process


def test_f_is_two_pr_over_p_plus_r_with_synonyms_counted_as_matches(spice):
    # References hold {dog, cat}, {bird}, {dog, red dog}.
    references = [["dog", "dog cat"], ["bird"], ["red-dog"]]
    first, second = spice.scores(
        references, [["dog", "automobile", "dog"], ["dog mouse", "bird", "scarlet-dog"]]
    )
    # P = 1, R = 1/2 -> 2/3; nothing matches -> 0; P = 1, R = 1/2 -> 2/3.
    np.testing.assert_allclose(first, [2 / 3, 0, 2 / 3], atol=1e-15)
    # P = 1/2, R = 1/2 -> 1/2; all -> 1; {dog, scarlet dog}: scarlet is a synonym of red -> 1.
    np.testing.assert_allclose(second, [1 / 2, 1, 1], atol=1e-15)


def test_captions_without_words_or_tuples_score_0(spice):
    references = [["dog"], ["nothing"], [""], ["", "dog"], ["dog"], ["nothing"]]
    candidates = ["", "dog", "dog", "dog", "nothing", "nothing"]
    [values] = spice.scores(references, [candidates])
    np.testing.assert_array_equal(values, [0, 0, 0, 1, 0, 0])


def test_one_process_answers_any_number_of_requests(spice):
    for references, expected in ((["car"], 1.0), (["tree"], 0.0)):
        assert spice.scores([references], [["automobile"]])[0][0] == expected


class FakeClasses:
    """Remembers what was parsed; every graph is its captions, a score is 1 where they meet."""

    def __init__(self, f: float | None = 1.0):
        self.parsed: list[str] = []
        self.f = f

    def parse(self, captions, counts):
        self.parsed += captions
        words = iter(captions)
        return [[next(words) for _ in range(count)] for count in counts]

    def evaluate(self, pairs):
        return json.dumps(
            [{"image_id": clip, "scores": {"All": {"f": self.f}}} for clip, _, _ in pairs]
        )


def test_references_and_equal_candidates_are_parsed_once_for_any_number_of_files():
    classes, reports = FakeClasses(), []
    references = [["r1", "r2"], ["r3", ""]]
    candidates = [["c1", "c2"], ["c1", "c3"], ["", "c2"]]
    spice_values(classes, references, candidates, lambda *done: reports.append(done))
    assert classes.parsed == ["r1", "r2", "r3", "c1", "c2", "c3"]
    assert reports[-1] == (7, 7)  # four references, three distinct candidates


def test_a_number_that_spice_does_not_give_is_none_never_0():
    values = spice_values(FakeClasses(None), [["r"], ["r"]], [["c", ""]], lambda *_: None)
    assert values == [[None, 0.0]]
    text = '[{"image_id":1,"scores":{"All":{"f":NaN,"numImages":1}}}]'
    assert read_values(text, 2) == [0.0, None]


def test_an_error_in_java_is_handed_over_in_one_line():
    messages = []
    request = json.dumps({"references": [["r"]], "candidates": [["c"]]})

    class Broken(FakeClasses):
        def parse(self, captions, counts):
            raise RuntimeError("java.lang.OutOfMemoryError:\nJava heap space")

    code = serve(iter(["{}", request]), messages.append, lambda settings: Broken())
    assert code == 1
    expected = "RuntimeError: java.lang.OutOfMemoryError: Java heap space"
    assert messages == [{"error": expected}]


def test_too_little_memory_ends_java_at_once_and_says_how_much_it_had(monkeypatch):
    monkeypatch.setattr(jvm, "memory_limit_mb", lambda: 20)
    words = " ".join(f"thing{number}" for number in range(200_000))
    with (
        Spice(stand_in_class_path(), command=STAND_IN, timeout_s=600) as process,
        pytest.raises(ScoreError, match=r"OutOfMemoryError.*Java was allowed 20 MB.*--no-spice"),
    ):
        process.scores([[words]], [["dog"]])


def test_the_real_worker_runs_the_real_parser_up_to_the_missing_models():
    # The older CoreNLP of the tokenizer satisfies SpiceParser's constructor, not its pipeline.
    with (
        Spice(stand_in_class_path(), timeout_s=600) as process,
        pytest.raises(ScoreError, match=r"SPICE: .*Unable to resolve .*englishPCFG"),
    ):
        process.scores([["a dog"]], [["a dog"]])


def test_the_class_path_holds_spice_its_libraries_and_corenlp_3_6_0(no_jars):
    jars = spice_jars.class_path()
    assert jars[0].name == "spice-1.0.jar"
    assert {"SceneGraphParser-1.0.jar", "Meteor-1.5.jar", "json-simple-1.1.1.jar"} <= {
        jar.name for jar in jars
    }
    assert jars[-2:] == [no_jars / name for name in spice_jars.CORENLP_JARS]


def test_missing_jars_are_named_with_the_folder_and_the_command_that_gets_them(no_jars):
    no_jars.mkdir()
    (no_jars / "stanford-corenlp-3.6.0.jar").touch()
    assert spice_jars.missing() == (
        f"stanford-corenlp-3.6.0-models.jar not in {no_jars}; "
        "get them with: python -m evaluate fetch"
    )
    (no_jars / "stanford-corenlp-3.6.0-models.jar").touch()
    assert spice_jars.missing() is None


def test_the_jars_live_in_the_users_cache_folder_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv(spice_jars.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert spice_jars.corenlp_folder() == tmp_path / "tagbart" / "spice"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert spice_jars.corenlp_folder() == Path.home() / ".cache" / "tagbart" / "spice"


def test_memory_is_limited_to_8_gb_and_to_three_quarters_of_the_machine(monkeypatch):
    for machine_mb, limit_mb in ((64_000, 8192), (4000, 3000), (100, 512)):
        monkeypatch.setattr(jvm, "_memory_mb", lambda mb=machine_mb: mb)
        assert jvm.memory_limit_mb() == limit_mb


@pytest.mark.real_data
def test_spice_equals_the_published_values(real_data):
    """Where CoreNLP's jars are. Another set of captions was seen to give 911 of 912 exactly, so
    two clips of 1,045 may differ here."""
    why_not = spice_jars.missing()
    if why_not:
        pytest.skip(f"SPICE cannot run here: {why_not}")
    path = real_data / "scores" / "clotho_published_outputs.jsonl"
    rows = [json.loads(line) for line in path.open(encoding="utf-8")]
    tokens = iter(tokenize([text for r in rows for text in (r["candidate"], *r["references"])]))
    candidates, references = [], []
    for row in rows:
        candidates.append(next(tokens))
        references.append([next(tokens) for _ in row["references"]])
    with Spice(spice_jars.class_path()) as process:
        [values] = process.scores(references, [candidates])
    published = np.array([row["spice"] for row in rows])
    assert (np.abs(values - published) < 1e-9).mean() >= 0.998
