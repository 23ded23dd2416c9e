"""Captions from your own program: `Captioner("runs/yamnet-panns")("dog.wav").text`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from threading import Lock
from typing import Any, overload

import numpy as np

from evaluate.captions.candidate import Candidate
from evaluate.captions.caption import Listener, Said, Window, find_audio, load_listener
from evaluate.captions.options import DecodingOptions
from extract.sound.audio import Audio, load_audio
from features.common.errors import ClipError, ConfigError

_TOGETHER = 32  # windows captioned at once, of one sound or of several

Sound = str | Path | np.ndarray


@dataclass(frozen=True, kw_only=True)
class Tag:
    """The likeliest AudioSet tag of one row: its name as prompts say it, and its score, 0 to 1."""

    name: str
    score: float


@dataclass(frozen=True, kw_only=True)
class WindowCaption:
    """What was said of one stretch of sound.

    Attributes:
        text: the caption.
        probability: of it, given the sound: the product of its tokens' probabilities.
        start_s, end_s: of the stretch.
        tags: one for each row that the prompt was made of; none for audio alone.
        n_best: the caption and its rivals, best first.
        features: rows [T, D] by stream, where they were asked for.
    """

    text: str
    probability: float
    start_s: float
    end_s: float
    tags: tuple[Tag, ...]
    n_best: tuple[Candidate, ...]
    features: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, kw_only=True)
class SoundCaption:
    """What was said of one sound: a caption for each 10 s of it.

    Attributes:
        name: the file, or "" for samples.
        windows: in order, at least one.
    """

    name: str
    windows: tuple[WindowCaption, ...]

    @property
    def text(self) -> str:
        """The captions, a line each; for a sound of up to 11 s that is the caption."""
        return "\n".join(window.text for window in self.windows)

    @property
    def probability(self) -> float:
        """Of the caption; of several, that of the least sure one."""
        return min(window.probability for window in self.windows)

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Those of all windows, in order."""
        return tuple(tag for window in self.windows for tag in window.tags)

    @property
    def start_s(self) -> float:
        return self.windows[0].start_s

    @property
    def end_s(self) -> float:
        return self.windows[-1].end_s


class Captioner:
    """A trained run and the networks that it listens with, loaded once.

    Calls from several threads are safe: they take turns.

    Args:
        run: folder of a trained run.
        weights: folder with the networks' weights; None for $TAGBART_WEIGHTS or `weights`.
        device: `cpu` or `cuda`; None for cuda where there is one.
        precision: of BART: `float32`, `bf16`, or `int8` on a CPU.
        features: whether results hold the features too.
        **search: fields of evaluate.captions.options.DecodingOptions, such as beams or n_best.

    Raises:
        ConfigError: if the device or an option is none.
        RunError: if `run` holds no trained run.
        WeightsError: if a network's weights are missing, or others than in training.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        weights: str | Path | None = None,
        device: str | None = None,
        precision: str = "float32",
        features: bool = False,
        **search: Any,
    ) -> None:
        folder = Path(weights or os.environ.get("TAGBART_WEIGHTS", "weights"))
        try:
            self.options = DecodingOptions(precision=precision, **search)
        except TypeError as error:  # an option that there is not
            raise ConfigError(str(error).rpartition(".")[2].replace("__init__() ", "")) from error
        self.listener: Listener = load_listener(Path(run), folder, device, precision)
        self.with_features = features
        self._turn = Lock()

    @overload  # a str is a sequence of str too; it counts as one sound
    def __call__(  # type: ignore[overload-overlap]
        self,
        sound: Sound,
        *,
        sample_rate: int | None = None,
        failed: Callable[[str, str], object] | None = None,
    ) -> SoundCaption: ...
    @overload
    def __call__(
        self,
        sound: Sequence[Sound],
        *,
        sample_rate: int | None = None,
        failed: Callable[[str, str], object] | None = None,
    ) -> list[SoundCaption]: ...

    def __call__(
        self,
        sound: Sound | Sequence[Sound],
        *,
        sample_rate: int | None = None,
        failed: Callable[[str, str], object] | None = None,
    ) -> SoundCaption | list[SoundCaption]:
        """Caption one sound, a list of them, or all in a folder; windows of all share batches.

        Args:
            sound: a file, a folder, samples [n] or [n, channels], or a list of files and samples.
            sample_rate: of samples, in Hz.
            failed: told the name of a sound that cannot be used, and why, instead of ending; it has
                no result then.

        Returns:
            A SoundCaption, or a list of them for a list or a folder.

        Raises:
            ClipError: if a sound cannot be used, with its name and the reason.
            DumpError: if a file or folder is not there.
            ConfigError: for samples without a rate.
        """
        given: list[Any] = list(sound) if isinstance(sound, list | tuple) else [sound]
        several = isinstance(sound, list | tuple) or (
            isinstance(sound, str | Path) and Path(sound).is_dir()
        )
        with self._turn:
            found = [item for one in given for item in self._named(one)]
            results = list(self._captions(found, sample_rate, failed))
        if several:
            return results
        if not results:  # `failed` was told
            raise ClipError(f"{found[0][0] or 'the samples'}: could not be used")
        return results[0]

    def _named(self, sound: Sound) -> list[tuple[str, Path | np.ndarray]]:
        if isinstance(sound, str | Path):
            return [(str(path), path) for path in find_audio([Path(sound)])]
        return [("", sound if isinstance(sound, np.ndarray) else np.asarray(sound))]

    def _captions(
        self,
        sounds: Iterable[tuple[str, Path | np.ndarray]],
        sample_rate: int | None,
        failed: Callable[[str, str], object] | None,
    ) -> Iterator[SoundCaption]:
        names: dict[str, str] = {}  # by number: two sounds may have one name

        def windows() -> Iterator[Window]:
            for number, (name, sound) in enumerate(sounds):
                try:
                    audio = _decoded(sound, sample_rate)
                except ClipError as error:
                    if failed is None:
                        raise ClipError(f"{name or 'the samples'}: {error}") from error
                    failed(name, str(error))
                    continue
                names[str(number)] = name
                yield from self.listener.hear(audio, str(number))

        for number, parts in groupby(self._said(windows()), lambda pair: pair[0].file):
            yield SoundCaption(
                name=names[number],
                windows=tuple(self._window(said, window) for said, window in parts),
            )

    def _said(self, windows: Iterator[Window]) -> Iterator[tuple[Said, Window]]:
        while group := list(islice(windows, _TOGETHER)):
            yield from zip(self.listener.say(group, self.options), group, strict=True)

    def _window(self, said: Said, window: Window) -> WindowCaption:
        best = said.caption.n_best[0]
        builder = self.listener.run.builder
        scores = builder.tag_scores(window.streams)
        return WindowCaption(
            text=best.text,
            probability=best.probability,
            start_s=said.start_s,
            end_s=said.end_s,
            tags=tuple(
                Tag(name=name, score=score)
                for name, score in zip(said.caption.tags, scores, strict=True)
            ),
            n_best=said.caption.n_best,
            features=window.streams if self.with_features else None,
        )


def _decoded(sound: Path | np.ndarray, sample_rate: int | None) -> Audio:
    if isinstance(sound, Path):
        return load_audio(sound)
    if sample_rate is None:
        raise ConfigError("samples need their rate: captioner(samples, sample_rate=44100)")
    return Audio(waveform=sound, sample_rate_hz=sample_rate)
