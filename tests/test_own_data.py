"""Own sound files, by the commands of docs/adding-a-dataset.md, to captions of one's own model."""

import csv
import os
import shlex
import subprocess
import sys

import numpy as np
import soundfile

from features.reader import Features
from features.spec import Index
from tests.test_docs import ROOT, blocks

SOUNDS, RATE_HZ = 40, 16_000


def test_the_example_of_the_docs_leads_from_own_sounds_to_captions(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "my-sounds" / "street").mkdir(parents=True)
    names = ["rain.wav", *(f"street/tram {number}.wav" for number in range(1, SOUNDS))]
    with (tmp_path / "my-sounds" / "captions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "caption"])
        for name in names:
            soundfile.write(tmp_path / "my-sounds" / name, rng.normal(0, 0.1, RATE_HZ), RATE_HZ)
            rows.writerows([(name, f"{name}, loudly"), (name, f"A sound of {name}")])
    (tmp_path / "extract").symlink_to(ROOT / "extract")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    (example,) = blocks(ROOT / "docs" / "adding-a-dataset.md", "sh")
    for line in example.strip().splitlines():
        words = [sys.executable, *shlex.split(line)[1:]]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert "rain.wav" in done.stdout
    splits = Index.read(tmp_path / "my-features").splits
    assert sum(entry.clips for entry in splits.values()) == SOUNDS
    features = {split: Features(tmp_path / "my-features", split) for split in splits}
    clips = {clip: split for split, of_split in features.items() for clip in of_split.ids}
    assert sorted(clips) == sorted(names) and set(clips.values()) == {"train", "val", "test"}
    clip = features[clips["rain.wav"]]["rain.wav"]
    assert clip.captions == ("rain.wav, loudly", "A sound of rain.wav")
