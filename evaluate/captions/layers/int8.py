"""Layers whose weights are int8, one scale per row, for a CPU.

What comes in is rounded to 8 bits by the row, too, with a scale of its own, so that a caption does
not depend on its batch. oneDNN multiplies, through operations that torch itself uses for exported
quantised models; it wants the input unsigned, with 128 for zero.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional
from transformers.models.bart.modeling_bart import BartScaledWordEmbedding

from features.common.errors import ConfigError

_ZERO, _STEPS = 128, 127
_ROWS = 256  # at a time: what is between stays in the cache
_LEAST = 1e-12  # stands in for the largest value of a row of zeros


class Int8Linear(nn.Module):
    """A linear layer with int8 weights."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Round the weights.

        Args:
            weight: float32 [out, in].
            bias: float32 [out], or None.
        """
        super().__init__()
        rounded, scale = _rounded(weight.detach())
        self._scale = scale / _STEPS  # of what comes in, one step is the largest value's 127th
        self._weight = torch.ops.onednn.qlinear_prepack(rounded, None)
        self._zeros = torch.zeros(len(rounded), dtype=torch.int64)
        self._bias = None if bias is None else bias.detach()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Any [..., in] to float32 [..., out]."""
        flat = rows.flatten(0, -2).float()
        found = torch.empty(len(flat), len(self._zeros))
        for part, of_part in zip(flat.split(_ROWS), found.split(_ROWS), strict=True):
            self.of_rounded(*rounded_input(part), out=of_part)
        return found.unflatten(0, rows.shape[:-1])

    def of_rounded(
        self, rows: torch.Tensor, largest: torch.Tensor, out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The same of what `rounded_input` gives: float32 [N, out], in `out` if that is given."""
        found = _product(rows, self._weight, self._scale, self._zeros)
        if self._bias is None:
            return torch.mul(found, largest, out=out)
        return torch.addcmul(self._bias, found, largest, out=out)


class Int8Joined(nn.Module):
    """One of several linear layers that read the same and are one int8 layer together."""

    def __init__(self, whole: Int8Linear, place: slice) -> None:
        """Args:
        whole: the layer of all.
        place: of this one's outputs among those of all.
        """
        super().__init__()
        self.whole, self._place = whole, place

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Float32 [..., in] to float32 [..., out], for transformers' own forward pass: whoever
        wants all takes `whole` once."""
        return self.whole(rows)[..., self._place]


def int8_joined(layers: Sequence[nn.Linear]) -> list[Int8Joined]:
    """Layers of one input and one width as parts of one layer."""
    whole = Int8Linear(
        torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    )
    width = layers[0].out_features
    return [Int8Joined(whole, slice(i * width, (i + 1) * width)) for i in range(len(layers))]


class Int8Head(nn.Module):
    """The output layer, a part of the vocabulary at a time: its logits stay in the cache.

    8 bits are too few to choose among near words: the likeliest are multiplied once more, with
    weights in bf16 (`of_tokens`).
    """

    _TOKENS = 2048

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, finer: torch.Tensor) -> None:
        """Args:
        weight: float32 [tokens, d_model].
        bias: float32 [tokens].
        finer: the weight in bf16.
        """
        super().__init__()
        self._finer, self._bias = finer, bias
        self._parts = nn.ModuleList(
            Int8Linear(rows, of_rows)
            for rows, of_rows in zip(
                weight.split(self._TOKENS), bias.split(self._TOKENS), strict=True
            )
        )

    def parts(self, hidden: torch.Tensor) -> Iterator[torch.Tensor]:
        """The logits of each part, float32 [..., tokens of the part], of float32 [..., d_model]."""
        rounded = rounded_input(hidden.flatten(0, -2))
        for part in self._parts:
            assert isinstance(part, Int8Linear)
            yield part.of_rounded(*rounded).unflatten(0, hidden.shape[:-1])

    def of_tokens(self, hidden: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of some tokens [..., N], float32, from weights in bf16."""
        rows = functional.embedding(tokens, self._finer).float()
        return (rows @ hidden[..., None])[..., 0] + self._bias[tokens]


def rounded_input(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32 [N, in] to uint8, 128 for zero, and the largest value of each row, [N, 1]."""
    # The least and the largest, without a copy of the absolute values between.
    largest = torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True))
    largest.clamp_(min=_LEAST)
    signed = (rows * (_STEPS / largest)).round_().to(torch.int8)
    # Torch turns floats into signed bytes eight times as fast as into unsigned ones. 128 more and
    # they are these, whatever bit is lost.
    return signed.view(torch.uint8).add_(_ZERO), largest


class Bf16Embedding(nn.Module):
    """Token embeddings kept as bf16, multiplied by BART's embedding scale as they are read."""

    def __init__(self, embedding: BartScaledWordEmbedding) -> None:
        super().__init__()
        self.rows = embedding.weight.detach().bfloat16()
        self._scale = embedding.embed_scale or 1.0

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Ids [...] to float32 [..., d_model]."""
        return functional.embedding(tokens, self.rows).float() * self._scale


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
    """Int8 rows, and what one step of each is worth, float32 [N]."""
    scale = rows.abs().amax(1, keepdim=True).div_(_STEPS).clamp_(min=_LEAST)
    return torch.round(rows / scale).to(torch.int8), scale[:, 0]
