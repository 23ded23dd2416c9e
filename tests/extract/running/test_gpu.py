"""Networks on a GPU: the arithmetic that was asked for, compiled for one batch, on without."""

import os
import sys

import pytest
import torch

from extract.networks.panns import WavegramLogmelCnn14
from extract.networks.vggish import VGGish
from extract.networks.yamnet import YAMNet
from extract.running import gpu
from extract.running.folding import prepared
from extract.running.gpu import COMPILING_PAYS, Compiled, arithmetic, compiling_pays
from extract.streams import STREAMS, load_encoders
from features.common.errors import ConfigError
from features.spec import TAG_LOGITS

FULL = 2


@pytest.fixture(autouse=True)
def _forget_what_was_compiled():
    yield
    torch._dynamo.reset()


def networks():
    """PANNs, VGGish and YAMNet at a fraction of their width, each with the samples it takes."""
    torch.manual_seed(0)
    made = (
        (WavegramLogmelCnn14(width=2, classes=3), 32_000),
        (VGGish(width=2, hidden=8, embedding=4), 15_600),
        (YAMNet(width=2, classes=5), 15_600),
    )
    return [(prepared(net, device="cpu", precision="float32"), samples) for net, samples in made]


def test_a_full_batch_is_compiled_and_others_go_as_before(monkeypatch):
    ran = []
    monkeypatch.setattr(os, "system", lambda command: ran.append(command) or 1)
    for network, samples in networks():
        compiled = Compiled(network, FULL, backend="eager")
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        for count in (1, FULL, FULL, 1):
            windows = 0.1 * torch.randn(count, samples)
            with torch.inference_mode():
                assert torch.equal(compiled(windows), network(windows))
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs
        torch._dynamo.reset()
    # By its name, panns_inference would have been imported, which runs wget.
    assert ran == [] and not any(name.startswith("panns_inference") for name in sys.modules)


def test_another_length_of_a_full_batch_is_not_compiled_again():
    seen = []

    def counting(module, inputs):
        seen.append(inputs)
        return module.forward

    compiled = Compiled(torch.nn.Linear(4, 4), FULL, backend=counting)
    compiled(torch.ones(FULL, 4))
    compiled(torch.ones(FULL, 3, 4))
    assert len(seen) == 1


def test_what_cannot_be_compiled_goes_on_in_one_line(capsys):
    def broken(module, inputs):
        raise RuntimeError("no compiler here\nand a long story")

    network = torch.nn.Linear(4, 4)
    compiled = Compiled(network, FULL, backend=broken)
    windows = torch.ones(FULL, 4)
    for _ in range(2):
        torch.testing.assert_close(compiled(windows), network(windows))
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "Linear is not compiled" in line and "no compiler here" in line


def test_an_error_of_the_network_itself_is_not_hidden():
    class Broken(torch.nn.Module):
        def forward(self, windows):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        Compiled(Broken(), FULL, backend="eager")(torch.ones(FULL, 4))


def test_tf32_is_on_within_alone_and_float32_means_float32():
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    for tf32 in (True, False):
        with arithmetic(tf32=tf32):
            assert (products.allow_tf32, convolutions.allow_tf32) == (tf32, tf32)
        assert (products.allow_tf32, convolutions.allow_tf32) == before
    with pytest.raises(ZeroDivisionError), arithmetic(tf32=True):
        _ = 1 / 0
    assert (products.allow_tf32, convolutions.allow_tf32) == before


def test_streams_of_tags_stay_in_float32_whatever_is_asked():
    for name, stream in STREAMS.items():
        assert (stream.precision("tf32") == "float32") == (stream.kind == TAG_LOGITS), name
        assert stream.precision("float32") == "float32"
    narrow = {name for name, stream in STREAMS.items() if stream.precision("bf16") == "bf16"}
    assert narrow == {"vggish", "panns"}


def test_compiling_is_for_gpus_and_for_dumps_that_repay_it(monkeypatch, capsys):
    for able in (True, False):
        monkeypatch.setattr(gpu, "has_triton", lambda able=able: able)
        assert compiling_pays(COMPILING_PAYS, "cuda") == able
        assert not compiling_pays(COMPILING_PAYS - 1, "cuda")
        assert not compiling_pays(COMPILING_PAYS, "cpu")
    assert capsys.readouterr().err.count("Triton is not there") == 1


def test_a_gpu_without_tf32_is_named(monkeypatch, tiny_weights):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(ConfigError, match="Tesla T4 has no TF32 arithmetic"):
        load_encoders(["panns"], tiny_weights, device="cuda", precision="tf32")


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_gpu_compiled_or_not_stays_close_to_float32(tiny_weights, precision):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    names = ["yamnet", "vggish", "panns"]
    allowed = {"float32": 2e-5, "tf32": 1e-3, "bf16": 3e-2}[precision]
    torch.manual_seed(0)
    for compiled in (False, True):
        exact, found = (
            load_encoders(names, tiny_weights, device="cuda", precision=kind, compiled=of)
            for kind, of in (("float32", False), (precision, compiled))
        )
        for name in names:
            spec = found[name].spec
            clips = [0.1 * torch.randn(10 * spec.sample_rate_hz, device="cuda") for _ in range(65)]
            pairs = zip(found[name].encode(clips), exact[name].encode(clips), strict=True)
            limit = allowed if spec.precision == precision else 2e-5
            for rows, wanted in pairs:
                assert (rows - wanted).norm() < limit * wanted.norm(), (name, compiled)
