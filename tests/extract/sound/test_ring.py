"""Sound through shared slots: the same numbers as `load_audio`, whatever comes and however much."""

import mmap

import numpy as np
import pytest
import soundfile
import torch

from extract.sound import ring as ring_module
from extract.sound.audio import load_audio
from extract.sound.decode import Settings, decoded, ring_for
from extract.sound.pcm16 import read_pcm16
from extract.sound.ring import SLOT_BYTES, Ring

RATE_HZ = 16_000


def noise(frames: int, channels: int, seed: int) -> np.ndarray:
    """int16 over its whole range, both ends included."""
    samples = np.random.default_rng(seed).integers(-(2**15), 2**15, (frames, channels), np.int16)
    samples[:2] = np.array([[-(2**15)], [2**15 - 1]], np.int16)
    return samples


def write_kinds(folder) -> dict[str, np.ndarray]:
    """Files of many kinds, and soundfile's float32 mean of each."""
    kinds = {
        "mono.wav": (1_000, 1, RATE_HZ, "PCM_16"),
        "stereo.wav": (1_001, 2, 44_100, "PCM_16"),
        "stereo again.wav": (900, 2, 44_100, "PCM_16"),
        "three.wav": (700, 3, RATE_HZ, "PCM_16"),
        "eight bits.wav": (600, 2, RATE_HZ, "PCM_U8"),
        "24 bits.wav": (500, 2, 48_000, "PCM_24"),
        "float.wav": (400, 1, RATE_HZ, "FLOAT"),
        "16 bits.flac": (300, 2, RATE_HZ, "PCM_16"),
        "16 bits.aiff": (200, 2, RATE_HZ, "PCM_16"),
        "long.wav": (SLOT_BYTES // 4 + 1, 2, RATE_HZ, "PCM_16"),
        "just fits.wav": (SLOT_BYTES // 4, 2, RATE_HZ, "PCM_16"),
        "last.wav": (100, 2, 44_100, "PCM_16"),
    }
    expected = {}
    for seed, (name, (frames, channels, rate_hz, subtype)) in enumerate(kinds.items()):
        soundfile.write(folder / name, noise(frames, channels, seed), rate_hz, subtype)
        samples, _ = soundfile.read(folder / name, dtype="float32", always_2d=True)
        expected[name] = samples.mean(axis=1, dtype=np.float32)
    return expected


def bits(samples) -> bytes:
    return np.ascontiguousarray(samples).tobytes()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("slots", [0, 2, 5, 64])
def test_every_clip_arrives_in_every_bit_however_many_slots_there_are(tmp_path, workers, slots):
    """The long one finds no slot long enough, and with few slots others find none."""
    expected = write_kinds(tmp_path)
    with Ring(slots) as ring:
        clips = list(decoded(tmp_path, expected, Settings(workers=workers), ring))
        for name, found in zip(expected, ring.waveforms(clips, "cpu"), strict=True):
            assert bits(found) == bits(load_audio(tmp_path / name).waveform), name
            if name != "three.wav":  # the mean of three rounds in the order of its sum
                assert bits(found) == bits(expected[name]), name


def test_ordinary_16_bit_files_lie_in_their_slots_as_they_are(tmp_path):
    names = list(write_kinds(tmp_path))
    with Ring(64) as ring:
        clips = list(decoded(tmp_path, names, Settings(workers=0), ring))
        channels = dict(zip(names, (clip.channels for clip in clips), strict=True))
        waveforms = [clip.waveform is not None for clip in clips]
    as_they_are = {"mono.wav": 1, "just fits.wav": 2, "last.wav": 2}
    as_they_are |= {"stereo.wav": 2, "stereo again.wav": 2}
    assert {name: n for name, n in channels.items() if n} == as_they_are
    assert [name for name, alone in zip(names, waveforms, strict=True) if alone] == ["long.wav"]


@pytest.mark.parametrize("workers", [0, 2])
def test_slots_are_used_again_and_again(tmp_path, workers):
    settings = Settings(workers=workers, batch_clips=3)
    names = [f"{number:03d}.wav" for number in range(100)]
    for number, name in enumerate(names):
        if number % 7 == 3:
            (tmp_path / name).write_bytes(b"RIFF")
        else:
            soundfile.write(tmp_path / name, noise(50 + number, 2, number), RATE_HZ, "PCM_16")
    seen = []
    with ring_for(settings) as ring:
        assert len(ring.free) < len(names)
        for name, clip in zip(names, decoded(tmp_path, names, settings, ring), strict=True):
            assert clip.slot >= 0 and clip.waveform is None
            seen.append(clip.slot)
            if not clip.failure:
                (found,) = ring.waveforms([clip], "cpu")
                assert bits(found) == bits(load_audio(tmp_path / name).waveform)
            else:
                assert int(name[:3]) % 7 == 3
            ring.give_back([clip.slot])
    assert max(map(seen.count, seen)) > 1


def test_clips_in_a_row_are_one_copy_and_of_another_kind_another(tmp_path, monkeypatch):
    expected = write_kinds(tmp_path)
    names = ["stereo.wav", "stereo again.wav", "last.wav", "mono.wav", "float.wav"]
    copies = []
    real = ring_module._mono
    monkeypatch.setattr(
        ring_module, "_mono", lambda of, *rest: copies.append(len(of)) or real(of, *rest)
    )
    with Ring(8) as ring:
        clips = list(decoded(tmp_path, names, Settings(workers=0), ring))
        for name, found in zip(names, ring.waveforms(clips, "cpu"), strict=True):
            assert bits(found) == bits(expected[name])
    assert copies == [3, 1, 1]


def test_without_shared_memory_clips_go_their_own_way_and_it_is_said(tmp_path, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(12, "Cannot allocate memory")

    expected = write_kinds(tmp_path)
    monkeypatch.setattr(mmap, "mmap", full)
    with Ring(4) as ring:
        assert "no shared memory for 4 clips of 2 MiB (Cannot allocate memory)" in (
            capsys.readouterr().err
        )
        clips = list(decoded(tmp_path, expected, Settings(workers=1), ring))
        for name, found in zip(expected, ring.waveforms(clips, "cpu"), strict=True):
            assert bits(found) == bits(load_audio(tmp_path / name).waveform), name


@pytest.mark.parametrize("cut", [0, 3, 20, 44, 1_000, 2_043])
def test_a_cut_file_is_refused_for_the_reason_that_load_audio_gives(tmp_path, cut):
    soundfile.write(tmp_path / "whole.wav", noise(500, 2, 0), RATE_HZ, "PCM_16")
    content = (tmp_path / "whole.wav").read_bytes()
    assert len(content) == 44 + 500 * 4
    (tmp_path / "cut.wav").write_bytes(content[:cut])

    def reason(read) -> str:
        try:
            read(tmp_path / "cut.wav")
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    with Ring(1) as ring:
        (clip,) = decoded(tmp_path, ["cut.wav"], Settings(workers=0), ring)
    assert f"ClipError: {clip.failure}" == reason(load_audio)


def test_a_file_with_more_than_its_header_promises_is_taken_at_the_headers_word(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(500, 2, 0), RATE_HZ, "PCM_16")
    with (tmp_path / "a.wav").open("ab") as file:
        file.write(b"\1" * 400)
    into = np.zeros(4_000, np.int16)
    read = read_pcm16(tmp_path / "a.wav", into)
    assert read is not None and read.frames == 500 == len(load_audio(tmp_path / "a.wav").waveform)


@pytest.mark.gpu
def test_a_gpu_reads_page_locked_slots_in_every_bit(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    expected = write_kinds(tmp_path)
    settings = Settings(device="cuda", workers=2)
    for _ in range(2):  # what was locked is unlocked again
        with ring_for(settings) as ring:
            clips = list(decoded(tmp_path, expected, settings, ring))
            assert ring.locked
            found = ring.waveforms(clips, "cuda")
            for name, waveform in zip(expected, found, strict=True):
                assert bits(waveform.cpu()) == bits(load_audio(tmp_path / name).waveform), name
        assert not ring.locked
