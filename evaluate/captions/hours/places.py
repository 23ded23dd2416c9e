"""Where the files of each recording go, and which recordings have theirs already."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluate.captions.caption import find_audio
from evaluate.captions.hours.forms import FORMS
from features.common.errors import ConfigError
from features.common.publish import check_writable

_LONGEST_NAME = 255 - len(".incomplete")  # bytes, on nearly every file system


@dataclass(frozen=True, kw_only=True)
class Job:
    """A recording and the files that are wanted of it, by form.

    A final name means a finished file: what exists is not written again, whoever wrote it.
    """

    file: Path
    outputs: dict[str, Path]

    @property
    def missing(self) -> dict[str, Path]:
        """Those that are not there yet."""
        return {form: path for form, path in self.outputs.items() if not path.exists()}


def plan(paths: Iterable[Path], forms: Sequence[str], out: Path | None) -> list[Job]:
    """Find recordings and say where their files go.

    `dog.wav` gets `dog.srt`; where another recording would, too (`dog.flac`), both keep their
    endings: `dog.wav.srt`. Under `out` a folder's recordings lie as in the folder.

    Args:
        paths: audio files and folders of them.
        forms: out of FORMS.
        out: None for beside each recording.

    Raises:
        DumpError: as `find_audio` does.
        ConfigError: if two recordings would have one file, or a folder cannot be written to.
    """
    targets: dict[Path, Path] = {}  # recording → its output's path, the form's ending left out
    for path in paths:
        for file in find_audio([path]):
            below = file.relative_to(path) if path.is_dir() else Path(file.name)
            targets.setdefault(file, file if out is None else out / below)
    stems = Counter(target.with_suffix("") for target in targets.values())
    jobs: list[Job] = []
    owners: dict[Path, Path] = {}
    for file, target in targets.items():
        stem = target.with_suffix("") if stems[target.with_suffix("")] == 1 else target
        outputs = {form: stem.with_name(stem.name + FORMS[form].ending) for form in forms}
        for form, output in outputs.items():
            if len(os.fsencode(output.name)) > _LONGEST_NAME:
                raise ConfigError(
                    f"{file}: its name is too long for {FORMS[form].ending} behind it; shorten it"
                )
            if output in owners:
                raise ConfigError(
                    f"{owners[output]} and {file} would both have {output}; caption one of them "
                    "into another folder"
                )
            owners[output] = file
        jobs.append(Job(file=file, outputs=outputs))
    for folder in {output.parent for output in owners}:
        check_writable(folder)
    return jobs
