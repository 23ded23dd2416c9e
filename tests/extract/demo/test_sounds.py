"""Each synthetic sound is what its traits say: finite, within its time, audible, at its pitch."""

import csv

import numpy as np
import pytest

from extract.demo.dsp import Desk, level
from extract.demo.sounds import KINDS

RATE_HZ = 16000


def make(kind, seconds, seed=0, **traits):
    desk = Desk(rng=np.random.default_rng(seed), rate_hz=RATE_HZ)
    drawn = {name: str(desk.rng.choice(values)) for name, values in KINDS[kind].traits.items()}
    return KINDS[kind].make(desk, seconds, {**drawn, **traits})


def peak_hz(sound):
    return np.argmax(np.abs(np.fft.rfft(sound))) * RATE_HZ / len(sound)


def loud_stretches(sound, gap_s=0.25):
    """How many stretches of sound stand apart by at least `gap_s` of near silence."""
    step = RATE_HZ // 100
    power = np.add.reduceat(sound**2, np.arange(0, len(sound), step))
    loud = np.flatnonzero(power > 0.01 * power.max())
    return 1 + int(np.sum(np.diff(loud) > gap_s * 100))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [1.9, 10.0])
def test_a_sound_is_finite_audible_and_within_its_time(kind, seconds):
    for seed in range(3):
        sound = make(kind, seconds, seed)
        assert np.isfinite(sound).all()
        assert sound.std() > 1e-3
        assert 0.05 * RATE_HZ < len(sound) <= seconds * RATE_HZ


@pytest.mark.parametrize("kind", KINDS)
def test_two_draws_of_a_sound_differ(kind):
    a, b = make(kind, 3.0, 1), make(kind, 3.0, 2)
    assert len(a) != len(b) or not np.allclose(a, b)


@pytest.mark.parametrize(
    ("kind", "low_hz", "high_hz"),
    [
        ("Whistling", (700, 2200), (1500, 4700)),  # base within 12 %, up to nine semitones above
        ("Alarm", (660, 840), (2376, 3024)),
        ("Bell", (221, 1600), (977, 6500)),  # any of its six partials
    ],
)
def test_pitch_is_what_the_trait_says(kind, low_hz, high_hz):
    for seed in range(4):
        assert low_hz[0] <= peak_hz(make(kind, 4.0, seed, pitch="low")) <= low_hz[1]
        assert high_hz[0] <= peak_hz(make(kind, 4.0, seed, pitch="high")) <= high_hz[1]


@pytest.mark.parametrize("kind", ["Train horn", "Cat", "Telephone bell ringing"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_count_is_what_the_trait_says(kind, count):
    for seed in range(4):
        assert loud_stretches(make(kind, 9.0, seed, count=str(count)), 0.12) == count


def test_a_fast_alarm_beeps_more_often_than_a_slow_one():
    slow = loud_stretches(make("Alarm", 5.0, pace="slow"), 0.05)
    fast = loud_stretches(make("Alarm", 5.0, pace="fast"), 0.05)
    assert 4 <= slow <= 8
    assert fast >= 2 * slow


def test_level_makes_the_loudest_half_of_unit_power():
    burst = np.concatenate([np.zeros(8000), np.full(8000, 0.25)])
    np.testing.assert_allclose(level(burst)[8000:], 1.0, rtol=1e-6)


def test_noise_follows_its_corners():
    desk = Desk(rng=np.random.default_rng(0), rate_hz=RATE_HZ)
    sound = desk.noise(10.0, (100, 0), (1000, 0), (4000, -40))
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    inside = power[(hz > 200) & (hz < 900)].mean()
    outside = power[(hz > 4500) & (hz < 7500)].mean()
    assert 10 * np.log10(inside / outside) == pytest.approx(40, abs=1)


def test_a_harmonic_above_the_band_is_left_out_rather_than_folded_back():
    desk = Desk(rng=np.random.default_rng(0), rate_hz=RATE_HZ)
    sound = desk.tone(np.full(RATE_HZ, 3000.0), (1, 1, 1, 1))
    power = np.abs(np.fft.rfft(sound)) ** 2
    assert set(np.flatnonzero(power > 1e-3 * power.max())) == {3000, 6000}


@pytest.mark.real_data
def test_kinds_are_named_as_audioset_names_them(real_data):
    with (real_data / "weights" / "yamnet_class_map.csv").open(newline="") as file:
        names = {row["display_name"] for row in csv.DictReader(file)}
    assert set(KINDS) <= names
    assert len(KINDS) >= 20
