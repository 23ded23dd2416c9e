"""What libsndfile cannot decode comes through ffmpeg where there is one, and nothing else does."""

import gzip
import os
from pathlib import Path

import pytest
import soundfile

from extract.sound.audio import load_audio
from extract.sound.files import ffmpeg as module
from features.common.errors import ClipError
from tests.extract.sound.foreign import LENGTH_S, heard_by
from tests.extract.zoo import RATE_HZ, tone

FOREIGN = (
    "a.m4a front.m4a a.aac a.webm a.mka a.wma alac.caf flac.oga a.wv yamaha.wav g726.wav a.amr "
    "a.avi"
).split()


@pytest.mark.parametrize("name", FOREIGN)
def test_other_codecs_are_as_long_as_ffmpeg_says(name, sounds, tmp_path, ffmpeg, with_ffmpeg):
    (tmp_path / name).write_bytes(sounds[name])
    heard = load_audio(tmp_path / name)
    assert len(heard.waveform) == heard_by(ffmpeg, tmp_path / name)
    assert heard.duration_s == pytest.approx(LENGTH_S, abs=0.1)


@pytest.mark.parametrize("name", FOREIGN)
def test_without_ffmpeg_the_reason_says_what_to_do(name, sounds, tmp_path, without_ffmpeg):
    (tmp_path / name).write_bytes(sounds[name])
    with pytest.raises(ClipError, match=r"no ffmpeg on the PATH; convert it, .*ffmpeg -i IN OUT"):
        load_audio(tmp_path / name)


def test_the_samples_are_those_that_were_encoded(tmp_path, ffmpeg, with_ffmpeg):
    """WavPack loses nothing, so two channels and their mean are known."""
    soundfile.write(tmp_path / "a.wav", [[0.5, 0.25], [-0.5, 0.0]] * 500, RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.wv")
    heard = load_audio(tmp_path / "a.wv")
    assert heard.sample_rate_hz == RATE_HZ
    assert heard.waveform.tolist() == [0.375, -0.25] * 500


@pytest.mark.parametrize("name", ["-dash.wv", "-i", "a:b.wv", "no_utf_8_\udcff.wv", "%d.wv"])
def test_any_name_is_a_name(name, tmp_path, ffmpeg, with_ffmpeg, monkeypatch):
    soundfile.write(tmp_path / "a.wav", tone(), RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.wv")
    (tmp_path / "a.wv").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert load_audio(Path(name)).duration_s == 0.5


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile secret.wav\n",
    "sdp": "v=0\nm=audio 9 RTP/AVP 0\nc=IN IP4 127.0.0.1\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"/>',
    "metadata": ";FFMETADATA1\ntitle=a\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("front", [b"", b"\xef\xbb\xbf"])
def test_no_file_leads_to_another(kind, front, tmp_path, with_ffmpeg):
    soundfile.write(tmp_path / "secret.wav", tone(), RATE_HZ)
    path = tmp_path / "a.m4a"
    path.write_bytes(front + PLAYLISTS[kind].encode())
    with pytest.raises(ClipError, match="is text, not audio"):
        load_audio(path)
    # Were it not seen that it is text: ffmpeg itself is told which containers to open.
    with pytest.raises(ClipError, match="ffmpeg"), module.opened(path) as pipe:
        list(pipe.blocks)


def test_an_archive_and_a_film_without_sound_are_said_in_plain_words(tmp_path, ffmpeg, with_ffmpeg):
    soundfile.write(tmp_path / "a.wav", tone(), RATE_HZ)
    (tmp_path / "packed.wav").write_bytes(gzip.compress((tmp_path / "a.wav").read_bytes()))
    with pytest.raises(ClipError, match="an archive, a playlist or the like: unpack it"):
        load_audio(tmp_path / "packed.wav")
    ffmpeg("-f", "lavfi", "-i", "color=s=16x16:d=0.1", "-c:v", "mpeg4", tmp_path / "silent.mp4")
    with pytest.raises(ClipError, match="no sound in it, says ffmpeg"):
        load_audio(tmp_path / "silent.mp4")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exec tail -f /dev/null", "decoded nothing for 0.1 s"),
        ("exec yes", "something else than sound"),
        ("exit 0", "no sound in it"),
        ("echo '[wv @ 0x1] It is broken' >&2; exit 3", "whole: It is broken"),
        ("exit 3", "ended with code 3"),
    ],
)
def test_an_ffmpeg_that_hangs_or_fails_costs_its_clip_alone(
    script, reason, tmp_path, monkeypatch, ffmpeg
):
    soundfile.write(tmp_path / "a.wav", tone(), RATE_HZ)
    ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.wv")
    (tmp_path / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if "tail" in script:
        monkeypatch.setattr(module, "WAIT_S", 0.1)
    with pytest.raises(ClipError, match=reason):
        load_audio(tmp_path / "a.wv")


def test_an_ogg_without_the_mark_of_its_end_is_whole_if_it_ends_within_a_packet(
    sounds, tmp_path, with_ffmpeg, monkeypatch
):
    """Its last page counts fewer samples than its packets hold: so ends no file that was cut."""
    whole = sounds["a.ogg"]
    last = whole.rfind(b"OggS")
    page = bytearray(whole[last:])
    page[5] &= ~4
    page[22:26] = bytes(4)
    page[22:26] = ogg_checksum(page).to_bytes(4, "little")
    path = tmp_path / "a.ogg"
    path.write_bytes(whole[:last] + page)
    assert load_audio(path).duration_s == LENGTH_S
    (tmp_path / "cut.ogg").write_bytes(whole[:last])
    with pytest.raises(ClipError, match="truncated: its last Ogg page is not the end"):
        load_audio(tmp_path / "cut.ogg")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClipError, match=r"not the end of the stream .*ffmpeg -i IN"):
        load_audio(path)


def ogg_checksum(page: bytes) -> int:
    """CRC-32 with polynomial 0x04C11DB7, neither reflected nor inverted (RFC 3533, section 6)."""
    remainder = 0
    for byte in page:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C11DB7 if remainder >> 31 else 0)) & 0xFFFFFFFF
    return remainder
