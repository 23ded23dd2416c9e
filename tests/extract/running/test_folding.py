"""Networks made ready to run give the values they gave before."""

import pytest
import torch
from torch import nn

from extract.networks.log_mel import PATCH_SAMPLES
from extract.networks.panns import FastSpectrogram, WavegramLogmelCnn14
from extract.networks.yamnet import YAMNet
from extract.running.folding import folded, prepared
from extract.running.narrow import NarrowConv2d
from extract.running.winograd import WinogradConv2d


def with_lively_norms(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if "bn" in name and value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def panns() -> nn.Module:
    # Wide enough for the deepest layers to take their quick forms.
    return with_lively_norms(WavegramLogmelCnn14(width=16, classes=3))


def kinds(network: nn.Module) -> set[type]:
    return {type(module) for module in network.modules()}


@torch.no_grad()
def test_a_prepared_network_gives_the_same_rows_in_float32(panns: nn.Module):
    sound = torch.rand(2, 32_000) - 0.5
    expected, quick = panns(sound), prepared(panns, device="cpu", precision="float32")
    assert {WinogradConv2d, FastSpectrogram} <= kinds(quick)
    assert (quick(sound) - expected).norm() < 1e-5 * expected.norm()


@torch.no_grad()
def test_folding_leaves_no_norm_of_yamnets_and_keeps_its_values():
    network = with_lively_norms(YAMNet(width=4, classes=7))
    windows, quick = torch.rand(3, PATCH_SAMPLES), folded(network)
    torch.testing.assert_close(quick(windows), network(windows), rtol=1e-4, atol=1e-4)
    assert not any("bn." in key for key in quick.state_dict())


@torch.no_grad()
def test_and_within_3_percent_in_bf16(panns: nn.Module):
    sound = torch.rand(2, 32_000) - 0.5
    expected, quick = panns(sound), prepared(panns, device="cpu", precision="bf16")
    assert NarrowConv2d in kinds(quick)
    assert quick.conv_block2.conv1.weight.dtype == torch.bfloat16
    assert quick.fc1.weight.dtype == torch.float32
    assert (quick(sound) - expected).norm() < 0.03 * expected.norm()


def test_the_network_itself_is_left_as_it_was(panns: nn.Module):
    before = {key: value.clone() for key, value in panns.state_dict().items()}
    prepared(panns, device="cpu", precision="bf16")
    assert all(torch.equal(value, before[key]) for key, value in panns.state_dict().items())


@torch.no_grad()
def test_another_spectrogram_than_the_usual_is_kept():
    network = with_lively_norms(WavegramLogmelCnn14(width=2, classes=3))
    network.spectrogram_extractor.stft.conv_real.weight.mul_(0.5)
    assert FastSpectrogram not in kinds(folded(network))
    sound = torch.rand(1, 32_000) - 0.5
    torch.testing.assert_close(folded(network)(sound), network(sound), rtol=1e-4, atol=1e-4)
