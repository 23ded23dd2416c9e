"""Which of the faster ways a run takes: graphs and compiled layers, asked for or by default."""

import torch
from torch import nn
from torch.utils._triton import has_triton

from train.distributed import Processes
from train.model.tagbart import TagBart
from train.model.vocabulary import summed_loss
from train.recipes.config import AUTO, NEVER, Recipe

# Updates that repay the 30 to 40 s which compiling takes at the start: 1.3 to 2.8 ms each on an
# H200 and an H100 (docs/recipes.md).
COMPILING_PAYS = 20_000


def why_no_graphs(recipe: Recipe, processes: Processes) -> str | None:
    """Why updates are not repeated as CUDA graphs; None where they are."""
    if recipe.train.cuda_graphs == NEVER:
        return "train.cuda_graphs is never"
    if processes.world > 1:
        return "several processes"
    if recipe.optim.grad_accumulation > 1:
        return "optim.grad_accumulation is above 1"
    if recipe.bart.encoder_layerdrop or recipe.bart.decoder_layerdrop:
        return "layers are dropped"
    return None


def layers_pay(recipe: Recipe, device: torch.device, updates: int) -> bool:
    """Whether a run of so many updates compiles its layers."""
    if recipe.train.compile != AUTO:
        return recipe.train.compile != NEVER
    return device.type == "cuda" and updates >= COMPILING_PAYS and has_triton()


def compile_layers(model: TagBart) -> None:
    """Compile the encoder's and decoder's layers one by one, and the loss, in place.

    The whole model would be cut into pieces where transformers 5.17 draws whether to drop a layer.
    """
    model.loss_of = torch.compile(summed_loss)
    for part in (model.bart.model.encoder, model.bart.model.decoder):
        for layer in part.layers:
            assert isinstance(layer, nn.Module)
            layer.compile()
