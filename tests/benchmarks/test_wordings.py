"""Two data sets of the demo's clips that are worded differently."""

import csv

import numpy as np

from benchmarks.wordings import FIRST_SHARES, read_scenes, worded
from extract.demo.captions import caption
from extract.demo.write import write_demo_dump


def test_scenes_read_back_give_the_dumps_own_captions_and_the_two_wordings_others(tmp_path):
    write_demo_dump(tmp_path / "dump", clips=25, seed=3)
    scenes = read_scenes(tmp_path / "dump" / "events.csv")
    assert len(scenes) == 25
    with (tmp_path / "dump" / "train.csv").open(encoding="utf-8", newline="") as file:
        written = {f"train/{r['youtube_id']}_{r['start_time']}.wav": r["caption"]
                   for r in csv.DictReader(file)}  # fmt: skip
    for path, text in written.items():
        # A clip's captions are drawn by (seed, its number, 7); the number is not in the path.
        draws = (caption(np.random.default_rng([3, n, 7]), scenes[path]) for n in range(25))
        assert text in set(draws)
    usual, other = (
        {text for scene in scenes.values() for text in worded(scene, share, [0], 5)}
        for share in FIRST_SHARES.values()
    )
    assert not usual & other
