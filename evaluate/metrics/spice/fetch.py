"""Getting CoreNLP 3.6.0 for SPICE: by Maven where it is, else from its makers' archive."""

import errno
import shutil
import subprocess
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from evaluate.metrics.spice import jars
from evaluate.metrics.spice.jars import CORENLP, CORENLP_JARS
from features.common.checksum import sha256_of
from features.common.console import log
from features.common.download import (
    DownloadError,
    RemoteFile,
    difference,
    download,
    hold_to_record,
)
from features.common.publish import published, write_json

# As in pycocoevalcap's get_stanford_models.py, but over https; 384 MB, neither exact size nor
# checksum published.
ARCHIVE_NAME = "stanford-corenlp-full-2015-12-09"
ARCHIVE = RemoteFile(
    name=f"{ARCHIVE_NAME}.zip", urls=(f"https://nlp.stanford.edu/software/{ARCHIVE_NAME}.zip",)
)
MAVEN_NAMES = (
    "edu.stanford.nlp:stanford-corenlp:3.6.0",
    "edu.stanford.nlp:stanford-corenlp:3.6.0:jar:models",
)
MAVEN_TIMEOUT_S = 1800.0  # the models are 378 MB
# Something that SPICE needs in each jar: a jar of another version or half of one lacks it.
PROOFS = (
    "edu/stanford/nlp/pipeline/StanfordCoreNLP.class",
    "edu/stanford/nlp/models/lexparser/englishPCFG.ser.gz",
)
RECORD_NAME = "checksums.json"


def fetch_corenlp() -> Path:
    """See that CoreNLP's jars are here and whole: as they lie, by Maven, or from the archive.

    Returns:
        The folder that holds both.

    Raises:
        DownloadError: if they cannot be had, or are not those expected.
    """
    for folder in jars.folders():
        if all((folder / name).is_file() for name in CORENLP_JARS) and _fit(folder):
            return folder
    if not _by_maven():
        folder = jars.corenlp_folder()
        fetch_archive(folder, ARCHIVE)
        if not _fit(folder):
            raise DownloadError(f"{folder}: the archive's jars are not fit for SPICE")
    return jars.folder_in_use()


def fetch_archive(folder: Path, file: RemoteFile) -> None:
    """Download CoreNLP's archive and take its two jars out; the archive is deleted afterwards.

    The archive's checksum is recorded beside the jars: another archive later is refused.

    Args:
        folder: where the jars go, made when absent; kept from an earlier call if whole.
        file: the archive.

    Raises:
        DownloadError: if it cannot be fetched, is damaged, or is not the archive expected.
    """
    archive = folder / file.name
    if not archive.is_file():
        download(file, archive)
    try:
        unpack_corenlp(archive, folder)
        hold_to_record(folder / RECORD_NAME, {file.name: sha256_of(archive)})
    except DownloadError:
        for path in (archive, *(folder / name for name in CORENLP_JARS)):
            path.unlink(missing_ok=True)
        raise
    except OSError as error:  # the archive is whole: it stays for another try
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "make room" if full else "choose another folder"
        raise DownloadError(
            f"{folder}: cannot be written ({error.strerror}); {what} and fetch again, "
            f"{archive.name} is kept"
        ) from error
    archive.unlink()


def unpack_corenlp(archive: Path, folder: Path) -> None:
    """Take CoreNLP's two jars out of its archive; each gets its name only when checked.

    Raises:
        DownloadError: if the archive is damaged or lacks a jar, or a jar is not what it should be.
        OSError: if they cannot be written.
    """
    try:
        with ZipFile(archive) as files:
            for name, proof in zip(CORENLP_JARS, PROOFS, strict=True):
                member = f"{ARCHIVE_NAME}/{name}"
                if member not in files.namelist():
                    raise DownloadError(f"{archive}: holds no {member}; fetch it again")
                with published(folder / name) as draft:
                    # Reading to the end compares with the archive's own checksum.
                    with files.open(member) as source, draft.open("wb") as target:
                        shutil.copyfileobj(source, target, 2**20)
                    if problem := _unfit(draft, proof):
                        raise DownloadError(f"{archive}: {name} {problem}; fetch it again")
    except BadZipFile as error:
        raise DownloadError(f"{archive}: is damaged ({error}); fetch it again") from error


def _by_maven() -> bool:
    """Let Maven get both jars; False, with a line that says why, where it cannot."""
    maven = shutil.which("mvn")
    if maven is None:
        log("no Maven (mvn) here: CoreNLP comes from its makers' archive")
        return False
    options = ("-B", "-q", f"-Dmaven.repo.local={jars.maven_repository()}", "-Dtransitive=false")
    for name in MAVEN_NAMES:
        log(f"Maven fetches {name}")
        command = [maven, *options, "dependency:get", f"-Dartifact={name}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=MAVEN_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            log(f"Maven failed ({error}): CoreNLP comes from its makers' archive")
            return False
        if done.returncode != 0:
            words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            why = words[0].strip()[:200] if words else f"exit code {done.returncode}"
            log(f"Maven failed ({why}): CoreNLP comes from its makers' archive")
            return False
    source, folder = jars.maven_folder(), jars.corenlp_folder()
    for jar in CORENLP:
        if problem := difference(jar, source / jar.name):
            raise DownloadError(f"{source / jar.name} {problem}; delete it and fetch it again")
    if folder not in jars.folders() or source in jars.folders():
        return True
    folder.mkdir(parents=True, exist_ok=True)  # the one that $TAGBART_SPICE_LIB names gets links
    for name in CORENLP_JARS:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(source / name)
    return True


def _fit(folder: Path) -> bool:
    """Whether a folder's jars are those of Maven, or another build's with what SPICE needs."""
    sizes: dict[str, int] = {}
    for jar, proof in zip(CORENLP, PROOFS, strict=True):
        path = folder / jar.name
        if difference(jar, path) is None:
            continue
        if problem := _unfit(path, proof):
            log(f"{path} {problem}: not fit for SPICE")
            return False
        sizes[jar.name] = path.stat().st_size
        log(
            f"{path}: another build than Maven's ({sizes[jar.name]:,} bytes, not {jar.size:,}); it "
            "has the classes that SPICE needs, but scores with it were never compared"
        )
    if sizes:
        write_json(jars.cache_folder() / jars.OTHER_BUILD_NAME, jars.other_build() | sizes)
    return True


def _unfit(path: Path, proof: str) -> str | None:
    """What is wrong with a jar, or None if it is whole and holds `proof`."""
    try:
        with ZipFile(path) as jar:
            return None if proof in jar.namelist() else f"lacks {proof}"
    except BadZipFile as error:
        return f"is damaged ({error})"
