"""What an update asks of the host."""

import functools
from dataclasses import replace

import pytest
import torch

from tests.recorded import Counted
from tests.train.toy import STILL
from train.distributed import Processes
from train.optim import make_optimizer
from train.updates import Updater


def updater_of(toy) -> Updater:
    """What its recipe trains with, in one process."""
    optimizer = make_optimizer(toy.model, toy.recipe.optim, toy.recipe.train.precision)
    return Updater(recipe=toy.recipe, model=toy.model, optimizer=optimizer,
                   processes=Processes(), updates=9)  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("audio", ["panns", '""'])
def test_the_host_reads_no_number_while_it_launches_an_update_or_validates(
    toy_features, make_toy, precision, audio
):
    toy = make_toy(train__precision=precision, inputs__audio=audio)
    pieces = list(toy.loader(toy.data(toy_features)).epoch(0, 0))
    updater = updater_of(toy)
    with Counted() as counts:
        launched = [updater.launch(number, pieces[number : number + 2]) for number in range(2)]
        with torch.inference_mode():
            updater.loss(pieces[3])
    assert not counts.waits
    assert all(torch.isfinite(torch.tensor(each.reading.numbers())).all() for each in launched)


@pytest.mark.parametrize("again", [False, True])
def test_nothing_is_compiled_while_an_update_is_recorded(toy_data, make_toy, monkeypatch, again):
    compiled, ran = [], []

    def backend(graph, inputs):
        compiled.append(graph)

        def run(*args):
            ran.append(graph)
            return graph(*args)

        return run

    def record(step):
        before = len(compiled), len(ran)
        if again:  # torch has to compile all of it anew
            torch._dynamo.reset()
        step()
        # The two layers and the loss, as compiled before, or none of it.
        assert (len(compiled), len(ran)) == (before[0], before[1] + (0 if again else 3))
        return lambda: None

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    monkeypatch.setattr("train.updates.cuda_graphs", lambda device: record)
    toy = make_toy(train__precision="bf16", train__compile=True, bart__encoder_layers=1,
                   bart__decoder_layers=1, optim__batch_size=2)  # fmt: skip
    updater = updater_of(toy)
    pieces = list(toy.loader(toy_data, batch_size=2).epoch(0, 0))
    lengths = {piece.batch.labels.shape[1]: piece for piece in pieces[:-1]}
    for piece in list(lengths.values())[:3]:
        # On its way to a GPU a batch gets memory of its own.
        own = replace(piece.batch, labels=piece.batch.labels.clone())
        for number in range(2):
            updater.launch(number, [replace(piece, batch=own)])
    assert len(updater._repeated.shapes.recorded) == 3
    assert len(compiled) > 3
    # Nor is it for the last batch of an epoch, which is not whole.
    before, last = len(compiled), pieces[-1]
    assert len(last.samples) == 1
    updater.launch(2, [last])
    assert len(compiled) == before


def test_an_update_in_bf16_takes_few_operations_besides_its_layers(toy_data, make_toy):
    counts = []
    for layers in (1, 2):
        toy = make_toy(train__precision="bf16", bart__encoder_layers=layers,
                       bart__decoder_layers=layers)  # fmt: skip
        updater = updater_of(toy)
        piece = next(iter(toy.loader(toy_data).epoch(0, 0)))
        with Counted() as counted:
            updater._update([piece.batch])
        counts.append(counted.operations)
    layers = counts[1] - counts[0]
    assert layers.total() > 50
    # As counted; each is a kernel or more on a GPU, in every update. None makes a gradient of the
    # whole vocabulary for the few tokens that were looked up: the two are those of positions.
    assert (counts[0] - layers).total() <= 95
    assert counts[0]["embedding_dense_backward"] == 2


def gradients(toy, loader, pieces) -> tuple[dict[str, torch.Tensor], float]:
    """What an update's optimiser is given, and the loss that is logged."""
    updater, found = updater_of(toy), {}
    updater.optimizer.step = lambda: found.update(
        {name: weight.grad.clone() for name, weight in toy.model.named_parameters()}
    )
    launched = updater.launch(0, pieces)
    return found, updater.check(launched, loader)[0]


@pytest.mark.parametrize("pick", [min, max])
def test_every_token_weighs_the_same_in_short_captions_and_long_ones(toy_data, make_toy, pick):
    # 4 captions of at most 64 tokens: each token's loss counts 1 / 256, whatever the batch holds.
    toy = make_toy(optim__clip_norm=0, **STILL)
    loader = toy.loader(toy_data)
    whole = [piece for piece in loader.epoch(0, 0) if len(piece.samples) == 4]
    piece = pick(whole, key=lambda piece: piece.labels)
    found, logged = gradients(toy, loader, [piece])
    loss = toy.model(piece.batch)
    expected = torch.autograd.grad(loss / (4 * 64), list(toy.model.parameters()))
    for own, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-7)
    assert logged == pytest.approx(loss.item() / piece.labels, rel=1e-5)


def test_with_padding_counted_the_gradient_is_that_of_torchs_own_mean(toy_data, make_toy):
    toy = make_toy(optim__clip_norm=0, optim__loss_on_padding=True, **STILL)
    loader = toy.loader(toy_data, pad_labels_to=64)
    piece = next(iter(loader.epoch(0, 0)))
    assert len(piece.samples) == 4
    found, logged = gradients(toy, loader, [piece])
    # transformers' BART says: cross-entropy averaged over all labels, none of which is ignored.
    labels = piece.batch.labels
    assert labels.shape == (4, 64) and (labels >= 0).all()
    mean = toy.model(piece.batch, on_padding=True) / labels.numel()
    expected = torch.autograd.grad(mean, list(toy.model.parameters()))
    for own, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-7)
    assert logged == pytest.approx(mean.item(), rel=1e-5)
