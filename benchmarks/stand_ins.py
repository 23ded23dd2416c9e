"""Captions, a tokenizer and class names where AudioCaps' are not there, by the demo's grammar."""

import csv
from pathlib import Path

import numpy as np

from benchmarks.simulate import CLASS_MAP
from extract.demo.captions import caption
from extract.demo.sounds import KINDS
from extract.demo.write import draw_clip
from train.model.pretrained import train_tokenizer

TOKENS, CLASSES = 50_265, 521  # of BART's tokenizer, of YAMNet
OF_A_SCENE = 10


def write_stand_ins(folder: Path, *, scenes: int, tokens: int = TOKENS) -> None:
    """What `real_data` looks for, made here: captions, a tokenizer of BART's size, class names.

    Args:
        folder: gets audiocaps/captions, bpe and YAMNet's class map.
        scenes: different scenes to speak of; each is a clip ten times, in other words.
        tokens: of the tokenizer.
    """
    rng = np.random.default_rng(0)
    rows = []
    for number in range(scenes):
        scene, _, _ = draw_clip(0, number, split=None)
        rows += [(f"scene{number}x{time}", caption(rng, scene)) for time in range(OF_A_SCENE)]
    captions = folder / "audiocaps" / "captions"
    captions.mkdir(parents=True)
    for split, own in (("train", rows), ("val", rows[: len(rows) // 10]), ("test", rows[:10])):
        with (captions / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["audiocap_id", "youtube_id", "start_time", "caption"])
            writer.writerows([i, clip, 0, text] for i, (clip, text) in enumerate(own))
    names = [*KINDS, *(f"Sound number {number}" for number in range(CLASSES - len(KINDS)))]
    (folder / CLASS_MAP).parent.mkdir()
    with (folder / CLASS_MAP).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "mid", "display_name"])
        writer.writerows([i, f"/m/{i}", name] for i, name in enumerate(names))
    tokenizer = train_tokenizer([*names, *(text for _, text in rows)], tokens)
    # Words that nobody says give the output layer BART's size.
    tokenizer.add_tokens([f"unused{number}" for number in range(tokens - len(tokenizer))])
    tokenizer.save_pretrained(folder / "bpe")
