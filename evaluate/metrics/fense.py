"""FENSE and SPIDEr-FL through aac-metrics 0.5.4, the lock's part [fense].

Its weights are three: the fluency detector's file, the BERT behind it, a sentence BERT. Left alone
it asks the network for what is absent and tries again for over a minute; here the worker runs
offline, so that what is missing is said at once.
"""

import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluate.metrics.child import ROOT, LineProcess, ScoreError, module

TIMEOUT_S = 1800.0  # on a CPU a thousand clips take minutes
PENALTY = 0.9  # of SPIDEr for a caption that the fluency detector objects to (DCASE 2023)
DETECTOR_NAME = "echecker_clotho_audiocaps_base.ckpt"
DETECTOR_URL = f"https://github.com/blmoistawinde/fense/releases/download/V0.1/{DETECTOR_NAME}"
DETECTOR_SHA256 = "1a719f090af70614bbdb9f9437530b7e133c48cfa4a58d964de0d47fc974a2fa"
# The BERT that the detector's file names (as far as known), and the sentence BERT.
HUB_NAMES = ("bert-base-uncased", "sentence-transformers/paraphrase-TinyBERT-L6-v2")
FETCH_COMMAND = "python -m evaluate fetch fense"


@dataclass(frozen=True, kw_only=True)
class Fense:
    """One file's values, float64 [clips].

    Attributes:
        fense: the similarity, a tenth of it where the fluency detector objects.
        similarity: mean cosine of the caption's sentence embedding with its references'.
        error: 1 where the fluency detector objects, else 0.
    """

    fense: np.ndarray
    similarity: np.ndarray
    error: np.ndarray

    def metrics(self) -> dict[str, np.ndarray]:
        """The values by metric, as scores.json names them (after aac-metrics)."""
        return {"fense": self.fense, "sbert_sim": self.similarity, "fer": self.error}

    def spider_fl(self, spider: np.ndarray) -> np.ndarray:
        """SPIDEr, a tenth of it for captions that the fluency detector objects to."""
        return spider * (1 - PENALTY * self.error)


def detector_path() -> Path:
    """Where aac-metrics looks for the fluency detector."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    folder = os.environ.get("FENSE_DATA") or torch_home / "hub" / "fense_data"
    return Path(folder).expanduser() / DETECTOR_NAME


def missing() -> str | None:
    """Why FENSE cannot run here and what to do about it; None when package and weights exist."""
    if importlib.util.find_spec("aac_metrics") is None:
        return "aac-metrics is not installed; add it with: make setup-fense"
    if not detector_path().is_file():
        return f"{detector_path()} is not there; get it with: {FETCH_COMMAND}"
    from huggingface_hub import try_to_load_from_cache

    for name in HUB_NAMES:
        if not isinstance(try_to_load_from_cache(name, "config.json"), str):
            return f"{name} is not in Hugging Face's cache; get it with: {FETCH_COMMAND}"
    return None


def fense_values(
    references: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
    *,
    timeout_s: float = TIMEOUT_S,
    command: Sequence[str | Path] | None = None,
) -> list[Fense]:
    """FENSE of tokenised captions, as aac-metrics' own `evaluate` hands them to it.

    Args:
        references: per clip.
        candidates: per file and clip.
        timeout_s: end the worker after so long.
        command: what to start instead of the worker (for tests of what can go wrong).

    Returns:
        One Fense per file.

    Raises:
        ScoreError: if the worker fails (a model of the hub is absent), or takes too long.
    """
    request = {"references": list(map(list, references)), "candidates": list(map(list, candidates))}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with LineProcess(
        command or module("fense_worker"),
        name="FENSE",
        timeout_s=timeout_s,
        cwd=ROOT,
        environment=offline,
    ) as process:
        process.send([json.dumps(request)])
        answer = process.receive()
    try:
        rows = json.loads(answer)["values"]
        found = [
            Fense(**{name: np.array(row[name]) for name in ("fense", "similarity", "error")})
            for row in rows
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ScoreError(f"FENSE: its process answered {answer[:200]!r}") from error
    if [len(item.fense) for item in found] != [len(texts) for texts in candidates]:
        raise ScoreError("FENSE: its process answered another number of captions than it was given")
    return found
