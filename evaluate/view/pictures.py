"""Pictures of sound: spectrograms as small palette images."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from evaluate.view.sounds import as_ogg
from extract.networks.log_mel import (
    FRAME_HOP_SAMPLES,
    MEL_MAX_HZ,
    MEL_MIN_HZ,
    SAMPLE_RATE_HZ,
    LogMel,
)
from extract.sound.audio import Audio
from extract.sound.contained import load_clip
from extract.sound.decode import resample_all
from extract.sound.parts import is_contained
from features.common.errors import ClipError

# 20 ms a column and 32 shades: a third of the bytes of 10 ms and 256, and no eye sees it.
COLUMNS_PER_S = 50
SHADES = 32
COLOUR_MAP = "magma"
# Natural logarithm of magnitudes: 7 is 61 dB below the loudest.
_RANGE = 7.0
RANGE_DB = 20 * _RANGE / math.log(10)
BANDS_HZ = (MEL_MIN_HZ, MEL_MAX_HZ)


def draw_spectrograms(
    dump: Path, paths: Sequence[str], pictures: Sequence[Path], *, copy: bool = False
) -> Iterator[str]:
    """Draw clips' spectrograms, in order, on two threads.

    Args:
        dump: folder that was extracted.
        paths: of the clips, as the features have them.
        pictures: PNG files to write.
        copy: write each sound beside its picture too, as a small .ogg; a sound inside a parquet
            file or tar always is, since no page could point to it.

    Yields:
        Why a clip has no picture, "" where it has.
    """
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(partial(_draw, dump, copy=copy), paths, pictures)


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
    if np.ptp(bands) == 0:  # silence: not all as loud as the loudest, but nothing to see
        return np.zeros_like(bands.T, np.uint8)
    above = bands.T[::-1] - (bands.max() - _RANGE)
    return np.clip(above * (SHADES / _RANGE), 0, SHADES - 1).astype(np.uint8)


def save_spectrogram(shades: np.ndarray, file: Path | BinaryIO) -> None:
    """Write shades as a PNG with a palette: an image of a tenth of the bytes of RGBA."""
    from PIL import Image

    height, width = shades.shape
    image = Image.frombytes("P", (width, height), shades.tobytes())
    image.putpalette(_palette())
    image.save(file, "PNG", bits=5)


def _draw(dump: Path, path: str, picture: Path, *, copy: bool) -> str:
    try:
        audio = load_clip(dump, path)
    except ClipError as error:
        return str(error)
    save_spectrogram(spectrogram(audio), picture)
    if copy or is_contained(path):
        picture.with_suffix(".ogg").write_bytes(as_ogg(audio))
    return ""


@lru_cache(maxsize=1)
def _front_end() -> LogMel:
    return LogMel(0.01)


@lru_cache(maxsize=1)
def _palette() -> bytes:
    from matplotlib import colormaps

    colours = colormaps[COLOUR_MAP](np.linspace(0, 1, SHADES))[:, :3]
    return (colours * 255).round().astype(np.uint8).tobytes()
