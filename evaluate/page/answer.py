"""What the page of `evaluate serve` says about one sound; knows no web."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from evaluate.captions.caption import Listener
from evaluate.captions.generate import Caption, caption_clips
from evaluate.captions.options import DecodingOptions
from evaluate.captions.precision import precision_of
from evaluate.report.pages import environment
from evaluate.report.pictures import BANDS_HZ, save_spectrogram, spectrogram
from evaluate.report.timeline import Timeline, timeline
from extract.sound.audio import Audio, load_audio
from features.common.errors import ClipError, ConfigError
from features.spec import TAG_LOGITS

N_BEST = 4
MB = 1 << 20  # what Gradio means when it says how large a file may be


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the page accepts."""

    max_mb: float
    max_seconds: float

    def __post_init__(self) -> None:
        for name in ("max_mb", "max_seconds"):
            if getattr(self, name) <= 0:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is {getattr(self, name)}, expected more than 0")


@dataclass(frozen=True, kw_only=True)
class Part:
    """Ten seconds of a recording, or what there is: caption, tags, spectrogram as PNG."""

    start_s: float
    end_s: float
    caption: Caption
    timeline: Timeline | None
    picture: bytes


def answer(
    listener: Listener,
    file: Path,
    limits: Limits,
    *,
    tell: Callable[[float, str], object] = lambda share, what: None,
) -> list[Part]:
    """Caption a recording and show what was heard in it.

    Args:
        listener: a run and its encoders.
        file: what somebody sent.
        limits: what is accepted.
        tell: hears how far this is, from 0 to 1, and what comes next.

    Raises:
        ClipError: with a reason for people, if the file cannot be used.
    """
    tell(0.05, "Reading the file")
    audio = _accepted(file, limits)
    windows = []
    for window in listener.hear(audio, file.name):
        windows.append(window)
        tell(0.1 + 0.5 * window.end_s / audio.duration_s, "Listening")
    tell(0.6, "Looking for words")
    options = DecodingOptions(n_best=N_BEST, precision=precision_of(listener.run.model))
    captions = caption_clips(listener.run, windows, options)
    tell(0.9, "Drawing")
    tags = next((s for s in listener.run.builder.streams.values() if s.kind == TAG_LOGITS), None)
    rate_hz = audio.sample_rate_hz
    parts = []
    for window, caption in zip(windows, captions, strict=True):
        start, end = (round(seconds * rate_hz) for seconds in (window.start_s, window.end_s))
        picture = io.BytesIO()
        sound = Audio(waveform=audio.waveform[start:end], sample_rate_hz=rate_hz)
        save_spectrogram(spectrogram(sound), picture)
        parts.append(
            Part(
                start_s=window.start_s,
                end_s=window.end_s,
                caption=caption,
                timeline=timeline(window.streams[tags.name], tags.classes, tags.hop_s)
                if tags
                else None,
                picture=picture.getvalue(),
            )
        )
    return parts


def _accepted(file: Path, limits: Limits) -> Audio:
    size_mb = file.stat().st_size / MB
    if size_mb > limits.max_mb:
        raise ClipError(
            f"This file has {size_mb:.1f} MB; this page takes up to {limits.max_mb:g} MB."
        )
    _check_length(_promised_s(file), limits)
    try:
        audio = load_audio(file)
    except ClipError as error:
        reason = f"it {error}" if str(error).startswith("is ") else str(error)
        raise ClipError(
            f"This file cannot be read as sound: {reason}. Try a wav, flac, ogg or mp3 file."
        ) from error
    _check_length(audio.duration_s, limits)
    return audio


def _promised_s(file: Path) -> float:
    """What a header says, so that hours of silence in a small file are not decoded first.

    0.0 where it says nothing: load_audio finds the words for that.
    """
    try:
        info = soundfile.info(file)
    except (soundfile.LibsndfileError, RuntimeError):
        return 0.0
    # A flac that was written to a pipe "has" 2 ** 63 - 1 samples.
    return info.duration if info.frames < 2**62 else 0.0


def _check_length(seconds: float, limits: Limits) -> None:
    if seconds > limits.max_seconds:
        raise ClipError(
            f"This recording lasts {seconds:.0f} s; this page takes up to "
            f"{limits.max_seconds:g} s. Cut out the part that matters."
        )


def as_record(parts: Sequence[Part]) -> dict[str, Any]:
    """An answer for programs."""
    return {
        "caption": as_text(parts),
        "windows": [
            {
                "start_s": round(part.start_s, 3),
                "end_s": round(part.end_s, 3),
                "tags": list(part.caption.tags),
                "n_best": [candidate.as_json() for candidate in part.caption.n_best],
            }
            for part in parts
        ],
    }


def as_text(parts: Sequence[Part]) -> str:
    """The captions of all windows, a line each."""
    return "\n".join(part.caption.text for part in parts)


def as_html(parts: Sequence[Part]) -> str:
    """What was heard, as the page shows it."""
    shown = [
        {"part": part, "picture": base64.b64encode(part.picture).decode("ascii")} for part in parts
    ]
    return environment().get_template("answer.html").render(parts=shown, bands_hz=BANDS_HZ)
