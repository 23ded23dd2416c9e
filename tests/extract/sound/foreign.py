"""One sound in many codings, made by ffmpeg, and what ffmpeg hears in a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

Ffmpeg = Callable[..., bytes]
Sounds = dict[str, bytes]

RATE_HZ = 44_100
LENGTH_S = 2.1


def make_sounds(folder: Path, ffmpeg: Ffmpeg) -> Sounds:
    """Noise of LENGTH_S in some codings, by name."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(LENGTH_S * RATE_HZ))
    soundfile.write(folder / "a.wav", noise, RATE_HZ)
    bare = ["-write_xing", "0", "-id3v2_version", "0"]
    for name, *options in (
        ("cbr.mp3", "-b:a", "128k", *bare),
        ("vbr.mp3", "-q:a", "4", *bare),
        ("xing.mp3", "-q:a", "4"),
        ("low.mp3", "-ar", "16000", "-b:a", "32k"),
        ("mpeg25.mp3", "-ar", "11025", "-b:a", "16k", *bare),
        ("stereo.mp3", "-ac", "2", "-b:a", "128k", *bare),
        ("layer2.mp2", "-b:a", "192k"),
        ("piped.flac", "-f", "flac"),
        ("whole.flac",),
        ("a.ogg", "-c:a", "libvorbis"),
        ("a.opus", "-c:a", "libopus"),
        ("a.webm", "-c:a", "libopus"),
        ("a.m4a",),
        ("front.m4a", "-movflags", "+faststart"),
        ("a.aac",),
        ("a.wma",),
        ("a.mka", "-c:a", "libmp3lame"),
        ("alac.caf", "-c:a", "alac"),
        ("flac.oga", "-c:a", "flac"),
        ("a.wv",),
        ("yamaha.wav", "-c:a", "adpcm_yamaha"),
        ("g726.wav", "-c:a", "g726", "-ar", "8000"),
        ("a.amr", "-ar", "8000"),
        ("a.avi", "-c:a", "libmp3lame"),
    ):
        output = folder / name
        if name == "piped.flac":  # its header has no length
            output.write_bytes(ffmpeg("-i", folder / "a.wav", *options, "-"))
        else:
            ffmpeg("-i", folder / "a.wav", *options, output)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def heard_by(ffmpeg: Ffmpeg, path: Path) -> int:
    """How many samples per channel ffmpeg decodes."""
    return len(ffmpeg("-i", f"file:{path}", "-ac", "1", "-f", "s16le", "-")) // 2
