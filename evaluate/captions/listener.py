"""Sound in, captions out, by models that are loaded once.

Recordings of any length pass through in constant memory, and windows of many share batches:

decode, cut (threads, ahead) ─▶ 16 windows ─resample, encode─▶ rows ─▶ 64 windows ─search─▶ captions
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from evaluate.captions.candidate import Caption
from evaluate.captions.generate import caption_clips
from evaluate.captions.options import NO_WORDS, SILENCE, Cutting, DecodingOptions
from evaluate.captions.search import prompts_at_once
from extract.running.encoder import Encoder
from extract.running.side_by_side import part_size, side_by_side
from extract.sound.ahead import Ended, read_ahead
from extract.sound.audio import Audio
from extract.sound.decode import resample_all
from extract.sound.windows import Stretch, cut_windows, read_windows
from features.common.machine import cores
from train.run_folder.checkpoint import Run

# Windows encoded together, and waiting decoded for each file: 10 s at 44.1 kHz take 1.8 MB.
_ENCODED_TOGETHER = 16
_PART = 4  # of them by a core of a CPU: more take more memory and no less time
_DECODED_AT_ONCE = 4  # files
_MOST_TOGETHER = 8  # times as many items pass together where silence is among them

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of one recording and its features, rows [T, D] by stream; none of silence."""

    id: str
    file: str
    start_s: float
    end_s: float
    streams: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Said:
    """A caption and the stretch of sound that it describes; no caption for silence."""

    file: str
    start_s: float
    end_s: float
    caption: Caption | None

    @property
    def text(self) -> str:
        """The caption, or the mark of silence, or of a caption without words."""
        return SILENCE if self.caption is None else self.caption.text or NO_WORDS


# Of a recording, by number: what was said of a window with its features, or that it ended.
Followed = Iterator[tuple[int, tuple[Said, Window] | Ended]]
Watch = Callable[[Followed], Followed]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Something to listen to: what to call it, and what gives its windows one after the other."""

    name: str
    windows: Callable[[], Iterable[Stretch]]

    @classmethod
    def of_file(cls, path: Path, cutting: Cutting) -> "Recording":
        return cls(name=str(path), windows=partial(read_windows, path, hop_s=cutting.hop_s))


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A trained run and the encoders whose streams it reads, on one device."""

    run: Run
    encoders: dict[str, Encoder]

    def describe_files(
        self,
        files: Sequence[Path],
        options: DecodingOptions | None = None,
        *,
        failed: Callable[[Path, str], object],
        cutting: Cutting | None = None,
        watch: Watch = iter,
    ) -> Iterator[Said]:
        """Caption recordings of any length, in order, a batch of windows at a time.

        Args:
            files: audio files.
            options: None for the paper's decoding.
            failed: told of a file that cannot be used, and why; the others go on. Of a file that
                is damaged further on, what stands before comes nevertheless.
            cutting: None for windows side by side.
            watch: what `follow` gives passes through it, for progress.
        """
        cutting = cutting or Cutting()
        recordings = [Recording.of_file(file, cutting) for file in files]
        for number, item in watch(self.follow(recordings, options, cutting)):
            if not isinstance(item, Ended):
                yield item[0]
            elif item.failure:
                failed(files[number], item.failure)

    def follow(
        self,
        recordings: Sequence[Recording],
        options: DecodingOptions | None = None,
        cutting: Cutting | None = None,
    ) -> Followed:
        """Caption recordings in their order, window by window, and say where each one ends.

        Yields:
            A recording's number, and what was said of a window with its features, or its end.
        """
        options, cutting = options or DecodingOptions(), cutting or Cutting()
        together = options.batch_size or prompts_at_once(self.run.model.device)
        with closing(self._heard(recordings, cutting)) as heard:
            for group in _groups(heard, together, _is_heard):
                windows = [item for _, item in group if not isinstance(item, Ended)]
                said = iter(self.say(windows, options))
                for number, item in group:
                    yield number, item if isinstance(item, Ended) else (next(said), item)

    def hear(self, audio: Audio, name: str) -> Iterator[Window]:
        """Cut a recording into windows and encode them, some at a time, silence too.

        Args:
            audio: of any length.
            name: what to call it in the results.
        """
        for group in _groups(cut_windows(audio), _ENCODED_TOGETHER, lambda _: True):
            for stretch, streams in zip(group, self._encode(group), strict=True):
                yield _window(name, stretch, streams)

    def _heard(
        self, recordings: Sequence[Recording], cutting: Cutting
    ) -> Generator[tuple[int, Window | Ended], None, None]:
        sources = (recording.windows for recording in recordings)
        at_once = min(_DECODED_AT_ONCE, cores())
        with closing(read_ahead(sources, at_once=at_once, depth=_ENCODED_TOGETHER)) as decoded:
            # Of silence nothing but its times is kept, however much of it there is.
            items = (
                (number, item)
                if isinstance(item, Ended) or item.peak >= cutting.silent_below
                else (number, _window(recordings[number].name, item, {}))
                for number, item in decoded
            )
            for group in _groups(items, _ENCODED_TOGETHER, _is_stretch):
                rows = iter(self._encode([item for _, item in group if isinstance(item, Stretch)]))
                found = [
                    (number, _window(recordings[number].name, item, next(rows)))
                    if isinstance(item, Stretch)
                    else (number, item)
                    for number, item in group
                ]
                group.clear()  # their sound goes before the next is gathered
                yield from found

    def _encode(self, stretches: Sequence[Stretch]) -> list[dict[str, np.ndarray]]:
        """Rows of each; on a CPU the cores take some each, from resampling on."""
        if self.run.model.device.type != "cpu" or not stretches:
            return self._encoded(stretches)
        size = part_size(len(stretches), _PART)
        parts = [stretches[start : start + size] for start in range(0, len(stretches), size)]
        return list(chain.from_iterable(side_by_side(self._encoded, parts)))

    def _encoded(self, stretches: Sequence[Stretch]) -> list[dict[str, np.ndarray]]:
        device = self.run.model.device
        native = [torch.from_numpy(stretch.waveform).to(device) for stretch in stretches]
        rates_hz = [stretch.sample_rate_hz for stretch in stretches]
        streams: list[dict[str, np.ndarray]] = [{} for _ in native]
        if not native:
            return streams
        heard: dict[tuple[int, str], list[torch.Tensor]] = {}  # networks of one rate share it
        for name, encoder in self.encoders.items():
            # An older run may have another filter.
            wanted = encoder.spec.sample_rate_hz, self.run.streams[name].resampler
            if wanted not in heard:
                heard[wanted] = resample_all(native, rates_hz, *wanted)
            for of_window, rows in zip(streams, encoder.encode(heard[wanted]), strict=True):
                # As a shard would hold them, so that a clip's caption is the same either way.
                of_window[name] = rows.float().cpu().numpy().astype(encoder.spec.dtype)
        return streams

    def say(self, windows: Sequence[Window], options: DecodingOptions) -> list[Said]:
        """Caption windows that were heard, all in one batch or more of the options' size."""
        heard = [window for window in windows if window.streams]
        captions = iter(caption_clips(self.run, heard, options) if heard else ())
        return [
            Said(
                file=window.file,
                start_s=window.start_s,
                end_s=window.end_s,
                caption=next(captions) if window.streams else None,
            )
            for window in windows
        ]


def _window(name: str, stretch: Stretch, streams: dict[str, np.ndarray]) -> Window:
    return Window(
        id=f"{name}@{stretch.start}",
        file=name,
        start_s=stretch.start_s,
        end_s=stretch.end_s,
        streams=streams,
    )


def _is_stretch(item: tuple[int, Stretch | Window | Ended]) -> bool:
    return isinstance(item[1], Stretch)


def _is_heard(item: tuple[int, Window | Ended]) -> bool:
    return isinstance(item[1], Window) and bool(item[1].streams)


def _groups(
    items: Iterable[Item], size: int, counts: Callable[[Item], bool]
) -> Iterator[list[Item]]:
    """Lists that end as soon as `size` of their items count, or hold many that do not."""
    group: list[Item] = []
    counted = 0
    for item in items:
        group.append(item)
        counted += counts(item)
        if counted == size or len(group) == _MOST_TOGETHER * size:
            yield group
            group, counted = [], 0
    if group:
        yield group
