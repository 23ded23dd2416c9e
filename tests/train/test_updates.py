"""What an update asks of the host."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from train.data.loader import Loader
from train.distributed import Processes
from train.optim import make_optimizer
from train.updates import Updater

# What makes a host wait for a GPU: a number read there, or a shape that depends on numbers.
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"}


class Waits(TorchDispatchMode):
    """Notes the operations that would make the host wait."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = operation.name().partition("::")[2].partition(".")[0]
        if name in WAITING:
            self.found.append(name)
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("audio", ["panns", '""'])
def test_the_host_reads_no_number_while_it_launches_an_update_or_validates(
    toy_features, make_toy, precision, audio
):
    from features.reader import Features
    from train.data.split import SplitData

    toy = make_toy(train__precision=precision, inputs__audio=audio)
    data = SplitData.load(Features(toy_features, "train"), toy.builder, toy.tokenizer)
    loader = Loader(data=data, builder=toy.builder, batch_size=4, decoder_start=2, threads=0)
    pieces = list(loader.epoch(0, 0))
    updater = Updater(recipe=toy.recipe, model=toy.model, processes=Processes(), updates=9,
                      optimizer=make_optimizer(toy.model, toy.recipe.optim))  # fmt: skip
    with Waits() as waits:
        launched = [updater.launch(number, pieces[number : number + 2]) for number in range(2)]
        with torch.inference_mode():
            updater.loss(pieces[3])
    assert waits.found == []
    assert all(torch.isfinite(torch.tensor(each.reading.numbers())).all() for each in launched)
