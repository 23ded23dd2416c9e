"""What scoring can use but pip does not bring: CoreNLP 3.6.0 for SPICE, the weights of FENSE."""

import shutil
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from evaluate.metrics import fense
from evaluate.metrics.spice_jars import CORENLP_JARS
from features.common.download import DownloadError, RemoteFile, download, hold_to_record
from features.common.publish import published, sha256_of

# As in pycocoevalcap's get_stanford_models.py; 384 MB, neither exact size nor checksum published.
CORENLP_NAME = "stanford-corenlp-full-2015-12-09"
CORENLP = RemoteFile(
    name=f"{CORENLP_NAME}.zip", urls=(f"http://nlp.stanford.edu/software/{CORENLP_NAME}.zip",)
)
# Something that SPICE needs in each jar: a jar of another version or half of one lacks it.
PROOFS = (
    "edu/stanford/nlp/pipeline/StanfordCoreNLP.class",
    "edu/stanford/nlp/models/lexparser/englishPCFG.ser.gz",
)
RECORD_NAME = "checksums.json"
FENSE_DETECTOR = RemoteFile(
    name=fense.DETECTOR_NAME, urls=(fense.DETECTOR_URL,), sha256=fense.DETECTOR_SHA256
)
# The hub keeps the same weights in forms for other libraries: hundreds of MB that nobody reads.
_NOT_NEEDED = ["onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack", "*.onnx", "coreml/*"]
_HUB_TIMEOUT_S = 10


def fetch_corenlp(folder: Path, file: RemoteFile = CORENLP) -> None:
    """Download CoreNLP's archive and take its two jars out; the archive is deleted afterwards.

    The archive's checksum is recorded beside the jars: another archive later is refused.

    Args:
        folder: where the jars go, made when absent; kept from an earlier call if whole.
        file: the archive, where else than at its own address for tests.

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
        for name in CORENLP_JARS:
            (folder / name).unlink(missing_ok=True)
        raise
    finally:
        archive.unlink()


def unpack_corenlp(archive: Path, folder: Path) -> None:
    """Take CoreNLP's two jars out of its archive; each gets its name only when checked.

    Raises:
        DownloadError: if the archive is damaged or lacks a jar, or a jar is not what it should be.
    """
    try:
        with ZipFile(archive) as files:
            for name, proof in zip(CORENLP_JARS, PROOFS, strict=True):
                member = f"{CORENLP_NAME}/{name}"
                if member not in files.namelist():
                    raise DownloadError(f"{archive}: holds no {member}; fetch it again")
                with published(folder / name) as draft:
                    # Reading to the end compares with the archive's own checksum.
                    with files.open(member) as source, draft.open("wb") as target:
                        shutil.copyfileobj(source, target, 2**20)
                    with ZipFile(draft) as jar:
                        if proof not in jar.namelist():
                            raise DownloadError(f"{archive}: {name} lacks {proof}; fetch it again")
    except BadZipFile as error:
        raise DownloadError(f"{archive}: is damaged ({error}); fetch it again") from error


def fetch_fense() -> None:
    """Download the weights of FENSE to where aac-metrics and Hugging Face look for them.

    Raises:
        DownloadError: if something cannot be fetched.
    """
    import huggingface_hub

    if not fense.detector_path().is_file():
        download(FENSE_DETECTOR, fense.detector_path())
    for name in fense.HUB_NAMES:
        try:
            # Asked first: it fails at once without a network, a download retries for a minute.
            huggingface_hub.HfApi().model_info(name, timeout=_HUB_TIMEOUT_S)
            huggingface_hub.snapshot_download(name, ignore_patterns=_NOT_NEEDED)
        except Exception as error:  # whatever a network can do: each means that we cannot have it
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DownloadError(f"{name}: could not be fetched ({reason})") from error
