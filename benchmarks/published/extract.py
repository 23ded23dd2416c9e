"""Stage one as the published code runs it, written again for comparison.

One clip at a time, batch 1, float32, and every network decodes and resamples for itself:
soundfile + resampy to 16 kHz for YAMNet through TensorFlow, again for VGGish, to 32 kHz for PANNs.

Its stages keep the proportions measured elsewhere within a quarter, or the bench says which do not.
Two cannot: `resampy 16 kHz` is two calls here, each as long as the one to 32 kHz (as many products
of samples and taps: 160,000 x 276 and 320,000 x 138), where elsewhere it took 1.2 times the other;
and `decode` is three files, each averaged by numpy's slow mean over the channels. The others depend
on how fast a machine's convolutions are beside its scalar code.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import resampy
import soundfile
import torch

from extract.sound.resample import kaiser_best_2021

# Channels out and stride of the 13 separable layers; before them stands a convolution of 32.
SEPARABLE = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


# Seconds per clip of this way as measured elsewhere, on another machine with two cores; PANNs is
# 0.294 and 0.009.
ELSEWHERE_S = {
    "decode": 0.006,
    "resampy 16 kHz": 0.114,
    "resampy 32 kHz": 0.096,
    "YAMNet": 0.027,
    "VGGish": 0.144,
    "PANNs": 0.303,
}
FAR = 0.25  # how much of a share may differ without a word


class Stopwatch:
    """Seconds by stage name, added up over clips."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds[name] += perf_counter() - start


def beside_elsewhere(seconds: Mapping[str, float]) -> list[str]:
    """Lines that compare each stage's share of the whole with its share elsewhere."""
    here_s, there_s = (sum(of[name] for name in ELSEWHERE_S) for of in (seconds, ELSEWHERE_S))
    lines = []
    for name, elsewhere in ELSEWHERE_S.items():
        here, there = seconds[name] / here_s, elsewhere / there_s
        far = "" if abs(here / there - 1) <= FAR else f"  {here / there:.2f} times; see {__name__}"
        lines.append(f"{name:14} {here:4.0%} of the published way, elsewhere {there:4.0%}{far}")
    return lines


def decode(path: Path, to_hz: int, watch: Stopwatch) -> np.ndarray:
    """Decode, average the channels, resample as in 2021: once per network, as published."""
    with watch.stage("decode"):
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        waveform = samples.mean(axis=1)
    with watch.stage(f"resampy {to_hz // 1000} kHz"):
        return resampy.resample(waveform, rate_hz, to_hz, filter=kaiser_best_2021)


def tensorflow_yamnet(weights: dict[str, np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """YAMNet as a TensorFlow graph from waveform to scores, like TF-Hub's, one waveform a call.

    Args:
        weights: by the TensorFlow reference's names (`layer1/conv/kernel` …).

    Returns:
        A function from float32 [n] at 16 kHz to scores [T, classes], T rows 0.48 s apart.
    """
    import tensorflow as tf

    constants = {name: tf.constant(value) for name, value in weights.items()}
    mel = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0)

    def normalised(x, prefix: str):
        moving = constants[f"{prefix}/moving_mean"], constants[f"{prefix}/moving_variance"]
        beta = constants[f"{prefix}/beta"]
        return tf.nn.relu(tf.nn.batch_normalization(x, *moving, beta, None, 1e-4))

    def patches(waveform):
        hops = tf.maximum(0, tf.cast(tf.math.ceil((tf.size(waveform) - 15600) / 7680), tf.int32))
        waveform = tf.pad(waveform, [[0, 15600 + 7680 * hops - tf.size(waveform)]])
        magnitude = tf.abs(tf.signal.stft(waveform, 400, 160, 512))
        log_mel = tf.math.log(magnitude @ mel + 0.001)
        return tf.signal.frame(log_mel, 96, 48, axis=0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def yamnet(waveform):
        x = patches(waveform)[..., None]
        x = tf.nn.conv2d(x, constants["layer1/conv/kernel"], 2, "SAME")
        x = normalised(x, "layer1/conv/bn")
        for number, (_, stride) in enumerate(SEPARABLE, start=2):
            prefix = f"layer{number}"
            depthwise = constants[f"{prefix}/depthwise_conv/depthwise_kernel"]
            x = tf.nn.depthwise_conv2d(x, depthwise, [1, stride, stride, 1], "SAME")
            x = normalised(x, f"{prefix}/depthwise_conv/bn")
            x = tf.nn.conv2d(x, constants[f"{prefix}/pointwise_conv/kernel"], 1, "SAME")
            x = normalised(x, f"{prefix}/pointwise_conv/bn")
        x = tf.reduce_mean(x, axis=[1, 2])
        return tf.sigmoid(x @ constants["logits/kernel"] + constants["logits/bias"])

    return lambda waveform: yamnet(tf.constant(waveform, tf.float32)).numpy()


def vggish_examples(waveform: np.ndarray) -> np.ndarray:
    """VGGish's numpy front end: 16 kHz waveform to log-mel examples [N, 1, 96, 64]."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    magnitude = np.abs(np.fft.rfft(frames * window, 512))
    log_mel = np.log(magnitude @ _htk_mel_matrix() + 0.01)
    count = len(log_mel) // 96
    return log_mel[: count * 96].reshape(count, 1, 96, 64).astype(np.float32)


def _htk_mel_matrix() -> np.ndarray:
    def mel(hz):
        return 1127.0 * np.log(1.0 + np.asarray(hz) / 700.0)

    bins = mel(np.linspace(0.0, 8000.0, 257))[:, None]
    edges = np.linspace(mel(125.0), mel(7500.0), 66)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    matrix = np.maximum(0.0, np.minimum(rising, falling))
    matrix[0] = 0.0
    return matrix


@torch.inference_mode()
def extract_one(
    path: Path,
    networks: tuple[Callable[[np.ndarray], np.ndarray], torch.nn.Module, torch.nn.Module],
    watch: Stopwatch,
) -> dict[str, np.ndarray]:
    """All three streams of one clip, the published way.

    Args:
        path: an audio file of 10 s.
        networks: tensorflow_yamnet(…), VGGish on [N, 1, 96, 64], PANNs on [1, n] at 32 kHz.
        watch: adds up the seconds of every stage.
    """
    yamnet, vggish, panns = networks
    found = hear_tags_and_panns(path, (yamnet, panns), watch)
    waveform = decode(path, 16000, watch)
    with watch.stage("VGGish"):
        embedding = vggish(torch.from_numpy(vggish_examples(waveform))).numpy()
    return found | {"vggish": embedding}


@torch.inference_mode()
def hear_tags_and_panns(
    path: Path,
    networks: tuple[Callable[[np.ndarray], np.ndarray], torch.nn.Module],
    watch: Stopwatch,
) -> dict[str, np.ndarray]:
    """The streams of `yamnet-panns` of one clip, the published way; see `extract_one`."""
    yamnet, panns = networks
    waveform = decode(path, 16000, watch)
    with watch.stage("YAMNet"):
        scores = yamnet(waveform)[::2]
    waveform = decode(path, 32000, watch)
    with watch.stage("PANNs"):
        window = torch.from_numpy(waveform[None, :320000])
        clip_embedding = panns(window).numpy()
    return {"yamnet": scores, "panns": clip_embedding}
