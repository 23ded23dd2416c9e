"""The demo's grammar: English sentences about a scene, with several ways to say the same.

Of each list the first entry is the usual one (`FIRST_SHARE` of draws), so that five people who
describe a clip agree about as much as those of AudioCaps do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from extract.demo.scenes import Event, Scene

T = TypeVar("T")

FIRST_SHARE = 0.65
ADJECTIVE_SHARE = 0.55
ADVERB_SHARE = 0.5

ADJECTIVES = {
    "pitch": {"low": ("low-pitched", "deep"), "high": ("high-pitched", "shrill")},
}
ADVERBS = {
    "pace": {"slow": ("slowly",), "fast": ("quickly", "rapidly")},
    "count": {
        "1": ("once",),
        "2": ("twice", "two times"),
        "3": ("three times",),
        "many": ("repeatedly", "several times"),
    },
    "distance": {"near": (), "far": ("in the distance", "far away")},
}


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """How one kind is spoken of.

    Attributes:
        clauses: by the value of trait `by` ("" without one), "subject|finite|gerund" each;
            `{}` in the subject takes an adjective with its space.
        by: the trait that decides which clauses fit.
        adjectives, adverbs: words for trait values, in place of the general ones.
    """

    clauses: Mapping[str, Sequence[str]]
    by: str | None = None
    adjectives: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    adverbs: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)


def _people(*verbs: str) -> Mapping[str, Sequence[str]]:
    who = {"man": ("a man", "a male"), "woman": ("a woman", "a female"), "child": ("a child",)}
    return {
        voice: [f"{name}|{verb}" for verb in verbs for name in names]
        for voice, names in who.items()
    }


SIZE = {"pitch": {"low": ("large", "big"), "high": ("small",)}}
LOUDNESS = {"strength": {"weak": ("light", "gentle"), "strong": ("heavy",)}}

PHRASES: dict[str, Phrases] = {
    "Speech": Phrases(by="voice", clauses=_people("speaks|speaking", "talks|talking")),
    "Laughter": Phrases(by="voice", clauses=_people("laughs|laughing", "giggles|giggling")),
    "Whistling": Phrases(
        clauses={"": ("a person|whistles|whistling", "someone|whistles a tune|whistling a tune")},
        adverbs={"pitch": {"low": ("in a low tone",), "high": ("in a high tone",)}},
    ),
    "Applause": Phrases(
        by="strength",
        clauses={
            "weak": ("a few people|clap|clapping", "a few people|applaud|applauding"),
            "strong": ("a crowd|applauds|applauding", "an audience|claps|clapping"),
        },
    ),
    "Dog": Phrases(
        clauses={"": ("a {}dog|barks|barking", "a {}dog|yaps|yapping")}, adjectives=SIZE
    ),
    "Cat": Phrases(
        clauses={"": ("a {}cat|meows|meowing", "a {}cat|cries|crying")}, adjectives=SIZE
    ),
    "Bird": Phrases(clauses={"": ("a bird|chirps|chirping", "a bird|tweets|tweeting")}),
    "Owl": Phrases(clauses={"": ("an owl|hoots|hooting", "an owl|calls|calling")}),
    "Frog": Phrases(clauses={"": ("a {}frog|croaks|croaking", "a {}toad|croaks|croaking")}),
    "Cricket": Phrases(clauses={"": ("a cricket|sings|singing", "an insect|buzzes|buzzing")}),
    "Wind": Phrases(
        clauses={"": ("{}wind|blows|blowing", "a {}breeze|blows|blowing")},
        adjectives={"strength": {"weak": ("light", "gentle"), "strong": ("strong", "gusty")}},
    ),
    "Thunder": Phrases(
        by="strength",
        clauses={
            "weak": ("thunder|rumbles|rumbling", "thunder|rolls|rolling"),
            "strong": ("thunder|cracks|cracking", "thunder|claps loudly|clapping loudly"),
        },
    ),
    "Rain": Phrases(
        clauses={"": ("{}rain|falls|falling", "{}rain|comes down|coming down")},
        adjectives=LOUDNESS,
    ),
    "Stream": Phrases(
        by="strength",
        clauses={
            "weak": ("water|trickles|trickling", "a stream|gurgles|gurgling"),
            "strong": ("water|rushes|rushing", "a stream|flows|flowing"),
        },
    ),
    "Frying (food)": Phrases(clauses={"": ("food|sizzles|sizzling", "oil|sizzles|sizzling")}),
    "Engine": Phrases(
        by="state",
        clauses={
            "idle": ("an engine|idles|idling", "a motor|runs|running"),
            "rev": ("an engine|revs|revving", "a motor|accelerates|accelerating"),
        },
    ),
    "Train horn": Phrases(
        clauses={"": ("a train horn|blows|blowing", "a train|honks|honking")},
    ),
    "Siren": Phrases(
        by="pace",
        clauses={
            "slow": ("a siren|wails|wailing", "an emergency siren|wails|wailing"),
            "fast": ("a siren|blares|blaring", "a police siren|blares|blaring"),
        },
        adverbs={"pace": {"slow": ("slowly",), "fast": ("rapidly",)}},
    ),
    "Helicopter": Phrases(
        by="motion",
        clauses={
            "passing": ("a helicopter|flies by|flying by", "a helicopter|passes|passing"),
            "steady": ("a helicopter|hovers|hovering", "a helicopter|flies|flying"),
        },
    ),
    "Knock": Phrases(
        clauses={"": ("someone|knocks on a door|knocking on a door", "a person|knocks|knocking")}
    ),
    "Telephone bell ringing": Phrases(
        clauses={"": ("a telephone|rings|ringing", "a phone|rings|ringing")}
    ),
    "Bell": Phrases(
        clauses={"": ("a {}bell|rings|ringing", "a {}bell|chimes|chiming")}, adjectives=SIZE
    ),
    "Tick-tock": Phrases(
        clauses={"": ("a clock|ticks|ticking", "a clock|tick-tocks|tick-tocking")}
    ),
    "Hammer": Phrases(
        clauses={"": ("a hammer|strikes metal|striking metal", "someone|hammers|hammering")}
    ),
    "Gunshot, gunfire": Phrases(clauses={"": ("a gun|fires|firing", "a gun|shoots|shooting")}),
    "Alarm": Phrases(clauses={"": ("an {}alarm|beeps|beeping", "an {}alarm|sounds|sounding")}),
}


def caption(rng: np.random.Generator, scene: Scene) -> str:
    """One sentence about a scene, as a person might write it: first letter large, no full stop."""
    finite, gerund = _forms(rng, scene.front, scene.background)
    options = {
        "single": ("{f0}", "{g0}"),
        "sequence": ("{f0} followed by {g1}", "{f0} and then {f1}", "{f0}, then {f1}"),
        "over": ("{f0} while {f1}", "{f0} with {g1} in the background", "{f1} as {f0}"),
        "sequence of three": (
            "{f0} followed by {g1} and then {g2}",
            "{f0}, then {f1} and then {f2}",
        ),
        "sequence over": (
            "{f0} followed by {g1} while {f2}",
            "{f0} and then {f1} with {g2} in the background",
            "{f2} as {f0} followed by {g1}",
        ),
    }[scene.layout]
    words = {f"f{i}": clause for i, clause in enumerate(finite)}
    words |= {f"g{i}": clause for i, clause in enumerate(gerund)}
    sentence = _pick(rng, options).format(**words)
    sentence = re.sub(r"\ban? (?=[aeiou])", "an ", sentence)
    sentence = re.sub(r"\ban (?=[^aeiou])", "a ", sentence)
    return sentence[0].upper() + sentence[1:]


def _forms(
    rng: np.random.Generator, front: list[Event], background: Event | None
) -> tuple[list[str], list[str]]:
    """Each event as a finite clause ("a dog barks twice") and as a gerund one."""
    finite, gerund = [], []
    for event in [*front, *([background] if background else [])]:
        phrases = PHRASES[event.kind]
        clause = _pick(rng, phrases.clauses[event.traits[phrases.by] if phrases.by else ""])
        subject, verb, verb_ing = clause.split("|")
        adjective = _word(rng, event, {**ADJECTIVES, **phrases.adjectives}, ADJECTIVE_SHARE)
        subject = subject.format(f"{adjective} " if adjective else "")
        adverb = _word(rng, event, {**ADVERBS, **phrases.adverbs}, ADVERB_SHARE)
        tail = f" {adverb}" if adverb else ""
        finite.append(f"{subject} {verb}{tail}")
        gerund.append(f"{subject} {verb_ing}{tail}")
    return finite, gerund


def _word(
    rng: np.random.Generator,
    event: Event,
    words: Mapping[str, Mapping[str, Sequence[str]]],
    share: float,
) -> str | None:
    """A word for one of the event's traits, or none; the most telling trait goes first."""
    telling = [
        words[trait][value]
        for trait, value in reversed(event.traits.items())
        if words.get(trait, {}).get(value)
    ]
    if not telling or rng.random() >= share:
        return None
    return _pick(rng, _pick(rng, telling))


def _pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    if len(options) == 1 or rng.random() < FIRST_SHARE:
        return options[0]
    return options[int(rng.integers(1, len(options)))]
