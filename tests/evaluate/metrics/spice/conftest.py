"""CoreNLP's jars, where they are, and captions whose SPICE others computed."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evaluate.metrics import jvm
from evaluate.metrics.spice import jars
from evaluate.metrics.spice.parses import Parses
from evaluate.metrics.tokenizer import tokenize


@pytest.fixture
def no_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without CoreNLP: its folder, not made."""
    monkeypatch.setenv(jars.FOLDER_VARIABLE, str(tmp_path / "no jars"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "no jars"


def graph_classes() -> list[Path]:
    """SPICE's own jars, and the tokenizer's older CoreNLP, which has the graph classes."""
    tokenizer = jvm.pycocoevalcap_folder() / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    there = [
        jar for jar in jars.class_path() if jar.is_file() and jar.name not in jars.CORENLP_JARS
    ]
    return [*there, tokenizer]


def hand_parsed(cache: Path, texts: Iterable[str]) -> Path:
    """A file of parses made by hand, for versions "1": SPICE's own classes then need no models.

    Every word is an object, "red-dog" the attribute red of the object dog, "nothing" no tuple.
    """
    parses = Parses(cache, "1", say=pytest.fail)
    parses.keep(
        {
            text: [word.split("-")[::-1] for word in text.split() if word != "nothing"]
            for text in texts
        }
    )
    parses.close()
    return cache


def published(folder: Path) -> list[dict[str, Any]]:
    """1,045 captions with their published SPICE."""
    path = folder / "scores" / "clotho_published_outputs.jsonl"
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def strange(folder: Path) -> list[dict[str, Any]]:
    """Strange captions with the official program's own answers."""
    text = (folder / "scores" / "spice_strange.json").read_text(encoding="utf-8")
    return json.loads(text)["clips"]


def tokenized(rows: Sequence[dict[str, Any]]) -> tuple[list[list[str]], list[str]]:
    """References and candidates of rows, ready for SPICE."""
    tokens = iter(tokenize([text for r in rows for text in (r["candidate"], *r["references"])]))
    candidates, references = [], []
    for row in rows:
        candidates.append(next(tokens))
        references.append([next(tokens) for _ in row["references"]])
    return references, candidates
