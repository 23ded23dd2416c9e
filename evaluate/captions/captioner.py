"""Captions from your own program: `Captioner("runs/yamnet-panns")("dog.wav").text`."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, overload

import numpy as np

from evaluate.captions.candidate import Candidate
from evaluate.captions.caption import find_audio, load_listener
from evaluate.captions.hours.merging import runs
from evaluate.captions.listener import Listener, Recording, Said, Window
from evaluate.captions.options import SILENCE_DB, Cutting, DecodingOptions, refuse_by_ear
from extract.sound.ahead import Ended
from extract.sound.audio import Audio
from extract.sound.windows import WINDOW_S, Stretch, cut_windows
from features.common.errors import ClipError, ConfigError

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
        text: the caption, or `[silence]`.
        probability: of it, given the sound: the product of its tokens' probabilities; 1 of silence.
        start_s, end_s: of the stretch.
        tags: one for each row that the prompt was made of; none for audio alone.
        n_best: the caption and its rivals, best first; none of silence.
        features: rows [T, D] by stream, where they were asked for.
    """

    text: str
    probability: float
    start_s: float
    end_s: float
    tags: tuple[Tag, ...]
    n_best: tuple[Candidate, ...]
    features: Mapping[str, np.ndarray] | None = None

    @property
    def silent(self) -> bool:
        return not self.n_best


@dataclass(frozen=True, kw_only=True)
class SoundCaption:
    """What was said of one sound: a caption for each 10 s of it.

    Subtitles of it: `evaluate.captions.hours.forms.as_srt(said.stretches)`.

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
    def stretches(self) -> tuple[WindowCaption, ...]:
        """The windows, neighbours that say the same as one: from the first's start to the last's
        end, and all else as where it is least sure."""
        return tuple(
            replace(
                min(run, key=lambda window: window.probability),
                start_s=run[0].start_s,
                end_s=run[-1].end_s,
            )
            for run in runs(self.windows)
        )

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
        networks: precision of the networks that hear, `float32`, `bf16`, or `tf32` on a GPU.
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
        networks: str = "float32",
        features: bool = False,
        **search: Any,
    ) -> None:
        folder = Path(weights or os.environ.get("TAGBART_WEIGHTS", "weights"))
        try:
            self.options = DecodingOptions(precision=precision, **search)
        except TypeError as error:  # an option that there is not
            raise ConfigError(str(error).rpartition(".")[2].replace("__init__() ", "")) from error
        refuse_by_ear(self.options)
        self.listener: Listener = load_listener(
            Path(run), folder, device, precision, networks, self.options.task
        )
        self.with_features = features
        self._turn = Lock()

    @overload  # a str is a sequence of str too; it counts as one sound
    def __call__(  # type: ignore[overload-overlap]
        self,
        sound: Sound,
        *,
        sample_rate: int | None = None,
        hop_s: float = WINDOW_S,
        silence_db: float = SILENCE_DB,
        failed: Callable[[str, str], object] | None = None,
    ) -> SoundCaption: ...
    @overload
    def __call__(
        self,
        sound: Sequence[Sound],
        *,
        sample_rate: int | None = None,
        hop_s: float = WINDOW_S,
        silence_db: float = SILENCE_DB,
        failed: Callable[[str, str], object] | None = None,
    ) -> list[SoundCaption]: ...

    def __call__(
        self,
        sound: Sound | Sequence[Sound],
        *,
        sample_rate: int | None = None,
        hop_s: float = WINDOW_S,
        silence_db: float = SILENCE_DB,
        failed: Callable[[str, str], object] | None = None,
    ) -> SoundCaption | list[SoundCaption]:
        """Caption one sound, a list of them, or all in a folder; windows of all share batches.

        Args:
            sound: a file, a folder, samples [n] or [n, channels], or a list of files and samples.
            sample_rate: of samples, in Hz.
            hop_s: from one window's start to the next, 0.1 to 10 s; they overlap below 10.
            silence_db: windows whose samples all stay below this level are not captioned, in dB of
                full scale; -inf for none.
            failed: told the name of a sound that cannot be used, and why, instead of ending; it has
                no result then.

        Returns:
            A SoundCaption, or a list of them for a list or a folder.

        Raises:
            ClipError: if a sound cannot be used, with its name and the reason.
            DumpError: if a file or folder is not there.
            ConfigError: for samples without a rate, or what is no sound.
        """
        given: list[Any] = list(sound) if isinstance(sound, list | tuple) else [sound]
        several = isinstance(sound, list | tuple) or (
            isinstance(sound, str | Path) and Path(sound).is_dir()
        )
        cutting = Cutting(hop_s=hop_s, silence_db=silence_db)
        with self._turn:
            found = [item for one in given for item in _recordings(one, sample_rate, cutting)]
            results = list(self._captions(found, cutting, failed))
        if several:
            return results
        if not results:  # `failed` was told
            raise ClipError(f"{found[0].name or 'the samples'}: could not be used")
        return results[0]

    def _captions(
        self,
        recordings: Sequence[Recording],
        cutting: Cutting,
        failed: Callable[[str, str], object] | None,
    ) -> Iterator[SoundCaption]:
        windows: list[WindowCaption] = []
        for number, item in self.listener.follow(recordings, self.options, cutting):
            name = recordings[number].name
            if not isinstance(item, Ended):
                windows.append(self._window(*item))
                continue
            if not item.failure:
                yield SoundCaption(name=name, windows=tuple(windows))
            elif failed is None:
                raise ClipError(f"{name or 'the samples'}: {item.failure}")
            else:
                failed(name, item.failure)
            windows = []

    def _window(self, said: Said, window: Window) -> WindowCaption:
        caption = said.caption
        scores = self.listener.run.builder.tag_scores(window.streams) if caption else []
        tags = zip(caption.tags if caption else (), scores, strict=True)
        return WindowCaption(
            text=caption.text if caption else said.text,
            probability=caption.n_best[0].probability if caption else 1.0,
            start_s=said.start_s,
            end_s=said.end_s,
            tags=tuple(Tag(name=name, score=score) for name, score in tags),
            n_best=caption.n_best if caption else (),
            features=window.streams if self.with_features else None,
        )


def _recordings(sound: Sound, sample_rate: int | None, cutting: Cutting) -> list[Recording]:
    known = isinstance(sound, str | Path | list) or hasattr(sound, "__array__")
    nowhere = isinstance(sound, str) and not sound  # as a path it would be where one stands
    if nowhere or not known:
        raise ConfigError(
            f"a sound is {sound!r:.60}, expected a file, a folder, samples in an array, or a "
            "list of files and samples"
        )
    if isinstance(sound, str | Path):
        return [Recording.of_file(path, cutting) for path in find_audio([Path(sound)])]
    if sample_rate is None:
        raise ConfigError("samples need their rate: captioner(samples, sample_rate=44100)")
    windows = partial(_windows_of, np.asarray(sound), sample_rate, cutting)
    return [Recording(name="", windows=windows)]


def _windows_of(samples: np.ndarray, sample_rate: int, cutting: Cutting) -> Iterator[Stretch]:
    return cut_windows(Audio(waveform=samples, sample_rate_hz=sample_rate), hop_s=cutting.hop_s)
