"""A folder of bad and odd audio files, and what becomes of each."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 16_000
LENGTH_S = 0.5


@dataclass(frozen=True)
class Odd:
    """A file of the zoo: extracted with a duration, or left out for a reason."""

    name: str
    duration_s: float | None = LENGTH_S
    reason: str = ""  # a part of it

    @property
    def extracted(self) -> bool:
        return self.duration_s is not None


def make_zoo(folder: Path, *, an_hour: bool = True) -> list[Odd]:
    """Write the files; a wav of an hour among them unless `an_hour` is False."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = (_formats, _containers, _headers, _contents, _foreign, _things, _names)
    animals = [animal for maker in makers for animal in maker(folder)]
    if an_hour:
        animals += [_sparse(folder / "an_hour.wav", 1.0), _sparse(folder / "two_hours.wav", 2.0)]
    assert len({animal.name for animal in animals}) == len(animals) >= 40
    return animals


def tone(rate_hz: int = RATE_HZ, length_s: float = LENGTH_S, pitch_hz: float = 440.0) -> np.ndarray:
    """float64 [n], a sine at half of full scale."""
    return 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(round(rate_hz * length_s)) / rate_hz)


def wav_bytes(
    data: bytes,
    *,
    data_size: int | None = None,
    riff_size: int | None = None,
    rate_hz: int = RATE_HZ,
) -> bytes:
    """A 16-bit mono wav whose header says what it is told to."""
    data_size = len(data) if data_size is None else data_size
    riff_size = min(36 + data_size, 2**32 - 1) if riff_size is None else riff_size
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    head = b"RIFF" + struct.pack("<I", riff_size) + b"WAVEfmt " + fmt
    return head + b"data" + struct.pack("<I", data_size) + data


def pcm16(samples: np.ndarray) -> bytes:
    """Little-endian 16-bit samples."""
    return np.round(samples * 32767).astype("<i2").tobytes()


def _formats(folder: Path) -> Iterator[Odd]:
    widths = {
        "8_bit": "PCM_U8", "16_bit": "PCM_16", "24_bit": "PCM_24", "32_bit": "PCM_32",
        "float": "FLOAT", "double": "DOUBLE", "mu_law": "ULAW", "a_law": "ALAW",
    }  # fmt: skip
    for name, subtype in widths.items():
        soundfile.write(folder / f"{name}.wav", tone(), RATE_HZ, subtype)
        yield Odd(f"{name}.wav")
    for channels in range(1, 9):
        columns = [tone(pitch_hz=200.0 * (1 + channel)) for channel in range(channels)]
        name = f"channels_{channels}.wav"
        soundfile.write(folder / name, np.stack(columns, axis=1), RATE_HZ)
        yield Odd(name)
    for rate_hz in (8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000):
        name = f"rate_{rate_hz}.wav"
        samples = tone(rate_hz)
        soundfile.write(folder / name, samples, rate_hz)
        yield Odd(name, len(samples) / rate_hz)


def _containers(folder: Path) -> Iterator[Odd]:
    for name in (
        "tone.flac",
        "tone.ogg",
        "tone.mp3",
        "tone.aiff",
        "tone.au",
        "tone.caf",
        "LOUD.WAV",
    ):
        soundfile.write(folder / name, tone(), RATE_HZ)
        yield Odd(name)
    soundfile.write(folder / "tone.opus", tone(), RATE_HZ, "OPUS", format="OGG")
    yield Odd("tone.opus")
    for name in ("cut.flac", "cut.ogg", "cut.mp3", "cut.aiff", "cut.au"):
        path = folder / name
        soundfile.write(path, tone(length_s=5), RATE_HZ)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        reason = "flac decoder" if name == "cut.flac" else "truncated"
        yield Odd(name, None, reason)


def _headers(folder: Path) -> Iterator[Odd]:
    data = pcm16(tone())
    whole = {
        "length_unknown.wav": wav_bytes(data, data_size=2**32 - 1),
        "length_of_sox_pipe.wav": wav_bytes(data, data_size=0x7FFFF000),
        "length_never_filled_in.wav": wav_bytes(data, data_size=0, riff_size=8),
        "riff_size_wrong.wav": wav_bytes(data, riff_size=5),
        "riff_size_too_large.wav": wav_bytes(data, riff_size=10 * len(data)),
        "junk_behind.wav": wav_bytes(data) + b"LIST" + struct.pack("<I", 4) + b"INFO" + b"\0junk",
    }
    for name, content in whole.items():
        (folder / name).write_bytes(content)
        yield Odd(name)
    # The header's word counts: what stands behind the sound it promises is not sound.
    (folder / "length_too_small.wav").write_bytes(wav_bytes(data, data_size=len(data) // 2))
    yield Odd("length_too_small.wav", LENGTH_S / 2)
    broken = {
        "header_cut.wav": (wav_bytes(data)[:30], "not readable as audio"),
        "header_alone.wav": (wav_bytes(b""), "no samples"),
        "data_cut.wav": (wav_bytes(data)[: len(data) // 2], "truncated"),
        "last_byte_cut.wav": (wav_bytes(data)[:-1], "truncated"),
        "rate_zero.wav": (wav_bytes(data, rate_hz=0), "not readable as audio"),
        "rate_of_1_hz.wav": (wav_bytes(data, rate_hz=1), "sample rate"),
    }
    for name, (content, reason) in broken.items():
        (folder / name).write_bytes(content)
        yield Odd(name, None, reason)


def _contents(folder: Path) -> Iterator[Odd]:
    bad = tone()
    for name, value in (("nan.wav", np.nan), ("infinity.wav", -np.inf)):
        bad[100] = value
        soundfile.write(folder / name, bad, RATE_HZ, "FLOAT")
        yield Odd(name, None, "1 of 8,000 samples are NaN or infinite")
    good = {
        "silence.wav": np.zeros(8_000),
        "clipping.wav": np.clip(10 * tone(), -1, 1),
        "beyond_full_scale.wav": 10 * tone(),
        "a_twentieth_of_a_second.wav": tone(length_s=0.05),
        "one_sample.wav": np.ones(1),
    }
    for name, samples in good.items():
        soundfile.write(folder / name, samples, RATE_HZ, "FLOAT")
        yield Odd(name, len(samples) / RATE_HZ)


def _foreign(folder: Path) -> Iterator[Odd]:
    filling = bytes(range(256)) * 8
    kinds = {
        "apple.m4a": b"\0\0\0\x20ftypM4A \0\0\0\0" + filling,
        "m4a_called.wav": b"\0\0\0\x20ftypM4A \0\0\0\0" + filling,
        "stream.aac": b"\xff\xf1\x50\x80" + filling,
        "tube.webm": b"\x1a\x45\xdf\xa3" + filling,
        "windows.wma": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + filling,
    }
    for name, content in kinds.items():
        (folder / name).write_bytes(content)
        yield Odd(name, None, "ffmpeg -i")
    texts = {
        "text.wav": ("This is no sound.\n" * 50, "is text, not audio"),
        "text_in_russian.wav": ("Это не звук.\n" * 50, "is text, not audio"),
        "page.mp3": ("\ufeff<!DOCTYPE html><html>403</html>", "is a web page of 34 bytes"),
        "pointer.wav": ("version https://git-lfs.github.com/spec/v1\noid sha", "git lfs pull"),
    }
    for name, (text, reason) in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield Odd(name, None, reason)
    for name in ("noise_bytes.wav", "noise_bytes.mp3"):
        (folder / name).write_bytes(np.random.default_rng(3).bytes(5_000))
        yield Odd(name, None, "not readable as audio")


def _things(folder: Path) -> Iterator[Odd]:
    (folder / "empty.wav").touch()
    yield Odd("empty.wav", None, "empty file")
    (folder / "folder.wav").mkdir(exist_ok=True)
    yield Odd("folder.wav", None, "is a folder")
    for name, target in (("loop.wav", "loop.wav"), ("link_to_nothing.wav", "absent.wav")):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)
        yield Odd(name, None, "cannot be opened")
    (folder / "link_to_tone.wav").unlink(missing_ok=True)
    (folder / "link_to_tone.wav").symlink_to("16_bit.wav")
    yield Odd("link_to_tone.wav")
    (folder / "pipe.wav").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe.wav")
    yield Odd("pipe.wav", None, "is no regular file")
    (folder / "unreadable.wav").write_bytes(wav_bytes(pcm16(tone())))
    (folder / "unreadable.wav").chmod(0)
    if os.access(folder / "unreadable.wav", os.R_OK):  # by root it is
        yield Odd("unreadable.wav")
    else:
        yield Odd("unreadable.wav", None, "Permission denied")


def _names(folder: Path) -> Iterator[Odd]:
    names = ["line\nbreak.wav", "🐶 barks.wav", "-dash.wav", "--help.wav", " space .wav"]
    names += ["'quotes\".wav", "no_utf_8_" + os.fsdecode(b"\xff\xfe") + ".wav", "a.b.c.wav"]
    for name in names:
        (folder / name).write_bytes(wav_bytes(pcm16(tone())))
        yield Odd(name)


def _sparse(path: Path, hours: float) -> Odd:
    """Silence at 8 kHz that takes next to no room on the disk."""
    size = int(hours * 3600 * 8_000 * 2)
    path.write_bytes(wav_bytes(b"", data_size=size, rate_hz=8_000))
    os.truncate(path, path.stat().st_size + size)
    if hours > 1.5:
        return Odd(path.name, None, "too long")
    return Odd(path.name, hours * 3600)
