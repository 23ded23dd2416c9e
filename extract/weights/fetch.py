"""`python -m extract fetch`: the three networks' official files into the weights folder."""

import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from extract.weights.hub import fetch_folder
from features.common.checksum import sha256_of
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

RECORD_NAME = "fetched.json"
CLASS_MAP_NAME = "yamnet_class_map.csv"
_PROOF = "saved_model.pb"  # what makes a folder a SavedModel


@dataclass(frozen=True, kw_only=True)
class Official:
    """One network's release.

    Attributes:
        place: what of it in the weights folder a stream is loaded from.
        files: each goes into the weights folder under its own name. A SavedModel is one file, a
            .tar.gz that is unpacked into the folder `place`.
        saved_model: whether it is one.
        hub: its name on the Hugging Face hub, of a network that comes as a folder from there.
    """

    place: str
    files: tuple[RemoteFile, ...] = ()
    saved_model: bool = False
    hub: str = ""


def _hub(name: str) -> Official:
    # tfhub.dev leads to Kaggle now, and answers with an archive only when asked for one.
    kaggle = f"https://www.kaggle.com/api/v1/models/google/{name}/tensorFlow2/{name}/1/download"
    urls = (f"https://tfhub.dev/google/{name}/1?tf-hub-format=compressed", kaggle)
    archive = RemoteFile(name=f"{name}_1.tar.gz", urls=urls)
    return Official(place=name, files=(archive,), saved_model=True)


# Nobody's own word says the checksums of YAMNet's and VGGish's files; several public projects that
# pin them agree (of VGGish's the name is the beginning).
_YAMNET = RemoteFile(
    name="yamnet.h5",
    urls=("https://storage.googleapis.com/audioset/yamnet.h5",),
    size=15_296_092,
    sha256="13c3308955bbfaef262f175ac9c40e47b134573a93984f009220dd7cc12a1744",
)
_CLASS_MAP = RemoteFile(
    name=CLASS_MAP_NAME,
    urls=tuple(
        f"https://raw.githubusercontent.com/tensorflow/models/{revision}/research/audioset/yamnet/"
        "yamnet_class_map.csv"
        for revision in ("dbeeb148f10adf723067040eedcccda00bdce1e8", "master")
    ),
    size=14_096,
    sha256="cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
)
_VGGISH = RemoteFile(
    name="vggish-10086976.pth",
    urls=("https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",),
    sha256="10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
)


def _zenodo(record: int, name: str, md5: str, size: int | None = None) -> RemoteFile:
    url = f"https://zenodo.org/record/{record}/files/{name.replace('=', '%3D')}?download=1"
    return RemoteFile(name=name, urls=(url,), size=size, md5=md5)


_PANNS = _zenodo(
    3987831,
    "Wavegram_Logmel_Cnn14_mAP=0.439.pth",
    "17fa9ab65af3c0eb5ffbc5f65552c4e1",
    328_692_198,
)
_CONVNEXT = _zenodo(
    10987498, "convnext_tiny_465mAP_BL_AC_75kit.pth", "f6f57c87b7eb664a23ae8cad26eccaa0"
)
# Nobody publishes this one's checksum; it is recorded when first fetched.
_PANNS_TAGS = RemoteFile(
    name="Cnn14_DecisionLevelMax_mAP=0.385.pth",
    urls=(
        "https://zenodo.org/record/3987831/files/Cnn14_DecisionLevelMax_mAP%3D0.385.pth?download=1",
    ),
)
# AudioSet's own list of its 527 classes.
_CLASSES = RemoteFile(
    name="class_labels_indices.csv",
    urls=(
        "https://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/class_labels_indices.csv",
    ),
)

OFFICIAL: Mapping[str, Official] = {
    "yamnet": Official(place=_YAMNET.name, files=(_YAMNET, _CLASS_MAP)),
    "vggish": Official(place=_VGGISH.name, files=(_VGGISH,)),
    "panns": Official(place=_PANNS.name, files=(_PANNS,)),
    "convnext": Official(place=_CONVNEXT.name, files=(_CONVNEXT,)),
    "panns_tags": Official(place=_PANNS_TAGS.name, files=(_PANNS_TAGS, _CLASSES)),
    "clap": Official(place="clap", hub="laion/clap-htsat-unfused"),
    "ast": Official(place="ast", hub="MIT/ast-finetuned-audioset-10-10-0.4593"),
}
DEFAULT_NAMES = ("yamnet", "vggish", "panns")  # what the paper's recipes read
# The two that TF-Hub has as SavedModels; reading those takes TensorFlow.
TFHUB: Mapping[str, Official] = {name: _hub(name) for name in ("yamnet", "vggish")}
SOURCES: Mapping[str, Mapping[str, Official]] = {"makers": OFFICIAL, "tfhub": TFHUB}


def official_from(source: str) -> Mapping[str, Official]:
    """What there is to fetch from `makers`, from `tfhub`, or under a name on the hub.

    Raises:
        ConfigError: if it is none of these.
    """
    if source in SOURCES:
        return SOURCES[source]
    if source.count("/") != 1 or not all(source.split("/")):
        raise ConfigError(
            f"--from is {source!r}, expected one of {', '.join(SOURCES)}, or a name on the Hugging "
            "Face hub such as laion/larger_clap_general"
        )
    return {name: replace(one, hub=source) for name, one in OFFICIAL.items() if one.hub}


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


def names_wanted(names: Sequence[str], official: Mapping[str, Official]) -> list[str]:
    """Each name once; with none, those of the paper's networks that `official` has."""
    return list(dict.fromkeys(names or [name for name in DEFAULT_NAMES if name in official]))


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
