"""Networks that live on the Hugging Face hub: a name there becomes a folder of weights here."""

import shutil
from pathlib import Path

from features.common.checksum import sha256_of
from features.common.download import DownloadError
from features.common.errors import WeightsError, first_line

_TEXTS = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # the first that there is
_TIMEOUT_S = 10


def fetch_folder(repository: str, target: Path) -> None:
    """Fetch a model's own files, no code; the folder gets its name when they are all there.

    Args:
        repository: such as laion/clap-htsat-unfused.
        target: the folder to make; what is there already stays.

    Raises:
        DownloadError: in one line, what could not be had and why.
    """
    if (target / "config.json").is_file():
        return
    import huggingface_hub  # not above: scoring, which reads checksums, does without it

    draft = target.with_name(f".{target.name}.part")  # kept after a break: the hub goes on there
    try:
        # Asked first: it fails at once where there is no network, a download retries for a minute.
        info = huggingface_hub.HfApi().model_info(repository, timeout=_TIMEOUT_S)
        there = {file.rfilename for file in info.siblings or []}
        weights = next((name for name in WEIGHT_FILES if name in there), None)
        if weights is None or "config.json" not in there:
            raise FileNotFoundError(f"it holds no config.json with {' or '.join(WEIGHT_FILES)}")
        wanted = [name for name in (*_TEXTS, weights) if name in there]
        huggingface_hub.snapshot_download(
            repository, revision=info.sha, allow_patterns=wanted, local_dir=draft
        )
    except Exception as error:  # whatever a network can do: each means that we cannot have it
        raise DownloadError(
            f"{repository} could not be fetched: {first_line(error)}. Or copy the model's folder, "
            f"as transformers saves one, to {target}"
        ) from error
    shutil.rmtree(draft / ".cache", ignore_errors=True)
    draft.replace(target)


def sha256_of_weights(folder: Path) -> str:
    """Checksum of the file that holds a folder's weights.

    Raises:
        WeightsError: if it holds none.
    """
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return sha256_of(folder / name)
    raise WeightsError(f"{folder}: holds neither {' nor '.join(WEIGHT_FILES)}; get it again")
