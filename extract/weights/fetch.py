"""`python -m extract fetch`: the three networks' official files into the weights folder."""

import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from features.common.console import log
from features.common.download import (
    DownloadError,
    Patience,
    RemoteFile,
    difference,
    download,
    hold_to_record,
)
from features.common.errors import ConfigError
from features.common.publish import sha256_of

RECORD_NAME = "fetched.json"
_PROOF = "saved_model.pb"  # what makes a folder a SavedModel


@dataclass(frozen=True, kw_only=True)
class Official:
    """One network's release: `place` is where it belongs in the weights folder.

    A SavedModel comes as a .tar.gz and is unpacked into the folder `place`.
    """

    place: str
    file: RemoteFile
    saved_model: bool = False


def _hub(name: str) -> Official:
    # tfhub.dev leads to Kaggle now, and answers with an archive only when asked for one.
    kaggle = f"https://www.kaggle.com/api/v1/models/google/{name}/tensorFlow2/{name}/1/download"
    urls = (f"https://tfhub.dev/google/{name}/1?tf-hub-format=compressed", kaggle)
    return Official(
        place=name, file=RemoteFile(name=f"{name}_1.tar.gz", urls=urls), saved_model=True
    )


def _zenodo(name: str, size: int, md5: str) -> Official:
    url = f"https://zenodo.org/record/3987831/files/{name.replace('=', '%3D')}?download=1"
    return Official(place=name, file=RemoteFile(name=name, urls=(url,), size=size, md5=md5))


OFFICIAL: Mapping[str, Official] = {
    "yamnet": _hub("yamnet"),
    "vggish": _hub("vggish"),
    "panns": _zenodo(
        "Wavegram_Logmel_Cnn14_mAP=0.439.pth", 328_692_198, "17fa9ab65af3c0eb5ffbc5f65552c4e1"
    ),
    # VGGish once more, as torchvggish ships it: needs no TensorFlow. Its name is its checksum's
    # beginning; the whole of it stands in several public projects that pin the file.
    "torchvggish": Official(
        place="vggish-10086976.pth",
        file=RemoteFile(
            name="vggish-10086976.pth",
            urls=(
                "https://github.com/harritaylor/torchvggish/releases/download/v0.1/"
                "vggish-10086976.pth",
            ),
            sha256="10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
        ),
    ),
}
DEFAULT_NAMES = ("yamnet", "vggish", "panns")


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
        names: out of `official`; DEFAULT_NAMES when empty.
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
    wanted = list(dict.fromkeys(names or DEFAULT_NAMES))
    unknown = [name for name in wanted if name not in official]
    if unknown:
        raise ConfigError(
            f"nothing to fetch is called {unknown[0]}; there are {', '.join(official)}"
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
    target = weights / one.place
    record = weights / RECORD_NAME
    if one.saved_model:
        if (target / _PROOF).is_file():
            return log(f"{name}: {target} is there already")
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise DownloadError(f"{target}: holds no {_PROOF}; move it away and fetch again")
        archive = weights / one.file.name
        if not archive.is_file():
            download(one.file, archive, patience=patience)
        _unpack(name, archive, target, record)
        archive.unlink()
    elif target.is_file():
        if problem := difference(one.file, target):
            raise DownloadError(f"{target} {problem}; move it away and fetch again")
        return log(f"{name}: {target} is there already, and whole")
    else:
        download(one.file, target, patience=patience, record=record)
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
    what = f"{one.file.urls[0]} unpacked into" if one.saved_model else f"{one.file.urls[0]} to"
    return f"{what} {weights / one.place}"
