"""The one path from an audio file to a waveform, for all networks: soundfile, channels averaged.

What soundfile reads without a word although it is damaged is found here and refused with a reason:
a clip either is extracted whole or stands in failures.csv.
"""

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from features.common.errors import ClipError

# What one clip may cost: 1.5 h, and this many samples per channel (1 GB as float32).
MAX_DURATION_S = 5_400
MAX_FRAMES = MAX_DURATION_S * 48_000
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000
BLOCK_FRAMES = 1 << 20

# Audio by name, whether or not libsndfile decodes it: what it cannot must be reported, not missed.
DECODED_SUFFIXES = frozenset(
    ".wav .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64".split()
)
FOREIGN_SUFFIXES = frozenset(".m4a .mp4 .aac .webm .mkv .wma .mka .3gp .amr".split())
AUDIO_SUFFIXES = DECODED_SUFFIXES | FOREIGN_SUFFIXES

# libsndfile repairs a header that promises more bytes than there are and says so only in its log:
# `data` of wav and caf, `SSND` of aiff, `Data Size` of au, `riff` of w64, `Riff size` of rf64.
_REPAIRED = re.compile(
    r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE
)
# Programs that write to a pipe cannot know the length; they leave this or more, up to 2**32 - 1.
_UNKNOWN_BYTES = 0x7FFFF000
_UNKNOWN_FRAMES = 2**63 - 1  # a flac written to a pipe

# An mp3's header may count the padding of its encoder: two packets of 1,152 samples at most.
_MP3_SLACK_FRAMES = 2 * 1152


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
    length, is read to its end. An mp3 that lost less than 0.05 s of its end passes.

    Args:
        path: wav, flac, ogg, opus, mp3, aiff, au, caf … of any width, rate and channel count.

    Raises:
        ClipError: with the reason for failures.csv: absent, empty, not audio, of a kind that
            libsndfile cannot decode, truncated, too long, of a senseless rate, without samples, or
            with samples that are not finite.
    """
    _check_file(path)
    try:
        # As bytes: a name need not be UTF-8.
        with soundfile.SoundFile(os.fsencode(path)) as file:
            _check_header(file)
            waveform = _mono(file)
            rate_hz, promised, kind = file.samplerate, file.frames, file.format
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ClipError(_why_not(path, error)) from error
    slack = _MP3_SLACK_FRAMES if kind in ("MP3", "MPEG") else 0
    if len(waveform) < promised - slack:
        raise ClipError(f"truncated: {len(waveform):,} samples of the {promised:,} in its header")
    if kind == "OGG" and not _ogg_is_whole(path):  # of one page only, it reads as empty
        raise ClipError("truncated: its last Ogg page is cut, or is not the end of the stream")
    if len(waveform) == 0:
        raise ClipError("no samples: its header promises none")
    finite = np.isfinite(waveform)
    if not finite.all():
        bad = len(waveform) - int(finite.sum())
        raise ClipError(f"{bad:,} of {len(waveform):,} samples are NaN or infinite")
    return Audio(waveform=waveform, sample_rate_hz=rate_hz)


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:  # a symlink loop or a link to nothing too
        raise ClipError(f"cannot be opened: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise ClipError("is a folder, not an audio file")
    if not stat.S_ISREG(status.st_mode):
        raise ClipError("is no regular file")
    if status.st_size == 0:
        raise ClipError("empty file")
    if not os.access(path, os.R_OK):
        raise ClipError("cannot be opened: Permission denied")


def _check_header(file: soundfile.SoundFile) -> None:
    repaired = _REPAIRED.search(file.extra_info)
    if repaired:
        promised, present = map(int, repaired.groups())
        if present < promised < _UNKNOWN_BYTES:
            raise ClipError(f"truncated: {present:,} bytes of the {promised:,} in its header")
    rate_hz = file.samplerate
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ClipError(
            f"sample rate {rate_hz:,} Hz, expected {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz"
        )
    if file.frames == _UNKNOWN_FRAMES:  # soundfile cannot read these: it seeks after each block
        raise ClipError(
            "its header has no length; write it again, for instance with: ffmpeg -i IN OUT.flac"
        )
    _check_length(file.frames, rate_hz)


def _check_length(frames: int, rate_hz: int) -> None:
    if frames > min(MAX_FRAMES, MAX_DURATION_S * rate_hz):
        raise ClipError(
            f"too long: {frames / rate_hz / 3600:.2f} h at {rate_hz:,} Hz, at most "
            f"{min(MAX_FRAMES / rate_hz, MAX_DURATION_S) / 3600:.2f} h; cut it into pieces"
        )


def _mono(file: soundfile.SoundFile) -> np.ndarray:
    """float32 [n], the mean of the channels; reads on until the data ends."""
    parts = []
    total = 0
    while True:
        block = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        total += len(block)
        _check_length(total, file.samplerate)
        parts.append(_mean(block))
        if len(block) < BLOCK_FRAMES:
            return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _mean(block: np.ndarray) -> np.ndarray:
    """[n, channels] → [n]. Column by column: numpy's mean over so short an axis takes 40 times."""
    total = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        total += block[:, channel]
    total /= np.float32(block.shape[1])
    return total


def _ogg_is_whole(path: Path) -> bool:
    """Whether the last Ogg page ends the stream and is all there (RFC 3533, section 6)."""
    longest_page = 27 + 255 + 255 * 255
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2 * longest_page))
        tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:  # the flag of a stream's last page
        return False
    lengths = page[27 : 27 + page[26]]
    return len(lengths) == page[26] and len(page) >= 27 + len(lengths) + sum(lengths)


def _why_not(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as unreadable:
        return f"cannot be opened: {unreadable.strerror}"
    foreign = head[4:8] == b"ftyp" or head.startswith((b"\x1aE\xdf\xa3", b"0&\xb2u"))
    if foreign or path.suffix.lower() in FOREIGN_SUFFIXES:
        return (
            "libsndfile cannot decode this kind (m4a, aac, webm, wma); convert it, for instance "
            "with: ffmpeg -i IN OUT.wav"
        )
    if _is_text(head):
        return "is text, not audio"
    reason = str(error).rsplit(": ", maxsplit=1)[-1].rstrip(". ")
    if "does not exist" in reason:  # libsndfile's word for an mp3 without a single packet
        reason = "no sound in it"
    return f"not readable as audio: {reason}"


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # may end within a sign
    except UnicodeDecodeError:
        return False
    return all(sign.isprintable() or sign in "\t\r\n" for sign in text)
