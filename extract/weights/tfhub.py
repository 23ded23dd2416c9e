"""TF-Hub SavedModels → our format, once, checked against TensorFlow's own output."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from extract.weights.state_dicts import fit, read_metadata, save_network
from features.common.console import log
from features.common.errors import WeightsError

SIGNAL_RATE_HZ = 16_000
TOLERANCE = 2e-4  # largest absolute difference from TensorFlow's output
_TIME_LIMIT_S = 600


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one network comes out of its SavedModel.

    Attributes:
        network: its name for people.
        build: its class.
        state_of: TensorFlow's variables → state dict.
        outputs: (network, waveform [n] at 16 kHz) → what the SavedModel answers, in one or more
            readings of which one has to fit.
        config: of another size than what was released.
    """

    network: str
    build: Callable[..., nn.Module]
    state_of: Callable[[Mapping[str, np.ndarray]], dict[str, Tensor]]
    outputs: Callable[[Any, Tensor], tuple[Tensor, ...]]
    config: Mapping[str, Any] = field(default_factory=dict)


def converted(folder: Path, recipe: Recipe) -> Path:
    """The SavedModel in our format: an earlier conversion of it, or a new one.

    It is kept inside the SavedModel's folder or, if that cannot be written, in the user's cache
    folder. Conversion needs the lock's tensorflow part.

    Args:
        folder: holds saved_model.pb.
        recipe: of the network it should hold.

    Raises:
        WeightsError: if TensorFlow is not installed, the model cannot be read, holds other
            variables, or answers otherwise than our network with its weights.
    """
    digest = _digest(folder)
    name = f"{recipe.build.__name__.lower()}.safetensors"
    places = [folder / name, _cache() / digest / name]
    for path in places:
        if path.is_file() and read_metadata(path).get("source_sha256") == digest:
            return path
    signal = test_signal()
    answers = _ask(folder, signal)
    module = recipe.build(**recipe.config)
    variables = {
        key.removeprefix("variable:"): value
        for key, value in answers.items()
        if key.startswith("variable:")
    }
    fit(module, recipe.state_of(variables), folder, partial=True)
    difference = _difference(recipe, module, torch.from_numpy(signal), answers["output"])
    if not difference <= TOLERANCE:
        raise WeightsError(
            f"{folder}: our {recipe.network} with its weights answers a test signal otherwise than "
            f"the SavedModel itself: largest difference {difference:.2g}, tolerance "
            f"{TOLERANCE:g}; this is not the released network, fetch it again"
        )
    classes = [str(item) for item in answers.get("classes", ())]
    path = places[0] if os.access(folder, os.W_OK) else places[1]
    save_network(
        path,
        module,
        network=recipe.network,
        config=recipe.config,
        classes=classes,
        source_sha256=digest,
    )
    log(f"{folder}: converted; largest difference from TensorFlow {difference:.1e}, kept in {path}")
    return path


def test_signal() -> np.ndarray:
    """float32 [48,000]: three seconds of a rising tone in noise, by rule."""
    time_s = np.arange(3 * SIGNAL_RATE_HZ) / SIGNAL_RATE_HZ
    noise = np.random.default_rng(0).uniform(-1, 1, len(time_s))
    tone = np.sin(2 * np.pi * (200 * time_s + 400 * time_s**2))
    return (0.4 * tone + 0.1 * noise * np.sin(np.pi * time_s / 3)).astype(np.float32)


@torch.inference_mode()
def _difference(recipe: Recipe, module: nn.Module, signal: Tensor, theirs: np.ndarray) -> float:
    """Largest absolute difference of the best-fitting reading; infinite if none has the shape."""
    answer = torch.from_numpy(theirs)
    readings = [item for item in recipe.outputs(module, signal) if item.shape == answer.shape]
    return min((float((item - answer).abs().max()) for item in readings), default=float("inf"))


def _ask(folder: Path, signal: np.ndarray) -> dict[str, np.ndarray]:
    """Let TensorFlow, in a process of its own, say what the model holds and answers."""
    if importlib.util.find_spec("tensorflow_hub") is None:
        raise WeightsError(
            f"{folder}: a SavedModel, and reading it once takes TensorFlow, which is not "
            "installed; run: make setup-tensorflow"
        )
    script = Path(__file__).with_name("savedmodel.py")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as room:
        heard, told = Path(room, "signal.npy"), Path(room, "answers.npz")
        np.save(heard, signal)
        # -P: the script's folder must not shadow modules that TensorFlow imports.
        command = [sys.executable, "-P", str(script), str(folder.resolve()), str(heard), str(told)]
        try:
            done = subprocess.run(
                command,
                env=os.environ | quiet,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIME_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise WeightsError(
                f"{folder}: TensorFlow did not read it in {_TIME_LIMIT_S} s"
            ) from error
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise WeightsError(
                f"{folder}: TensorFlow could not read it as a SavedModel ({last}); fetch it again"
            )
        with np.load(told, allow_pickle=False) as answers:
            return dict(answers)


def _digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a SavedModel's files, ours left out."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".safetensors" and not path.name.startswith("."):
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
    return digest.hexdigest()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tagbart"
