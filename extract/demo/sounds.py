"""The demo's 26 kinds of sound, each made by signal processing and named as AudioSet names it.

A sound is a function of (desk, seconds, traits): it fills at most `seconds` and varies with every
draw of the desk's generator. Traits are what a listener can hear beyond the name (pitch, pace,
count, strength …): the captions speak of them and the tags do not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from extract.demo import things, voices
from extract.demo.dsp import MANY, Desk

COUNTS = ("1", "2", "3", MANY, MANY, MANY)
PITCH = ("low", "high")
PACE = ("slow", "fast")
STRENGTH = ("weak", "strong")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of sound event.

    Attributes:
        make: (desk, seconds, traits) → float [n], n at most the samples in `seconds`.
        traits: the values that each trait is drawn from.
        ambient: whether it can last through a whole clip behind others.
    """

    make: Callable[[Desk, float, Mapping[str, str]], np.ndarray]
    traits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ambient: bool = False


KINDS: dict[str, Kind] = {
    "Speech": Kind(make=voices.speech, traits={"voice": ("man", "man", "woman", "woman", "child")}),
    "Laughter": Kind(make=voices.laughter, traits={"voice": ("man", "woman", "child")}),
    "Whistling": Kind(make=voices.whistling, traits={"pitch": PITCH}),
    "Applause": Kind(make=voices.applause, traits={"strength": STRENGTH}, ambient=True),
    "Dog": Kind(make=voices.dog, traits={"pitch": PITCH, "count": COUNTS}),
    "Cat": Kind(make=voices.cat, traits={"pitch": PITCH, "count": COUNTS}),
    "Bird": Kind(make=voices.bird, traits={"pace": PACE}),
    "Owl": Kind(make=voices.owl, traits={"count": COUNTS}),
    "Frog": Kind(make=voices.frog, traits={"pitch": PITCH}),
    "Cricket": Kind(make=voices.cricket, traits={"pace": PACE}, ambient=True),
    "Wind": Kind(make=things.wind, traits={"strength": STRENGTH}, ambient=True),
    "Thunder": Kind(make=things.thunder, traits={"strength": STRENGTH}),
    "Rain": Kind(make=things.rain, traits={"strength": STRENGTH}, ambient=True),
    "Stream": Kind(make=things.stream, traits={"strength": STRENGTH}, ambient=True),
    "Frying (food)": Kind(make=things.frying, ambient=True),
    "Engine": Kind(make=things.engine, traits={"state": ("idle", "rev")}, ambient=True),
    "Train horn": Kind(make=things.train_horn, traits={"count": COUNTS}),
    "Siren": Kind(make=things.siren, traits={"pace": PACE}),
    "Helicopter": Kind(
        make=things.helicopter, traits={"motion": ("passing", "steady")}, ambient=True
    ),
    "Knock": Kind(make=things.knock, traits={"pace": PACE, "count": COUNTS}),
    "Telephone bell ringing": Kind(make=things.telephone, traits={"count": COUNTS}),
    "Bell": Kind(make=things.bell, traits={"pitch": PITCH, "pace": PACE}),
    "Tick-tock": Kind(make=things.tick_tock, traits={"pace": PACE}, ambient=True),
    "Hammer": Kind(make=things.hammer, traits={"pace": PACE}),
    "Gunshot, gunfire": Kind(make=things.gunshot, traits={"count": COUNTS}),
    "Alarm": Kind(make=things.alarm, traits={"pitch": PITCH, "pace": PACE}),
}
