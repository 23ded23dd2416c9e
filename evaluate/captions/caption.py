"""From audio to captions: decode, cut into windows, encode, caption. Models are loaded once.

listener = load_listener(run_folder, weights_folder)
for said in listener.describe_files([Path("rain.wav")]):
    print(said.start_s, said.caption.text, said.caption.tags)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from evaluate.captions.candidate import Caption
from evaluate.captions.generate import caption_clips
from evaluate.captions.options import DecodingOptions
from evaluate.captions.search import open_run
from extract.sound.audio import Audio, load_audio
from extract.sound.decode import resample_all
from extract.sound.kinds import AUDIO_SUFFIXES
from extract.sound.resample import FILTERS
from extract.streams import Encoder, load_encoders
from features.common.console import log
from features.common.errors import ClipError, DumpError, FormatError, RunError, WeightsError
from train.run_folder.checkpoint import Run, check_streams

WINDOW_S = 10.0  # what AudioCaps' clips last
# A shorter rest joins the window before it: below this a network's window is mostly padding.
LEAST_S = 1.0
_ENCODED_TOGETHER = 16
_CAPTIONED_TOGETHER = 32  # printed as soon as they are there


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of one recording and its features, rows [T, D] by stream."""

    id: str
    file: str
    start_s: float
    end_s: float
    streams: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Said:
    """A caption and the stretch of sound that it describes."""

    file: str
    start_s: float
    end_s: float
    caption: Caption


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A trained run and the encoders whose streams it reads, on one device."""

    run: Run
    encoders: dict[str, Encoder]

    def describe_files(
        self,
        files: Iterable[Path],
        options: DecodingOptions | None = None,
        *,
        failed: Callable[[Path, str], object],
    ) -> Iterator[Said]:
        """Caption recordings of any length, in order, a batch of windows at a time.

        Args:
            files: audio files.
            options: None for the paper's decoding.
            failed: told of a file that cannot be used, and why; the others go on.
        """
        options = options or DecodingOptions()
        windows = self._windows(files, failed)
        while group := list(islice(windows, _CAPTIONED_TOGETHER)):
            yield from self.say(group, options)

    def describe(
        self, audio: Audio, name: str, options: DecodingOptions | None = None
    ) -> list[Said]:
        """Caption one decoded recording, window by window."""
        return self.say(list(self.hear(audio, name)), options or DecodingOptions())

    def hear(self, audio: Audio, name: str) -> Iterator[Window]:
        """Cut a recording into windows and encode them, some at a time.

        Args:
            audio: of any length.
            name: what to call it in the results.
        """
        rate_hz = audio.sample_rate_hz
        starts = window_starts(len(audio.waveform), rate_hz)
        spans = iter(zip(starts, [*starts[1:], len(audio.waveform)], strict=True))
        while some := list(islice(spans, _ENCODED_TOGETHER)):
            rows = self._encode([audio.waveform[start:end] for start, end in some], rate_hz)
            for (start, end), streams in zip(some, rows, strict=True):
                yield Window(
                    id=f"{name}@{start}",
                    file=name,
                    start_s=start / rate_hz,
                    end_s=end / rate_hz,
                    streams=streams,
                )

    def _windows(
        self, files: Iterable[Path], failed: Callable[[Path, str], object]
    ) -> Iterator[Window]:
        for file in files:
            try:
                audio = load_audio(file)
            except ClipError as error:
                failed(file, str(error))
                continue
            yield from self.hear(audio, str(file))

    def _encode(self, waveforms: Sequence[np.ndarray], rate_hz: int) -> list[dict[str, np.ndarray]]:
        device = self.run.model.device
        native = [torch.from_numpy(waveform).to(device) for waveform in waveforms]
        rates_hz = [rate_hz] * len(native)
        streams: list[dict[str, np.ndarray]] = [{} for _ in native]
        for name, encoder in self.encoders.items():
            resampler = self.run.streams[name].resampler  # an older run may have another filter
            heard = resample_all(native, rates_hz, encoder.spec.sample_rate_hz, resampler)
            for of_window, rows in zip(streams, encoder.encode(heard), strict=True):
                # As a shard would hold them, so that a clip's caption is the same either way.
                of_window[name] = rows.float().cpu().numpy().astype(encoder.spec.dtype)
        return streams

    def say(self, windows: Sequence[Window], options: DecodingOptions) -> list[Said]:
        """Caption windows that were heard, all in one batch or more of the options' size."""
        captions = caption_clips(self.run, windows, options)
        return [
            Said(file=item.file, start_s=item.start_s, end_s=item.end_s, caption=caption)
            for item, caption in zip(windows, captions, strict=True)
        ]


def load_listener(
    run_folder: Path, weights: Path, device: str | None = "cpu", precision: str = "float32"
) -> Listener:
    """Load a run and the networks of the streams that it reads, and of no others.

    Args:
        run_folder: of a trained run.
        weights: folder with the networks' weights.
        device: for all of them, None for this machine's own (train/model/device.py).
        precision: of the run (DecodingOptions.precision); the networks stay in float32.

    Raises:
        ConfigError: if the device has no such arithmetic.
        RunError: if the folder holds no trained run, or one of a filter that is not known here.
        WeightsError: if a network's weights are missing, or make other streams than the run reads.
    """
    run = open_run(run_folder, device, precision)
    at = str(run.model.device)
    encoders: dict[str, Encoder] = {}
    problems = []
    for name, trained in run.builder.streams.items():
        try:
            encoders |= load_encoders(
                [name], weights, device=at, precision="float32", dtype=trained.dtype
            )
        except WeightsError as error:
            problems.append(str(error))
    if problems:
        streams = " and ".join(run.builder.streams)
        raise WeightsError(f"{run_folder} reads {streams}. {'. '.join(problems)}")
    _compare(run, encoders, weights)
    return Listener(run=run, encoders=encoders)


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """Audio files, and those in folders, in order of name.

    Raises:
        DumpError: if a path does not exist, or a folder holds no audio.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DumpError(f"{path}: no such file or folder; name audio files or folders of them")
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(item for item in path.rglob("*") if _is_audio(item, path))
        if not inside:
            raise DumpError(
                f"{path}: holds no audio file; those end in {', '.join(sorted(AUDIO_SUFFIXES))}"
            )
        found += inside
    return found


def window_starts(samples: int, rate_hz: int) -> list[int]:
    """First samples of a recording's windows: every 10 s, a rest below 1 s not by itself."""
    step, least = round(WINDOW_S * rate_hz), round(LEAST_S * rate_hz)
    return list(range(0, max(1, samples - least + 1), step))


def _is_audio(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and not hidden


def _compare(run: Run, encoders: dict[str, Encoder], weights: Path) -> None:
    """Refuse networks of another kind than in training; warn of the same kind with other weights.

    Sound is resampled as the run names it, whatever the filter of new features is.

    The same weights may come in another file (a SavedModel or its conversion), so a checksum alone
    is no reason to refuse.
    """
    specs = {}
    for name, encoder in encoders.items():
        trained = run.streams[name]
        if trained.resampler not in FILTERS:
            raise RunError(
                f"{run.path}: stream {name!r} was resampled by {trained.resampler!r}, which this "
                f"program cannot do; it has {', '.join(FILTERS)}"
            )
        specs[name] = replace(
            encoder.spec, weights_sha256=trained.weights_sha256, resampler=trained.resampler
        )
        if encoder.spec.weights_sha256 != trained.weights_sha256:
            log(
                f"warning: {weights}: the weights for {name} have sha256 "
                f"{encoder.spec.weights_sha256[:12]}…, {run.path} was trained on features of "
                f"{trained.weights_sha256[:12]}…; unless they are the same weights in another "
                "file, the captions mean little"
            )
    try:
        check_streams(run, specs, weights)
    except FormatError as error:
        raise WeightsError(str(error)) from error
