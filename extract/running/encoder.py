"""From waveforms to rows: the windows of many clips go through a network together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from math import ceil

import torch
from torch import Tensor, nn

from extract.running.gpu import Compiled, arithmetic
from extract.running.side_by_side import part_size, side_by_side
from features.spec import StreamSpec

Windows = Tensor | Sequence[Tensor]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """One loaded network for one stream: cuts clips into windows and batches those of all clips.

    Attributes:
        spec: what its rows are, as shards record it.
        network: windows [N, samples] → rows [N, D], or [N, R, D] where a window makes several; a
            module, or a `Compiled` one.
        cut: waveform [n] → windows [T, samples], or several such of different lengths.
        batch_windows: the most that the network gets at once, on a CPU in parts side by side.
        step: it gets multiples of so many, the last ones silent, whose rows are dropped: few sizes
            of which cuDNN has to choose its ways. Above 1 there are no parts side by side.
    """

    spec: StreamSpec
    network: Callable[[Tensor], Tensor]
    cut: Callable[[Tensor], Windows]
    batch_windows: int
    step: int = 1

    def compiled(self) -> "Encoder":
        """The same with its network compiled."""
        assert isinstance(self.network, nn.Module)
        return replace(self, network=Compiled(self.network, self.batch_windows))

    @torch.inference_mode()
    def encode(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Rows of each clip.

        Args:
            waveforms: float32 [n] each, n at least 1, mono, at spec.sample_rate_hz, on the
                encoder's device.

        Returns:
            float32 [T, D] each, T at least 1, on the encoder's device. What stands in a clip's
            rows does not depend on the other clips, but for rounding.
        """
        if not waveforms:
            return []
        groups = _alike([len(waveform) for waveform in waveforms])
        blocks: list[Tensor] = []  # [clips · T, samples], of each group one or several
        of_group = []
        for group in groups:
            # All at once: on a GPU each operation costs the processor as much as many clips' sound.
            cuts = as_list(torch.vmap(self.cut)(torch.stack([waveforms[i] for i in group])))
            blocks += [windows.flatten(0, 1) for windows in cuts]
            of_group.append(len(cuts))
        rows = self._rows_of(blocks)
        found: list[Tensor] = [torch.empty(0)] * len(waveforms)
        for group, count in zip(groups, of_group, strict=True):
            parts = [
                part.unflatten(0, (len(group), -1)).flatten(1, -2) for part in islice(rows, count)
            ]
            whole = parts[0] if count == 1 else torch.cat(parts, dim=1)
            for i, part in zip(group, whole.unbind(), strict=True):
                found[i] = part
        return found

    def _rows_of(self, blocks: Sequence[Tensor]) -> Iterator[Tensor]:
        """[N_i, samples_i] each → [N_i, D] or [N_i, R, D] each."""
        rows: list[Tensor] = [torch.empty(0)] * len(blocks)
        # Padding would change what a network hears: windows go together with those of their length.
        for group in _alike([block.shape[1] for block in blocks]):
            made = self._rows(torch.cat([blocks[i] for i in group]))
            for i, part in zip(group, made.split([len(blocks[i]) for i in group]), strict=True):
                rows[i] = part
        return iter(rows)

    def _rows(self, windows: Tensor) -> Tensor:
        """[N, samples] → [N, D] or [N, R, D], in batches of at most `batch_windows`."""
        count = len(windows)
        if missing := -count % self.step:
            windows = nn.functional.pad(windows, (0, 0, 0, missing))
        if windows.is_cuda or self.step > 1:
            made: Iterator[Tensor] = map(self._batch, windows.split(self.batch_windows))
        else:
            most = ceil(self.batch_windows / torch.get_num_threads())
            parts = windows.split(part_size(count, most))
            made = side_by_side(lambda part: self.network(part).float(), parts)
        return torch.cat(list(made))[:count]

    def _batch(self, windows: Tensor) -> Tensor:
        full = len(windows) == self.batch_windows
        with arithmetic(tf32=self.spec.precision == "tf32", tuned=full):
            return self.network(windows).float()


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Places of equal lengths together, the shortest first."""
    places = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [list(alike) for _, alike in groupby(places, key=lengths.__getitem__)]


def as_list(windows: Windows) -> Sequence[Tensor]:
    """What a cut gives, as windows of one length each."""
    return [windows] if isinstance(windows, Tensor) else windows
