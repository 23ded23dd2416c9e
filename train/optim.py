"""AdamW, its schedule and the limit on the gradient."""

import torch
from torch import nn

from train.config import OptimConfig
from train.model import TagBart


def make_optimizer(model: TagBart, settings: OptimConfig) -> torch.optim.AdamW:
    """Fused AdamW over what learns; matrices decay, biases and layer norms never do."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in learning if w.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [w for w in learning if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )


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
    return nn.utils.clip_grad_norm_(model.parameters(), longest or float("inf"))
