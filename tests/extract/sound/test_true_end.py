"""Files are read to their true end, whatever they say of their length: ffmpeg's count is the judge.

Where ffmpeg itself stops early or keeps padding, lengths are sums of the parts'.
"""

import struct
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from extract.sound.audio import load_audio
from features.common.errors import ClipError
from tests.extract.sound.foreign import LENGTH_S, RATE_HZ, Sounds, heard_by
from tests.extract.zoo import pcm16, tone, wav_bytes

ID3V2 = b"ID3\x03\0\0\0\0\x10\0" + bytes(2048)
ID3V1 = b"TAG" + b"x" * 125
COVER = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40
HTML = b"<html><body>404 Not Found</body></html>\n" * 300


def ape(content: bytes, *, header: bool) -> bytes:
    """An APEv2 tag with one item, as its specification has it."""
    item = struct.pack("<II", len(content), 2) + b"Cover Art (Front)\0" + content
    flags = (1 << 31) if header else 0
    numbers = struct.pack("<IIII", 2000, len(item) + 32, 1, flags)
    top = b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags | 1 << 29) + bytes(8)
    return (top if header else b"") + item + b"APETAGEX" + numbers + bytes(8)


def mp3_in_wav(frames: bytes, *, samples: int = 1) -> bytes:
    """A wav of format 0x55, whose `fact` says what it is told to."""
    fmt = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE_HZ, 8_000, 1, 0, 12, 1, 2, 417, 1, 1393)
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"fact" + struct.pack("<II", 4, samples)
    chunks += b"data" + struct.pack("<I", len(frames)) + frames + b"\0" * (len(frames) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def counted(mp3: bytes, frames: int) -> bytes:
    """An mp3 whose Xing header says so many frames."""
    at = mp3.index(b"Xing") + 8
    return mp3[:at] + frames.to_bytes(4, "big") + mp3[at + 4 :]


def vbri(mp3: bytes) -> bytes:
    """An mp3 of 128 kbit/s with a Fraunhofer header, a silent frame of its own, in front."""
    head = mp3[:4] + bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 0, 0, len(mp3), 83)
    size = 144 * 128_000 // RATE_HZ
    return head.ljust(size, b"\0") + mp3


MPEG: dict[str, Callable[[Sounds], bytes]] = {
    "constant.mp3": lambda of: of["cbr.mp3"],
    "variable.mp3": lambda of: of["vbr.mp3"],
    "padded.mp3": lambda of: of["xing.mp3"],
    "low.mp3": lambda of: of["low.mp3"],
    "mpeg25.mp3": lambda of: of["mpeg25.mp3"],
    "layer2.mp2": lambda of: of["layer2.mp2"],
    "says_nothing.mp3": lambda of: counted(of["xing.mp3"], 0),
    "says_too_much.mp3": lambda of: counted(of["xing.mp3"], 10_000),
    "fraunhofer.mp3": lambda of: vbri(of["cbr.mp3"]),
    "joined.mp3": lambda of: of["cbr.mp3"] * 3,
    "joined_with_header.mp3": lambda of: of["xing.mp3"] + of["cbr.mp3"],
    "joined_with_headers.mp3": lambda of: of["xing.mp3"] * 2,
    "joined_with_tags.mp3": lambda of: (of["cbr.mp3"] + ID3V1 + ID3V2) * 2,
    "joined_stereo.mp3": lambda of: of["cbr.mp3"] + of["stereo.mp3"],
    "id3v1.mp3": lambda of: of["cbr.mp3"] + ID3V1,
    "id3v2_twice.mp3": lambda of: ID3V2 * 2 + of["vbr.mp3"],
    "ape.mp3": lambda of: of["cbr.mp3"] + ape(COVER, header=True),
    "ape_without_header.mp3": lambda of: of["vbr.mp3"] + ape(COVER, header=False) + ID3V1,
    "ape_in_front.mp3": lambda of: ape(COVER, header=True) + of["cbr.mp3"],
    "zeros_behind.mp3": lambda of: of["vbr.mp3"] + bytes(8_192),
    "zeros_in_front.mp3": lambda of: bytes(3_000) + of["vbr.mp3"],
    "html_behind.mp3": lambda of: of["cbr.mp3"] + HTML,
    "html_in_front.mp3": lambda of: HTML[:2_000] + of["cbr.mp3"],
    "noise_behind.mp3": lambda of: of["vbr.mp3"] + np.random.default_rng(1).bytes(20_000),
    "mp3_inside.wav": lambda of: mp3_in_wav(of["cbr.mp3"]),
    "mp3_inside_of_other_count.wav": lambda of: mp3_in_wav(of["vbr.mp3"], samples=10**6),
    "mp3_called.wav": lambda of: of["vbr.mp3"],
    "mp3_called.flac": lambda of: ID3V2 + of["xing.mp3"],
}


# Where ffmpeg loses a packet beside a tag, or hears one in noise.
ONE_PACKET = {"joined_with_tags.mp3": 1152, "noise_behind.mp3": 1152}


@pytest.mark.parametrize("name", MPEG)
def test_mpeg_frames_are_counted_whatever_a_header_says_and_whatever_stands_around_them(
    name, sounds, tmp_path, ffmpeg, without_ffmpeg
):
    path = tmp_path / name
    path.write_bytes(MPEG[name](sounds))
    off = abs(len(load_audio(path).waveform) - heard_by(ffmpeg, path))
    assert off <= ONE_PACKET.get(name, 0)


def test_what_an_mp3_gives_is_what_libmpg123_gives_of_its_frames(sounds, tmp_path):
    """Sample for sample, its padding at both ends dropped as ffmpeg drops it."""
    (tmp_path / "a.mp3").write_bytes(sounds["xing.mp3"])
    expected, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32")
    np.testing.assert_array_equal(load_audio(tmp_path / "a.mp3").waveform, expected)
    (tmp_path / "b.mp3").write_bytes(sounds["xing.mp3"] + HTML)
    np.testing.assert_array_equal(load_audio(tmp_path / "b.mp3").waveform, expected)


CHAINS: dict[str, tuple[str, ...]] = {
    "vorbis.ogg": ("a.ogg",) * 2,
    "opus.opus": ("a.opus",) * 3,
    "both.ogg": ("a.ogg", "a.opus"),
    "flac.flac": ("whole.flac",) * 2,
    "piped.flac": ("piped.flac", "whole.flac"),
    "wav.wav": ("a.wav",) * 2,
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_lasts_as_long_as_its_parts_together(name, sounds, tmp_path, without_ffmpeg):
    path = tmp_path / name
    path.write_bytes(b"".join(sounds[part] for part in CHAINS[name]))
    assert load_audio(path).duration_s == pytest.approx(LENGTH_S * len(CHAINS[name]), abs=1e-4)


def test_a_chain_whose_rates_and_channels_change_is_heard_at_its_first_rate(tmp_path):
    parts = []
    for rate_hz, channels in ((22_050, 1), (48_000, 2)):
        samples = np.stack([tone(rate_hz, 1.0)] * channels, axis=1)
        soundfile.write(tmp_path / "part.ogg", samples, rate_hz)
        parts.append((tmp_path / "part.ogg").read_bytes())
    (tmp_path / "chain.ogg").write_bytes(b"".join(parts))
    heard = load_audio(tmp_path / "chain.ogg")
    assert heard.sample_rate_hz == 22_050 and len(heard.waveform) == 2 * 22_050
    spectrum = np.abs(np.fft.rfft(heard.waveform[22_050:]))
    assert np.argmax(spectrum) == 440  # bins of 1 Hz
    assert np.std(heard.waveform[22_050:]) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def flac_of(sounds: Sounds, count: int) -> bytes:
    """A FLAC file whose header says so many samples (36 bits, RFC 9639, section 8.2)."""
    whole = sounds["whole.flac"]
    return whole[:21] + bytes([whole[21] & 0xF0]) + count.to_bytes(4, "big") + whole[26:]


def caf_to_the_end() -> bytes:
    """A caf whose sound goes "to the end of the file", as Core Audio's programs write to a pipe."""
    desc = struct.pack(">d4sIIIII", RATE_HZ, b"lpcm", 2, 2, 1, 1, 16)  # little-endian
    head = b"caff\0\1\0\0desc" + struct.pack(">q", len(desc)) + desc
    return head + b"data" + struct.pack(">q", -1) + bytes(4) + pcm16(tone(RATE_HZ, LENGTH_S))


def bw64() -> bytes:
    """A BW64 as ITU-R BS.2088 has it: sizes in a chunk ds64."""
    data = pcm16(tone(RATE_HZ, LENGTH_S))
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 72 + len(data), len(data), len(data) // 2, 0)
    plain = wav_bytes(data, data_size=2**32 - 1, rate_hz=RATE_HZ)
    return b"BW64" + struct.pack("<I", 2**32 - 1) + b"WAVE" + ds64 + plain[12:]


def tone_wav(**sizes: int) -> bytes:
    return wav_bytes(pcm16(tone(RATE_HZ, LENGTH_S)), rate_hz=RATE_HZ, **sizes)


LENGTHS: dict[str, Callable[[Sounds], bytes]] = {
    "piped.flac": lambda of: of["piped.flac"],
    "says_less.flac": lambda of: flac_of(of, 20_000),
    "tags.flac": lambda of: ID3V2 + of["piped.flac"] + ID3V1,
    "junk.flac": lambda of: of["whole.flac"] + HTML,
    "junk.ogg": lambda of: ID3V2 + of["a.ogg"] + HTML,
    "to_the_end.caf": lambda of: caf_to_the_end(),
    "bw64.wav": lambda of: bw64(),
    **{
        f"size_{size:x}_{riff:x}.wav": lambda of, size=size, riff=riff: tone_wav(
            data_size=size, riff_size=riff
        )
        for size in (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF)
        for riff in (0, 8, 0xFFFFFFFF)
    },
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_file_that_says_nothing_of_its_length_or_too_little_is_read_to_its_end(
    name, sounds, tmp_path, without_ffmpeg
):
    (tmp_path / name).write_bytes(LENGTHS[name](sounds))
    assert load_audio(tmp_path / name).duration_s == LENGTH_S


@pytest.mark.parametrize("kept", [0.3, 0.8])
@pytest.mark.parametrize(
    "name",
    "cbr.mp3 vbr.mp3 xing.mp3 low.mp3 layer2.mp2 piped.flac a.opus flac.oga a.m4a front.m4a a.aac "
    "a.webm a.mka a.wma a.wv yamaha.wav g726.wav alac.caf a.avi".split(),
)
def test_what_is_cut_is_refused_with_or_without_ffmpeg(
    name, kept, sounds, tmp_path, with_ffmpeg, monkeypatch
):
    path = tmp_path / name
    path.write_bytes(sounds[name][: int(len(sounds[name]) * kept)])
    with pytest.raises(ClipError):
        load_audio(path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClipError):
        load_audio(path)


@pytest.mark.parametrize("name", ["cbr.mp3", "a.ogg"])
def test_a_chain_cut_in_its_second_part_is_refused(name, sounds, tmp_path, without_ffmpeg):
    sound = sounds[name]
    (tmp_path / name).write_bytes(sound + sound[: len(sound) * 2 // 3])
    with pytest.raises(ClipError, match="truncated"):
        load_audio(tmp_path / name)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "flac.oga"])
def test_a_chain_whose_second_part_has_lost_its_beginning_is_refused(name, sounds, tmp_path):
    sound = sounds[name]
    second = sound.index(b"OggS", 1)
    (tmp_path / name).write_bytes(sound + bytes(second) + sound[second:])
    with pytest.raises(ClipError, match="damaged: Ogg pages in it"):
        load_audio(tmp_path / name)


def test_an_mp3_within_a_wav_that_is_cut_between_its_packets_is_refused(sounds, tmp_path):
    wav = mp3_in_wav(sounds["cbr.mp3"])
    at = wav.index(b"data") + 8
    (tmp_path / "a.wav").write_bytes(wav[: at + 417])  # the first packet of 128 kbit/s
    with pytest.raises(ClipError, match=r"truncated: 417 bytes of the \d\d,\d+ in its header"):
        load_audio(tmp_path / "a.wav")


def test_a_cut_mp3_says_how_many_of_its_packets_are_there(sounds, tmp_path):
    (tmp_path / "a.mp3").write_bytes(sounds["xing.mp3"][: len(sounds["xing.mp3"]) // 2])
    (tmp_path / "b.mp3").write_bytes(sounds["cbr.mp3"][: 10 * 417 + 100])
    with pytest.raises(ClipError, match=r"truncated: \d+ packets of the \d+ in its header"):
        load_audio(tmp_path / "a.mp3")
    with pytest.raises(ClipError, match=r"truncated: the last of its 1\d packets lacks"):
        load_audio(tmp_path / "b.mp3")


@pytest.mark.parametrize(
    ("name", "lost"),
    [("xing.mp3", 1), ("cbr.mp3", 1), ("low.mp3", 144)],  # a packet of 32 kbit/s at 16 kHz
)
def test_an_mp3_that_lacks_its_last_byte_or_its_last_packet_is_refused(
    name, lost, sounds, tmp_path
):
    (tmp_path / name).write_bytes(sounds[name][:-lost])
    with pytest.raises(ClipError, match=r"truncated: \d\d packets of|packets lacks 1 bytes"):
        load_audio(tmp_path / name)
