"""What scoring can use but pip does not bring: the weights of FENSE (CoreNLP: spice/fetch.py)."""

from evaluate.metrics import fense
from features.common.download import DownloadError, RemoteFile, download
from features.common.errors import first_line

FENSE_DETECTOR = RemoteFile(
    name=fense.DETECTOR_NAME, urls=(fense.DETECTOR_URL,), sha256=fense.DETECTOR_SHA256
)
# The hub keeps the same weights in forms for other libraries: hundreds of MB that nobody reads.
_NOT_NEEDED = ["onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack", "*.onnx", "coreml/*"]
_HUB_TIMEOUT_S = 10


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
            raise DownloadError(f"{name}: could not be fetched ({first_line(error)})") from error
