"""Where SPICE's Java classes are: some in pycocoevalcap, CoreNLP 3.6.0's two jars elsewhere."""

import os
from pathlib import Path

from evaluate.metrics import jvm

FOLDER_VARIABLE = "TAGBART_SPICE_LIB"
CORENLP_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
FETCH_COMMAND = "python -m evaluate fetch"


def corenlp_folder() -> Path:
    """The folder that should hold CoreNLP's jars: $TAGBART_SPICE_LIB, else one in the cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tagbart" / "spice"


def missing() -> str | None:
    """Why SPICE cannot run here and what to do about it; None when all its jars are there."""
    folder = folder_in_use()
    absent = [name for name in CORENLP_JARS if not (folder / name).is_file()]
    if not absent:
        return None
    return f"{' and '.join(absent)} not in {folder}; get them with: {FETCH_COMMAND}"


def class_path() -> list[Path]:
    """All jars that SPICE needs: its own, the libraries beside it, CoreNLP's two."""
    own = jvm.pycocoevalcap_folder() / "spice"
    libraries = [jar for jar in sorted((own / "lib").glob("*.jar")) if jar.name not in CORENLP_JARS]
    corenlp = [folder_in_use().resolve() / name for name in CORENLP_JARS]
    return [own / "spice-1.0.jar", *libraries, *corenlp]


def folder_in_use() -> Path:
    """Where the jars are, or should be."""
    folder = corenlp_folder()
    # pycocoevalcap's own SPICE puts the jars beside its libraries: take them from there too.
    other = jvm.pycocoevalcap_folder() / "spice" / "lib"
    if not os.environ.get(FOLDER_VARIABLE) and not _complete(folder) and _complete(other):
        return other
    return folder


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in CORENLP_JARS)
