"""Captions from a program: files, samples, lists and folders; what a result holds."""

import threading

import numpy as np
import pytest
import soundfile

from evaluate.captions import Captioner
from features.common.errors import ClipError, ConfigError, DumpError
from tests.evaluate.captions.conftest import RATE_HZ
from tests.evaluate.conftest import CAPTIONS


@pytest.fixture(scope="module")
def captioner(run, weights):
    return Captioner(run[0], weights=weights, device="cpu", features=True)


def test_a_file_has_the_caption_tags_and_features_of_its_shard(captioner, clips, run):
    said = captioner(clips / "3.wav")
    assert said.text == CAPTIONS[3]
    assert (said.start_s, said.end_s) == (0, 10)
    assert said.name == str(clips / "3.wav")
    (window,) = said.windows
    assert window.n_best[0].text == said.text and 0 < said.probability <= 1
    clip = run[1][3]
    logits = clip.streams["yamnet"].astype(np.float64)
    scores = 1 / (1 + np.exp(-logits.max(axis=1)))
    assert [tag.name for tag in said.tags] == captioner.listener.run.builder.tag_names(clip.streams)
    np.testing.assert_allclose([tag.score for tag in said.tags], scores, atol=2e-3)
    np.testing.assert_allclose(window.features["yamnet"], clip.streams["yamnet"], atol=2e-2)


def test_a_list_is_one_call_in_its_order_and_a_folder_is_all_its_sounds(captioner, clips):
    samples, _ = soundfile.read(clips / "4.wav", dtype="float32")
    said = captioner([clips / "1.wav", samples, clips / "1.wav"], sample_rate=RATE_HZ)
    assert [item.text for item in said] == [CAPTIONS[i] for i in (1, 4, 1)]
    assert captioner(samples, sample_rate=RATE_HZ).text == CAPTIONS[4]
    assert [item.text for item in captioner(clips)] == list(CAPTIONS[:5])


def test_a_long_sound_has_a_caption_for_each_window(captioner, clips):
    parts = [soundfile.read(clips / f"{i}.wav", dtype="float32")[0] for i in (3, 0)]
    said = captioner(np.concatenate(parts), sample_rate=RATE_HZ)
    assert said.text == f"{CAPTIONS[3]}\n{CAPTIONS[0]}"
    assert [(window.start_s, window.end_s) for window in said.windows] == [(0, 10), (10, 20)]
    assert said.probability == min(window.probability for window in said.windows)
    assert len(said.tags) == sum(len(window.tags) for window in said.windows)


def test_what_cannot_be_used_is_named_or_told_and_the_others_go_on(captioner, clips, tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    with pytest.raises(ClipError, match=r"bad\.wav: "):
        captioner(tmp_path / "bad.wav")
    told = []
    said = captioner([tmp_path / "bad.wav", clips / "0.wav"], failed=lambda *why: told.append(why))
    assert [item.text for item in said] == [CAPTIONS[0]]
    assert told[0][0] == str(tmp_path / "bad.wav")
    with pytest.raises(ConfigError, match="sample_rate=44100"):
        captioner(np.zeros(100, np.float32))
    with pytest.raises(DumpError, match="no such file"):
        captioner(tmp_path / "none.wav")


@pytest.mark.parametrize("sound", ["", None, b"RIFF", {"array": [0.0]}, [0.0, 0.1]])
def test_what_is_no_sound_is_named(captioner, sound):
    with pytest.raises(ConfigError, match=r"a sound is .*, expected a file, a folder, samples"):
        captioner(sound, sample_rate=16_000)


def test_an_option_that_there_is_not_is_named(run, weights):
    with pytest.raises(ConfigError, match="beems"):
        Captioner(run[0], weights=weights, beems=2)


def test_threads_take_turns(captioner, clips):
    said = {}
    calls = [
        threading.Thread(target=lambda i=i: said.update({i: captioner(clips / f"{i}.wav").text}))
        for i in range(5)
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert said == dict(enumerate(CAPTIONS[:5]))


def test_windows_overlap_silence_is_marked_and_equal_neighbours_are_one_stretch(captioner, clips):
    sound, _ = soundfile.read(clips / "3.wav", dtype="float32")
    said = captioner(np.concatenate([sound, sound, 0 * sound, sound]), sample_rate=RATE_HZ)
    assert [window.text for window in said.windows] == [
        CAPTIONS[3], CAPTIONS[3], "[silence]", CAPTIONS[3]
    ]  # fmt: skip
    assert [window.silent for window in said.windows] == [False, False, True, False]
    assert said.windows[2].tags == said.windows[2].n_best == ()
    spans = [(stretch.start_s, stretch.end_s) for stretch in said.stretches]
    assert spans == [(0, 20), (20, 30), (30, 40)]
    assert said.stretches[0].probability == min(w.probability for w in said.windows[:2])
    halves = captioner(np.concatenate([sound, sound]), sample_rate=RATE_HZ, hop_s=5)
    assert [(w.start_s, w.end_s) for w in halves.windows] == [(0, 10), (5, 15), (10, 20)]
    loudest = captioner(0.5 * sound, sample_rate=RATE_HZ, silence_db=0)
    assert loudest.text == "[silence]" and loudest.probability == 1
    with pytest.raises(ConfigError, match="hop is 11"):
        captioner(sound, sample_rate=RATE_HZ, hop_s=11)
