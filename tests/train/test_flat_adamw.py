"""AdamW over flat buffers is torch's AdamW over the float32 masters."""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import train.flat_adamw
from tests.train.toy import settings
from train.flat_adamw import FlatAdamW, step_in_one
from train.optim import set_learning_rate
from train.recipes.config import OptimConfig
from train.recipes.files import load_recipe
from train.run import Job
from train.run import train as train_run
from train.run_folder.checkpoint import load_run
from train.run_folder.state import NAME as STATE_NAME

SETTINGS = OptimConfig(learning_rate=0.01, weight_decay=0.1, beta1=0.8, beta2=0.95)


def layers() -> nn.Module:
    """Odd sizes, a tied weight, one that is frozen."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"first": nn.Linear(7, 5), "second": nn.Linear(5, 7), "ice": nn.Linear(3, 3)}
    )
    model["tied"] = nn.Linear(7, 5)
    model["tied"].weight = model["first"].weight
    model["ice"].requires_grad_(False)
    return model


def beside_torchs_adamw():
    """A flat optimiser over a model, torch's over float32 weights of its own, and both models."""
    model, exact = layers(), layers()
    flat = FlatAdamW(model, SETTINGS, adds_up=False)
    learning = [w for w in exact.parameters() if w.requires_grad]
    groups = [{"params": [w for w in learning if w.ndim > 1], "weight_decay": 0.1},
              {"params": [w for w in learning if w.ndim <= 1], "weight_decay": 0.0}]  # fmt: skip
    return model, flat, exact, torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95), eps=1e-8)


@pytest.fixture(params=["kernel of torch", "one kernel"])
def pair(request):
    """See beside_torchs_adamw."""
    model, flat, exact, expected = beside_torchs_adamw()
    if request.param == "one kernel":
        flat._one_kernel = step_in_one  # as it is before it is compiled
    return model, flat, exact, expected


def give(model, exact, number, size=1.0) -> None:
    """The same gradients to both."""
    generator = torch.Generator().manual_seed(number)
    for own, theirs in zip(model.parameters(), exact.parameters(), strict=True):
        if own.requires_grad:
            own.grad = (size * torch.randn(own.shape, generator=generator)).bfloat16()
            theirs.grad = own.grad.float()


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_masters_and_moments_are_those_of_torchs_adamw(pair, limit):
    model, flat, exact, expected = pair
    frozen = [weight.clone() for weight in exact["ice"].parameters()]
    for number in range(4):
        give(model, exact, number)
        flat.take_gradients(add=False)
        assert all(weight.grad is None for weight in model.parameters())
        for group in expected.param_groups:
            group["lr"] = 0.01 / (1 + number)
        set_learning_rate(flat, 0.01 / (1 + number))
        norm = flat.limit_gradient(limit)
        length = nn.utils.clip_grad_norm_(exact.parameters(), limit or torch.inf)
        assert norm.item() == pytest.approx(length.item(), rel=1e-5)
        flat.step()
        expected.step()
    for own, theirs in zip(model.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(flat.masters[own], theirs.detach(), rtol=1e-5, atol=1e-7)
        # Triton's interpreter cuts off what a GPU rounds.
        near = 2**-7 if flat._kernel and own.requires_grad else 0
        torch.testing.assert_close(own.detach(), flat.masters[own].bfloat16(), rtol=near, atol=0)
        if own.requires_grad:
            for key in ("exp_avg", "exp_avg_sq"):
                torch.testing.assert_close(
                    flat.state[own][key], expected.state[theirs][key], rtol=1e-5, atol=1e-9
                )
            assert flat.state[own]["step"] == 4
    for weight, before in zip(model["ice"].parameters(), frozen, strict=True):
        assert torch.equal(flat.masters[weight], before)  # exact, not rounded to bf16
    assert model["tied"].weight is model["first"].weight


def test_a_refused_step_changes_nothing(pair):
    model, flat, exact, _ = pair
    give(model, exact, 0)
    flat.take_gradients(add=False)
    flat.limit_gradient(1.0)
    flat.step()
    before = [flat.buffer.clone(), flat._first.clone(), flat._second.clone(), flat._steps.clone()]
    give(model, exact, 1, size=torch.nan)
    flat.take_gradients(add=False)
    flat.limit_gradient(1.0)
    flat.found_inf.fill_(1)
    flat.step()
    after = [flat.buffer, flat._first, flat._second, flat._steps]
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert all(weight.isfinite().all() for weight in model.parameters())


def test_gradients_replace_or_add_up_and_one_that_is_missing_is_zero():
    model, exact = layers(), layers()
    flat = FlatAdamW(model, SETTINGS, adds_up=True)
    bias = dict(zip(flat._learning, flat._places, strict=True))[model["second"].bias]
    give(model, exact, 0)
    first = exact["second"].bias.grad
    flat.take_gradients(add=False)
    assert torch.equal(bias, first)
    give(model, exact, 1)
    flat.take_gradients(add=True)
    assert torch.equal(bias, first + exact["second"].bias.grad)
    give(model, exact, 2)
    model["second"].bias.grad = None  # as where its layer was dropped
    flat.take_gradients(add=False)
    assert not bias.any() and flat.gradient.any()


def test_the_kernels_that_read_gradients_in_place_do_the_same():
    """By Triton's interpreter, which changes Triton for good: in a process of its own."""
    pytest.importorskip("triton")
    cases = Path(__file__).with_name("interpreted_kernel.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cases],
        env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert run.stdout.count(".") >= 5


@pytest.mark.parametrize(
    ("name", "warps", "moves"),
    # Of 256 threads each has 8 numbers: 16 bytes of the gradient, 32 of each float32 buffer.
    [("_adamw", "_WARPS", (1 + 3 * 2, 3 * 2 + 1)), ("_squares", "_WARPS_OF_NORM", (2, 0))],
)
def test_the_kernels_are_compiled_for_an_h100_and_move_16_bytes_at_a_time(name, warps, moves):
    compiler = pytest.importorskip("triton.compiler")
    target = import_module("triton.backends.compiler").GPUTarget("cuda", 90, 32)
    kernels = import_module("train.adamw_kernel")
    kernel = getattr(kernels, name)
    kinds = {
        "addresses": "*i64",
        "owners": "*i32",
        "starts": "*i64",
        "sizes": "*i64",
        "working": "*bf16",
        "corrections": "*fp64",
        "BLOCK": "constexpr",
        "ALIGNED": "constexpr",
    } | dict.fromkeys(("new1", "old2", "new2", "epsilon"), "fp32")
    signature = {argument: kinds.get(argument, "*fp32") for argument in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, kind in enumerate(signature.values())
        if kind.startswith("*")
    }
    source = compiler.ASTSource(
        kernel,
        signature,
        constexprs={"BLOCK": train.flat_adamw._BLOCK, "ALIGNED": True},
        attrs=aligned,
    )
    options = {"num_warps": getattr(kernels, warps)}
    code = compiler.compile(source, target=target, options=options).asm["ptx"]
    loads, stores = (len(re.findall(rf"{kind}.global.v4.b32", code)) for kind in ("ld", "st"))
    assert (loads, stores) == moves


def test_passes_that_add_up_are_the_update_of_their_batch(toy_features, tmp_path):
    """Two passes of two captions, and one of four: bf16 rounds each pass by itself."""
    found = []
    for passes in (1, 2):
        still = {"bart__dropout": 0.0, "bart__attention_dropout": 0.0, "optim__max_updates": 1,
                 "optim__batch_size": 4 // passes, "optim__grad_accumulation": passes,
                 "train__bucket_batches": 1, "train__keep_state": True}  # fmt: skip
        recipe = load_recipe("yamnet-panns", settings(train__precision="bf16", **still))
        train_run(Job(features=toy_features, out=tmp_path / str(passes), recipe=recipe))
        state = load_file(tmp_path / str(passes) / STATE_NAME)
        found.append(torch.cat([v.flatten() for k, v in sorted(state.items()) if "first." in k]))
    assert (found[0] - found[1]).norm() < 0.05 * found[0].norm()


def test_a_bf16_run_saves_its_masters_and_loads_in_float32(toy_features, tmp_path):
    recipe = load_recipe(
        "yamnet-panns",
        settings(train__precision="bf16", optim__max_updates=3, train__keep_state=True),
    )
    train_run(Job(features=toy_features, out=tmp_path / "run", recipe=recipe))
    saved, state = (
        load_file(tmp_path / "run" / "model.safetensors"),
        load_file(tmp_path / "run" / STATE_NAME),
    )
    assert {value.dtype for value in saved.values()} == {torch.float32}
    fc1 = "bart.model.decoder.layers.0.fc1.weight"
    assert torch.equal(saved[fc1], state[f"model.{fc1}"])
    assert not torch.equal(saved[fc1], saved[fc1].bfloat16().float())
    model = load_run(tmp_path / "run").model
    assert torch.equal(dict(model.named_parameters())[fc1], saved[fc1])
    assert type(model).from_pretrained(tmp_path / "run").dtype == torch.float32
