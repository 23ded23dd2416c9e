"""The registry of streams and what every encoder promises."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from extract.streams import STREAMS, load_encoders, load_weights
from features.common.errors import ConfigError, WeightsError

NAMES = ["yamnet", "vggish", "panns"]


@pytest.fixture(scope="module")
def encoders(tiny_weights: Path):
    return load_encoders(NAMES, tiny_weights)


def waveform(encoder, seconds: float, seed: int = 0) -> torch.Tensor:
    samples = max(1, int(seconds * encoder.spec.sample_rate_hz))
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, samples)
    return torch.from_numpy(noise.astype(np.float32))


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.975, 9.5, 10.0, 31.0])
def test_a_clip_of_any_length_has_the_documented_rows(encoders, seconds: float):
    expected = {0.0: (1, 1, 1), 0.1: (1, 1, 1), 0.975: (1, 1, 1)}
    expected |= {9.5: (10, 9, 1), 10.0: (10, 10, 1), 31.0: (32, 32, 4)}
    for name, rows in zip(NAMES, expected[seconds], strict=True):
        encoder = encoders[name]
        (found,) = encoder.encode([waveform(encoder, seconds)])
        assert found.shape == (rows, encoder.spec.width)
        assert found.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_depend_on_the_other_clips_of_the_batch(encoders, name: str):
    encoder = encoders[name]
    clips = [waveform(encoder, seconds, seed) for seed, seconds in enumerate((10, 0.3, 12, 3.3))]
    for clip, together in zip(clips, encoder.encode(clips), strict=True):
        (alone,) = encoder.encode([clip])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_windows_that_fill_up_a_batch_leave_no_rows(encoders):
    seen = []
    for name in NAMES:
        network = encoders[name].network

        def counting(windows, network=network):
            seen.append(len(windows))
            return network(windows)

        filled = replace(encoders[name], network=counting, batch_windows=20, step=5)
        clips = [waveform(filled, seconds, seed) for seed, seconds in enumerate((20.5, 3.3))]
        for padded, alone in zip(filled.encode(clips), encoders[name].encode(clips), strict=True):
            torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-5)
    # 21 + 3, 21 + 3 and 3 + 1 windows.
    assert seen == [20, 5, 20, 5, 5]


def test_no_clips_give_no_rows(encoders):
    assert encoders["yamnet"].encode([]) == []


def test_specs_say_how_the_rows_were_made(encoders):
    yamnet, vggish, panns = (encoders[name].spec for name in NAMES)
    assert (yamnet.kind, vggish.kind, panns.kind) == ("tag_logits", "embedding", "embedding")
    assert yamnet.classes == ("Dog", "Rain", "Speech") and vggish.classes == ()
    assert (yamnet.width, vggish.width, panns.width) == (3, 8, 64)
    assert (yamnet.sample_rate_hz, panns.sample_rate_hz) == (16_000, 32_000)
    assert (yamnet.hop_s, vggish.hop_s, panns.hop_s) == (0.96, 0.96, 10.0)
    for spec in (yamnet, vggish, panns):
        assert spec.network == f"tiny {spec.name}"
        assert spec.resampler == "resampy 0.2.2 kaiser_best"
        assert (spec.precision, spec.dtype) == ("float32", "float16")
        assert spec.heard_audiocaps == "unknown"  # networks in our own format may be any
        assert len(spec.weights_sha256) == 64


def test_what_networks_have_heard_is_said_of_files_that_there_are():
    for stream in STREAMS.values():
        assert stream.heard_audiocaps.keys() <= stream.sources.keys()
        assert set(stream.heard_audiocaps.values()) <= {"yes", "no"}
    # YAMNet and PANNs learnt from AudioSet, of which AudioCaps is a part; VGGish from YouTube-8M.
    assert STREAMS["yamnet"].heard_audiocaps["yamnet.h5"] == "yes"
    assert set(STREAMS["panns"].heard_audiocaps.values()) == {"yes"}
    assert STREAMS["vggish"].heard_audiocaps == {}


def test_bf16_stays_close_to_float32(tiny_weights: Path, encoders):
    quick = load_encoders(NAMES, tiny_weights, precision="bf16")
    for name, encoder in quick.items():
        assert encoder.spec.precision == ("float32" if name == "yamnet" else "bf16")
        clip = waveform(encoder, 10)
        (rough,), (exact,) = encoder.encode([clip]), encoders[name].encode([clip])
        assert rough.dtype == torch.float32
        assert (rough - exact).norm() < 0.03 * exact.norm()


def test_no_weights_at_all_lists_what_would_serve(tmp_path: Path):
    with pytest.raises(WeightsError) as caught:
        load_weights("vggish", tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "vggish-10086976.pth" in message and "python -m extract fetch vggish" in message


def test_an_unknown_stream_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="clop"):
        load_encoders(["clop"], tmp_path)


@pytest.mark.parametrize(
    ("file", "stream"),
    [("Wavegram_Logmel_Cnn14_mAP=0.439.pth", "panns"), ("vggish-10086976.pth", "vggish")],
)
def test_a_release_that_holds_other_things_is_refused(tmp_path: Path, file: str, stream: str):
    torch.save({"model": {"conv.weight": torch.ones(1)}}, tmp_path / file)
    with pytest.raises(WeightsError, match=r"\.pth.*(surplus: conv\.weight|no state dict)"):
        load_weights(stream, tmp_path)


def test_yamnet_weights_without_class_names_are_refused(tmp_path: Path):
    np.savez(tmp_path / "yamnet_weights.npz", kernel=np.zeros(1))
    with pytest.raises(WeightsError, match=r"yamnet_class_map\.csv: absent"):
        load_weights("yamnet", tmp_path)


@pytest.mark.gpu
def test_a_gpu_gives_the_rows_of_the_cpu(tiny_weights: Path, encoders):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = load_encoders(NAMES, tiny_weights, device="cuda")
    for name, encoder in device.items():
        clips = [waveform(encoder, seconds) for seconds in (10.0, 0.3)]
        there = encoder.encode([clip.cuda() for clip in clips])
        for far, near in zip(there, encoders[name].encode(clips), strict=True):
            torch.testing.assert_close(far.cpu(), near, rtol=1e-3, atol=1e-4)
