"""FENSE and SPIDEr-FL through aac-metrics 0.5.4, the lock's part [fense].

Its weights are three: the fluency detector's file, the BERT behind it, a sentence BERT. Left alone
it asks the network for what is absent and tries again for over a minute; here the worker runs
offline, so that what is missing is said at once.
"""

import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluate.metrics.child import ROOT, LineProcess, ScoreError, module
from features.common.download import DownloadError, RemoteFile, download
from features.common.errors import first_line

TIMEOUT_S = 1800.0  # on a CPU a thousand clips take minutes
PENALTY = 0.9  # of SPIDEr for a caption that the fluency detector objects to (DCASE 2023)
_NAME = "echecker_clotho_audiocaps_base.ckpt"
DETECTOR = RemoteFile(
    name=_NAME,
    urls=(f"https://github.com/blmoistawinde/fense/releases/download/V0.1/{_NAME}",),
    sha256="1a719f090af70614bbdb9f9437530b7e133c48cfa4a58d964de0d47fc974a2fa",
)
# The BERT that the detector's file names (as far as known), and the sentence BERT.
HUB_NAMES = ("bert-base-uncased", "sentence-transformers/paraphrase-TinyBERT-L6-v2")
FETCH_COMMAND = "python -m evaluate fetch fense"
# The hub keeps the same weights in forms for other libraries: hundreds of MB that nobody reads.
_NOT_NEEDED = ["onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack", "*.onnx", "coreml/*"]
_HUB_TIMEOUT_S = 10
# As aac-metrics and scores.json name them: FENSE, the similarity in it (mean cosine of a caption's
# sentence embedding with its references'), and 1 where the fluency detector objects.
METRICS = ("fense", "sbert_sim", "fer")


def detector_path() -> Path:
    """Where aac-metrics looks for the fluency detector."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    folder = os.environ.get("FENSE_DATA") or torch_home / "hub" / "fense_data"
    return Path(folder).expanduser() / DETECTOR.name


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


def fetch_fense() -> None:
    """Download the weights of FENSE to where aac-metrics and Hugging Face look for them.

    Raises:
        DownloadError: if something cannot be fetched.
    """
    import huggingface_hub

    if not detector_path().is_file():
        download(DETECTOR, detector_path())
    for name in HUB_NAMES:
        try:
            # Asked first: it fails at once without a network, a download retries for a minute.
            huggingface_hub.HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
            huggingface_hub.snapshot_download(name, ignore_patterns=_NOT_NEEDED)
        except Exception as error:  # whatever a network can do: each means that we cannot have it
            raise DownloadError(f"{name}: could not be fetched ({first_line(error)})") from error


def spider_fl(spider: np.ndarray, error: np.ndarray) -> np.ndarray:
    """SPIDEr, a tenth of it for captions that the fluency detector objects to; all [clips]."""
    return spider * (1 - PENALTY * error)


def fense_values(
    references: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
    *,
    timeout_s: float = TIMEOUT_S,
    command: Sequence[str | Path] | None = None,
) -> list[dict[str, np.ndarray]]:
    """FENSE of tokenised captions, as aac-metrics' own `evaluate` hands them to it.

    Args:
        references: per clip.
        candidates: per file and clip.
        timeout_s: end the worker after so long.
        command: what to start instead of the worker (for tests of what can go wrong).

    Returns:
        Per file its values by the names of METRICS, float64 [clips].

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
        found = [{name: np.array(row[name]) for name in METRICS} for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ScoreError(f"FENSE: its process answered {answer[:200]!r}") from error
    if [len(item["fense"]) for item in found] != [len(texts) for texts in candidates]:
        raise ScoreError("FENSE: its process answered another number of captions than it was given")
    return found
