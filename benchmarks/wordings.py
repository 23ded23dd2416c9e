"""Two data sets of one kind that are worded differently, made from the demo.

    python -m benchmarks.wordings demo/dump demo/features OUT

Writes OUT/usual and OUT/other: each has half of the demo's training and validation clips and all of
its test clips, with captions by the demo's grammar. In `usual` every choice of words is the first
of its list ("a dog barks"), in `other` none is ("a dog yaps"), so no caption of one is one of the
other's where there is a choice.
"""

import csv
from collections import defaultdict
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import typer

from extract.demo import captions as grammar
from extract.demo.scenes import LAYOUTS, Event, Scene
from extract.demo.write import CAPTIONS
from features.common.command import run_app
from features.common.publish import write_json
from features.reader import Features
from features.spec import INDEX_NAME, Index, SplitEntry, shard_name
from features.writer import ShardWriter

FIRST_SHARES = {"usual": 1.0, "other": 0.0}
_LAYOUT = {(fronts, background): name for name, (_, fronts, background) in LAYOUTS.items()}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    dump: Annotated[Path, typer.Argument(metavar="DUMP", help="The demo's dump.")],
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="The demo's features.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the two into.")],
) -> None:
    """Write two features folders whose captions are worded differently."""
    scenes = read_scenes(dump / "events.csv")
    for half, (name, share) in enumerate(FIRST_SHARES.items()):
        entries = {}
        for split, count in CAPTIONS.items():
            clips = Features(features, split)
            specs = list(clips.streams.values())
            writer = ShardWriter(split, specs)
            for number in range(len(clips)):
                if split != "test" and number % 2 != half:
                    continue
                clip = clips[number]
                texts = worded(scenes[clip.path], share, [half, number], count)
                rows = {spec.name: clip.streams[spec.name] for spec in specs}
                writer.add(clip.id, clip.path, clip.duration_s, texts, rows)
            shard = writer.publish(out / name / split / shard_name(0))
            entries[split] = SplitEntry(
                shards=(shard,), clips_listed=shard.clips, clips_missing=0, clips_failed=0
            )
        index = Index(streams={spec.name: spec.attrs() for spec in specs}, splits=entries)
        write_json(out / name / INDEX_NAME, index.to_json())


def worded(scene: Scene, first_share: float, seed: list[int], count: int) -> list[str]:
    """So many captions of a scene that take the first of the grammar's words so often."""
    rng = np.random.default_rng([*seed, count])
    with patch.object(grammar, "FIRST_SHARE", first_share):
        return [grammar.caption(rng, scene) for _ in range(count)]


def read_scenes(path: Path) -> dict[str, Scene]:
    """The scene of each clip of a demo dump by the clip's path, from its events.csv."""
    events: dict[str, list[Event]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            event = Event(
                kind=row["event"],
                start_s=float(row["start_s"]),
                end_s=float(row["end_s"]),
                traits=dict(trait.split("=") for trait in row["traits"].split()),
                background=row["role"] == "background",
            )
            events[row["path"]].append(event)
    return {clip: _scene(found) for clip, found in events.items()}


def _scene(events: list[Event]) -> Scene:
    fronts = sum(not event.background for event in events)
    return Scene(layout=_LAYOUT[fronts, fronts < len(events)], events=tuple(events))


if __name__ == "__main__":
    run_app(app, "benchmarks.wordings")
