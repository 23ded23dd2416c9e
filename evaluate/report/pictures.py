"""Pictures: spectrograms as small palette images, histograms by matplotlib."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from extract.networks.frontend import (
    FRAME_HOP_SAMPLES,
    MEL_MAX_HZ,
    MEL_MIN_HZ,
    SAMPLE_RATE_HZ,
    LogMel,
)
from extract.sound.audio import Audio, load_audio
from extract.sound.decode import resample_all
from features.common.errors import ClipError

# 20 ms a column and 32 shades: a third of the bytes of 10 ms and 256, and no eye sees it.
COLUMNS_PER_S = 50
SHADES = 32
COLOUR_MAP = "magma"
# Natural logarithm of magnitudes: 7 is 61 dB below the loudest.
_RANGE = 7.0
BANDS_HZ = (MEL_MIN_HZ, MEL_MAX_HZ)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A clip's spectrogram on disk, or why there is none."""

    seconds: float = 0.0
    failure: str = ""


def draw_spectrograms(files: Sequence[Path], pictures: Sequence[Path]) -> Iterator[Drawn]:
    """Draw files' spectrograms, in order, on two threads.

    Args:
        files: audio.
        pictures: PNG files to write.
    """
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(_draw, files, pictures)


def spectrogram(audio: Audio) -> np.ndarray:
    """Shades of a clip's log-mel spectrogram, as the tag network's front end hears it.

    Returns:
        uint8 [64, columns], highest band first, values below SHADES.
    """
    waveform = torch.from_numpy(audio.waveform)
    [heard] = resample_all([waveform], [audio.sample_rate_hz], SAMPLE_RATE_HZ)
    shortest = SAMPLE_RATE_HZ // 10
    heard = torch.nn.functional.pad(heard, (0, max(0, shortest - len(heard))))
    with torch.inference_mode():
        bands = _front_end()(heard[None])[0].numpy()
    step = SAMPLE_RATE_HZ // FRAME_HOP_SAMPLES // COLUMNS_PER_S
    bands = bands[: len(bands) // step * step].reshape(-1, step, bands.shape[1]).mean(axis=1)
    above = bands.T[::-1] - (bands.max() - _RANGE)
    return np.clip(above * (SHADES / _RANGE), 0, SHADES - 1).astype(np.uint8)


def save_spectrogram(shades: np.ndarray, file: Path | BinaryIO) -> None:
    """Write shades as a PNG with a palette: an image of a tenth of the bytes of RGBA."""
    from PIL import Image

    height, width = shades.shape
    image = Image.frombytes("P", (width, height), shades.tobytes())
    image.putpalette(_palette())
    image.save(file, "PNG", bits=5)


def _draw(file: Path, picture: Path) -> Drawn:
    try:
        audio = load_audio(file)
    except ClipError as error:
        return Drawn(failure=str(error))
    save_spectrogram(spectrogram(audio), picture)
    return Drawn(seconds=audio.duration_s)


@lru_cache(maxsize=1)
def _front_end() -> LogMel:
    return LogMel(0.01)


@lru_cache(maxsize=1)
def _palette() -> bytes:
    from matplotlib import colormaps

    colours = colormaps[COLOUR_MAP](np.linspace(0, 1, SHADES))[:, :3]
    return (colours * 255).round().astype(np.uint8).tobytes()


def draw_histograms(
    columns: dict[str, dict[str, np.ndarray]], path: Path, *, bins: int = 24
) -> None:
    """Draw how values are spread over clips, a small picture per column.

    Args:
        columns: title: label: float64 [clips], NaN left out.
        path: PNG to write.
        bins: bars per picture.
    """
    from matplotlib.figure import Figure

    across = min(3, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(3.3 * across, 2.1 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for axis in axes.flat[len(columns) :]:
        axis.set_visible(False)
    for axis, (title, series) in zip(axes.flat, columns.items(), strict=False):
        present = {label: values[np.isfinite(values)] for label, values in series.items()}
        everything = np.concatenate(list(present.values()))
        edges = bar_edges(everything, bins)
        for number, (label, values) in enumerate(present.items()):
            kind = "stepfilled" if number == 0 else "step"
            axis.hist(
                values, edges, histtype=kind, label=label, color=COLOURS[number % len(COLOURS)],
                alpha=0.55 if number == 0 else 1.0, linewidth=1.6,
            )  # fmt: skip
        axis.set_title(title, fontsize=9, loc="left")
        axis.tick_params(labelsize=7)
        axis.set_ylabel("count", fontsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    if any(len(series) > 1 for series in columns.values()):
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", fontsize=7, ncols=3)
    figure.savefig(path, dpi=150, format="png")


def bar_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Edges of the bars; whole numbers get whole widths, or else some bars would stay empty."""
    low, high = values.min(), values.max()
    if (values == np.round(values)).all() and high - low < 4 * bins:
        step = np.ceil((high - low + 1) / (2 * bins))
        return np.arange(low, high + step + 1, step) - 0.5
    return np.histogram_bin_edges(values, bins=bins)


# Told apart by most colour-blind eyes (Okabe and Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
