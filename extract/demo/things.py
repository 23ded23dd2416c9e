"""Sounds of weather, machines and struck things for the demo: (desk, seconds, traits) → [n]."""

from collections.abc import Mapping

import numpy as np

from extract.demo.dsp import Desk, level

Traits = Mapping[str, str]

# Of a church bell: its partials relative to the hum.
BELL_PARTIALS = np.array([1.0, 2.0, 2.4, 3.0, 4.0, 5.3])


def wind(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Low noise that swells; strong wind has gusts and a howl."""
    strong = traits["strength"] == "strong"
    low = d.noise(seconds, (30, 0), (d.about(250), -3), (1200, -30), (8000, -60))
    if not strong:
        return low * d.wander(seconds, 2.0, 0.7, 1.0)
    howl = d.resonate(d.rng.standard_normal(len(low)), d.about(600), 60)
    gusts = d.wander(seconds, 0.7, 0.15, 1.0)
    return low * gusts + 0.5 * level(howl) * gusts**2


def thunder(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """A long rolling rumble, or a crack and then the rumble."""
    length_s = min(seconds, d.rng.uniform(2.5, 4.5))
    rumble = d.noise(length_s, (20, 0), (110, 0), (400, -25), (4000, -55))
    rumble = d.faded(rumble * d.wander(length_s, 0.25, 0.2, 1), 0.3, 0.7 * length_s)
    if traits["strength"] == "strong":
        crack = d.noise(length_s, (60, 0), (1500, -3), (6000, -15))
        rumble += 2.5 * d.decaying(crack, 0.18) * d.wander(length_s, 0.05, 0.2, 1)
    return rumble


def rain(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Single drops over a thin hiss, or a dense roar."""
    hiss = d.noise(seconds, (100, -35), (1000, -12), (4000, 0), (10000, -4))
    drop = d.ring(0.02, (d.rng.uniform(2000, 3500), d.rng.uniform(4500, 6000)), (0.003, 0.002))
    if traits["strength"] == "strong":
        body = d.noise(seconds, (100, -20), (500, 0), (2500, 0), (8000, -8))
        return body + 0.4 * hiss + level(d.shower(seconds, 700, drop)) * 0.5
    return 0.25 * hiss + level(d.shower(seconds, d.about(45), drop))


def stream(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Bubbles whose pitch rises, over a soft wash."""
    strong = traits["strength"] == "strong"
    sound = 0.0 * d.track(seconds, 0)
    for _ in range(8):
        start_hz = d.rng.uniform(350, 1500)
        bubble = d.tone(d.track(0.06, start_hz, 1.5 * start_hz), (1,))
        sound += d.shower(seconds, 9 if strong else 3, d.decaying(bubble, 0.018))
    wash = d.noise(seconds, (150, -15), (600, 0), (1800, -4), (8000, -35))
    return level(sound) + (0.9 if strong else 0.1) * wash


def frying(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """A high sizzle full of crackles."""
    sizzle = d.noise(seconds, (500, -45), (4000, -8), (6500, 0), (14000, -3))
    pop = d.decaying(d.noise(0.01, (800, -20), (3500, 0), (7000, -6)), 0.0015)
    return sizzle * d.wander(seconds, 0.4, 0.6, 1) + 1.5 * level(d.shower(seconds, 25, pop))


def engine(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Firing pulses through a muffler: idling, or revved up and down."""
    if traits["state"] == "idle":
        hz = d.about(27) * d.wander(seconds, 0.3, 0.96, 1.04)
    else:
        hz = d.wander(seconds, d.rng.uniform(0.7, 1.2), 60, 190)
    pulses = d.pulses(hz) + 0.03 * d.rng.standard_normal(len(hz))
    muffled = d.resonate(pulses, d.about(110), 90) + 0.6 * d.resonate(pulses, d.about(420), 250)
    return d.faded(level(muffled), 0.2, 0.3)


def train_horn(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Five reeds in a chord, blown for a second or two."""
    root_hz = d.rng.uniform(290, 340)

    length_s = d.rng.uniform(0.9, 1.5)
    chord = sum(
        d.tone(d.track(length_s, 0.97 * hz, hz, hz, hz, hz), [1 / k for k in range(1, 9)])
        for hz in root_hz * np.array([1, 1.19, 1.34, 1.5, 1.68])
    )
    blast = d.faded(np.asarray(chord), 0.08, 0.15)
    times = d.onsets(seconds, length_s + d.rng.uniform(0.4, 0.7), traits["count"])
    return d.series(seconds, times, lambda: blast)


def siren(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """A tone swept up and down, slowly (wail) or quickly (yelp)."""
    sweep_hz = d.about({"slow": 0.28, "fast": 3.2}[traits["pace"]])
    low_hz, high_hz = d.rng.uniform(500, 650), d.rng.uniform(1150, 1450)
    place = np.arange(d.length(seconds)) * (sweep_hz / d.rate_hz) + d.rng.random()
    hz = low_hz + (high_hz - low_hz) * (0.5 - 0.5 * np.cos(2 * np.pi * place))
    return d.faded(d.tone(hz, (1, 0.3, 0.35, 0.1, 0.15)), 0.3, 0.3)


def helicopter(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Rotor beats, eleven to fifteen a second, over turbine noise; overhead or passing by."""
    beats = np.arange(d.length(seconds)) / d.rate_hz * d.rng.uniform(10.5, 14.5) % 1.0
    chop = d.noise(seconds, (40, 0), (180, 0), (900, -18), (6000, -45))
    sound = chop * (0.12 + np.exp(-9 * beats)) + 0.06 * d.noise(seconds, (300, -20), (2500, 0))
    if traits["motion"] == "passing":
        sound *= d.track(seconds, 0.06, 0.3, 1, 0.3, 0.06)
    return sound


def knock(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Knuckles on a wooden door."""
    plank_hz = d.rng.uniform(140, 240)
    every_s = d.about({"slow": 0.55, "fast": 0.2}[traits["pace"]])

    def grain() -> np.ndarray:
        hit = d.ring(0.15, (plank_hz, 2.3 * plank_hz, 3.9 * plank_hz), (0.035, 0.02, 0.012))
        hit[: d.length(0.004)] += 0.5 * d.rng.standard_normal(d.length(0.004))
        return hit * d.rng.uniform(0.8, 1)

    return d.series(seconds, d.onsets(seconds, every_s, traits["count"]), grain)


def telephone(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Two gongs struck in turn twenty times a second, on for a second or two, then off."""
    gongs_hz = (d.rng.uniform(1000, 1250), d.rng.uniform(1350, 1600))
    on_s = d.rng.uniform(1.1, 1.6)

    def grain() -> np.ndarray:
        beats = np.arange(d.length(on_s)) / d.rate_hz * d.rng.uniform(19, 24) % 1.0
        ring = d.ring(on_s, [*gongs_hz, 2.7 * gongs_hz[0], 2.7 * gongs_hz[1]], [60] * 4)
        return d.faded(ring * np.exp(-2.5 * beats), 0.01, 0.12)

    return d.series(seconds, d.onsets(seconds, on_s + 0.7, traits["count"]), grain)


def bell(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """A struck bell: inharmonic partials that ring on."""
    strike_hz = d.about({"low": 260, "high": 1150}[traits["pitch"]])
    every_s = d.about({"slow": 1.7, "fast": 0.45}[traits["pace"]])
    decay_s = 0.9 / (1 + 0.6 * np.arange(len(BELL_PARTIALS)))
    blow = d.ring(2.5, strike_hz * BELL_PARTIALS, decay_s)
    return d.series(seconds, d.onsets(seconds, every_s), lambda: blow * d.rng.uniform(0.8, 1))


def tick_tock(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Two clicks in turn, evenly."""
    every_s = {"slow": d.rng.uniform(0.45, 0.6), "fast": d.rng.uniform(0.16, 0.24)}[traits["pace"]]
    tick_hz = d.rng.uniform(2200, 3200)
    clicks = [d.ring(0.05, (hz, 1.9 * hz), (0.006, 0.003)) for hz in (tick_hz, 0.75 * tick_hz)]
    times = np.arange(0, max(seconds - 0.05, every_s), every_s)
    turn = iter(range(len(times)))
    return d.series(seconds, times, lambda: clicks[next(turn) % 2])


def hammer(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Metal on metal with a thud underneath."""
    every_s = d.about({"slow": 0.85, "fast": 0.3}[traits["pace"]])
    nail_hz, bench_hz = d.rng.uniform(1500, 2300), d.rng.uniform(90, 140)

    def grain() -> np.ndarray:
        clang = d.ring(0.25, nail_hz * np.array([1, 1.6, 2.3, 3.1]), (0.05, 0.04, 0.03, 0.02))
        return (clang + 1.2 * d.ring(0.25, (bench_hz,), (0.04,))) * d.rng.uniform(0.7, 1)

    return d.series(seconds, d.onsets(seconds, every_s), grain)


def gunshot(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """A blast of noise and its tail."""
    every_s = d.rng.uniform(0.5, 0.9)

    def grain() -> np.ndarray:
        blast = d.decaying(d.noise(0.7, (40, 0), (900, 0), (5000, -8), (12000, -20)), 0.035)
        tail = d.decaying(d.noise(0.7, (40, 0), (300, -3), (3000, -25)), 0.2)
        return blast + 0.25 * tail

    return d.series(seconds, d.onsets(seconds, every_s, traits["count"]), grain)


def alarm(d: Desk, seconds: float, traits: Traits) -> np.ndarray:
    """Hard electronic beeps."""
    hz = d.about({"low": 750, "high": 2700}[traits["pitch"]], 0.12)
    every_s = d.about({"slow": 0.9, "fast": 0.22}[traits["pace"]])
    beep_s = 0.55 * every_s
    beep = d.tone(d.track(beep_s, hz), [1, 0, 1 / 3, 0, 1 / 5, 0, 1 / 7])
    beep = d.faded(beep, 0.005, 0.005)
    return d.series(seconds, d.onsets(seconds, every_s), lambda: beep)
