"""Write the synthetic dump of the demo, in the layout and with the file names of AudioCaps.

DUMP/train.csv val.csv test.csv     audiocap_id,youtube_id,start_time,caption
DUMP/<split>/<youtube_id>_<start>.wav
DUMP/events.csv                     what sounds when in each clip, for anyone who wants to look
DUMP/README.txt                     says that it is no real data, and how it was made
"""

import csv
import io
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile

from extract.demo.captions import caption
from extract.demo.dsp import Desk
from extract.demo.scenes import CLIP_S, Scene, draw_kinds, held_out_pairs, render
from features.common.console import log, progress
from features.common.errors import ConfigError, DumpError
from features.common.machine import cores
from features.common.publish import told_of

GENERATOR = "tagbart demo dump, version 1"
FEWEST_CLIPS = 25
SHARES = {"val": 0.08, "test": 0.12}
CAPTIONS = {"train": 1, "val": 5, "test": 5}
RATES_HZ = {16000: 0.5, 32000: 0.35, 22050: 0.1, 44100: 0.05}
STEREO_SHARE = 0.3
CUT_SHORT_SHARE = 0.03
ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
README = """{generator}
clips: {clips}
seed: {seed}

This is NOT AudioCaps and holds no recording of anything. Every clip was made by signal processing
and every caption by a grammar, with `python -m extract demo`, to show the whole chain at work on a
machine that has nothing else. Scores on it say nothing about scores on AudioCaps.

The layout is that of AudioCaps: train.csv, val.csv, test.csv, and <split>/<youtube_id>_<start>.wav
(the ids are made up). No two kinds of sound that a test clip combines are combined in any training
or validation clip. events.csv says what sounds when; nothing in extract, train or evaluate reads
it.
"""


@dataclass(frozen=True, kw_only=True)
class DemoClip:
    """A clip to make: its number in the dump decides all its draws."""

    number: int
    split: str
    youtube_id: str
    start_s: int

    @property
    def path(self) -> str:
        """Path of the audio, relative to the dump."""
        return f"{self.split}/{self.youtube_id}_{self.start_s}.wav"


def write_demo_dump(dump: Path, *, clips: int, seed: int) -> None:
    """Write the synthetic dump; the same clips and seed give the same bytes.

    The folder gets its name when all is written. A finished dump of the same clips and seed is
    left as it is.

    Args:
        dump: the folder to make.
        clips: in all splits together: 80 % train, 8 % val, 12 % test.
        seed: of everything random.

    Raises:
        ConfigError: if clips is below 25 or seed below 0.
        DumpError: if the folder exists and holds something else.
    """
    if clips < FEWEST_CLIPS or seed < 0:
        raise ConfigError(
            f"demo: clips is {clips} and seed {seed}, expected at least {FEWEST_CLIPS} and 0"
        )
    readme = README.format(generator=GENERATOR, clips=clips, seed=seed)
    if dump.exists() and (not dump.is_dir() or any(dump.iterdir())):
        _accept(dump, readme)
        return
    draft = dump.with_name(f".{dump.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    plan = _plan(clips, seed)
    with told_of(dump, draft):
        for split in CAPTIONS:
            (draft / split).mkdir(parents=True)
        scenes = _make_all(plan, draft, seed)
        _write_captions(draft, plan, scenes, seed)
        _write_events(draft, plan, scenes)
        (draft / "README.txt").write_text(readme, encoding="utf-8")
    if dump.exists():
        dump.rmdir()  # an empty folder, as checked above
    draft.rename(dump)
    log(f"{dump}: {clips:,} synthetic clips with captions")


def draw_clip(seed: int, number: int, *, split: str | None) -> tuple[Scene, np.ndarray, int]:
    """Draw one clip and make its sound.

    Args:
        seed: of the dump.
        number: of the clip within it.
        split: its split, which decides whether it combines held-out pairs; None for any pairs.

    Returns:
        scene, float64 [n, 1 or 2] in −1 … 1, sample rate in Hz.
    """
    rng = np.random.default_rng([seed, number])
    held_out = frozenset() if split is None else held_out_pairs()
    layout, kinds = draw_kinds(rng, unseen=split == "test", held_out=held_out)
    rate_hz = int(rng.choice(list(RATES_HZ), p=list(RATES_HZ.values())))
    seconds = rng.uniform(9.0, 9.9) if rng.random() < CUT_SHORT_SHARE else CLIP_S
    stereo = rng.random() < STEREO_SHARE
    scene, sides = render(Desk(rng=rng, rate_hz=rate_hz), layout, kinds, seconds)
    return scene, sides if stereo else sides.mean(axis=1, keepdims=True), rate_hz


def _accept(dump: Path, readme: str) -> None:
    found = dump / "README.txt"
    if found.is_file() and found.read_text(encoding="utf-8") == readme:
        log(f"{dump}: already holds this demo dump")
        return
    raise DumpError(
        f"{dump}: exists and is not the demo dump of these clips and this seed; "
        "name another folder, or delete this one"
    )


def _plan(clips: int, seed: int) -> list[DemoClip]:
    """The clips' splits and names, drawn apart from their contents."""
    rng = np.random.default_rng([seed, clips, 11])
    counts = {split: round(share * clips) for split, share in SHARES.items()}
    splits = ["train"] * (clips - sum(counts.values()))
    splits += [split for split, count in counts.items() for _ in range(count)]
    ids: dict[str, str] = {}  # by lower case, as some file systems know no other
    while len(ids) < clips:
        letters = [ID_LETTERS[i] for i in rng.integers(0, len(ID_LETTERS), 11)]
        letters[0] = str(rng.choice(["-", "_", letters[0]], p=[0.05, 0.02, 0.93]))
        ids.setdefault("".join(letters).lower(), "".join(letters))
    starts_s = rng.integers(0, 60, clips) * 10
    return [
        DemoClip(number=number, split=split, youtube_id=name, start_s=int(start_s))
        for number, (split, name, start_s) in enumerate(
            zip(splits, ids.values(), starts_s, strict=True)
        )
    ]


def _make_all(plan: Sequence[DemoClip], root: Path, seed: int) -> list[Scene]:
    """Make every clip's audio file, on all cores; scenes in the plan's order."""
    make = partial(_make_clip, root=root, seed=seed)
    workers = min(cores(), len(plan) // 50)
    if workers <= 1:
        return list(progress(map(make, plan), total=len(plan), what="demo dump", unit="clips"))
    # spawn: a forked child could hang on locks that the parent's threads (torch, tqdm) hold.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(make, plan, chunksize=8)
        return list(progress(made, total=len(plan), what="demo dump", unit="clips"))


def _make_clip(clip: DemoClip, *, root: Path, seed: int) -> Scene:
    scene, sound, rate_hz = draw_clip(seed, clip.number, split=clip.split)
    file = io.BytesIO()  # libsndfile does not say why a disk refuses
    soundfile.write(file, sound, rate_hz, subtype="PCM_16", format="WAV")
    (root / clip.path).write_bytes(file.getvalue())
    return scene


def _write_captions(
    root: Path, plan: Sequence[DemoClip], scenes: Sequence[Scene], seed: int
) -> None:
    """The three captions files. As in AudioCaps, the captions of one clip do not stand together."""
    number = 10_000
    for split, count in CAPTIONS.items():
        rows = []
        for clip, scene in zip(plan, scenes, strict=True):
            if clip.split != split:
                continue
            rng = np.random.default_rng([seed, clip.number, 7])
            for text in (caption(rng, scene) for _ in range(count)):
                rows.append((clip.youtube_id, clip.start_s, text))
        order = np.random.default_rng([seed, count]).permutation(len(rows))
        numbered = [(number + place, *rows[i]) for place, i in enumerate(order)]
        number += len(rows)
        header = ("audiocap_id", "youtube_id", "start_time", "caption")
        _write_csv(root / f"{split}.csv", header, numbered)


def _write_events(root: Path, plan: Sequence[DemoClip], scenes: Sequence[Scene]) -> None:
    rows = [
        (
            clip.path,
            event.kind,
            event.start_s,
            event.end_s,
            "background" if event.background else "foreground",
            " ".join(f"{trait}={value}" for trait, value in event.traits.items()),
        )
        for clip, scene in zip(plan, scenes, strict=True)
        for event in scene.events
    ]
    header = ("path", "event", "start_s", "end_s", "role", "traits")
    _write_csv(root / "events.csv", header, rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
