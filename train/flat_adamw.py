"""AdamW for bf16: narrow weights compute, float32 masters learn, each kind in one flat buffer.

A step is then a few operations over whole buffers instead of a few per weight. Where there is
Triton, AdamW and the rounding to bf16 are one kernel, which reads gradients where they are
(train/adamw_kernel.py). Elsewhere, and where gradients are added up, they are copied into a flat
buffer first.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._triton import has_triton

from features.common.console import log
from features.common.errors import first_line
from train.recipes.config import OptimConfig

if TYPE_CHECKING:
    from train.adamw_kernel import AdamWKernel

# Zeros follow a matrix up to a multiple of so many rows, which the output layer is computed with
# (train/model/vocabulary.py), and every weight up to a multiple of so many numbers, which one
# program of a kernel takes.
_ROWS, _BLOCK = 64, 2048


class FlatAdamW:
    """AdamW over a model's float32 masters; its own weights become bf16, in place.

    Looks like torch's AdamW to what sets learning rates and saves moments.

    Attributes:
        buffer: float32, the masters of all weights end to end.
        masters: each weight's view of it, learning or frozen; what a run saves.
        state: moments and step of each weight that learns, views as well.
        param_groups: one, of the weights that learn and the learning rate.
        gradient: [numbers that learn], of the update under way; empty where a kernel reads what the
            backward pass left.
        found_inf: a scalar on the device; where it is not 0, a step changes nothing.
    """

    def __init__(self, model: nn.Module, settings: OptimConfig, *, adds_up: bool) -> None:
        """Move a model's weights.

        Args:
            model: in float32, on its device; every weight keeps its identity.
            settings: of the optimiser; matrices decay, biases and layer norms never do.
            adds_up: gradients of several passes or processes are added, so in float32.
        """
        weights = list(model.parameters())
        learning = [weight for weight in weights if weight.requires_grad]
        matrices = [weight for weight in learning if weight.ndim > 1]
        rest = [weight for weight in learning if weight.ndim <= 1]
        frozen = [weight for weight in weights if not weight.requires_grad]
        self._settings, device = settings, weights[0].device
        ends = list(accumulate(_room(weight) for weight in [*matrices, *rest, *frozen]))
        starts = dict(zip([*matrices, *rest, *frozen], [0, *ends], strict=False))
        decaying, moving = sum(map(_room, matrices)), sum(map(_room, learning))

        self.buffer = torch.zeros(ends[-1], device=device)
        self._working = torch.zeros(ends[-1], device=device, dtype=torch.bfloat16)
        self.masters = {weight: _part(self.buffer, starts[weight], weight) for weight in weights}
        for weight, master in self.masters.items():
            master.copy_(weight.detach())
            weight.data = _part(self._working, starts[weight], weight)
        self.narrow()

        self._learning = [*matrices, *rest]
        self._kernel: AdamWKernel | None = None
        if has_own_kernel(device) and not adds_up:
            decays = [settings.weight_decay] * len(matrices) + [0.0] * len(rest)
            parts = [(starts[w], w.numel(), decay)
                     for w, decay in zip(self._learning, decays, strict=True)]  # fmt: skip
            self._kernel = _kernel_or_none(parts, moving, settings, device)
        kind = torch.bfloat16 if device.type == "cuda" and not adds_up else torch.float32
        self.gradient = torch.zeros(0 if self._kernel else moving, device=device, dtype=kind)
        self._places = [] if self._kernel else [
            _part(self.gradient, starts[weight], weight) for weight in self._learning
        ]  # fmt: skip
        self._first, self._second = (torch.zeros(moving, device=device) for _ in range(2))
        self._steps, self._scale, self._rate = (torch.zeros((), device=device) for _ in range(3))
        self.found_inf = torch.zeros((), device=device)
        # So much of each buffer, and whether it decays.
        self._ranges = [
            (slice(0, decaying), settings.weight_decay),
            (slice(decaying, moving), 0.0),
        ]
        self.param_groups: list[dict[str, Any]] = [{"params": learning, "lr": self._rate}]
        self.state = {
            weight: {
                "exp_avg": _part(self._first, starts[weight], weight),
                "exp_avg_sq": _part(self._second, starts[weight], weight),
                "step": self._steps,
            }
            for weight in learning
        }
        self._rate.fill_(settings.learning_rate)
        self._one_kernel: Callable[..., None] | None = None
        if has_own_kernel(device) and self._kernel is None:
            self._one_kernel = torch.compile(step_in_one, dynamic=False)

    @torch.no_grad()
    def narrow(self) -> None:
        """Round the masters into the weights that compute, after something else changed them."""
        self._working.copy_(self.buffer)

    @torch.no_grad()
    def take_gradients(self, *, add: bool) -> None:
        """Take over what a backward pass left at the weights.

        Args:
            add: to the passes before, instead of replacing them.
        """
        found = [weight.grad for weight in self._learning]
        for weight in self._learning:
            weight.grad = None
        if self._kernel is not None:
            assert not add
            self._kernel.find(found)
            return
        pairs = zip(self._places, found, strict=True)
        there = [(place, part) for place, part in pairs if part is not None]
        if not add and len(there) < len(found):  # a layer was left out
            self.gradient.zero_()
        copy = torch._foreach_add_ if add else torch._foreach_copy_
        copy([place for place, _ in there], [part for _, part in there])

    @torch.no_grad()
    def limit_gradient(self, longest: float) -> torch.Tensor:
        """Let the next step shorten the gradient to `longest` (0: no limit); its length now."""
        if self._kernel is not None:
            norm = self._kernel.norm()
        else:
            norm = torch.linalg.vector_norm(self.gradient, dtype=torch.float32)
        limit = longest / (norm + 1e-6) if longest else torch.ones_like(norm)
        self._scale.copy_(limit.clamp(max=1.0))
        return norm

    @torch.no_grad()
    def step(self) -> None:
        """Change masters and weights by the gradient, unless `found_inf` forbids it."""
        self._steps.add_(1 - self.found_inf)
        if self._kernel is not None:
            whole = self.buffer, self._first, self._second, self._working
            self._kernel.step(whole, (self._rate, self._steps, self._scale, self.found_inf))
            return
        if self._one_kernel is None:
            self._plain_step()
            return
        for part, decay in self._ranges:
            if part.start < part.stop:
                buffers = [buffer[part] for buffer in self._buffers()]
                scalars = (self._rate, self._steps, self._scale, self.found_inf)
                self._one_kernel(*buffers, self._working[part], *scalars, self._settings, decay)

    def _buffers(self) -> tuple[torch.Tensor, ...]:
        return self.buffer, self.gradient, self._first, self._second

    def _plain_step(self) -> None:
        """The same through the kernel that torch has for any device."""
        gradient = self.gradient.float().mul_(self._scale)
        for part, decay in self._ranges:
            if part.start == part.stop:
                continue
            torch._fused_adamw_(
                [self.buffer[part]], [gradient[part]], [self._first[part]], [self._second[part]],
                [], [self._steps], lr=self._rate, beta1=self._settings.beta1,
                beta2=self._settings.beta2, weight_decay=decay, eps=self._settings.epsilon,
                amsgrad=False, maximize=False, found_inf=self.found_inf,
            )  # fmt: skip
        moving = len(self.gradient)
        self._working[:moving].copy_(self.buffer[:moving])


def has_own_kernel(device: torch.device) -> bool:
    """Whether kernels of our own can be compiled for a device."""
    return device.type == "cuda" and has_triton()


def _kernel_or_none(
    parts: list[tuple[int, int, float]], end: int, settings: OptimConfig, device: torch.device
) -> "AdamWKernel | None":
    """The kernel that reads gradients where they are; None, and a line why, if it fails a trial."""
    try:
        from train.adamw_kernel import AdamWKernel, try_out

        try_out(step_in_one, _BLOCK, device)
        return AdamWKernel(parts, end, _BLOCK, settings, device)
    except Exception as error:  # whatever this Triton says of it
        log(f"gradients are copied before AdamW reads them: {first_line(error)}")
        return None


def step_in_one(
    masters: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    working: torch.Tensor,
    rate: torch.Tensor,
    steps: torch.Tensor,
    scale: torch.Tensor,
    refused: torch.Tensor,
    settings: OptimConfig,
    decay: float,
) -> None:
    """AdamW over flat buffers, in place, written to be compiled into one kernel.

    As torch.optim.AdamW has it (Loshchilov and Hutter, 2019): weights shrink by rate * decay, then
    move by rate * first / (sqrt(second) + epsilon), both moments freed of their start at zero.
    """
    beta1, beta2, fine = settings.beta1, settings.beta2, refused == 0
    scaled = gradient.float() * scale
    mean = first + (scaled - first) * (1 - beta1)
    square = second * beta2 + scaled * scaled * (1 - beta2)
    length = (square / (1 - beta2**steps)).sqrt() + settings.epsilon
    moved = masters * (1 - rate * decay) - rate * (mean / (1 - beta1**steps)) / length
    first.copy_(torch.where(fine, mean, first))
    second.copy_(torch.where(fine, square, second))
    moved = torch.where(fine, moved, masters)
    masters.copy_(moved)
    working.copy_(moved)


def _room(weight: torch.Tensor) -> int:
    """Numbers that a weight takes in a flat buffer; those that are not its own stay zero."""
    numbers = weight.numel()
    if weight.ndim == 2:
        numbers = -(-len(weight) // _ROWS) * _ROWS * weight.shape[1]
    return -(-numbers // _BLOCK) * _BLOCK


def _part(buffer: torch.Tensor, start: int, weight: torch.Tensor) -> torch.Tensor:
    """The view of a flat buffer that belongs to a weight."""
    return buffer[start : start + weight.numel()].view(weight.shape)
