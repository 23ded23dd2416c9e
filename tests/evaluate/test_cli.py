"""`python -m evaluate` as a user meets it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluate.scores.cli import short_names
from features.common.checksum import sha256_of
from tests.evaluate.command import ROOT, evaluate
from tests.evaluate.scores.test_predictions import lines, record


def test_scoring_loads_no_network_library():
    code = (
        "import sys, evaluate.cli, evaluate.scores.score, evaluate.scores.table\n"
        "import evaluate.metrics.spice.worker\n"
        "import pycocoevalcap.cider.cider_scorer, pycocoevalcap.bleu.bleu_scorer\n"
        "import pycocoevalcap.rouge.rouge, pycocoevalcap.tokenizer.ptbtokenizer\n"
        "evaluate.scores.score.new_scorer().close()\n"  # all that comes before Java
        "slow = ('torch', 'tensorflow', 'transformers', 'numba', 'scipy', 'matplotlib', 'h5py')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr


def test_score_writes_a_table_and_both_files_for_every_predictions_file(tmp_path):
    for name, candidate in (("one", "a dog barks"), ("two", "it rains")):
        (tmp_path / name).mkdir()
        lines(tmp_path / name / "p.jsonl", record("x", candidate), record("y", "", ["rain falls"]))
    out = tmp_path / "out"
    done = evaluate(
        "score",
        tmp_path / "one" / "p.jsonl",
        tmp_path / "two" / "p.jsonl",
        "--out",
        out,
        TAGBART_SPICE_LIB=str(tmp_path / "no jars"),
        LC_ALL="C",
    )
    assert done.returncode == 0, done.stderr
    heading = done.stdout.splitlines()[1].split()
    assert heading == ["B-1", "B-2", "B-3", "B-4", "METEOR", "ROUGE-L", "CIDEr-D"]
    for word in ("one/p ", "two/p ", "mean ", "std ", "95 %"):
        assert word in done.stdout
    assert "SPICE: not available (stanford-corenlp-3.6.0.jar" in done.stdout
    assert "get them with: make setup-spice" in done.stdout
    assert "SPIDEr: not available" in done.stdout
    summary = json.loads((out / "scores.json").read_text())
    assert list(summary["files"]) == ["one/p", "two/p"]
    single = json.loads((out / "one" / "p" / "scores.json").read_text())
    assert single["sha256"].pop("scores.csv") == sha256_of(out / "one" / "p" / "scores.csv")
    assert single == summary["files"]["one/p"]
    assert 0 < single["corpus"]["bleu_1"] <= 1
    with (out / "two" / "p" / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == ["x", "y"]
    assert list(rows[0])[-1] == "cider_d"


def test_a_faulty_file_ends_at_once_in_one_line_and_exit_code_2(tmp_path):
    path = lines(tmp_path / "p.jsonl", record("x"), record("x"))
    for arguments in (("score", path), ("human", path), ("table", tmp_path)):
        done = evaluate(*arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert str(tmp_path) in done.stderr


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/p.jsonl"], ["p"]),
        (["a/p.jsonl", "a/q.jsonl"], ["p", "q"]),
        (["a/p.jsonl", "b/p.jsonl"], ["a/p", "b/p"]),
        (["a/x/p.jsonl", "b/x/p.jsonl"], ["a/x/p", "b/x/p"]),
    ],
)
def test_files_are_called_by_the_shortest_tails_that_differ(paths, names):
    assert short_names([Path(path) for path in paths]) == names


def test_the_same_file_twice_has_two_names():
    assert len(set(short_names([Path("a/p.jsonl"), Path("a/p.jsonl")]))) == 2
