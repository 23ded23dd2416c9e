"""Building blocks of the demo's sounds: noise, tones, pulses, resonances, grains, distance."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len
from scipy.signal import lfilter, oaconvolve

MANY = "many"
SILENT_DB = -90.0


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A sample rate and a random generator: what every sound of one clip is made with."""

    rng: np.random.Generator
    rate_hz: int

    def length(self, seconds: float) -> int:
        """Samples in `seconds`, at least one."""
        return max(1, round(seconds * self.rate_hz))

    def about(self, value: float, spread: float = 0.15) -> float:
        """`value` times a random factor within 1 ± spread."""
        return value * self.rng.uniform(1 - spread, 1 + spread)

    def noise(self, seconds: float, *shape: tuple[float, float]) -> np.ndarray:
        """Gaussian-like noise of RMS 1 with a given spectrum.

        Args:
            seconds: its length.
            shape: (frequency in Hz, level in dB) corners, joined by straight lines over log
                frequency; flat beyond the outermost.
        """
        count = self.length(seconds)
        padded = next_fast_len(count, real=True)
        table_hz = np.geomspace(20.0, self.rate_hz, 300)
        table_db = np.interp(
            np.log(table_hz), np.log([hz for hz, _ in shape]), [db for _, db in shape]
        )
        hz = np.arange(padded // 2 + 1) * (self.rate_hz / padded)
        gain = np.interp(hz, table_hz, 10 ** (table_db / 20)).astype(np.float32)
        angle = self.rng.random(len(hz), dtype=np.float32) * np.float32(2 * np.pi)
        spectrum = np.empty(len(hz), np.complex64)
        spectrum.real, spectrum.imag = gain * np.cos(angle), gain * np.sin(angle)
        sound = irfft(spectrum, padded)[:count].astype(np.float64)
        return sound / (np.sqrt(np.mean(sound**2)) + 1e-12)

    def wander(self, seconds: float, every_s: float, low: float, high: float) -> np.ndarray:
        """A smooth random curve between low and high with a new target each `every_s`."""
        knots = max(2, round(seconds / every_s) + 2)
        targets = self.rng.uniform(low, high, knots)
        return np.interp(np.linspace(0, knots - 1, self.length(seconds)), range(knots), targets)

    def track(self, seconds: float, *hz: float) -> np.ndarray:
        """A frequency curve through the given values, equally spaced in time."""
        count = self.length(seconds)
        return np.interp(np.linspace(0, len(hz) - 1, count), range(len(hz)), hz)

    def tone(self, hz: np.ndarray, partials: Sequence[float]) -> np.ndarray:
        """Harmonics of a gliding fundamental, those above the band left out.

        Args:
            hz: [n], the fundamental at each sample.
            partials: amplitude of harmonic 1, 2, 3 …
        """
        turns = np.cumsum(hz / self.rate_hz)
        top = float(np.max(hz))
        sound = np.zeros(len(hz))
        for number, amplitude in enumerate(partials, start=1):
            if amplitude and number * top < 0.47 * self.rate_hz:
                # Folded to one turn first: float32 sines are fast and then exact enough.
                angle = ((turns * number) % 1.0 * (2 * np.pi)).astype(np.float32)
                sound += amplitude * np.sin(angle)
        return sound

    def pulses(self, hz: np.ndarray) -> np.ndarray:
        """A train of unit impulses, one per period of a gliding fundamental."""
        turns = np.floor(np.cumsum(hz / self.rate_hz) + self.rng.random())
        return np.diff(turns, prepend=turns[0])

    def resonate(self, sound: np.ndarray, hz: float, width_hz: float) -> np.ndarray:
        """A two-pole resonance of about unit gain at its peak."""
        hz = min(hz, 0.45 * self.rate_hz)
        radius = np.exp(-np.pi * width_hz / self.rate_hz)
        angle = 2 * np.pi * hz / self.rate_hz
        gain = (1 - radius) * np.sqrt(1 - 2 * radius * np.cos(2 * angle) + radius**2)
        return lfilter([gain], [1, -2 * radius * np.cos(angle), radius**2], sound)

    def ring(self, seconds: float, hz: Iterable[float], decay_s: Iterable[float]) -> np.ndarray:
        """Decaying sines struck together, as of a bell or a plank; the first is the loudest."""
        time_s = np.arange(self.length(seconds)) / self.rate_hz
        sound = np.zeros(len(time_s))
        for number, (partial_hz, tau_s) in enumerate(zip(hz, decay_s, strict=True)):
            if partial_hz < 0.47 * self.rate_hz:
                wave = np.sin(2 * np.pi * partial_hz * time_s + self.rng.uniform(0, 6))
                sound += wave * np.exp(-time_s / tau_s) / (1 + 0.5 * number)
        return sound

    def decaying(self, sound: np.ndarray, tau_s: float) -> np.ndarray:
        """The sound under an exponential that falls to 1/e in `tau_s`."""
        return sound * np.exp(-np.arange(len(sound)) / (tau_s * self.rate_hz))

    def faded(self, sound: np.ndarray, attack_s: float, release_s: float) -> np.ndarray:
        """The sound with a linear rise and fall at its ends."""
        place = np.arange(len(sound)) / self.rate_hz
        rise, fall = place / attack_s, (place[-1] - place) / release_s
        return sound * np.clip(np.minimum(rise, fall), 0, 1)

    def onsets(self, seconds: float, every_s: float, count: str = MANY) -> np.ndarray:
        """Start times of a repeated sound, `every_s` apart within a tenth.

        Args:
            seconds: room for them.
            every_s: mean distance.
            count: a number in digits, or MANY to fill the room.
        """
        wanted = 10_000 if count == MANY else int(count)
        number = int(np.clip((seconds - 0.6 * every_s) / every_s + 1, 1, wanted))
        steps = every_s * self.rng.uniform(0.9, 1.1, number)
        return np.cumsum(steps) - steps[0]

    def series(
        self, seconds: float, times_s: np.ndarray, grain: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Freshly made grains added at the given times, cut at `seconds`."""
        room = self.length(seconds)
        sound = np.zeros(room)
        last = 0
        for start in (times_s * self.rate_hz).astype(int):
            piece = grain()[: max(0, room - start)]
            sound[start : start + len(piece)] += piece
            last = max(last, start + len(piece))
        return sound[: max(last, 1)]

    def shower(self, seconds: float, per_s: float, grain: np.ndarray) -> np.ndarray:
        """One grain at random times and levels, `per_s` of them a second (claps, drops)."""
        room = self.length(seconds)
        hits = np.zeros(room)
        number = max(1, self.rng.poisson(per_s * seconds))
        np.add.at(hits, self.rng.integers(0, room, number), self.rng.exponential(1.0, number))
        return oaconvolve(hits, grain)[:room]

    def far(self, sound: np.ndarray) -> np.ndarray:
        """The sound from afar: duller, and with the echo of the open behind it."""
        dull = lfilter([1.0], [1.0, -np.exp(-2 * np.pi * 900 / self.rate_hz)], sound)
        echo = self.decaying(self.noise(0.5, (100, 0), (4000, -12), (8000, -40)), 0.15)
        wet = oaconvolve(dull, echo)[: len(sound)]
        return level(dull) + 0.7 * level(wet)


def level(sound: np.ndarray) -> np.ndarray:
    """The sound at RMS 1 over its loudest half, so that pauses do not count."""
    power = np.sort(np.add.reduceat(sound**2, np.arange(0, len(sound), 400)))
    return sound / (np.sqrt(np.mean(power[len(power) // 2 :]) / 400) + 1e-9)
