"""Two groups of evaluations, paired clip by clip."""

import csv

import numpy as np
import pytest

from benchmarks.paired import COLUMNS, main, paired_interval
from features.common.errors import ConfigError


def evaluation(folder, **scores):
    folder.mkdir()
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", *COLUMNS])
        writer.writerows([clip, *[value] * len(COLUMNS)] for clip, value in scores.items())
    return folder


def test_scores_are_averaged_over_seeds_and_differ_clip_by_clip(tmp_path, capsys):
    without = [evaluation(tmp_path / "a0", x=0.1, y=0.3), evaluation(tmp_path / "a1", x=0.3, y=0.5)]
    # The same clips in another order: x rises by 0.2 and 0.0, y by 0.0 and 0.2.
    others = [evaluation(tmp_path / "b0", y=0.3, x=0.3), evaluation(tmp_path / "b1", y=0.7, x=0.3)]
    main(without, others)
    printed = capsys.readouterr().out
    assert printed.startswith("2 clips, 2 seeds")
    # Means 0.2 and 0.4, then 0.3 and 0.5; each clip differs by 0.1 on average.
    assert "30.0 (14.1)" in printed and "40.0 (14.1)" in printed
    assert "+10.00 (+10.00 to +10.00)" in printed and "+10.0 +10.0" in printed


def test_seeds_are_averaged_before_clips_are_drawn():
    # Clip by clip the two seeds cancel out: whichever clips are drawn, nothing differs.
    assert paired_interval(np.array([[1.0, -2.0, 3.0], [-1.0, 2.0, -3.0]])) == (0, 0, 0)


def test_groups_of_different_sizes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="2 evaluations without, 1 with"):
        main([tmp_path, tmp_path], [tmp_path])
