"""What `evaluate score` finds in its folder, leaves alone, and puts there beside scores."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from evaluate.scores.predictions import Prediction, PredictionSets, write_predictions
from evaluate.scores.results import (
    JSON_NAME,
    PREDICTIONS_NAME,
    Origin,
    is_scored,
    read_results,
    recorded_origin,
)
from features.common.checksum import sha256_of
from features.common.console import log
from features.common.errors import ConfigError, TagbartError


def folders_of(out: Path, names: Iterable[str]) -> list[Path]:
    """Where each file's scores go."""
    found = list(names)
    return [out] if len(found) == 1 else [out / name for name in found]


def record(out: Path, names: Sequence[str], files: Sequence[Path]) -> Origin | None:
    """What `evaluate run` noted in OUT, which stays when its own predictions are scored again.

    Raises:
        ConfigError: if scores of other captions would replace those of `evaluate run`.
    """
    if _own(out, files):
        origin = recorded_origin(out)
        if origin is None or is_scored(out):
            return origin
        log(f"{out / JSON_NAME}: told of other captions; who said these is not on record")
        return None
    for folder in dict.fromkeys([out, *folders_of(out, names)]):
        if recorded_origin(folder):
            raise ConfigError(
                f"{folder / JSON_NAME}: holds scores of `evaluate run`, which these would replace; "
                "name another --out"
            )
    return None


def replaceable(out: Path, names: Sequence[str], files: Sequence[Path]) -> list[Path]:
    """The folders that captions of other systems go to; none for a file that lies there itself.

    Raises:
        ConfigError: if captions are there that `keep` did not write.
    """
    if _own(out, files):
        return []
    folders = folders_of(out, names)
    for path in (folder / PREDICTIONS_NAME for folder in folders):
        if path.exists() and not _kept_before(path):
            raise ConfigError(
                f"{path}: holds other captions, which these would replace; name another --out"
            )
    return folders


def keep(sets: PredictionSets, folders: Sequence[Path]) -> tuple[str, ...]:
    """Write captions of other systems with their references as predictions files.

    So a report shows them, and they are scored again without their references' file.

    Args:
        sets: as `read_foreign_sets` gives them.
        folders: one for each of its files.

    Returns:
        The checksums of what was written.
    """
    for folder, candidates in zip(folders, sets.candidates, strict=True):
        found = zip(sets.clips, candidates, sets.references, strict=True)
        write_predictions(
            folder / PREDICTIONS_NAME,
            (Prediction(clip=clip, candidate=text, references=said) for clip, text, said in found),
        )
    return tuple(sha256_of(folder / PREDICTIONS_NAME) for folder in folders)


def _own(out: Path, files: Sequence[Path]) -> bool:
    return [file.resolve() for file in files] == [(out / PREDICTIONS_NAME).resolve()]


def _kept_before(path: Path) -> bool:
    """Whether `keep` wrote a predictions file: the scores beside it tell of one of another name."""
    try:
        told = read_results(path.parent)
    except TagbartError:
        return False
    named = Path(told.predictions).name
    return named != path.name and told.sha256.get("predictions") == sha256_of(path)
