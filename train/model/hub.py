"""Model files from the hub's cache or, once, from the hub: a name becomes a local folder."""

import re
from pathlib import Path

import huggingface_hub

from features.common.errors import ConfigError, first_line

# Commits, so that a later upload changes nothing.
PINNED_REVISIONS = {
    "facebook/bart-large": "cb48c1365bd826bd521f650dc2e0940aee54720c",
    "facebook/bart-base": "aadd2ab0ae0c8268c7c9693540e9904811f36177",
    "facebook/bart-large-cnn": "37f520fa929c961707657b28798b30c003dd100b",
}
_TEXTS = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
]
_WEIGHTS = ["model.safetensors", "pytorch_model.bin"]  # the first that there is
_TIMEOUT_S = 10
# Of a run, as people write it, also as the address of its page; Path makes one slash of two.
_RUN_NAME = re.compile(
    r"(?:(?:https?:/+)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf:/+)?"
    r"(?P<name>[\w.-]+/(?P<folder>[\w.-]+))(?:(?:@|/tree/)(?P<revision>[\w.-]+))?"
)
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def model_folder(setting: str, name: str, revision: str, *, weights: bool) -> Path:
    """The folder with a model's files.

    Args:
        setting: which setting asks, for the message.
        name: a folder, or a hub name such as facebook/bart-large.
        revision: of a hub name; "" takes the pinned one.
        weights: whether weights are needed, or the tokenizer only.

    Raises:
        ConfigError: if it is neither here nor can be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    if not _NAME.fullmatch(name):
        found = "a file" if Path(name).is_file() else "no folder here"
        raise ConfigError(
            f"{setting}: {name}: is {found}, expected a folder, or a hub name such as "
            "facebook/bart-base"
        )
    commit = revision or PINNED_REVISIONS.get(name)
    try:
        folder = Path(
            huggingface_hub.snapshot_download(name, revision=commit, local_files_only=True)
        )
        if _complete(folder, weights):
            return folder
    except (OSError, ValueError):
        pass  # not in the cache yet
    try:
        # Asked first: it fails at once where there is no network, a download retries for a minute.
        info = huggingface_hub.HfApi().model_info(name, revision=commit, timeout=_TIMEOUT_S)
        there = {file.rfilename for file in info.siblings or []}
        wanted = [*_TEXTS, *[file for file in _WEIGHTS if weights and file in there][:1]]
        return Path(huggingface_hub.snapshot_download(name, revision=commit, allow_patterns=wanted))
    except Exception as error:  # whatever a network can do: each means that we cannot have it
        raise ConfigError(
            f"{setting}: {name} is neither a folder here nor in the local cache, and fetching "
            f"it failed ({first_line(error)}). Run once on a machine with a network (HF_HOME says "
            f"where the cache is), or copy the model's folder here and --set {setting}=FOLDER, or "
            "train from random weights with --set model.pretrained=none --set "
            "model.tokenizer=FOLDER"
        ) from error


def if_on_a_hub(path: Path) -> str:
    """What to do where a run that is not here has a name as on a hub; "" where it has not."""
    found = _RUN_NAME.fullmatch(str(path))
    if path.exists() or not found:
        return ""
    name, folder, revision = found["name"], found["folder"], found["revision"] or ""
    asked = f" --revision {revision}" if revision else ""
    return (
        "; if it is the name of a run on Hugging Face's hub, fetch it first: "
        f"hf download {name}{asked} --local-dir {folder}, and name that folder"
    )


def _complete(folder: Path, weights: bool) -> bool:
    found = {path.name for path in folder.iterdir()}
    texts = "config.json" in found and bool(found & {"tokenizer.json", "merges.txt"})
    return texts and (not weights or bool(found & set(_WEIGHTS)))
