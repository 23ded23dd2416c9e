"""`python -m extract fetch`: networks' official files into the weights folder."""

import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from extract.weights.hub import fetch_folder
from extract.weights.official import OFFICIAL, Official, names_wanted
from features.common.checksum import sha256_of
from features.common.console import log
from features.common.download import DownloadError, Patience, difference, download, hold_to_record
from features.common.errors import ConfigError

RECORD_NAME = "fetched.json"
_PROOF = "saved_model.pb"  # what makes a folder a SavedModel


def fetch(
    names: Sequence[str],
    weights: Path,
    *,
    official: Mapping[str, Official] = OFFICIAL,
    patience: Patience | None = None,
) -> list[Path]:
    """Put official files into the weights folder, those that are not there yet.

    A checksum that nobody publishes is recorded in WEIGHTS/fetched.json when first seen, and held
    to from then on.

    Args:
        names: out of `official`; those of the paper when empty.
        weights: the folder, made when absent.
        official: what there is to fetch.
        patience: with the line.

    Returns:
        The file or folder of each name.

    Raises:
        ConfigError: for an unknown name.
        DownloadError: in one line, which files could not be had, why, and what to put where by
            hand; the others have been fetched by then.
    """
    wanted = names_wanted(names, official)
    unknown = [name for name in wanted if name not in official]
    if unknown:
        raise ConfigError(
            f"nothing to fetch from there is called {unknown[0]}; there are {', '.join(official)}"
        )
    problems = {}
    for name in wanted:
        try:
            _fetch_one(name, official[name], weights, patience)
        except DownloadError as error:
            problems[name] = str(error)
    if problems:
        by_hand = "; ".join(_by_hand(official[name], weights) for name in problems)
        raise DownloadError(f"{_told(problems.values())}. Or by hand: {by_hand}")
    return [weights / official[name].place for name in wanted]


def _fetch_one(name: str, one: Official, weights: Path, patience: Patience | None) -> None:
    record = weights / RECORD_NAME
    if one.hub:
        fetch_folder(one.hub, weights / one.place)
        return log(f"{name}: {weights / one.place} is there")
    if one.saved_model:
        return _fetch_saved_model(name, one, weights, patience)
    for file in one.files:
        target = weights / file.name
        if target.is_file():
            if problem := difference(file, target):
                raise DownloadError(f"{target} {problem}; move it away and fetch again")
            log(f"{name}: {target} is there already, and whole")
        else:
            download(file, target, patience=patience, record=record)
            log(f"{name}: fetched to {target}")


def _fetch_saved_model(name: str, one: Official, weights: Path, patience: Patience | None) -> None:
    target = weights / one.place
    if (target / _PROOF).is_file():
        return log(f"{name}: {target} is there already")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DownloadError(f"{target}: holds no {_PROOF}; move it away and fetch again")
    archive = weights / one.files[0].name
    if not archive.is_file():
        download(one.files[0], archive, patience=patience)
    _unpack(name, archive, target, weights / RECORD_NAME)
    archive.unlink()
    log(f"{name}: fetched to {target}")


def _unpack(name: str, archive: Path, target: Path, record: Path) -> None:
    """Unpack a SavedModel; the folder gets its name when it is complete and fits the record."""
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        digest = _unpack_to(archive, draft)
        if not (draft / _PROOF).is_file():
            raise tarfile.TarError(f"it holds no {_PROOF}")
        hold_to_record(record, {name: digest})
        draft.replace(target)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        archive.unlink()
        raise DownloadError(
            f"{archive}: is no whole .tar.gz of a SavedModel ({error}); deleted, fetch it again"
        ) from error
    except OSError as error:
        raise DownloadError(
            f"{archive}: cannot be unpacked to {target} ({error.strerror or error}); make room "
            "there and fetch again"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _unpack_to(archive: Path, folder: Path) -> str:
    """Write an archive's files, never outside `folder`; SHA-256 over their names and contents.

    Not over the archive: the same content is packed anew on its way through other hosts.
    """
    digests = {}
    with tarfile.open(archive, "r:gz") as files:
        for member in files:
            inside = PurePosixPath(member.name)
            source = files.extractfile(member) if member.isfile() else None
            if inside.is_absolute() or ".." in inside.parts:
                raise tarfile.TarError(f"its member {member.name!r} leaves the folder")
            if source is not None:
                path = folder / inside
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                digests[str(inside)] = sha256_of(path)
        while files.fileobj and files.fileobj.read(1 << 20):
            pass  # to the archive's own checksum, which stands behind the last file
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _told(problems: Iterable[str]) -> str:
    """Problems as one, with a reason that several files share said once."""
    files_of: dict[str, list[str]] = {}
    for problem in problems:
        file, words, reason = problem.rpartition(" could not be fetched: ")
        files_of.setdefault(words + reason, []).append(file)
    return "; ".join(", ".join(files) + reason for reason, files in files_of.items())


def _by_hand(one: Official, weights: Path) -> str:
    if one.hub:
        return f"the folder of {one.hub} to {weights / one.place}"
    if one.saved_model:
        return f"{one.files[0].urls[0]} unpacked into {weights / one.place}"
    return "; ".join(f"{file.urls[0]} to {weights / file.name}" for file in one.files)
