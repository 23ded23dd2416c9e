"""`python -m features`: look into a features folder and check it."""

from pathlib import Path
from typing import Annotated

import typer

from features.common.console import json_text, log, new_app, say
from features.common.errors import COULD_NOT_RUN
from features.common.options import AsJson
from features.spec import FAILURES_NAME, VERSION, Index, SplitEntry
from features.verify import verify

app = new_app("Look into a features folder and check it.")

Folder = Annotated[Path, typer.Argument(metavar="FEATURES", help="Folder with features.json.")]


@app.command("info")
def info_command(features: Folder, as_json: AsJson = False) -> None:
    """Say what a features folder holds: streams, splits, clips found and missing.

    Example: python -m features info features-audiocaps
    """
    index = Index.read(features)
    if as_json:
        print(json_text(index.to_json()))
        return
    say(f"{features}  (format version {VERSION})\n\nstreams")
    for name, spec in index.streams.items():
        say(
            f"  {name:10} {spec['kind']:11} {spec['width']:>5} wide, one row per "
            f"{spec['hop_s']:g} s, {spec['dtype']}, {spec['network']}, "
            f"weights {spec['weights_sha256'][:12]}"
        )
    say("\nsplits")
    for name, entry in index.splits.items():
        original = f" ({entry.original})" if entry.original else ""
        say(f"  {name + original:12} {_describe(entry)}")
    if any(entry.clips_missing or entry.clips_failed for entry in index.splits.values()):
        say(f"\nMissing and failed clips are listed in {features / FAILURES_NAME}")


@app.command("verify")
def verify_command(features: Folder, as_json: AsJson = False) -> None:
    """Compare every shard with features.json (size, checksum, tables), and look at every value.

    Exit code 0 when all is well, 2 when anything is wrong.

    Example: python -m features verify features-audiocaps
    """
    problems = verify(features)
    if as_json:
        found = [{"file": str(problem.file), "what": problem.what} for problem in problems]
        print(json_text(found))
    else:
        for problem in problems:
            say(str(problem))
    if problems:
        log(
            f"{len(problems)} problems: delete the shards that are wrong and run the same "
            "extraction again, which redoes those only; what only cannot be read may be whole"
        )
        raise typer.Exit(COULD_NOT_RUN)
    log("all shards are as features.json lists them")


def _describe(entry: SplitEntry) -> str:
    lost = [
        f"{count:,} {what}"
        for count, what in ((entry.clips_missing, "missing"), (entry.clips_failed, "failed"))
        if count
    ]
    size_mb = sum(shard.bytes for shard in entry.shards) / 1e6
    note = f" ({', '.join(lost)})" if lost else ""
    shards = f"{len(entry.shards)} shard{'s' if len(entry.shards) != 1 else ''}"
    return f"{entry.clips:,} of {entry.clips_listed:,} clips{note}, {shards}, {size_mb:,.1f} MB"
