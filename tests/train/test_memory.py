"""Memory that runs out is told from other errors."""

import pytest
import torch

from features.common.errors import RunError
from train.memory import memory_watched
from train.recipes.config import OptimConfig, Recipe

RECIPE = Recipe(optim=OptimConfig(batch_size=8, grad_accumulation=3))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "python", "torch on a CPU", "cuBLAS"],
)
def test_memory_that_runs_out_says_which_setting_to_lower(error):
    with (
        pytest.raises(RunError, match=r"^loading: out of memory on cpu.*batch_size = 8") as caught,
        memory_watched("loading", RECIPE, torch.device("cpu")),
    ):
        raise error
    assert "optim.batch_size=4 --set optim.grad_accumulation=6" in str(caught.value)


def test_other_errors_come_through_as_they_are():
    with pytest.raises(RuntimeError, match=r"^shapes"), memory_watched("", RECIPE, "cpu"):
        raise RuntimeError("shapes do not match")
