"""What scoring can use but pip does not bring: CoreNLP 3.6.0 for SPICE, the weights of FENSE."""

import shutil
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from evaluate.spice_jars import CORENLP_JARS
from features.errors import TagbartError
from features.publish import published, sha256_of

# As in pycocoevalcap's get_stanford_models.py; 384 MB.
CORENLP_NAME = "stanford-corenlp-full-2015-12-09"
CORENLP_URL = f"http://nlp.stanford.edu/software/{CORENLP_NAME}.zip"
# Something that SPICE needs in each jar: a jar of another version or half of one lacks it.
PROOFS = (
    "edu/stanford/nlp/pipeline/StanfordCoreNLP.class",
    "edu/stanford/nlp/models/lexparser/englishPCFG.ser.gz",
)


def unpack_corenlp(archive: Path, folder: Path) -> dict[str, str]:
    """Take CoreNLP's two jars out of its archive; both are checked before they get their names.

    Args:
        archive: the zip, as downloaded.
        folder: where the jars go, made when absent.

    Returns:
        SHA-256 by file name, to be recorded: no list of them is published.

    Raises:
        TagbartError: if the archive is damaged or lacks a jar, or a jar is not what it should be.
    """
    digests = {}
    try:
        with ZipFile(archive) as files:
            for name, proof in zip(CORENLP_JARS, PROOFS, strict=True):
                member = f"{CORENLP_NAME}/{name}"
                if member not in files.namelist():
                    raise TagbartError(f"{archive}: holds no {member}; delete it and fetch again")
                with published(folder / name) as draft:
                    # Reading to the end compares the archive's own checksum.
                    with files.open(member) as source, draft.open("wb") as target:
                        shutil.copyfileobj(source, target, 2**20)
                    _check_jar(draft, proof, archive)
                    digests[name] = sha256_of(draft)
    except BadZipFile as error:
        raise TagbartError(f"{archive}: is damaged ({error}); delete it and fetch again") from error
    return digests


def _check_jar(jar: Path, proof: str, archive: Path) -> None:
    with ZipFile(jar) as files:
        if proof not in files.namelist():
            raise TagbartError(f"{archive}: a jar in it lacks {proof}; delete it and fetch again")
