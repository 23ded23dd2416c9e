"""Scenes of the demo: which events sound when, and the waveform of a scene.

A scene is one to three different kinds of sound: alone, in sequence, over a background that lasts
through the clip, or both. Some pairs of kinds are kept for the test split alone, and a test clip
has no other pairs: whoever captions it must put together what was never heard together.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from extract.demo.dsp import SILENT_DB, Desk, level
from extract.demo.sounds import KINDS

CLIP_S = 10.0
HELD_OUT_SHARE = 0.2
FAR_SHARE = 0.25
AMBIENT = tuple(name for name, kind in KINDS.items() if kind.ambient)

# Layout: (share outside the test split, foreground events, background event).
LAYOUTS = {
    "single": (0.25, 1, False),
    "sequence": (0.25, 2, False),
    "over": (0.25, 1, True),
    "sequence of three": (0.10, 3, False),
    "sequence over": (0.15, 2, True),
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """One sound in a scene: its kind, when it was heard, and its traits (`distance` included)."""

    kind: str
    start_s: float
    end_s: float
    traits: dict[str, str]
    background: bool


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The events of a clip, the foreground in order of time, the background last."""

    layout: str
    events: tuple[Event, ...]

    @property
    def front(self) -> list[Event]:
        return [event for event in self.events if not event.background]

    @property
    def background(self) -> Event | None:
        return next((event for event in self.events if event.background), None)


def held_out_pairs() -> frozenset[frozenset[str]]:
    """The pairs of kinds that only test clips combine: a fifth of all, always the same."""
    pairs = [frozenset(pair) for pair in combinations(sorted(KINDS), 2)]
    order = np.random.default_rng(0).permutation(len(pairs))
    return frozenset(pairs[i] for i in order[: round(HELD_OUT_SHARE * len(pairs))])


def draw_kinds(
    rng: np.random.Generator, *, unseen: bool, held_out: frozenset[frozenset[str]]
) -> tuple[str, list[str]]:
    """Draw a layout and its kinds, the background's last.

    Args:
        rng: the clip's generator.
        unseen: True for kinds of which every two are a held-out pair, False for no such pair.
        held_out: pairs from `held_out_pairs`, or none of them.
    """
    names = [name for name in LAYOUTS if not unseen or name != "single"]
    shares = np.array([LAYOUTS[name][0] for name in names])
    layout = str(rng.choice(names, p=shares / shares.sum()))
    _, fronts, has_background = LAYOUTS[layout]
    while True:
        kinds = [str(name) for name in rng.choice(list(KINDS), fronts, replace=False)]
        if has_background:
            kinds.append(str(rng.choice(AMBIENT)))
        if len(set(kinds)) < len(kinds):
            continue
        if all((frozenset(pair) in held_out) == unseen for pair in combinations(kinds, 2)):
            return layout, kinds


def render(desk: Desk, layout: str, kinds: list[str], seconds: float) -> tuple[Scene, np.ndarray]:
    """Make the sounds of a scene and mix them over a bed of noise.

    Args:
        desk: the clip's rate and generator.
        layout: a key of LAYOUTS.
        kinds: the kinds, the background's last.
        seconds: length of the clip.

    Returns:
        The scene with its true times, and float [n, 2] in −1 … 1, the two sides of a stereo
        recording; their mean is the mono one.
    """
    rng = desk.rng
    _, fronts, has_background = LAYOUTS[layout]
    mix = np.zeros((desk.length(seconds), 2))
    events = []
    for kind, (start_s, end_s) in zip(kinds, _slots(rng, fronts, seconds), strict=False):
        events.append(_add(desk, mix, kind, start_s, end_s, False))
    if has_background:
        events.append(_add(desk, mix, kinds[-1], 0.0, seconds, True))
    mix += bed(desk, seconds, rng.uniform(-48, -34))[:, None]
    peak = np.abs(mix).max()
    return Scene(layout=layout, events=tuple(events)), mix * (rng.uniform(0.25, 0.9) / peak)


def bed(desk: Desk, seconds: float, level_db: float) -> np.ndarray:
    """What is heard where nothing sounds: float [n], soft noise of this RMS in dB."""
    slope_db = desk.rng.uniform(-30, -6)
    noise = desk.noise(seconds, (50, 0), (500, slope_db / 3), (8000, slope_db), (16000, SILENT_DB))
    return 10 ** (level_db / 20) * noise


def _slots(rng: np.random.Generator, count: int, seconds: float) -> list[tuple[float, float]]:
    """Consecutive stretches of time for `count` events, each at least a fifth of the clip."""
    if count == 1:
        start_s = rng.uniform(0, 0.2 * seconds)
        return [(start_s, start_s + rng.uniform(0.6, 0.8) * seconds)]
    shares = 0.2 + rng.dirichlet(np.full(count, 3.0)) * (1 - 0.2 * count)
    edges = np.concatenate([[0], np.cumsum(shares)]) * seconds
    pauses_s = rng.uniform(0.05, 0.4, count)
    return [(edges[i] + pauses_s[i] / 2, edges[i + 1] - pauses_s[i] / 2) for i in range(count)]


def _add(
    desk: Desk, mix: np.ndarray, kind: str, start_s: float, end_s: float, background: bool
) -> Event:
    rng = desk.rng
    traits = {name: str(rng.choice(values)) for name, values in KINDS[kind].traits.items()}
    traits["distance"] = "far" if rng.random() < FAR_SHARE else "near"
    sound = level(KINDS[kind].make(desk, end_s - start_s, traits))
    loud_db = rng.uniform(-9, -5) if background else rng.uniform(-3, 0)
    if traits["distance"] == "far":
        sound = level(desk.far(sound))
        loud_db -= 7
    sound = 6 * np.tanh(sound / 6) * 10 ** (loud_db / 20)  # a lone crackle must not rule the peak
    side = rng.uniform(0.3, 0.7)
    first = desk.length(start_s) if start_s > 0 else 0
    sound = sound[: len(mix) - first]
    mix[first : first + len(sound), 0] += sound * 2 * side
    mix[first : first + len(sound), 1] += sound * 2 * (1 - side)
    return Event(
        kind=kind,
        start_s=round(first / desk.rate_hz, 3),
        end_s=round((first + len(sound)) / desk.rate_hz, 3),
        traits=traits,
        background=background,
    )
