"""The grammar: every kind and trait can be said, articles agree, order and background are told."""

import re

import numpy as np
import pytest

from extract.demo.captions import ADJECTIVES, ADVERBS, PHRASES, caption
from extract.demo.scenes import LAYOUTS, Event, Scene
from extract.demo.sounds import KINDS


def event(kind, *, background=False, **traits):
    first = {name: values[0] for name, values in KINDS[kind].traits.items()}
    return Event(
        kind=kind,
        start_s=0.0,
        end_s=1.0,
        traits={**first, "distance": "near", **traits},
        background=background,
    )


def sentences(layout, *events, count=300):
    rng = np.random.default_rng(0)
    scene = Scene(layout=layout, events=events)
    return {caption(rng, scene) for _ in range(count)}


def test_every_kind_has_phrases_for_every_value_of_the_trait_they_depend_on():
    assert set(PHRASES) == set(KINDS)
    for kind, phrases in PHRASES.items():
        values = KINDS[kind].traits[phrases.by] if phrases.by else ("",)
        assert set(phrases.clauses) == set(values)
        for clauses in phrases.clauses.values():
            assert all(clause.count("|") == 2 for clause in clauses)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_is_clean_english_text(kind):
    for traits in ({}, {"distance": "far"}):
        for text in sentences("single", event(kind, **traits)):
            assert re.fullmatch(r"[A-Z][a-z,-]*( [a-z,-]+)*", text), text
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text.lower()), text
            assert "  " not in text


def test_every_trait_of_every_kind_is_heard_in_some_sentence():
    for kind, spec in KINDS.items():
        for trait, values in spec.traits.items():
            said = [
                {text.lower() for text in sentences("single", event(kind, **{trait: value}))}
                for value in values
            ]
            assert any(a != b for a in said for b in said), f"{kind}: {trait} makes no difference"


def test_order_is_told():
    dog, siren = event("Dog"), event("Siren")
    for text in sentences("sequence", dog, siren):
        assert re.search(r"dog.*(followed by|then).*siren", text)
    for text in sentences("sequence", siren, dog):
        assert re.search(r"siren.*(followed by|then).*dog", text.lower())


def test_what_sounds_throughout_is_told_apart_from_what_comes_and_goes():
    for text in sentences("over", event("Dog"), event("Rain", background=True)):
        assert re.search(r"while.*rain|rain.*background|[Rr]ain.* as ", text)


def test_the_distance_is_told_of_far_sounds_only():
    near = sentences("single", event("Dog", distance="near", count="many"))
    far = sentences("single", event("Dog", distance="far", count="many"))
    words = [word for options in ADVERBS["distance"].values() for word in options]
    assert not any(word in text for text in near for word in words)
    assert any(word in text for text in far for word in words)


def test_a_deep_sound_is_never_called_shrill():
    for text in sentences("single", event("Frog", pitch="low")):
        assert not any(word in text for word in ADJECTIVES["pitch"]["high"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_several_sentences(layout):
    _, fronts, has_background = LAYOUTS[layout]
    events = [event(kind) for kind in ("Dog", "Owl", "Bell")[:fronts]]
    if has_background:
        events.append(event("Rain", background=True))
    assert len(sentences(layout, *events)) > 4
