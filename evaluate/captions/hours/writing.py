"""Recordings in; beside them, or in a folder, the files that say what is heard when."""

from collections.abc import Callable, Sequence
from pathlib import Path

from evaluate.captions.hours.forms import FORMS
from evaluate.captions.hours.merging import merged
from evaluate.captions.hours.places import Job
from evaluate.captions.listener import Listener, Recording, Said, Watch
from evaluate.captions.options import Cutting, DecodingOptions
from extract.sound.ahead import Ended
from features.common.publish import published

INCOMPLETE = ".incomplete"  # stands in the names of a damaged recording's files


def write_captions(
    jobs: Sequence[Job],
    listener: Listener,
    options: DecodingOptions,
    cutting: Cutting,
    *,
    failed: Callable[[Path, str], object],
    watch: Watch = iter,
) -> None:
    """Caption recordings one after the other; each one's files are written when it is whole.

    A recording that is damaged further on gets files named `.incomplete` with what stands before:
    they are not taken for finished, and go once the recording could be heard to its end.

    Args:
        jobs: recordings and the files that are wanted; those that exist are left as they are.
        listener: a run and its encoders.
        options, cutting: how.
        failed: told of a recording that could not be heard to its end, and why.
        watch: for progress, as in Listener.describe_files.

    Raises:
        OSError: if a file cannot be written.
    """
    recordings = [Recording.of_file(job.file, cutting) for job in jobs]
    said: list[Said] = []
    for number, item in watch(listener.follow(recordings, options, cutting)):
        if not isinstance(item, Ended):
            said.append(item[0])
            continue
        job, failure = jobs[number], item.failure
        if said and failure:
            failure += f"; its files are named {INCOMPLETE} and end at {said[-1].end_s:.1f} s"
        _write(job, merged(said), whole=not item.failure)
        if failure:
            failed(job.file, failure)
        said = []


def _write(job: Job, said: Sequence[Said], *, whole: bool) -> None:
    for form, path in job.missing.items():
        kind = FORMS[form]
        incomplete = path.with_name(path.name.removesuffix(kind.ending) + INCOMPLETE + kind.ending)
        if whole or said:
            with published(path if whole else incomplete) as draft:
                draft.write_text(kind.text(said), encoding="utf-8", newline="")
        if whole:
            incomplete.unlink(missing_ok=True)
