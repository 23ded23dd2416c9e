"""Who publishes which weights, under which name, size and checksum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from features.common.download import RemoteFile
from features.common.errors import ConfigError

CLASS_MAP_NAME = "yamnet_class_map.csv"


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


def _zenodo(record: int, name: str, md5: str | None = None, size: int | None = None) -> RemoteFile:
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
_PANNS_TAGS = _zenodo(3987831, "Cnn14_DecisionLevelMax_mAP=0.385.pth")
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


def names_wanted(names: Sequence[str], official: Mapping[str, Official]) -> list[str]:
    """Each name once; with none, those of the paper's networks that `official` has."""
    return list(dict.fromkeys(names or [name for name in DEFAULT_NAMES if name in official]))
