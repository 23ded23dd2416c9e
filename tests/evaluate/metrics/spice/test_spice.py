"""SPICE without CoreNLP's models: merging and counting, the worker, its ends, where jars are."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluate.metrics import jvm
from evaluate.metrics.child import ROOT
from evaluate.metrics.spice import jars
from evaluate.metrics.spice.client import Spice
from evaluate.metrics.spice.parses import Parses
from evaluate.metrics.spice.worker import read_values, serve, spice_values
from tests.evaluate.metrics.spice.conftest import graph_classes, hand_parsed

STUCK = [sys.executable, "-m", "tests.evaluate.metrics.spice.stuck"]


WORDS = "dog|dog cat|bird|red-dog|automobile|dog mouse|scarlet-dog|nothing|car|tree".split("|")


@pytest.fixture(scope="module")
def spice(spaced_folder, tmp_path_factory):
    """SPICE with parses made by hand: jars in a path with spaces and an ä, no locale set."""
    own = jvm.pycocoevalcap_folder()
    class_path = [spaced_folder / jar.relative_to(own) for jar in graph_classes()]
    cache = hand_parsed(tmp_path_factory.mktemp("kept") / "parses.sqlite", WORDS)
    with pytest.MonkeyPatch.context() as machine:
        machine.setenv("LC_ALL", "C")
        with Spice(class_path, cache=cache, versions="1", timeout_s=600) as process:
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
    """Remembers what was parsed; a text's words are its tuples, a score is `f`."""

    def __init__(self, f: float | None = 1.0):
        self.parsed: list[str] = []
        self.f = f

    def tuples(self, texts):
        self.parsed += texts
        return [[[word] for word in text.split()] for text in texts]

    def graph(self, parses):
        return list(parses)

    def evaluate(self, pairs):
        return json.dumps(
            [{"image_id": clip, "scores": {"All": {"f": self.f}}} for clip, _, _ in pairs]
        )


def in_process() -> Parses:
    return Parses(None, "1", say=print)


def test_every_distinct_text_is_parsed_once_for_any_number_of_files_and_requests():
    classes, reports, parses = FakeClasses(), [], in_process()
    references = [["r1", "r2"], ["r3", "", "r1"]]
    candidates = [["c1", "c2"], ["c1", "r3"], ["", "c2"]]
    for _ in range(2):
        spice_values(classes, parses, references, candidates, lambda *done: reports.append(done))
    assert classes.parsed == ["r1", "r2", "r3", "c1", "c2"]
    assert reports == [(0, 5), (5, 5), (0, 0)]


def test_long_texts_are_parsed_last_and_one_by_one():
    classes, reports = FakeClasses(), []
    long = ["word " * 80 + end for end in ("a", "b")]
    references = [[long[0], "r1"], [long[1]]]
    spice_values(
        classes, in_process(), references, [["c1", "c1"]], lambda *done: reports.append(done)
    )
    assert classes.parsed == ["r1", "c1", *long]
    assert [done for done, _ in reports] == [0, 2, 3, 4]


def test_a_number_that_spice_does_not_give_is_none_never_0():
    values = spice_values(
        FakeClasses(None), in_process(), [["r"], ["r"]], [["c", ""]], lambda *_: None
    )
    assert values == [[None, 0.0]]
    text = '[{"image_id":1,"scores":{"All":{"f":NaN,"numImages":1}}}]'
    assert read_values(text, 2) == [0.0, None]


def test_an_error_in_java_is_handed_over_in_one_line():
    messages = []
    request = json.dumps({"references": [["r"]], "candidates": [["c"]]})

    class Broken(FakeClasses):
        def tuples(self, texts):
            raise RuntimeError("java.lang.OutOfMemoryError:\nJava heap space")

    code = serve(iter(["{}", request]), messages.append, lambda settings: Broken())
    assert code == 1
    expected = "RuntimeError: java.lang.OutOfMemoryError: Java heap space"
    assert messages == [{"done": 0, "total": 2}, {"error": expected}]


def test_memory_grows_with_the_longest_text_and_a_process_with_less_is_replaced():
    code = (
        "import json, sys\n"
        "given = json.loads(input())['memory_mb']\n"
        "for line in sys.stdin: print(json.dumps({'values': [[given]]}), flush=True)"
    )
    with Spice([], command=[sys.executable, "-c", code]) as process:
        allowed = [
            process.scores([["a dog"]], [["word " * words]])[0][0] for words in (20, 200, 20)
        ]
    assert allowed[0] == 1000
    assert allowed[1] == allowed[2] > 1000  # the larger one stays


def test_many_parsers_at_once_are_allowed_more_and_a_long_text_is_alone():
    assert jvm.spice_memory_mb(20, 2) == 1000
    assert jvm.spice_memory_mb(60, 64) == 500 + 64 * 3600 // 28
    assert jvm.spice_memory_mb(200, 2) == jvm.spice_memory_mb(200, 8) == 500 + 40_000 // 28


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, "the asking process is killed"])
def test_ended_while_it_parses_java_leaves_nothing_behind_and_does_not_stay(tmp_path, end):
    settings = {"class_path": [str(jar) for jar in graph_classes()]}
    settings |= {"memory_mb": 100, "threads": 1, "cache": None, "versions": ""}
    worker = subprocess.Popen(
        STUCK,
        cwd=tmp_path,
        env=os.environ | jvm.ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    request = {"references": [["dog"]], "candidates": [["cat"]]}
    worker.stdin.write(f"{json.dumps(settings)}\n{json.dumps(request)}\n")
    worker.stdin.flush()
    assert json.loads(worker.stdout.readline()) == {"done": 0, "total": 2}
    if isinstance(end, signal.Signals):
        worker.send_signal(end)
    else:
        worker.stdin.close()  # as the system does it
    code = worker.wait(timeout=60)
    assert code == (-end if isinstance(end, signal.Signals) else 0)
    assert list(tmp_path.iterdir()) == []


def test_the_class_path_holds_spice_its_libraries_and_corenlp_3_6_0(no_jars):
    class_path = jars.class_path()
    assert class_path[0].name == "spice-1.0.jar"
    assert {"SceneGraphParser-1.0.jar", "Meteor-1.5.jar", "json-simple-1.1.1.jar"} <= {
        jar.name for jar in class_path
    }
    assert class_path[-2:] == [no_jars / name for name in jars.CORENLP_JARS]


def sized(path: Path, size: int) -> None:
    """A file of so many bytes that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def test_missing_jars_are_named_with_the_folder_and_the_command_that_gets_them(no_jars):
    sized(no_jars / jars.CORENLP[0].name, jars.CORENLP[0].size)
    assert jars.missing() == (
        f"stanford-corenlp-3.6.0-models.jar not in {no_jars}; get them with: make setup-spice"
    )
    sized(no_jars / jars.CORENLP[1].name, jars.CORENLP[1].size)
    assert jars.missing() is None


def test_a_jar_of_another_size_is_named_before_java_starts(no_jars):
    for jar in jars.CORENLP:
        sized(no_jars / jar.name, jar.size)
    path = no_jars / jars.CORENLP[1].name
    sized(path, 1000)
    assert jars.missing().startswith(f"{path} has 1,000 bytes, not 378,116,526: half a jar")


def test_jars_are_taken_where_they_lie(tmp_path, monkeypatch):
    monkeypatch.delenv(jars.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    own = tmp_path / "cache" / "tagbart" / "spice"
    assert jars.folder_in_use() == jars.corenlp_folder() == own
    for jar in jars.CORENLP:
        sized(jars.maven_folder() / jar.name, jar.size)
    assert jars.folder_in_use() == jars.maven_folder()
    assert tmp_path / ".m2" in jars.maven_folder().parents
    for jar in jars.CORENLP:
        sized(own / jar.name, 5)  # halves of jars in a folder that comes first
    assert jars.folder_in_use() == jars.maven_folder()
    assert jars.missing() is None
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert jars.cache_folder() == tmp_path / ".cache" / "tagbart" / "spice"
