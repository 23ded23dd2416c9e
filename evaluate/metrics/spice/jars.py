"""Where SPICE's Java classes are: some in pycocoevalcap, CoreNLP 3.6.0's two jars elsewhere."""

import json
import os
from pathlib import Path

from evaluate.metrics import jvm
from features.common.download import RemoteFile

FOLDER_VARIABLE = "TAGBART_SPICE_LIB"
# As Maven has them: edu.stanford.nlp:stanford-corenlp:3.6.0, and the same with `models`.
CORENLP = (
    RemoteFile(
        name="stanford-corenlp-3.6.0.jar",
        urls=(),
        size=7_270_741,
        sha256="d341d5863276f55782c5ef73212222d6b3b48e02ae1951ab6de7618d28b12742",
    ),
    RemoteFile(
        name="stanford-corenlp-3.6.0-models.jar",
        urls=(),
        size=378_116_526,
        sha256="d285157bd7887ee3018094b5dbae092e49088b023361ccdb550ee1daf9b2c9bd",
    ),
)
CORENLP_JARS = tuple(jar.name for jar in CORENLP)
FETCH_COMMAND = "make setup-spice"
# Jars of another build than Maven's that were held to the classes SPICE needs: size by name.
OTHER_BUILD_NAME = "other-build.json"


def cache_folder() -> Path:
    """tagbart/spice in the user's cache folder: fetched jars, and the parses."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tagbart" / "spice"


def corenlp_folder() -> Path:
    """The folder that our own fetching fills: $TAGBART_SPICE_LIB, else the one in the cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else cache_folder()


def maven_repository() -> Path:
    """The user's own Maven repository."""
    return Path("~/.m2/repository").expanduser()


def maven_folder() -> Path:
    """Where Maven keeps both jars."""
    return maven_repository() / "edu" / "stanford" / "nlp" / "stanford-corenlp" / "3.6.0"


def folders() -> list[Path]:
    """Where the jars may lie; $TAGBART_SPICE_LIB alone where it is set."""
    if os.environ.get(FOLDER_VARIABLE):
        return [corenlp_folder()]
    # pycocoevalcap's own SPICE puts the jars beside its libraries: take them from there too.
    return [cache_folder(), maven_folder(), jvm.pycocoevalcap_folder() / "spice" / "lib"]


def folder_in_use() -> Path:
    """Where both jars are; else where one is, to be named; else where they should be."""
    fit = [folder for folder in folders() if problem_in(folder) is None]
    some = [folder for folder in folders() if any((folder / n).is_file() for n in CORENLP_JARS)]
    return [*fit, *some, corenlp_folder()][0]


def missing() -> str | None:
    """Why SPICE cannot run here and what to do about it; None when all its jars are there."""
    problem = problem_in(folder_in_use())
    return problem and f"{problem}; get them with: {FETCH_COMMAND}"


def problem_in(folder: Path) -> str | None:
    """Which of CoreNLP's jars a folder lacks, or has in another size than known; None if none."""
    absent = [name for name in CORENLP_JARS if not (folder / name).is_file()]
    if absent:
        return f"{' and '.join(absent)} not in {folder}"
    for jar in CORENLP:
        path = folder / jar.name
        size = path.stat().st_size
        if size not in (jar.size, other_build().get(jar.name)):
            return f"{path} has {size:,} bytes, not {jar.size:,}: half a jar, or another one"
    return None


def other_build() -> dict[str, int]:
    """Sizes of jars of another build that fetching found fit for SPICE; {} if there are none."""
    path = cache_folder() / OTHER_BUILD_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # the jars are then refused by their size, with the command that mends it
    return found if isinstance(found, dict) else {}


def versions() -> str:
    """What parses depend on: SPICE's version, CoreNLP's, and the sizes of the jars in use."""
    sizes = [(folder_in_use() / name).stat().st_size for name in CORENLP_JARS]
    return f"SPICE 1.0, CoreNLP 3.6.0 of {sizes[0]} and {sizes[1]} bytes"


def class_path() -> list[Path]:
    """All jars that SPICE needs: its own, the libraries beside it, CoreNLP's two."""
    own = jvm.pycocoevalcap_folder() / "spice"
    libraries = [jar for jar in sorted((own / "lib").glob("*.jar")) if jar.name not in CORENLP_JARS]
    corenlp = [folder_in_use().resolve() / name for name in CORENLP_JARS]
    return [own / "spice-1.0.jar", *libraries, *corenlp]
