"""The demo's encoders: what they learn from, the command that makes them, the committed ones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from extract.demo import encoders as demo_encoders
from extract.demo import labels
from extract.demo.dsp import Desk
from extract.demo.labels import CLASSES, EMPTY_EVERY, TAGS, Hearing, hear
from extract.demo.pupils import enrol
from extract.demo.scenes import Event, Scene, bed, render
from extract.demo.sounds import KINDS
from extract.sound.resample import resample
from extract.streams import load_encoders, load_weights
from features.spec import EMBEDDING, TAG_LOGITS

NAMES = ("yamnet", "vggish", "panns")
COMMITTED = Path(__file__).parents[3] / "extract" / "demo_weights"


@pytest.fixture
def heard_here(monkeypatch):
    """`hear` starts no processes, which would import torch for a handful of clips."""
    monkeypatch.setattr(
        labels, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(1)
    )


def scene_of(*events):
    nothing = np.zeros((1, 0))
    scene = Scene(layout="single", events=events)
    return Hearing(frames=nothing, decibels=nothing, waves=nothing, scenes=[scene])


def dog(start_s, end_s, **traits):
    return Event(kind="Dog", start_s=start_s, end_s=end_s, traits=traits, background=False)


def named(row):
    return {CLASSES[column] for column in np.flatnonzero(row)}


def test_a_window_is_labelled_with_what_lasts_a_quarter_second_in_it():
    sounds = scene_of(dog(1.0, 3.0, pitch="high", distance="far"))
    rows = sounds.targets(0, np.array([0, 28, 30, 275, 276]), 96)
    # 0.96 s windows from 0, 0.28, 0.30, 2.75 and 2.76 s: overlaps 0, 0.24, 0.26, 0.25, 0.24 s
    heard, nothing = {"Dog", "Dog: pitch high", "Dog: distance far"}, {"Silence"}
    assert [named(row) for row in rows] == [nothing, nothing, heard, heard, nothing]


def test_a_sound_shorter_than_that_counts_where_half_of_it_lies():
    sounds = scene_of(dog(1.0, 1.2, pitch="low"))
    rows = sounds.targets(0, np.array([0, 14, 20]), 96)  # until 0.96, 1.10 and 1.16 s
    assert [named(row) for row in rows] == [{"Silence"}, *[{"Dog", "Dog: pitch low"}] * 2]


def test_a_clip_of_so_many_holds_no_event_and_is_silence_throughout():
    sounds = hear(3, EMPTY_EVERY)
    events = [len(scene.events) for scene in sounds.scenes]
    assert min(events[:-1]) >= 1 and events[-1] == 0
    rows = sounds.targets(EMPTY_EVERY - 1, np.arange(0, 900, 96), 96)
    assert [named(row) for row in rows] == [{"Silence"}] * 10
    # At most 0.01 (-40 dBFS) RMS; the peaks of Gaussian noise lie within six times that.
    assert np.abs(sounds.waves[-1]).max() <= 6 * 0.01 * 2**15


def test_the_first_classes_are_the_kinds_and_silence_and_each_trait_has_a_class():
    assert CLASSES[: len(KINDS) + 1] == TAGS == (*KINDS, "Silence")
    assert len(set(CLASSES)) == len(CLASSES)
    for kind, spec in KINDS.items():
        for trait, values in spec.traits.items():
            assert {f"{kind}: {trait} {value}" for value in values} <= set(CLASSES)


def test_mean_average_precision_leaves_out_classes_that_never_occur():
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]], np.float32)
    scores = np.array([[0.9, 0.1, 1.0], [0.8, 0.2, 1.0], [0.7, 0.3, 1.0]])
    # Ranked 1, 0, 1: (1/1 + 2/3) / 2 for the first class; the second's only hit stands second.
    expected = ((1 + 2 / 3) / 2 + 1 / 2) / 2
    assert demo_encoders.mean_average_precision(truth, scores) == pytest.approx(expected)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The command's own files after next to no training."""
    out = tmp_path_factory.mktemp("encoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_encoders, "HELD_OUT_CLIPS", 4)
        demo_encoders.train_demo_encoders(out, seed=2, clips=16)
    return out


def test_the_command_writes_three_files_that_the_usual_loaders_take(small):
    encoders = load_encoders(NAMES, small)
    assert {path.name for path in small.iterdir()} == {f"{name}.safetensors" for name in NAMES}
    ten_s = torch.zeros(320_000)
    shapes = {
        name: tuple(encoder.encode([ten_s[: encoder.spec.sample_rate_hz * 10]])[0].shape)
        for name, encoder in encoders.items()
    }
    assert shapes == {"yamnet": (10, 27), "vggish": (10, 128), "panns": (1, 160)}


@pytest.mark.parametrize("folder", ["small", "committed"])
def test_demo_encoders_say_that_they_are_demo_encoders(folder, small):
    for name in NAMES:
        loaded = load_weights(name, small if folder == "small" else COMMITTED)
        assert "demo" in loaded.network
        assert "synthetic sounds only" in loaded.network


def test_the_committed_encoders_take_2_mb_at_most():
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) <= 2_000_000


def test_the_committed_encoders_have_the_streams_kinds_and_the_demos_classes():
    encoders = load_encoders(NAMES, COMMITTED)
    kinds = {name: encoder.spec.kind for name, encoder in encoders.items()}
    assert kinds == {"yamnet": TAG_LOGITS, "vggish": EMBEDDING, "panns": EMBEDDING}
    assert encoders["yamnet"].spec.classes == TAGS


def test_the_committed_tagger_knows_fresh_sounds():
    """Of 52 lone sounds that nobody trained on, at least five in six get their own tag."""
    encoders = load_encoders(["yamnet"], COMMITTED)
    right = 0
    for seed in (900, 901):
        for kind in KINDS:
            desk = Desk(rng=np.random.default_rng([seed, len(kind)]), rate_hz=32_000)
            scene, sides = render(desk, "single", [kind], 10.0)
            heard = resample(torch.from_numpy(sides.mean(axis=1)).float(), 32_000, 16_000)
            middle_s = (scene.events[0].start_s + scene.events[0].end_s) / 2
            row = min(int(middle_s / 0.96), 9)
            tag = encoders["yamnet"].encode([heard])[0][row].argmax()
            right += TAGS[int(tag)] == kind
    assert right >= 52 * 5 / 6


def test_the_committed_tagger_calls_silence_silence():
    """Nineteen of twenty seconds in which nothing sounds, of any level, are likeliest "Silence"."""
    encoder = load_encoders(["yamnet"], COMMITTED)["yamnet"]
    desks = [Desk(rng=np.random.default_rng([902, i]), rate_hz=16_000) for i in range(10)]
    levels_db = np.linspace(-100, -40, len(desks))
    beds = [bed(desk, 10.0, level) for desk, level in zip(desks, levels_db, strict=True)]
    heard = [torch.zeros(160_000), *(torch.from_numpy(sound).float() for sound in beds)]
    # What is left of clips behind a lone sound's end, from its next window on.
    rests = []
    for desk in desks:
        scene, sides = render(desk, "single", ["Dog"], 10.0)
        first = int(np.ceil(scene.events[0].end_s / 0.96))
        rests.append(encoder.encode([torch.from_numpy(sides.mean(axis=1)).float()])[0][first:])
    tags = torch.cat([*encoder.encode(heard), *rests]).argmax(dim=1)
    assert (tags == TAGS.index("Silence")).float().mean() >= 0.95


def test_the_same_seed_hears_the_same_sounds_and_another_seed_others(heard_here):
    a, b, c = hear(4, 2), hear(4, 2), hear(5, 2)
    np.testing.assert_array_equal(a.waves, b.waves)
    assert a.scenes == b.scenes
    assert not np.array_equal(a.waves, c.waves)


@pytest.mark.parametrize("stream", ["vggish", "panns"])
def test_scaling_an_embedding_leaves_the_logits_as_they_are(stream, heard_here):
    sounds = hear(6, 3)
    pupil, courses = enrol(stream, sounds, seed=0)
    pupil.trained.eval()
    starts = np.zeros((3, 1), int)
    with torch.inference_mode():
        before = pupil.logits(sounds, range(3), starts, courses[-1].frames)
        demo_encoders.quieten(pupil, sounds, courses[-1].frames)
        after = pupil.logits(sounds, range(3), starts, courses[-1].frames)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stream", ["vggish", "panns"])
def test_the_committed_embeddings_are_about_as_large_as_they_say(stream, heard_here):
    encoder = load_encoders([stream], COMMITTED)[stream]
    waves = torch.from_numpy(hear(7, 8).waves).float() / 2**15
    heard = resample(waves, 32_000, encoder.spec.sample_rate_hz)
    rows = torch.cat(encoder.encode(list(heard)))
    rms = float(rows.square().mean().sqrt())
    assert rms == pytest.approx(demo_encoders.EMBEDDING_RMS, rel=0.5)
