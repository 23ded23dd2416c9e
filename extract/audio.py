"""The one path from an audio file to a waveform, for all networks: soundfile, channels averaged.

What soundfile reads without a word although it is damaged is found here and refused with a reason:
a clip either is extracted whole or stands in failures.csv.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from features.errors import ClipError

# A file may hold this many samples per channel: 1.5 h at 48 kHz, 1 GB as float32. Cut longer ones.
MAX_FRAMES = 5_400 * 48_000
BLOCK_FRAMES = 1 << 20

# Audio by name, whether or not libsndfile decodes it: what it cannot must be reported, not missed.
DECODED_SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64".split()
)
FOREIGN_SUFFIXES = frozenset(".m4a .mp4 .aac .webm .mkv .wma .mka .3gp .amr".split())
AUDIO_SUFFIXES = DECODED_SUFFIXES | FOREIGN_SUFFIXES

# Programs that write a wav to a pipe cannot know its length and leave one of these.
_UNKNOWN_LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x7FFFF000)
_DATA_CHUNK = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Decoded sound: `waveform` float32 [n], mono, nominally within ±1."""

    waveform: np.ndarray
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


def load_audio(path: Path) -> Audio:
    """Decode a file and average its channels.

    Memory is bounded by the mono waveform: channels are averaged block by block. A wav whose header
    says less than the file holds is taken at the header's word; one written to a pipe, without a
    length, is read to its end.

    Args:
        path: wav, flac, ogg, opus, mp3, aiff, au, caf … of any width, rate and channel count.

    Raises:
        ClipError: with the reason for failures.csv: absent, empty, not audio, of a kind that
            libsndfile cannot decode, truncated, too long, without samples, or with samples that are
            not finite.
    """
    _check_file(path)
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            _check_length(file)
            waveform = _mono(file)
            rate_hz, promised, kind = file.samplerate, file.frames, file.format
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ClipError(_why_not(path, error)) from error
    # An mp3's header may count the padding of its encoder: two packets of 1,152 samples at most.
    slack = 2304 if kind == "MPEG" or path.suffix.lower() == ".mp3" else 0
    if len(waveform) < promised - slack:
        raise ClipError(f"truncated: {len(waveform):,} samples of the {promised:,} in its header")
    if len(waveform) == 0:
        raise ClipError("no samples: the file has a header and nothing behind it")
    if kind == "OGG" and not _ogg_has_end(path):
        raise ClipError("truncated: the last Ogg page is not marked as the end of the stream")
    if not np.isfinite(waveform).all():
        bad = len(waveform) - int(np.isfinite(waveform).sum())
        raise ClipError(f"{bad:,} of {len(waveform):,} samples are NaN or infinite")
    return Audio(waveform=waveform, sample_rate_hz=rate_hz)


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:  # a symlink loop or a link to nothing too
        raise ClipError(f"cannot be opened: {error.strerror}") from error
    if path.is_dir():
        raise ClipError("is a folder, not an audio file")
    if not path.is_file():
        raise ClipError("is no regular file")
    if size == 0:
        raise ClipError("empty file")
    if not os.access(path, os.R_OK):
        raise ClipError("cannot be opened: Permission denied")


def _check_length(file: soundfile.SoundFile) -> None:
    # libsndfile repairs a wav header that promises too much and says so only in its log.
    repaired = _DATA_CHUNK.search(file.extra_info)
    if repaired:
        promised, present = map(int, repaired.groups())
        if promised > present and promised not in _UNKNOWN_LENGTHS:
            raise ClipError(f"truncated: {present:,} bytes of sound of the {promised:,} promised")
    if file.frames > MAX_FRAMES:
        hours = file.frames / file.samplerate / 3600
        raise ClipError(f"too long: {hours:.1f} h at {file.samplerate} Hz; cut it into pieces")


def _mono(file: soundfile.SoundFile) -> np.ndarray:
    """float32 [n], the mean of the channels; reads on until the data ends."""
    parts = []
    total = 0
    while True:
        block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not len(block):
            break
        total += len(block)
        if total > MAX_FRAMES:
            raise ClipError(f"too long: more than {MAX_FRAMES:,} samples; cut it into pieces")
        parts.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32))
        if len(block) < BLOCK_FRAMES:
            break
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _ogg_has_end(path: Path) -> bool:
    """Whether the last Ogg page carries the end-of-stream flag (RFC 3533, section 6)."""
    longest_page = 27 + 255 + 255 * 255
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * longest_page))
        tail = file.read()
    last = tail.rfind(b"OggS")
    return last >= 0 and last + 5 < len(tail) and bool(tail[last + 5] & 4)


def _why_not(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    foreign = head[4:8] == b"ftyp" or head.startswith((b"\x1aE\xdf\xa3", b"0&\xb2u"))
    if foreign or path.suffix.lower() in FOREIGN_SUFFIXES:
        return (
            "libsndfile cannot decode this kind (m4a, aac, webm, wma); convert it, for instance "
            "with: ffmpeg -i IN OUT.wav"
        )
    reason = str(error).rsplit(": ", maxsplit=1)[-1].rstrip(". ")
    if head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return f"is text, not audio ({reason})"
    return f"not readable as audio: {reason}"
