"""From audio to captions: a run and its networks are loaded once, and listen to any files.

listener = load_listener(run_folder, weights_folder)
for said in listener.describe_files([Path("rain.wav")], failed=print):
    print(said.start_s, said.text)
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from evaluate.captions.listener import Listener
from evaluate.captions.search import open_run
from extract.dump.audio_files import AudioFiles
from extract.precision import PRECISIONS
from extract.running.encoder import Encoder
from extract.sound.kinds import AUDIO_SUFFIXES
from extract.sound.resample import FILTERS
from extract.streams import load_encoders
from features.common.console import log
from features.common.errors import ConfigError, DumpError, FormatError, RunError, WeightsError
from train.run_folder.checkpoint import Run, check_streams


def load_listener(
    run_folder: Path,
    weights: Path,
    device: str | None = "cpu",
    precision: str = "float32",
    networks: str = "float32",
    task: str = "",
) -> Listener:
    """Load a run and the networks of the streams that it reads, and of no others.

    Args:
        run_folder: of a trained run.
        weights: folder with the networks' weights.
        device: for all of them, None for this machine's own (train/model/device.py).
        precision: of the run (DecodingOptions.precision).
        networks: of the networks' arithmetic, out of extract.precision.PRECISIONS.
        task: whose wording the run speaks, one of its inputs.tasks; "" for the first.

    Raises:
        ConfigError: if the device has no such arithmetic, it is none, or the run no such task.
        RunError: if the folder holds no trained run, or one of a filter that is not known here.
        WeightsError: if a network's weights are missing, or make other streams than the run reads.
    """
    if networks not in PRECISIONS:
        raise ConfigError(
            f"the networks' precision is {networks!r}, expected one of {', '.join(PRECISIONS)}"
        )
    run = replace(open_run(run_folder, device, precision), task=task)
    at = str(run.model.device)
    if networks == "tf32" and at == "cpu":
        raise ConfigError("the networks' precision is tf32, which only NVIDIA GPUs have")
    encoders: dict[str, Encoder] = {}
    problems = []
    for name, trained in run.builder.streams.items():  # refuses an unknown task, too
        try:
            encoders |= load_encoders(
                [name], weights, device=at, precision=networks, dtype=trained.dtype
            )
        except WeightsError as error:
            problems.append(str(error))
    if problems:
        streams = " and ".join(run.builder.streams)
        raise WeightsError(f"{run_folder} reads {streams}. {'. '.join(problems)}")
    _compare(run, encoders, weights)
    return Listener(run=run, encoders=encoders)


def find_audio(paths: Iterable[Path]) -> list[Path]:
    """Audio files, and those in folders, which links to folders lead to too, in order of name.

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
        inside = sorted(path / name for name in AudioFiles(path))
        if not inside:
            raise DumpError(
                f"{path}: holds no audio file; those end in {', '.join(sorted(AUDIO_SUFFIXES))}"
            )
        found += inside
    return found


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
