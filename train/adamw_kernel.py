"""AdamW over flat buffers and the gradient's norm, by kernels that read gradients where they are.

Copying the gradients of bart-large's shape into a flat buffer first takes a GPU 0.7 ms of the 12 of
an update (docs/recipes.md). The kernels are written in Triton; on a CPU its interpreter runs them.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import triton
import triton.language as tl

from train.recipes.config import OptimConfig

# Threads of a program: 8 numbers each where four arrays are read, 16 where there is one, so that
# enough is on its way from memory.
_WARPS, _WARPS_OF_NORM = 8, 4
_ALIGNED = 16  # bytes of an address, and numbers of a weight, to be read eight numbers at a time


class AdamWKernel:
    """Where each weight lies in the flat buffers, and where its gradient is now."""

    def __init__(
        self,
        parts: Sequence[tuple[int, int, float]],
        end: int,
        block: int,
        settings: OptimConfig,
        device: torch.device,
    ) -> None:
        """Make tables.

        Args:
            parts: where each weight begins in the flat buffers, its numbers and its decay; the
                first begins at 0, each at a multiple of `block`, and between them all is zero.
            end: of the last, a multiple of `block`, too.
            block: numbers that one program takes.
            settings: of the optimiser.
            device: of the buffers.
        """
        starts, sizes, decays = zip(*parts, strict=True)
        blocks = [(after - start) // block for start, after in pairwise([*starts, end])]
        owners = [owner for owner, count in enumerate(blocks) for _ in range(count)]
        self._tables = (
            torch.tensor(owners, dtype=torch.int32, device=device),
            torch.tensor(starts, device=device),
            torch.tensor(sizes, device=device),
        )
        self._decays = torch.tensor(decays, dtype=torch.float32, device=device)
        self._block, self._programs = block, len(owners)
        self._aligned = all(size % _ALIGNED == 0 for size in sizes)
        self._addresses = torch.zeros(len(sizes), dtype=torch.int64, device=device)
        self._each_address = list(self._addresses.unbind())
        self._gradients: list[torch.Tensor | None] = []
        betas = settings.beta1, settings.beta2
        self._betas = torch.tensor(betas, dtype=torch.float64, device=device)
        self._numbers = 1 - betas[0], betas[1], 1 - betas[1], settings.epsilon

    def find(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Note where bf16 gradients are; None counts as zeros. They are kept until the step.

        Their addresses reach the device as arguments of kernels, so they are part of a CUDA graph,
        whose gradients keep their place as well.
        """
        self._gradients = [None if part is None else _readable(part) for part in gradients]
        places = [0 if part is None else part.data_ptr() for part in self._gradients]
        self._addresses.zero_()
        torch._foreach_add_(self._each_address, places)

    def norm(self) -> torch.Tensor:
        """The gradient's length, a float32 scalar."""
        squares = torch.empty(self._programs, device=self._addresses.device)
        _squares[(self._programs,)](
            self._addresses, *self._tables, squares,
            BLOCK=self._block, ALIGNED=self._aligned, num_warps=_WARPS_OF_NORM,
        )  # fmt: skip
        return squares.sum().sqrt()

    def step(self, buffers: Sequence[torch.Tensor], scalars: Sequence[torch.Tensor]) -> None:
        """Change masters, moments and working weights as flat_adamw.step_in_one does.

        Args:
            buffers: masters, first and second moments float32, working weights bf16.
            scalars: learning rate, steps, the gradient's scale, and what refuses if not 0.
        """
        rate, steps, scale, refused = scalars
        corrections = 1 - self._betas**steps
        _adamw[(self._programs,)](
            self._addresses, *self._tables, self._decays, *buffers,
            rate, corrections, scale, refused, *self._numbers,
            BLOCK=self._block, ALIGNED=self._aligned, num_warps=_WARPS,
        )  # fmt: skip
        self._gradients = []


def try_out(expected: Callable[..., None], block: int, device: torch.device) -> None:
    """Do steps of small weights, of even sizes and odd ones, and compare.

    Args:
        expected: does the same, as flat_adamw.step_in_one.
        block: numbers that one program will take.
        device: where.

    Raises:
        Exception: whatever Triton says where it cannot compile the kernels, or what differs.
    """
    settings = OptimConfig(weight_decay=0.1)
    for sizes in ((100, 30), (96, 32)):
        parts = [(0, sizes[0], 0.1), (block, sizes[1], 0.0)]
        kernel = AdamWKernel(parts, 2 * block, block, settings, device)
        generator = torch.Generator().manual_seed(0)
        gradients = [torch.randn(size, generator=generator).to(device).bfloat16() for size in sizes]
        flat, *wanted = (torch.zeros(2 * block, device=device) for _ in range(4))
        for (start, size, _), gradient in zip(parts, gradients, strict=True):
            flat[start : start + size] = gradient
        wanted.append(torch.zeros_like(flat, dtype=torch.bfloat16))
        own = [values.clone() for values in wanted]
        scalars = [torch.tensor(value, device=device) for value in (0.01, 1.0, 0.5, 0.0)]
        for place, (_, _, decay) in zip((slice(0, block), slice(block, None)), parts, strict=True):
            masters, first, second, working = (values[place] for values in wanted)
            expected(masters, flat[place], first, second, working, *scalars, settings, decay)
        kernel.find(gradients)
        torch.testing.assert_close(kernel.norm(), flat.norm(), rtol=1e-5, atol=0)
        kernel.step(own, scalars)
        for found, values in zip(own, wanted, strict=True):
            torch.testing.assert_close(found.float(), values.float(), rtol=1e-2, atol=1e-9)


def _readable(gradient: torch.Tensor) -> torch.Tensor:
    """A gradient as the kernel reads it; itself nearly always."""
    if gradient.data_ptr() % _ALIGNED or not gradient.is_contiguous():
        return gradient.clone(memory_format=torch.contiguous_format)
    return gradient


@triton.jit
def _place(BLOCK: tl.constexpr):
    """A program's places in the flat buffers, int64 [BLOCK]."""
    return tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)


@triton.jit
def _gradient(place, addresses, owners, starts, sizes, BLOCK: tl.constexpr, ALIGNED: tl.constexpr):
    """The gradient at a program's places, float32 [BLOCK], and whose they are."""
    owner = tl.load(owners + tl.program_id(0))
    own = place - tl.multiple_of(tl.load(starts + owner), BLOCK)  # of the weight's numbers
    size, address = tl.load(sizes + owner), tl.load(addresses + owner)
    if ALIGNED:
        size = tl.multiple_of(size, 16)
    found = tl.multiple_of(address.to(tl.pointer_type(tl.bfloat16)), 16)
    there = own < tl.where(address == 0, 0, size)
    return tl.load(found + own, mask=there, other=0.0).to(tl.float32), owner


@triton.jit
def _squares(
    addresses, owners, starts, sizes, squares, BLOCK: tl.constexpr, ALIGNED: tl.constexpr
):  # fmt: skip
    gradient, _ = _gradient(_place(BLOCK), addresses, owners, starts, sizes, BLOCK, ALIGNED)
    tl.store(squares + tl.program_id(0), tl.sum(gradient * gradient))


@triton.jit
def _adamw(
    addresses, owners, starts, sizes, decays, masters, firsts, seconds, working,
    rate_at, corrections, scale_at, refused_at, new1, old2, new2, epsilon,
    BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
):  # fmt: skip
    place = _place(BLOCK)
    # These are on their way while it is looked up where the gradient is. Behind a weight's numbers
    # all are zero and stay so.
    first, second = tl.load(firsts + place), tl.load(seconds + place)
    master = tl.load(masters + place)
    gradient, owner = _gradient(place, addresses, owners, starts, sizes, BLOCK, ALIGNED)
    gradient *= tl.load(scale_at)
    rate, decay, fine = tl.load(rate_at), tl.load(decays + owner), tl.load(refused_at) == 0
    mean = first + (gradient - first) * new1
    square = second * old2 + gradient * gradient * new2
    length = tl.sqrt(square / tl.load(corrections + 1).to(tl.float32)) + epsilon
    moved = master * (1 - rate * decay)
    moved -= rate * (mean / tl.load(corrections).to(tl.float32)) / length
    moved = tl.where(fine, moved, master)
    tl.store(firsts + place, tl.where(fine, mean, first))
    tl.store(seconds + place, tl.where(fine, square, second))
    tl.store(masters + place, moved)
    tl.store(working + place, moved.to(tl.bfloat16))
