"""What a report needs besides the evaluation: features, the model's view, spectrograms.

Each may be absent: then `left_out` says what, and what would bring it back.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from evaluate.captions.search import open_run
from evaluate.report.folders import Study, System
from evaluate.view.inside import Insight, look_inside
from evaluate.view.pictures import draw_spectrograms
from evaluate.view.timeline import tag_streams
from features.common.console import progress
from features.common.errors import ConfigError, TagbartError
from features.reader import Clip, Features
from features.spec import StreamSpec
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.run_folder.checkpoint import check_streams


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the further material is.

    Attributes:
        features: of the clips.
        split: of the features; None takes the one on record.
        runs: run folders, one per evaluation folder; empty takes those on record.
        audio: the dump that was extracted.
        device: for the model, None for this machine's own.
        copy_audio: put every sound into the report, instead of a link to the dump.
    """

    features: Path | None = None
    split: str | None = None
    runs: tuple[Path, ...] = ()
    audio: Path | None = None
    device: str | None = "cpu"
    copy_audio: bool = False

    def __post_init__(self) -> None:
        if self.copy_audio and (self.audio is None or self.features is None):
            raise ConfigError(
                "--copy-audio copies what --audio DUMP holds of the clips of --features FEATURES; "
                "give both"
            )


@dataclass(kw_only=True)
class Material:
    """What could be had, by clip id; `insights` has one mapping per system, `undrawn` why there is
    no spectrogram, "" where there is one.

    `tags` is the stream that the first run with tags reads; of unknown runs one that is there.
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    tags: StreamSpec | None = None
    insights: list[dict[str, Insight]] = field(default_factory=list)
    undrawn: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def picture(self, clip: str) -> bool:
        """Whether a clip's spectrogram was drawn."""
        return self.undrawn.get(clip) == ""


def gather(study: Study, sources: Sources, pictures: dict[str, Path]) -> Material:
    """Collect what can be had.

    Args:
        study: the evaluation.
        sources: where to look.
        pictures: clip id: the PNG to draw.

    Raises:
        TagbartError: if something named cannot be used as asked.
    """
    material = Material(insights=[{} for _ in study.systems])
    if sources.runs and len(sources.runs) != len(study.systems):
        raise TagbartError(
            f"--run is given {len(sources.runs)} times for {len(study.systems)} evaluation "
            "folders; give one per folder, in their order, or none to take those on record"
        )
    if study.left_out:
        material.left_out.append(
            f"{len(study.left_out):,} clips that only some of the folders captioned, the first is "
            f"{study.left_out[0]}"
        )
    if sources.features is None:
        material.left_out.append(
            "tag timelines, spectrograms, audio and the model's view of each caption: they need "
            "--features FEATURES, and --audio DUMP (the folder that was extracted)"
        )
        return material
    made = study.systems[0].made
    features = Features(sources.features, sources.split or (made.split if made else "test"))
    _read_clips(study, features, material)
    known = ""
    for number, system in enumerate(study.systems):
        named = sources.runs[number] if sources.runs else None
        read = _ask(material, number, system, named, features, sources.device)
        if read and not known:
            known, material.tags = read, features.streams[read]
    shown = material.tags.name if material.tags else ""
    if others := [spec.name for spec in tag_streams(features.streams) if spec.name != shown]:
        material.left_out.append(f"tags of {', '.join(others)}: those of {shown} are shown")
    if sources.audio is None:
        material.left_out.append("spectrograms and audio: they need --audio DUMP")
    else:
        _draw(sources.audio, material, pictures, copy=sources.copy_audio)
    return material


def _read_clips(study: Study, features: Features, material: Material) -> None:
    known = set(features.ids)
    material.clips = {clip: features[clip] for clip in study.clips if clip in known}
    material.tags = next(iter(tag_streams(features.streams)), None)
    missing = [clip for clip in study.clips if clip not in known]
    if missing:
        material.left_out.append(
            f"tags and sound of {len(missing):,} clips that split {features.split} of "
            f"{features.root} lacks, the first is {missing[0]}"
        )


def _ask(
    material: Material,
    number: int,
    system: System,
    named: Path | None,
    features: Features,
    device: str | None,
) -> str:
    """Ask a system's model about its captions; the stream of tags that it reads, or ""."""
    made = system.made
    path = named or (Path(made.run) if made and made.run else None)
    if path is None or (named is None and not (path / RECIPE_NAME).is_file()):
        where = f"its run folder {path} is not there" if path else "it names no run"
        material.left_out.append(
            f"token probabilities and attention of {system.label}: {where}; give --run RUN"
        )
        return ""
    task = str(made.decoding.get("task", "")) if made else ""
    run = replace(open_run(path, device), task=task)
    check_streams(run, features.streams, features.root)
    clips = list(material.clips.values())
    captions = [system.caption(clip.id) for clip in clips]
    with progress(total=len(clips), what=f"ask {system.label}", unit="captions") as bar:
        found = look_inside(run, clips, captions, done=bar.update)
    material.insights[number] = {clip.id: seen for clip, seen in zip(clips, found, strict=True)}
    return run.recipe.inputs.tags


def _draw(dump: Path, material: Material, pictures: dict[str, Path], *, copy: bool) -> None:
    paths = [clip.path for clip in material.clips.values()]
    targets = [pictures[clip] for clip in material.clips]
    drawing = draw_spectrograms(dump, paths, targets, copy=copy)
    reasons = progress(drawing, total=len(paths), what="spectrograms", unit="clips")
    material.undrawn = dict(zip(material.clips, reasons, strict=True))
    failed = [clip for clip, reason in material.undrawn.items() if reason]
    if failed:
        material.left_out.append(
            f"sound of {len(failed):,} of {len(paths):,} clips under {dump}; the first is "
            f"{material.clips[failed[0]].path}: {material.undrawn[failed[0]]}"
        )
