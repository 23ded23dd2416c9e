"""AdamW, its schedule and the limit on the gradient.

What changes from update to update lies in tensors on the model's device, so that an update can be
repeated as it was recorded (train/graphs.py).
"""

import torch
from torch import nn

from train.flat_adamw import FlatAdamW
from train.model.tagbart import TagBart
from train.recipes.config import OptimConfig


def make_optimizer(
    model: TagBart, settings: OptimConfig, precision: str = "float32", *, adds_up: bool = False
) -> torch.optim.AdamW | FlatAdamW:
    """AdamW over what learns; matrices decay, biases and layer norms never do.

    Args:
        model: in float32. For "bf16" its own weights become bf16 (train/flat_adamw.py).
        settings: of the optimiser.
        precision: "float32" or "bf16".
        adds_up: gradients of several passes or processes are added.
    """
    if precision == "bf16":
        return FlatAdamW(model, settings, adds_up=adds_up)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    device = learning[0].device
    groups = [
        {"params": [w for w in learning if w.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in learning if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=torch.tensor(settings.learning_rate, device=device),
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
        capturable=device.type == "cuda",
    )


def set_learning_rate(optimizer: torch.optim.Optimizer | FlatAdamW, rate: float) -> None:
    """Give every weight a learning rate, in place."""
    for group in optimizer.param_groups:
        group["lr"].fill_(rate)


def learning_rate(settings: OptimConfig, update: int, total: int) -> float:
    """The learning rate of an update, counted from 0.

    Grows linearly over the warm-up, then falls linearly to reach 0 after the last update
    (`linear`, the default of the published code's trainer) or stays (`constant`).
    """
    if update < settings.warmup_updates:
        return settings.learning_rate * update / settings.warmup_updates
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (total - update) / max(1, total - settings.warmup_updates)


def limit_gradient(model: nn.Module, longest: float) -> torch.Tensor:
    """Scale the gradient to at most `longest` (0: no limit) and give its length before that."""
    # In a pass of its own: on a CPU the fused AdamW's own division (grad_scale) took longer than it
    # spares (0.54 s instead of 0.33 s for 105 million weights).
    return nn.utils.clip_grad_norm_(model.parameters(), longest or float("inf"))
