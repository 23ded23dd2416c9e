"""The whole command over the zoo: bad files are named with their reason and touch no other clip."""

import csv

import numpy as np

from features.reader import Features
from features.verify import verify
from tests.extract.command import run_small
from tests.extract.zoo import make_zoo


def stored(name: str) -> str:
    """A file name as shards and failures.csv give it: what is not UTF-8 is escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def test_the_zoo_is_extracted_as_documented_or_named_with_its_reason(
    tiny_weights, tmp_path, without_ffmpeg
):
    zoo, good, out, alone = (tmp_path / name for name in ("zoo", "good", "out", "alone"))
    animals = make_zoo(zoo)
    chosen = {"streams": "yamnet,vggish", "batch_clips": 4, "dtype": "float32", "shard_clips": 30}
    done = run_small(zoo, out, tiny_weights, **chosen)
    assert done.code == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert verify(out) == []

    with (out / "failures.csv").open(newline="", encoding="utf-8") as file:
        reasons = {row["clip"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == {stored(a.name) for a in animals if not a.extracted}
    for animal in animals:
        assert animal.reason in reasons.get(stored(animal.name), "")

    found = Features(out, "all")
    durations_s = {stored(a.name): a.duration_s for a in animals if a.extracted}
    assert {clip.id: clip.duration_s for clip in found} == durations_s

    # The good ones alone, so in other batches: equal but for rounding.
    good.mkdir()
    for animal in animals:
        if animal.extracted and animal.name != "an_hour.wav":  # takes as long as all the others
            (good / animal.name).symlink_to((zoo / animal.name).resolve())
    assert run_small(good, alone, tiny_weights, **chosen).code == 0
    expected = Features(alone, "all")
    assert set(found.ids) == {*expected.ids, "an_hour.wav"}
    for clip in expected:
        for name, rows in clip.streams.items():
            np.testing.assert_allclose(
                found[clip.id].streams[name], rows, rtol=1e-4, atol=1e-5, err_msg=clip.id
            )
