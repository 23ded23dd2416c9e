"""How close captions are to the sound itself: CLAP's text vector against its cached audio vector.

The audio vector is the clip's rows of the features' `clap` stream, one unit vector per 10 s: their
mean, at length 1. The text tower (evaluate/metrics/clap_text.py) must be of the same CLAP.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluate.metrics.child import ROOT, LineProcess, ScoreError, module
from extract.weights.hub import sha256_of_weights
from features.common.errors import FormatError, WeightsError
from features.spec import EMBEDDING, Index, StreamSpec

if TYPE_CHECKING:
    from features.reader import Features

STREAM = "clap"
TIMEOUT_S = 1800.0  # as FENSE's: on a CPU many files take minutes


def default_folder() -> Path:
    """Where `python -m extract fetch clap` puts it."""
    return Path(os.environ.get("TAGBART_WEIGHTS") or "weights") / STREAM


def clap_source(
    features: Path, split: str, folder: Path | None, weights: Path
) -> "ClapSource | None":
    """Where CLAPScore comes from; None where the features have no `clap` stream and nobody named a
    folder, which insists on it.

    Args:
        features: folder.
        split: of it.
        folder: of CLAP, None for the one in `weights`.
        weights: folder with the networks' weights.

    Raises:
        FormatError: if there are no such features.
    """
    if folder is None and STREAM not in Index.read(features).streams:
        return None
    return ClapSource(
        folder=folder or weights / STREAM,
        features=features,
        split=split,
        required=folder is not None,
    )


@dataclass(frozen=True, kw_only=True)
class ClapSource:
    """Where CLAPScore comes from.

    Attributes:
        folder: CLAP as transformers saves it.
        features: of the clips, with a `clap` stream.
        split: of the features.
        required: whether to end where CLAPScore cannot be had, instead of leaving it out.
    """

    folder: Path
    features: Path
    split: str
    required: bool = False

    def missing(self) -> str | None:
        """Why CLAPScore cannot be computed, None where it can.

        Raises:
            FormatError: if there are no such features, or it is required and they lack the stream.
            WeightsError: if it is required and the folder is not that of the stream.
        """
        from features.reader import Features  # h5py: not for scores without it

        features = Features(self.features, self.split)
        try:
            check_same_clap(self.folder, features)
        except (FormatError, WeightsError) as error:
            if self.required:
                raise
            return str(error)
        return None


def check_same_clap(folder: Path, features: "Features") -> StreamSpec:
    """See that a folder holds the CLAP that features were made with.

    Returns:
        The stream.

    Raises:
        FormatError: if the features have no `clap` stream.
        WeightsError: if the folder is not there, or holds other weights.
    """
    spec = features.stream(STREAM, EMBEDDING)
    if not folder.is_dir():
        hub = f" --from {folder}" if len(folder.parts) == 2 and not folder.parent.exists() else ""
        raise WeightsError(
            f"{folder}: no such folder; CLAP's text tower is needed, of the weights that "
            f"{features.root} was made with: name their folder by --clap, or get them with: "
            f"python -m extract fetch clap{hub}"
        )
    found = sha256_of_weights(folder)
    if found != spec.weights_sha256:
        raise WeightsError(
            f"{folder}: its weights have sha256 {found[:12]}…, but the stream {STREAM!r} of "
            f"{features.root} was made with {spec.weights_sha256[:12]}…; text and sound of two "
            "CLAPs have nothing in common: name the folder of the same one by --clap"
        )
    return spec


def audio_vector(rows: np.ndarray) -> np.ndarray:
    """A clip's vector: the mean of its rows [T, D], at length 1; float64 [D]."""
    mean = rows.astype(np.float64).mean(axis=0)
    return mean / max(np.linalg.norm(mean), np.finfo(np.float64).tiny)


def combined(likelihood: float, cosine: float, weight: float) -> float:
    """What candidates are ranked by, the highest first (evaluate/captions/choosing/by_ear.py)."""
    return weight * likelihood + (1 - weight) * cosine


def clap_scores(
    source: ClapSource, clips: Sequence[str], candidates: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """Cosine of each caption's text vector and its clip's audio vector.

    Args:
        source: of both.
        clips: ids.
        candidates: per file and clip, as they were written.

    Returns:
        Per file float64 [clips], each between -1 and 1.

    Raises:
        ScoreError: if the features lack a clip, or the worker fails.
    """
    from features.reader import Features

    features = Features(source.features, source.split)
    known = set(features.ids)
    lacking = [clip for clip in clips if clip not in known]
    if lacking:
        raise ScoreError(
            f"CLAPScore: split {features.split} of {source.features} lacks {len(lacking):,} of the "
            f"{len(clips):,} clips, the first is {lacking[0]!r}; give the features of these clips"
        )
    heard = np.stack([audio_vector(features[clip].streams[STREAM]) for clip in clips])
    texts = list(dict.fromkeys(text for file in candidates for text in file))
    place = {text: row for row, text in enumerate(texts)}
    said = text_vectors(source.folder, texts)
    return [(heard * said[[place[text] for text in file]]).sum(axis=1) for file in candidates]


def text_vectors(folder: Path, texts: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> np.ndarray:
    """CLAP's vector of each text, by a process of its own; float64 [N, D], each of length 1.

    Raises:
        ScoreError: if the worker fails or takes too long.
    """
    with LineProcess(module("clap_text"), name="CLAP", timeout_s=timeout_s, cwd=ROOT) as process:
        process.send([json.dumps({"folder": str(folder.resolve()), "texts": list(texts)})])
        answer = json.loads(process.receive())
    flat = np.frombuffer(base64.b64decode(answer["vectors"]), np.float32)
    return flat.reshape(len(texts), answer["width"]).astype(np.float64)
