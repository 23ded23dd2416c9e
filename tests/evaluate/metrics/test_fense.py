"""FENSE and SPIDEr-FL: an optional part that says at once what it lacks."""

import json
import subprocess
from importlib import util
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from evaluate.metrics import fense
from evaluate.metrics.child import ScoreError
from evaluate.metrics.spice import jars
from evaluate.scores import score
from evaluate.scores.score import Wanted, new_scorer
from tests.evaluate.metrics.test_child import python
from tests.evaluate.scores.test_score import HalfEach


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has the package; what is in the folder is up to the test."""
    monkeypatch.setattr(util, "find_spec", lambda name: object())
    monkeypatch.setenv("FENSE_DATA", str(tmp_path))
    return tmp_path


def test_a_tenth_of_spider_is_left_where_the_fluency_detector_objects():
    left = fense.spider_fl(np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(left, [0.5, 0.05])


def test_without_the_package_asking_for_fense_ends_at_once(monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(
        ScoreError, match=r"FENSE: aac-metrics is not installed; .*make setup-fense"
    ):
        new_scorer(Wanted(fense=True))


def test_fense_and_its_parts_come_by_themselves_where_they_are_there(monkeypatch, shared_meteor):
    values = {"fense": [0.08, 0.6], "sbert_sim": [0.8, 0.6], "fer": [1.0, 0.0]}
    found = {name: np.array(clips) for name, clips in values.items()}
    monkeypatch.setattr(fense, "missing", lambda: None)
    monkeypatch.setattr(fense, "fense_values", lambda references, candidates: [found])
    monkeypatch.setattr(jars, "missing", lambda: None)
    monkeypatch.setattr(score, "new_spice", lambda cache: HalfEach())
    texts = ["dogs", "cats"], [["a bird"], ["wind"]]  # no word shared: CIDEr-D 0, SPIDEr 1/4
    scores = score.score_texts(*texts)
    assert scores.corpus["fense"] == pytest.approx(0.34)
    assert scores.corpus["sbert_sim"] == pytest.approx(0.7)
    assert scores.corpus["fer"] == 0.5
    assert scores.corpus["spider_fl"] == pytest.approx((0.025 + 0.25) / 2)
    assert scores.intervals["fer"] == (0, 1)
    scores = score.score_texts(*texts, Wanted(fense=False))
    assert "fense" not in scores.corpus and "fer" not in scores.per_clip
    assert scores.not_available == {"fense": "left out as asked"}


def test_where_fense_is_not_there_scores_come_without_and_say_how_to_get_it(
    monkeypatch, shared_meteor
):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    scores = score.score_texts(["dogs"], [["a bird"]], Wanted(spice=False))
    assert "make setup-fense" in scores.not_available["fense"]
    assert "fense" not in scores.corpus


def test_the_lock_has_the_part_that_make_setup_fense_installs():
    root = Path(__file__).parents[3]
    lock = (root / "requirements.lock").read_text()
    part = lock.split("# [fense]\n")[1].split("\n\n")[0].splitlines()
    assert "aac-metrics==0.5.4" in part  # newer ones want transformers 4 and numpy 1
    others = lock.replace("\n".join(part), "").splitlines()
    names = {line.partition("==")[0] for line in others if "==" in line}
    assert not names & {line.partition("==")[0] for line in part}  # one pin a package
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", "setup-fense"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert "--requirement .venv/fense.txt" in made.stdout, made.stderr


def test_missing_weights_are_said_before_any_library_is_loaded(weights):
    """aac-metrics itself would try to download them for over a minute."""
    code = (
        "import sys, importlib.util\nfrom evaluate.metrics import fense\n"
        "importlib.util.find_spec = lambda name: object()\n"
        "print(fense.missing(), {'torch', 'transformers', 'aac_metrics'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(python(code), capture_output=True, text=True, cwd=root)
    assert f"{weights}/echecker_clotho_audiocaps_base.ckpt is not there" in done.stdout
    assert done.stdout.endswith("set()\n"), done.stderr


def test_weights_that_are_missing_are_named_with_the_command_that_gets_them(weights, monkeypatch):
    detector = weights / "echecker_clotho_audiocaps_base.ckpt"
    command = "get it with: python -m evaluate fetch fense"
    assert fense.missing() == f"{detector} is not there; {command}"
    detector.touch()
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file: None)
    assert fense.missing() == f"bert-base-uncased is not in Hugging Face's cache; {command}"
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda name, file: "/x")
    assert fense.missing() is None


def test_the_detector_is_looked_for_where_aac_metrics_does(monkeypatch, tmp_path):
    for name in ("FENSE_DATA", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fense.detector_path().parent == tmp_path / "torch" / "hub" / "fense_data"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "t"))
    assert fense.detector_path().parent == tmp_path / "t" / "hub" / "fense_data"


def test_values_come_back_per_file_and_the_worker_may_not_use_the_network():
    answer = (
        "import json, os, sys; assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "files = json.loads(sys.stdin.readline())['candidates']\n"
        "print(json.dumps({'values': [{'fense': [len(c) for c in f], 'fer': [0] * len(f),"
        " 'sbert_sim': [-len(c) for c in f]} for f in files]}))"
    )
    first, second = fense.fense_values(
        [["r"], ["r"]], [["a", "bb"], ["", "c"]], command=python(answer)
    )
    assert (first["fense"].tolist(), second["fense"].tolist()) == ([1, 2], [0, 1])
    assert (first["fer"].tolist(), second["sbert_sim"].tolist()) == ([0, 0], [0, -1])


@pytest.fixture
def small_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights of a small width, in the places and forms of the real ones."""
    pytest.importorskip("aac_metrics", reason="make setup-fense brings aac-metrics")
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] a dog barks rain falls".split()
    shape = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    bert = BertModel(BertConfig(vocab_size=len(words), num_hidden_layers=1, **shape))
    for name in fense.HUB_NAMES:
        model = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        snapshot = model / "snapshots" / "0"
        bert.save_pretrained(snapshot)
        BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}).save_pretrained(snapshot)
        (model / "refs").mkdir()
        (model / "refs" / "main").write_text("0")
    parts = [("0", "", "Transformer"), ("1", "1_Pooling", "Pooling")]  # of the sentence BERT
    modules = [
        {"idx": int(n), "name": n, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, path, kind in parts
    ]
    (snapshot / "modules.json").write_text(json.dumps(modules))
    (snapshot / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (snapshot / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    state = {f"encoder.{name}": value for name, value in bert.state_dict().items()}
    state |= {"clf.weight": torch.randn(6, 16), "clf.bias": torch.zeros(6)}
    state["encoder.embeddings.position_ids"] = torch.arange(512)[None]  # as older releases have
    detector = {"model_type": "bert-base-uncased", "num_classes": 6, "state_dict": state}
    torch.save(detector, tmp_path / fense.DETECTOR.name)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("FENSE_DATA", str(tmp_path))


def test_aac_metrics_itself_answers_with_weights_in_the_places_that_are_looked_at(small_weights):
    references = [["a dog barks"], ["rain falls"]]
    first, second = fense.fense_values(references, [["a dog barks", "rain falls"], ["a dog", ""]])
    # A caption equal to its only reference: cosine 1, a tenth of it where the detector objects.
    np.testing.assert_allclose(first["fense"], 1 - fense.PENALTY * first["fer"], atol=1e-6)
    assert {*first["fer"], *second["fer"]} <= {0.0, 1.0}
    assert (second["fense"] < 1).all()
    for file in (first, second):
        expected = file["sbert_sim"] * (1 - fense.PENALTY * file["fer"])
        np.testing.assert_allclose(file["fense"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise OSError('bert-base-uncased: offline')", "its own words: .*bert-base-uncased"),
        ("print('{}')", "its process answered '{}'"),
        ("print('{\"values\": []}')", "another number of captions"),
    ],
)
def test_a_failing_worker_is_reported_in_one_line(code, words):
    with pytest.raises(ScoreError, match=words) as caught:
        fense.fense_values([["r"]], [["c"]], command=python(code))
    assert "\n" not in str(caught.value)
