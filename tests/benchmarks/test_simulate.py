"""Simulated features say what the caption says, and nothing else."""

import numpy as np
import pytest

from benchmarks.simulate import features_of, simulate, stream_specs
from features.reader import Features
from features.verify import verify


@pytest.fixture(scope="module")
def class_map(tmp_path_factory):
    path = tmp_path_factory.mktemp("classes") / "map.csv"
    rows = "".join(f"{number},/m/{number},Sound {number}\n" for number in range(521))
    path.write_text("index,mid,display_name\n" + rows)
    return path


def test_words_in_order_become_likely_tags_in_order(class_map):
    specs = stream_specs(class_map)
    one, other = (features_of("a", text, specs)["yamnet"] for text in ("dog rain", "rain dog"))
    # A word's tag stands out from the noise (-8 ± 1.5) in the half of the clip that is its own.
    first, last = one[2].argmax(), one[7].argmax()
    assert first != last
    assert (other[2].argmax(), other[7].argmax()) == (last, first)


def test_clips_with_the_same_words_have_similar_embeddings(class_map):
    specs = stream_specs(class_map)
    texts = ("a dog barks", "the dog barks", "water pours")
    dog, dog_again, water = (
        features_of(f"clip {number}", text, specs)["panns"][0].astype(float)
        for number, text in enumerate(texts)
    )
    # Two words of variance 1 under noise of variance 1: a correlation of 2/3, and of 0.
    assert np.corrcoef(dog, dog_again)[0, 1] == pytest.approx(2 / 3, abs=0.08)
    assert np.corrcoef(dog, water)[0, 1] == pytest.approx(0, abs=0.08)


def test_a_number_behind_a_split_takes_its_first_clips(class_map, tmp_path):
    lines = ["audiocap_id,youtube_id,start_time,caption"]
    lines += [f"{n},clip{n // 5},30,a dog barks" for n in range(15)]
    (tmp_path / "val.csv").write_text("\n".join(lines))
    simulate(tmp_path, tmp_path / "out", classes=class_map, splits="val:2")
    clips = Features(tmp_path / "out", "val")
    assert clips.ids == ["clip0_30", "clip1_30"]
    assert clips[0].captions == ("a dog barks",) * 5
    assert verify(tmp_path / "out") == []
