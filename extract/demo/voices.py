"""Sounds of people and animals for the demo: (desk, seconds, traits) → [n]."""

from collections.abc import Mapping

import numpy as np

from extract.demo.dsp import Desk, level

Traits = Mapping[str, str]

# First three formants (Hz) of five vowels of a man; others are scaled. Peterson and Barney, 1952.
VOWELS = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
)
VOICES = {"man": (115, 1.0), "woman": (215, 1.17), "child": (330, 1.35)}


def _syllable(d: Desk, seconds: float, voice: str, fall: float = 0.9) -> np.ndarray:
    pitch_hz, size = VOICES[voice]
    start_hz = d.about(pitch_hz, 0.12)
    source = d.pulses(d.track(seconds, start_hz, start_hz * d.about(1.05), start_hz * fall))
    source += 0.01 * d.rng.standard_normal(len(source))
    vowel = VOWELS[int(d.rng.integers(len(VOWELS)))]
    sound = sum(
        d.resonate(source, formant * size, 90) * gain
        for formant, gain in zip(vowel, (1, 0.6, 0.3), strict=True)
    )
    return d.faded(level(np.asarray(sound)), 0.02, 0.06)


def speech(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Vowels of random formants in the rhythm of sentences, with hissed consonants."""

    def grain() -> np.ndarray:
        if d.rng.random() < 0.12:
            return np.zeros(1)  # a breath
        sound = _syllable(d, d.rng.uniform(0.12, 0.26), traits["voice"])
        if d.rng.random() < 0.35:
            hiss = d.faded(d.noise(0.07, (2000, -30), (4500, 0), (7500, 0)), 0.02, 0.03)
            sound[: len(hiss)] += 0.4 * hiss[: len(sound)]
        return sound

    return d.series(seconds, d.onsets(seconds, d.rng.uniform(0.2, 0.27)), grain)


def laughter(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Breathy, falling syllables in bursts."""
    every_s = d.rng.uniform(0.16, 0.22)
    times = d.onsets(seconds, every_s)
    times = times[(np.arange(len(times)) % 8) < 6]

    def grain() -> np.ndarray:
        voiced = _syllable(d, 0.6 * every_s, traits["voice"], fall=0.75)
        breath = d.faded(d.noise(0.8 * every_s, (300, -20), (1500, 0), (5000, -15)), 0.03, 0.05)
        breath[: len(voiced)] += 1.5 * voiced
        return breath

    return d.series(seconds, times, grain)


def whistling(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """A tune of pure tones with vibrato."""
    base_hz = d.about({"low": 950, "high": 2100}[traits["pitch"]], 0.12)

    def grain() -> np.ndarray:
        length_s = d.rng.uniform(0.25, 0.6)
        step = d.rng.choice([0, 2, 4, 5, 7, 9])
        hz = base_hz * 2 ** (step / 12) * d.track(length_s, 0.97, 1, 1, 1)
        hz = hz * (1 + 0.008 * np.sin(np.arange(len(hz)) * (2 * np.pi * 5.5 / d.rate_hz)))
        breath = 0.02 * d.rng.standard_normal(len(hz))
        return d.faded(d.tone(hz, (1, 0.04)) + breath, 0.04, 0.05)

    return d.series(seconds, d.onsets(seconds, d.rng.uniform(0.4, 0.5)), grain)


def applause(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Claps of a few hands or of a hall."""
    per_s = d.about({"weak": 14, "strong": 160}[traits["strength"]])
    sound = np.zeros(d.length(seconds))
    for _ in range(3):
        peak_hz = d.rng.uniform(900, 2200)
        clap = d.noise(0.05, (200, -40), (peak_hz, 0), (peak_hz * 2, -8), (9000, -30))
        sound += d.shower(seconds, per_s / 3, d.decaying(clap, 0.008))
    return d.faded(sound, 0.5, 0.7)


def dog(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Short harsh barks that rise and fall."""
    base_hz, mouth_hz = {"low": (190.0, 650.0), "high": (480.0, 1500.0)}[traits["pitch"]]
    base_hz, mouth_hz = d.about(base_hz), d.about(mouth_hz)
    every_s = d.rng.uniform(0.45, 0.8)

    def grain() -> np.ndarray:
        length_s = d.rng.uniform(0.13, 0.22)
        hz = d.track(length_s, 0.8 * base_hz, 1.3 * base_hz, 0.7 * base_hz)
        bark = d.tone(hz, [1 / k**0.5 for k in range(1, 16)]) + d.rng.standard_normal(len(hz))
        bark = d.resonate(bark, mouth_hz, 350) + 0.4 * d.resonate(bark, 2.2 * mouth_hz, 500)
        return d.faded(bark, 0.015, 0.08)

    return d.series(seconds, d.onsets(seconds, every_s, traits["count"]), grain)


def cat(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Long gliding meows whose mouth opens and closes."""
    base_hz = d.about({"low": 480, "high": 800}[traits["pitch"]], 0.1)

    def grain() -> np.ndarray:
        length_s = d.rng.uniform(0.6, 0.95)
        hz = d.track(length_s, 0.8 * base_hz, 1.25 * base_hz, 1.15 * base_hz, 0.75 * base_hz)
        closed = d.tone(hz, (1, 0.5, 0.2))
        opened = d.tone(hz, (0.2, 0.7, 1, 0.9, 0.5, 0.3))
        mouth = d.track(length_s, 0, 1, 0.7, 0)
        return d.faded(closed * (1 - mouth) + opened * mouth, 0.08, 0.15)

    return d.series(seconds, d.onsets(seconds, d.rng.uniform(1.1, 1.6), traits["count"]), grain)


def bird(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Quick whistled sweeps between 2.5 and 6 kHz."""
    base_hz, bend = d.rng.uniform(2800, 4600), d.rng.uniform(0.7, 1.4)
    every_s = d.about({"slow": 0.55, "fast": 0.13}[traits["pace"]])

    def grain() -> np.ndarray:
        hz = d.track(d.rng.uniform(0.05, 0.11), d.about(base_hz, 0.06), base_hz * bend)
        return d.faded(d.tone(hz, (1, 0.1)), 0.01, 0.03) * d.rng.uniform(0.6, 1)

    return d.series(seconds, d.onsets(seconds, every_s), grain)


def owl(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Soft round hoots, low and almost pure."""
    base_hz = d.rng.uniform(300, 420)

    def grain() -> np.ndarray:
        hz = d.track(d.rng.uniform(0.35, 0.6), 0.9 * base_hz, base_hz, base_hz, 0.88 * base_hz)
        return d.faded(d.tone(hz, (1, 0.12, 0.03)), 0.1, 0.15)

    return d.series(seconds, d.onsets(seconds, d.rng.uniform(0.75, 1.1), traits["count"]), grain)


def frog(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Croaks: a throat resonance struck thirty to sixty times a second."""
    throat_hz = d.about({"low": 420, "high": 1100}[traits["pitch"]])
    buzz_hz = d.rng.uniform(30, 60)

    def grain() -> np.ndarray:
        clicks = d.pulses(d.track(d.rng.uniform(0.22, 0.4), buzz_hz, 1.3 * buzz_hz))
        croak = d.resonate(clicks, throat_hz, 120) + 0.5 * d.resonate(clicks, 2.3 * throat_hz, 200)
        return d.faded(level(croak), 0.03, 0.06)

    every_s = d.rng.uniform(0.55, 0.9)
    return d.series(seconds, d.onsets(seconds, every_s), grain)


def cricket(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Chirps of three or four pulses on a carrier near 4.5 kHz."""
    hz = d.rng.uniform(4000, 5200)
    chirp_s = d.about({"slow": 0.75, "fast": 0.24}[traits["pace"]])
    time_s = np.arange(d.length(seconds)) / d.rate_hz
    inside = (time_s % chirp_s) < d.rng.uniform(0.1, 0.14)
    pulse = np.sin(2 * np.pi * d.rng.uniform(14, 18) * (time_s % chirp_s)) ** 2
    return d.tone(np.full(len(time_s), hz), (1,)) * pulse * inside
