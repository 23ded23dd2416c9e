"""The streams: which network makes each, from which files, over which windows of sound.

A further stream is one more entry in STREAMS and the module of its network; what reads official
weights is in extract/networks/releases.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from extract.networks import (
    ast,
    clap,
    convnext,
    log_mel,
    panns,
    panns_tags,
    releases,
    vggish,
    yamnet,
)
from extract.running.encoder import Encoder, Windows, as_list
from extract.running.folding import prepared
from extract.running.gpu import check_tf32
from extract.sound.resample import RESAMPLER
from extract.weights.state_dicts import Loaded, load_network
from features.common.errors import ConfigError, WeightsError
from features.spec import EMBEDDING, TAG_LOGITS, StreamSpec

# A GPU computes so many of a CPU's batches at once.
_GPU_BATCHES = 8


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What makes one stream.

    Attributes:
        kind: TAG_LOGITS or EMBEDDING.
        sample_rate_hz: of the waveform that the network hears.
        window_s: seconds of sound behind a row.
        hop_s: seconds from a row to the next.
        cut: waveform [n] → windows [T, samples], by operations that torch.vmap can do for several
            at once; of them the network makes [T, D]. Or, for one that hears clips whole, pieces
            [1, n_i] of any length, of which it makes [1, T_i, D].
        sources: file or folder in the weights folder → what reads it, the first there is taken.
        batch_windows: windows computed together on a CPU, about 10 s of sound by 8.
        precisions: what its network's arithmetic may be besides float32. Those that make tags stay
            in float32, since tags are choices; the others take TF32.
        heard_audiocaps: of each source, "yes" or "no": whether the network learnt from AudioCaps'
            test clips, which are all in AudioSet's training set; absent where that is unknown.
    """

    kind: str
    sample_rate_hz: int
    window_s: float
    hop_s: float
    cut: Callable[[Tensor], Windows]
    sources: Mapping[str, Callable[[Path], Loaded]]
    batch_windows: int
    precisions: tuple[str, ...] = ()
    heard_audiocaps: Mapping[str, str] = field(default_factory=dict)

    def precision(self, asked: str) -> str:
        """What it computes in when this precision is asked for."""
        return asked if asked in self.precisions else "float32"


def load_encoders(
    names: Sequence[str],
    weights: Path,
    *,
    device: str = "cpu",
    precision: str = "float32",
    dtype: str = "float16",
    compiled: bool = False,
) -> dict[str, Encoder]:
    """Load the networks of some streams.

    Args:
        names: out of STREAMS.
        weights: folder with their files.
        device: where they run, `cpu` or `cuda`.
        precision: of their arithmetic: `float32`; `tf32`, which a CPU has not, so that the encoders
            are good for their specs alone there; or `bf16`, where front ends stay float32. Streams
            that have no such precision stay float32.
        dtype: that their rows are stored in; it goes into the spec only.
        compiled: whether networks are compiled for full batches, at the first one.

    Raises:
        ConfigError: for an unknown name, or `tf32` on a GPU that has none.
        WeightsError: if files are missing, damaged, or hold other weights.
    """
    unknown = [name for name in names if name not in STREAMS]
    if unknown:
        raise ConfigError(f"no stream {', '.join(unknown)}; there are {', '.join(STREAMS)}")
    if precision == "tf32":
        check_tf32(device)
    encoders = {
        name: _encoder(name, weights, device=device, precision=precision, dtype=dtype)
        for name in names
    }
    return {name: item.compiled() if compiled else item for name, item in encoders.items()}


def load_weights(name: str, weights: Path) -> Loaded:
    """Load one stream's network from the first of its files that the weights folder has.

    Raises:
        WeightsError: if there is none, or it is damaged or holds other weights.
    """
    sources = STREAMS[name].sources
    for file, read in sources.items():
        if (weights / file).exists():
            return read(weights / file)
    raise WeightsError(
        f"{weights}: holds no weights for {name}; put one of {', '.join(sources)} there, "
        f"or run: python -m extract fetch {name}"
    )


def _encoder(name: str, weights: Path, *, device: str, precision: str, dtype: str) -> Encoder:
    stream, loaded = STREAMS[name], load_weights(name, weights)
    precision = stream.precision(precision)
    source = next(file for file in stream.sources if (weights / file).exists())
    network = prepared(loaded.module, device=device, precision=precision)
    with torch.inference_mode():
        silence = as_list(stream.cut(torch.zeros(1, device=device)))[0]
        width = network(silence).shape[-1]
    spec = StreamSpec(
        name=name,
        kind=stream.kind,
        network=loaded.network,
        weights_sha256=loaded.sha256,
        sample_rate_hz=stream.sample_rate_hz,
        window_s=stream.window_s,
        hop_s=stream.hop_s,
        resampler=RESAMPLER,
        precision=precision,
        width=width,
        dtype=dtype,
        classes=loaded.classes if stream.kind == TAG_LOGITS else (),
        heard_audiocaps=stream.heard_audiocaps.get(source, "unknown"),
    )
    batch, on_cpu = stream.batch_windows, device == "cpu"
    return Encoder(
        spec=spec,
        network=network,
        cut=stream.cut,
        batch_windows=batch if on_cpu else _GPU_BATCHES * batch,
        step=1 if on_cpu else batch,
    )


STREAMS: dict[str, Stream] = {
    "yamnet": Stream(
        kind=TAG_LOGITS,
        sample_rate_hz=log_mel.SAMPLE_RATE_HZ,
        window_s=0.96,
        hop_s=0.96,
        cut=yamnet.patches,
        sources={
            "yamnet.h5": releases.yamnet_h5,
            "yamnet_weights.npz": releases.yamnet_npz,
            "yamnet": partial(releases.saved_model, recipe=releases.YAMNET_HUB),
            "yamnet.safetensors": partial(load_network, build=yamnet.YAMNet),
        },
        batch_windows=80,
        heard_audiocaps={"yamnet.h5": "yes", "yamnet_weights.npz": "yes", "yamnet": "yes"},
    ),
    "vggish": Stream(
        kind=EMBEDDING,
        sample_rate_hz=log_mel.SAMPLE_RATE_HZ,
        window_s=0.96,
        hop_s=0.96,
        cut=vggish.examples,
        sources={
            "vggish-10086976.pth": releases.vggish_release,
            "vggish": partial(releases.saved_model, recipe=releases.VGGISH_HUB),
            "vggish.safetensors": partial(load_network, build=vggish.VGGish),
        },
        batch_windows=80,
        precisions=("tf32", "bf16"),
    ),
    "panns": Stream(
        kind=EMBEDDING,
        sample_rate_hz=panns.SAMPLE_RATE_HZ,
        window_s=10.0,
        hop_s=10.0,
        cut=panns.windows,
        sources={
            "Wavegram_Logmel_Cnn14_mAP=0.439.pth": releases.panns_release,
            "panns.safetensors": partial(load_network, build=panns.WavegramLogmelCnn14),
        },
        batch_windows=8,
        precisions=("tf32", "bf16"),
        heard_audiocaps={"Wavegram_Logmel_Cnn14_mAP=0.439.pth": "yes"},
    ),
    "convnext": Stream(
        kind=EMBEDDING,
        sample_rate_hz=convnext.SAMPLE_RATE_HZ,
        window_s=convnext.HOP_S,
        hop_s=convnext.HOP_S,
        cut=convnext.clips,
        sources={
            f"convnext_tiny_{name}.pth": partial(
                releases.convnext_release, network=f"ConvNeXt-Tiny {name}"
            )
            for name in ("465mAP_BL_AC_75kit", "465mAP_BL_AC_70kit", "471mAP")
        }
        | {"convnext.safetensors": partial(load_network, build=convnext.ConvNeXt)},
        batch_windows=8,
        precisions=("tf32",),
        # BL_AC: trained with AudioCaps' clips left out, by its maker's word.
        heard_audiocaps={
            "convnext_tiny_465mAP_BL_AC_75kit.pth": "no",
            "convnext_tiny_465mAP_BL_AC_70kit.pth": "no",
            "convnext_tiny_471mAP.pth": "yes",
        },
    ),
    "panns_tags": Stream(
        kind=TAG_LOGITS,
        sample_rate_hz=panns_tags.SAMPLE_RATE_HZ,
        window_s=panns_tags.HOP_S,
        hop_s=panns_tags.HOP_S,
        cut=panns_tags.clips,
        sources={"Cnn14_DecisionLevelMax_mAP=0.385.pth": releases.panns_tags_release},
        batch_windows=8,
        heard_audiocaps={"Cnn14_DecisionLevelMax_mAP=0.385.pth": "yes"},
    ),
    "clap": Stream(
        kind=EMBEDDING,
        sample_rate_hz=clap.SAMPLE_RATE_HZ,
        window_s=10.0,
        hop_s=10.0,
        cut=clap.windows,
        sources={
            "clap": partial(releases.transformers_folder, network="CLAP", read=clap.ClapAudio.read)
        },
        batch_windows=8,
        precisions=("tf32",),
    ),
    "ast": Stream(
        kind=EMBEDDING,
        sample_rate_hz=ast.SAMPLE_RATE_HZ,
        window_s=10.0,
        hop_s=10.0,
        cut=ast.windows,
        sources={
            "ast": partial(releases.transformers_folder, network="AST", read=ast.AstAudio.read)
        },
        batch_windows=8,
        precisions=("tf32",),
    ),
}
