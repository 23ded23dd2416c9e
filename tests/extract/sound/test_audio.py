"""From files to waveforms: values, lengths, and what is refused for which reason."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from extract.sound import audio
from extract.sound.audio import Audio, load_audio
from extract.sound.blocks import read_blocks
from extract.sound.files import libsndfile
from features.common.errors import ClipError
from tests.extract.zoo import RATE_HZ, make_zoo, wav_bytes


def test_every_animal_of_the_zoo_is_decoded_or_refused_for_its_reason(tmp_path, without_ffmpeg):
    for animal in make_zoo(tmp_path):
        path = tmp_path / animal.name
        if animal.extracted:
            sound = load_audio(path)
            assert sound.duration_s == animal.duration_s, animal
            assert sound.waveform.dtype == np.float32, animal
            assert sound.waveform.ndim == 1, animal
        else:
            with pytest.raises(ClipError) as refusal:
                load_audio(path)
            assert animal.reason in str(refusal.value), animal
            assert "\n" not in str(refusal.value), animal


def test_channels_are_averaged(tmp_path):
    channels = np.array([[1.0, 0.0, -0.25], [0.5, 0.5, 0.5], [-1.0, 0.25, 0.0]])
    soundfile.write(tmp_path / "three.wav", channels, RATE_HZ, "FLOAT")
    np.testing.assert_array_equal(
        load_audio(tmp_path / "three.wav").waveform, np.float32([0.25, 0.5, -0.25])
    )


def test_16_bit_samples_are_divided_by_32768(tmp_path):
    samples = np.array([0, 16384, -32768, 32767], "<i2")
    (tmp_path / "a.wav").write_bytes(wav_bytes(samples.tobytes()))
    sound = load_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(sound.waveform, samples / np.float32(32768))
    assert (sound.sample_rate_hz, sound.duration_s) == (RATE_HZ, 4 / RATE_HZ)


def test_mu_law_decodes_as_g711_says(tmp_path):
    # G.711's table for byte 0x80 and 0x00 is ±32,124 of 32,768; silence is 0xFF.
    path = tmp_path / "mu.wav"
    soundfile.write(path, np.zeros(3), RATE_HZ, "ULAW")
    content = path.read_bytes()
    assert content.endswith(b"\xff\xff\xff" + b"\0")  # padded to an even length
    path.write_bytes(content[:-4] + b"\x80\x00\xff\0")
    np.testing.assert_array_equal(
        load_audio(path).waveform, np.float32([32124, -32124, 0]) / np.float32(32768)
    )


def test_blocks_join_without_a_seam(tmp_path, monkeypatch):
    samples = np.random.default_rng(0).uniform(-1, 1, (1_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, "FLOAT")
    for frames in (7, 500, 999, 1_000, 1_001):  # 500 and 1,000 end just with the file
        monkeypatch.setattr(libsndfile, "BLOCK_SAMPLES", 2 * frames)
        found = load_audio(tmp_path / "a.wav").waveform
        np.testing.assert_array_equal(found, (samples[:, 0] + samples[:, 1]) / 2)


def test_memory_holds_the_mono_waveform_and_one_block(tmp_path, monkeypatch):
    frames, channels = 400_000, 8
    monkeypatch.setattr(libsndfile, "BLOCK_SAMPLES", 10_000 * channels)
    soundfile.write(tmp_path / "eight.wav", np.zeros((frames, channels)), 48_000)
    tracemalloc.start()
    load_audio(tmp_path / "eight.wav")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    mono, block = 4 * frames, 4 * channels * 10_000
    assert peak < 1.25 * mono + 3 * block < 4 * frames * channels / 2


def test_reading_block_by_block_takes_the_memory_of_a_block_whatever_the_length(tmp_path):
    soundfile.write(tmp_path / "silence.flac", np.zeros(4_000_000, np.int16), 48_000)
    tracemalloc.start()
    samples = sum(len(block.waveform) for block in read_blocks(tmp_path / "silence.flac"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples == 4_000_000
    assert peak < 4 * 4 * libsndfile.BLOCK_SAMPLES


@pytest.mark.parametrize(
    "name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.au", "a.caf", "a.w64", "a.rf64"]
)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9])
def test_a_file_cut_anywhere_is_refused(tmp_path, name, kept):
    path = tmp_path / name
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 5 * RATE_HZ)
    soundfile.write(path, noise, RATE_HZ)
    assert load_audio(path).duration_s == 5
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ClipError):
        load_audio(path)


@pytest.mark.parametrize("within", [True, False])
def test_an_ogg_cut_within_or_between_its_pages_is_refused(tmp_path, within, without_ffmpeg):
    path = tmp_path / "a.ogg"
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 5 * RATE_HZ)
    soundfile.write(path, noise, RATE_HZ)
    content = path.read_bytes()
    assert content.count(b"OggS") > 3  # two pages of headers and several of sound
    path.write_bytes(content[:-10] if within else content[: content.rfind(b"OggS")])
    with pytest.raises(ClipError, match="truncated: its last Ogg page"):
        load_audio(path)


def test_too_many_samples_at_a_high_rate_are_refused_by_the_header_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MAX_FRAMES", 1_000)
    soundfile.write(tmp_path / "a.wav", np.zeros(1_001), 192_000)
    with pytest.raises(ClipError, match="too long"):
        load_audio(tmp_path / "a.wav")
    soundfile.write(tmp_path / "b.wav", np.zeros(1_000), 192_000)
    assert len(load_audio(tmp_path / "b.wav").waveform) == 1_000


def test_channels_count_as_time_does_and_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "255.ogg", np.zeros((800, 255)), 8_000)
    with pytest.raises(ClipError, match="255 channels, expected 64 at most"):
        load_audio(tmp_path / "255.ogg")
    monkeypatch.setattr(audio, "MAX_SAMPLES", 40_000)
    soundfile.write(tmp_path / "64.wav", np.zeros((800, 64)), 8_000)
    with pytest.raises(ClipError, match=r"too long: .* at 8,000 Hz and 64 channels"):
        load_audio(tmp_path / "64.wav")
    soundfile.write(tmp_path / "50.wav", np.zeros((800, 50)), 8_000)
    assert load_audio(tmp_path / "50.wav").duration_s == 0.1


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int16", "int32"])
def test_sound_given_from_python_is_converted_by_its_type(kind):
    full = {"int16": 2**15, "int32": 2**31}.get(kind, 1)
    given = (np.array([0.5, -1, 0.25]) * full).astype(kind)
    heard = Audio(waveform=given, sample_rate_hz=16_000)
    np.testing.assert_array_equal(heard.waveform, np.float32([0.5, -1, 0.25]))
    assert heard.waveform.dtype == np.float32


@pytest.mark.parametrize("kind", ["float64", "float32", "int16"])
def test_channels_given_from_python_are_averaged(kind):
    full = 2**15 if kind == "int16" else 1
    given = (np.array([[0.5, 0], [-1, 0.5], [0.25, 0.25]]) * full).astype(kind)
    heard = Audio(waveform=given, sample_rate_hz=16_000.0)
    np.testing.assert_array_equal(heard.waveform, np.float32([0.25, -0.25, 0.25]))
    assert heard.sample_rate_hz == 16_000 and heard.duration_s == 3 / 16_000


@pytest.mark.parametrize(
    ("waveform", "rate_hz", "reason"),
    [
        (np.zeros((2, 16_000)), 16_000, r"shape \[2, 16000\], expected \[samples\] or"),
        (np.zeros((16, 4, 2)), 16_000, "shape"),
        (np.zeros(()), 16_000, "shape"),
        (np.zeros(4, np.int64), 16_000, "type int64"),
        (np.zeros(4, np.uint8), 16_000, "type uint8"),
        (np.zeros(4, bool), 16_000, "type bool"),
        (np.zeros(4, complex), 16_000, "type complex"),
        (np.array(["a"]), 16_000, "type str"),
        (np.zeros(0), 16_000, "no samples"),
        (np.array([0, np.nan]), 16_000, "1 of 2 samples are NaN"),
        (np.zeros(4), 16, "sample rate 16 Hz"),
        (np.zeros(4), 16_000.5, "whole number"),
    ],
)
def test_sound_given_from_python_that_could_be_misread_is_refused(waveform, rate_hz, reason):
    with pytest.raises(ClipError, match=reason):
        Audio(waveform=waveform, sample_rate_hz=rate_hz)


def test_samples_are_no_larger_than_whole_numbers_saved_as_floats_can_be(tmp_path):
    most = 2.0**31
    assert Audio(waveform=np.array([0, most, -most]), sample_rate_hz=16_000).waveform.max() == most
    soundfile.write(tmp_path / "bits.wav", np.float32([0, 0, -1e38]), 16_000, "FLOAT")
    with pytest.raises(ClipError, match=r"samples of up to 1e\+38, where 1 is full scale"):
        load_audio(tmp_path / "bits.wav")


@pytest.mark.real_data
def test_the_eight_real_clips_are_as_long_as_their_headers_say(real_data):
    clips = sorted((real_data / "audiocaps" / "clips").iterdir())
    assert len(clips) == 8
    for path in clips:
        told, found = soundfile.info(path), load_audio(path)
        assert (len(found.waveform), found.sample_rate_hz) == (told.frames, 22_050)
        samples, _ = soundfile.read(path, always_2d=True)
        np.testing.assert_allclose(found.waveform, samples.mean(axis=1), rtol=0, atol=1e-7)
