"""Layers whose weights are int8, one scale per row, for a CPU.

What comes in is rounded to 8 bits by the row, too, with a scale of its own, so that a caption does
not depend on its batch. oneDNN multiplies, through operations that torch itself uses for exported
quantised models; it wants the input unsigned, with 128 for zero.
"""

import torch
from torch import nn
from torch.nn import functional
from transformers.models.bart.modeling_bart import BartScaledWordEmbedding

from features.common.errors import ConfigError

_ZERO, _STEPS = 128, 127
_LEAST = 1e-12  # stands in for the scale of a row of zeros


class Int8Linear(nn.Module):
    """A linear layer with int8 weights."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Round the weights.

        Args:
            weight: float32 [out, in].
            bias: float32 [out], or None.
        """
        super().__init__()
        rounded, self._scale = _rounded(weight.detach())
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._zeros = torch.zeros(len(rounded), dtype=torch.int64)
        self._bias = None if bias is None else bias.detach()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Float32 [..., in] to float32 [..., out]."""
        flat = rows.flatten(0, -2)
        scale = _scale(flat)
        # What is left of the point rounds, all being above zero: two passes fewer than round's.
        unsigned = (flat * (1 / scale)).add_(_ZERO + 0.5).to(torch.uint8)
        found = _product(unsigned, self._weight, self._scale, self._zeros)
        if self._bias is None:
            found.mul_(scale)
        else:
            found = torch.addcmul(self._bias, found, scale)
        return found.unflatten(0, rows.shape[:-1])


class Int8Embedding(nn.Module):
    """Token embeddings kept as int8, multiplied by BART's embedding scale as they are read."""

    def __init__(self, embedding: BartScaledWordEmbedding) -> None:
        super().__init__()
        self._rows, scale = _rounded(embedding.weight.detach())
        self._scale = (scale * (embedding.embed_scale or 1.0))[:, None]

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Ids [...] to float32 [..., d_model]."""
        rows = functional.embedding(tokens, self._rows)
        return rows * functional.embedding(tokens, self._scale)


def require_int8(device: torch.device) -> None:
    """Refuse a device without int8 arithmetic.

    Raises:
        ConfigError: with what to do instead.
    """
    if device.type != "cpu":
        raise ConfigError(
            f"precision int8 is for a CPU; on {device.type} use bf16, or --device cpu"
        )
    if not _exact():
        raise ConfigError(
            "precision int8 needs a torch with oneDNN and a CPU that multiplies 8-bit integers "
            "without overflow (AVX-512 VNNI, AVX-VNNI or AMX); use bf16 or float32 here"
        )


def _exact() -> bool:
    """Whether the largest products add up exactly; older CPUs saturate at 16 bits."""
    size = 64
    weight = torch.full((size, size), _STEPS, dtype=torch.int8)
    rows = torch.full((1, size), 255, dtype=torch.uint8)
    try:
        packed = torch.ops.onednn.qlinear_prepack(weight, None)
        found = _product(rows, packed, torch.ones(size), torch.zeros(size, dtype=torch.int64))
    except (AttributeError, RuntimeError):  # this torch was built without oneDNN
        return False
    return bool((found == size * _STEPS * (255 - _ZERO)).all())


def _product(
    rows: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, zeros: torch.Tensor
) -> torch.Tensor:
    """Uint8 rows, 128 for zero, times packed weights with a scale per row: float32."""
    return torch.ops.onednn.qlinear_pointwise(
        rows, 1.0, _ZERO, weight, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )


def _rounded(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Int8 rows and their float32 scales [N]."""
    scale = _scale(rows)
    return torch.round(rows / scale).to(torch.int8), scale[:, 0]


def _scale(rows: torch.Tensor) -> torch.Tensor:
    """What one step of 127 is worth in each row, [N, 1]."""
    return rows.abs().amax(1, keepdim=True).div_(_STEPS).clamp_(min=_LEAST)
