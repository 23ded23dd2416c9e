"""`python -m extract run`: a dump of clips becomes a features folder, resuming where it stands."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from extract.asked import Extraction
from extract.dump.plan import read_dump
from extract.gathering import forget_if_finished
from extract.index import publish_index, withdraw_index
from extract.lock import only_run
from extract.pipeline import make_shards
from extract.precision import NEEDS_A_GPU, own_precision, settled
from extract.running.encoder import Encoder
from extract.running.gpu import compiling_pays
from extract.shards import (
    DoneMark,
    ShardTask,
    check_joins,
    check_same_settings,
    plan_shards,
    split_folder,
)
from extract.sound.endings import plain_endings
from extract.sound.files import ffmpeg
from extract.sound.kinds import needs_ffmpeg
from extract.streams import load_encoders
from features.common.console import log, progress
from features.common.errors import DONE, SOME_CLIPS_FAILED, ConfigError, TagbartError
from features.common.memory import keep_freed_memory
from features.common.publish import FEATURES, check_writable
from features.spec import INDEX_NAME, Index


def extract(config: Extraction) -> int:
    """Run an extraction to its end.

    Returns:
        DONE, or SOME_CLIPS_FAILED if clips that are in the dump could not be used.

    Raises:
        TagbartError: if it cannot run; what is finished stays.
    """
    check_writable(config.out, FEATURES)
    plan = read_dump(
        config.dump,
        captions=config.captions,
        kind=config.kind,
        splits=config.splits,
        rule=config.rule,
    )
    tasks = plan_shards(plan, config.shard_clips)
    _say_plan(plan.kind, tasks)
    number, of = config.part
    own = tasks[number - 1 :: of]
    config.out.mkdir(parents=True, exist_ok=True)
    with plain_endings(config.out), only_run(config.out, config.part):
        config = _with_precision(config, tasks)
        for task in own:
            task.mend(config.out)
            forget_if_finished(task, config.out)
            _forget_lack_of_ffmpeg(task, config.out)
        todo = [task for task in own if not _has_streams(task, config)]
        log(f"{len(own):,} shards, {len(own) - len(todo):,} of them finished before")
        check_joins(config.out, tasks, own, config.streams)
        torch.set_num_threads(config.settings.threads)
        keep_freed_memory()
        # A cluster's workers load their own; here it is their specs alone that are wanted.
        clips = sum(task.present for task in todo)
        here: dict[str, Any] = {"compiled": compiling_pays(clips, config.settings.device)}
        if config.engine == "ray":
            here = {"device": "cpu"}
        encoders = load_encoders(**(config.encoder_options() | here))
        check_same_settings(config.out, tasks, [encoder.spec for encoder in encoders.values()])
        if todo:
            _say_if_ffmpeg_is_needed(todo)
            _say_if_bf16_is_slow(config)
            _make(todo, config, encoders)
        index = publish_index(config.out, tasks)
        if index is not None:
            return _say_result(index, sorted({task.split for task in tasks}), config.out)
        marks = [task.done(config.out) for task in own]
        if None in marks:
            raise TagbartError(
                f"{config.out}: shards that this run finished are gone or changed; run it again"
            )
    log(f"part {number} of {of} is done; the part that ends last writes {INDEX_NAME}")
    failed = any(not item.missing for mark in marks if mark for item in mark.failures)
    return SOME_CLIPS_FAILED if failed else DONE


def _with_precision(config: Extraction, tasks: Sequence[ShardTask]) -> Extraction:
    device = config.settings.device
    precision = settled(
        config.precision,
        config.out,
        tasks,
        parts=config.part[1],
        own=own_precision(device, config.engine),
    )
    if precision in NEEDS_A_GPU and device == "cpu":  # shards say in what they were made
        raise ConfigError(
            f"{config.out} was begun in {precision}, which only NVIDIA GPUs have; go on with "
            "--device cuda, or use --precision float32 and another --out"
        )
    if precision not in (config.precision, "float32"):
        log(f"networks compute in {precision}")
    return replace(config, precision=precision)


def _make(todo: Sequence[ShardTask], config: Extraction, encoders: dict[str, Encoder]) -> None:
    if any(task.path(config.out).exists() for task in todo):
        withdraw_index(config.out)
    for task in todo:
        task.make_room(config.out)
    clips = sum(task.present for task in todo)
    with progress(total=clips, what="extract", unit="clips") as bar:
        for mark in _marks(todo, config, encoders, bar.update):
            for failure in mark.failures:
                if not failure.missing:
                    # A name may hold line breaks.
                    log(f"left out {failure.path!r}: {failure.reason}")


def _marks(
    todo: Sequence[ShardTask],
    config: Extraction,
    encoders: dict[str, Encoder],
    heard: Callable[[int], object],
) -> Iterator[DoneMark]:
    if config.engine == "local":
        yield from make_shards(
            todo,
            dump=config.dump,
            out=config.out,
            encoders=encoders,
            settings=config.settings,
            heard=heard,
        )
        return
    from extract.cluster import make_shards_on_ray

    for mark in make_shards_on_ray(
        todo,
        dump=config.dump.resolve(),
        out=config.out.resolve(),
        encoder_options=config.encoder_options() | {"weights": config.weights.resolve()},
        settings=config.settings,
    ):
        heard(mark.listed - sum(failure.missing for failure in mark.failures))
        yield mark


def _has_streams(task: ShardTask, config: Extraction) -> bool:
    mark = task.done(config.out)
    return mark is not None and (mark.entry is None or set(config.streams) <= set(mark.streams))


def _forget_lack_of_ffmpeg(task: ShardTask, out: Path) -> None:
    """Make a shard again whose clips were left out for want of the ffmpeg that is there now."""
    mark = task.done(out)
    reasons = [failure.reason for failure in mark.failures] if mark else []
    if any(ffmpeg.LACKING in reason for reason in reasons) and ffmpeg.available():
        task.mark_path(out).unlink()


def _say_if_ffmpeg_is_needed(todo: Sequence[ShardTask]) -> None:
    if ffmpeg.available():
        return
    paths = (clip.path for task in todo for clip in task.clips if clip.path)
    counts = Counter(ending for path in paths if (ending := needs_ffmpeg(path)))
    if counts:
        kinds = ", ".join(f"{ending} {count:,}" for ending, count in counts.most_common())
        log(
            f"{counts.total():,} files need ffmpeg, which is not on the PATH ({kinds}): they will "
            "be left out and stand in failures.csv; install it, then run the same command again"
        )


def _say_if_bf16_is_slow(config: Extraction) -> None:
    here = config.settings.device == "cpu" and config.engine == "local"
    able = any("bf16" in name and has for name, has in torch.cpu.get_capabilities().items())
    if here and config.precision == "bf16" and not able:
        log("this processor has no bf16 instructions: --precision float32 is likely faster")


def _say_plan(kind: str, tasks: Sequence[ShardTask]) -> None:
    for split, of_split in groupby(tasks, key=lambda task: task.split):
        counts = [(len(task.clips), task.present) for task in of_split]
        listed, found = (sum(column) for column in zip(*counts, strict=True))
        note = "" if found == listed else f", {listed - found:,} missing"
        log(f"{split}: {found:,} of {listed:,} clips have audio{note}  ({kind})")
    if not any(task.present for task in tasks):
        first = tasks[0].clips[0]
        raise TagbartError(
            f"no clip of the captions has audio in the dump: the first, {first.id!r}, has no file "
            "of its name there; unpack the sounds into it, or name the folder that holds them as "
            "DUMP (and with --captions the captions')"
        )


def _say_result(index: Index, splits: Sequence[str], out: Path) -> int:
    failed = sum(index.splits[split].clips_failed for split in splits)
    missing = sum(index.splits[split].clips_missing for split in splits)
    for split in splits:
        entry = index.splits[split]
        folder = split_folder(out, split, entry.original)
        log(f"{split}: {entry.clips:,} of {entry.clips_listed:,} clips in {folder}")
    if failed or missing:
        log(f"{missing:,} clips missing, {failed:,} failed: see {out / 'failures.csv'}")
    if not any(index.splits[split].clips for split in splits):
        raise TagbartError(f"{out}: not one clip could be extracted; nothing to train on")
    return SOME_CLIPS_FAILED if failed else DONE
