"""What the page of `evaluate serve` says about one sound; knows no web."""

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.captions.candidate import Caption
from evaluate.captions.generate import caption_clips
from evaluate.captions.layers.precision import precision_of
from evaluate.captions.listener import Listener, Window
from evaluate.captions.options import Cutting, DecodingOptions
from evaluate.page.limits import MB, Limits
from evaluate.report.pages import environment
from evaluate.view.axis import View, spoken
from evaluate.view.inside import Insight, look_inside
from evaluate.view.pictures import save_spectrogram, spectrogram
from evaluate.view.sounds import as_ogg
from evaluate.view.timeline import tag_streams, timeline
from extract.sound.audio import Audio, load_audio
from extract.sound.windows import LEAST_S, promised_s
from features.common.errors import ClipError

N_BEST = 4
SILENT = Cutting().silent_below


@dataclass(frozen=True, kw_only=True)
class Part:
    """Ten seconds of a recording, or what there is, and its caption.

    Attributes:
        start_s, end_s: where in the recording.
        caption: what the search found.
        notes: why the caption may mean little, for people.
        view: sound, spectrogram, tags and words on one time axis.
    """

    start_s: float
    end_s: float
    caption: Caption
    notes: tuple[str, ...]
    view: View


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
    # A run with narrowed weights is made for the search; only a whole one can be looked into.
    whole = options.precision == "float32"
    texts = [caption.text for caption in captions]
    seen = look_inside(listener.run, windows, texts) if whole else [None] * len(windows)
    tell(0.9, "Drawing")
    rate_hz = audio.sample_rate_hz
    parts = []
    for window, caption, insight in zip(windows, captions, seen, strict=True):
        start, end = (round(seconds * rate_hz) for seconds in (window.start_s, window.end_s))
        sound = Audio(waveform=audio.waveform[start:end], sample_rate_hz=rate_hz)
        parts.append(
            Part(
                start_s=window.start_s,
                end_s=window.end_s,
                caption=caption,
                notes=notes_on(sound),
                view=_view(listener, window, sound, insight),
            )
        )
    return parts


def notes_on(sound: Audio) -> tuple[str, ...]:
    """Why a caption of this sound may mean little: there is nothing to hear, or hardly any time."""
    notes = []
    loudest = float(np.abs(sound.waveform).max(initial=0.0))
    if loudest < SILENT:
        level = f"{20 * math.log10(loudest):.0f} dB" if loudest else "nothing at all"
        notes.append(
            f"This is silence (its loudest moment: {level}). The model always says something: it "
            "never learnt to say that there is nothing to hear."
        )
    if sound.duration_s < LEAST_S:
        notes.append(
            f"This sound lasts {sound.duration_s:.2f} s. The networks listen in stretches of about "
            "a second and fill up the rest with silence: the caption is a guess."
        )
    return tuple(notes)


def who_speaks(listener: Listener) -> str:
    """One line: run, recipe, task, networks and what they know."""
    run = listener.run
    networks = "; ".join(
        dict.fromkeys(
            # A network's name says itself what is not usual; the others tell sounds apart by name.
            f"{spec.network}, {len(spec.classes)} kinds of sound"
            if spec.classes and "knows" not in spec.network
            else spec.network
            for spec in run.builder.streams.values()
        )
    )
    tasks, seed = run.recipe.inputs.tasks, run.recipe.train.seed
    task = f", task {run.task or tasks[0]}" if tasks else ""
    return f"Run {run.path}, recipe {run.recipe.name}, seed {seed}{task}. {networks}."


def _view(listener: Listener, window: Window, sound: Audio, seen: Insight | None) -> View:
    picture = io.BytesIO()
    save_spectrogram(spectrogram(sound), picture)
    tags = next(iter(tag_streams(listener.run.builder.streams)), None)
    return View(
        seconds=sound.duration_s,
        start_s=window.start_s,
        sound=as_address("audio/ogg", as_ogg(sound)),
        picture=as_address("image/png", picture.getvalue()),
        timeline=timeline(window.streams[tags.name], tags.classes, tags.hop_s) if tags else None,
        spoken=(spoken(seen),) if seen else (),
    )


def as_address(kind: str, content: bytes) -> str:
    """Bytes as an address that a page holds in itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def check_accepted(file: Path, limits: Limits) -> None:
    """Refuse what is too large or, by its header, too long.

    Raises:
        ClipError: with the reason, for people.
    """
    size_mb = file.stat().st_size / MB
    if size_mb > limits.max_mb:
        raise ClipError(
            f"This file has {size_mb:.1f} MB; this page takes up to {limits.max_mb:g} MB."
        )
    # By the header too, so that hours of silence in a small file are not decoded first.
    check_length(promised_s(file), limits)


def check_length(seconds: float, limits: Limits) -> None:
    """Refuse what lasts too long.

    Raises:
        ClipError: with the reason, for people.
    """
    if seconds > limits.max_seconds:
        raise ClipError(
            f"This recording lasts {seconds:.0f} s; this page takes up to "
            f"{limits.max_seconds:g} s. Cut out the part that matters."
        )


def unreadable_sound(error: ClipError) -> ClipError:
    """The same reason in words for people."""
    reason = f"it {error}" if str(error).startswith("is ") else str(error)
    return ClipError(
        f"This file cannot be read as sound: {reason}. Try a wav, flac, ogg or mp3 file."
    )


def _accepted(file: Path, limits: Limits) -> Audio:
    check_accepted(file, limits)
    try:
        audio = load_audio(file)
    except ClipError as error:
        raise unreadable_sound(error) from error
    check_length(audio.duration_s, limits)
    return audio


def as_record(parts: Sequence[Part]) -> dict[str, Any]:
    """An answer for programs."""
    return {
        "caption": as_text(parts),
        "windows": [
            window_record(part.start_s, part.end_s, part.caption, part.notes) for part in parts
        ],
    }


def window_record(
    start_s: float, end_s: float, caption: Caption | None, notes: Sequence[str]
) -> dict[str, Any]:
    """What was said of one stretch, for programs; no caption for silence."""
    return {
        "start_s": round(start_s, 3),
        "end_s": round(end_s, 3),
        "tags": list(caption.tags) if caption else [],
        "notes": list(notes),
        "n_best": [candidate.as_json() for candidate in caption.n_best] if caption else [],
    }


def as_text(parts: Sequence[Part]) -> str:
    """The captions of all windows, a line each."""
    return "\n".join(part.caption.text for part in parts)


def as_html(parts: Sequence[Part]) -> str:
    """What was heard, as the page shows it."""
    return environment().get_template("answer.html").render(parts=parts)
