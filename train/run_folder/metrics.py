"""metrics.jsonl and TensorBoard events: the same numbers, for programs and for eyes; captions of
validation clips likewise in captions.jsonl and as TensorBoard's texts."""

import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Not torch.utils.tensorboard: it imports TensorFlow wherever that is installed, which is slow and
# takes the GPU's memory.
from google.protobuf.struct_pb2 import Value
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.summary.writer.record_writer import RecordWriter

from features.common.publish import published
from features.common.reading import parse_json, read_bytes
from train.recipes.config import SECTIONS, WANDB, Recipe
from train.run_folder.samples import Said, Sample
from train.run_folder.tracker import Wandb

NAME = "metrics.jsonl"
CAPTIONS_NAME = "captions.jsonl"
EVENTS_FOLDER = "tensorboard"


class Metrics:
    """Writes a run's numbers. A resumed run takes back what was logged after its state.

    A line is {"update": …} and either epoch, train_loss, learning_rate, gradient_norm,
    captions_per_s, or val_loss, val_captions.
    """

    def __init__(self, run: Path, update: int) -> None:
        """Open the files in the run folder; drop lines after `update`."""
        self._run = run
        for name in (NAME, CAPTIONS_NAME):
            _take_back(run / name, update)
        self._lines = (run / NAME).open("a", encoding="utf-8")
        self._wandb: Wandb | None = None
        self._events = _events_file(run / EVENTS_FOLDER, first_step=update + 1)

    def write(self, update: int, values: dict[str, Any]) -> None:
        """Append a line and the same values as events."""
        self._lines.write(json.dumps({"update": update, **values}) + "\n")
        self._lines.flush()
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._note(update, scalars)
        if self._wandb:
            self._wandb.write(update, values)

    def sample(self, sample: Sample) -> None:
        """Append the captions of validation clips, and note them as texts: one to a clip, so that
        runs stand side by side, and a clip's captions one below the other."""
        with (self._run / CAPTIONS_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")
        self._note(sample.update, [_text(said) for said in sample.captions])
        if sample.cider_d is not None:
            value = Summary.Value(tag="val_cider_d", simple_value=sample.cider_d)
            self._note(sample.update, [value])
        if self._wandb:
            self._wandb.sample(sample)

    def has_captions(self, update: int) -> bool:
        """Whether the captions by the weights after an update are noted."""
        return any(line["update"] == update for line in _read(self._run / CAPTIONS_NAME))

    def begin(self, recipe: Recipe) -> None:
        """Tell TensorBoard the recipe, so that its HParams page sets runs side by side."""
        if recipe.train.tracker == WANDB:
            self._wandb = Wandb(self._run, recipe)
        started = SessionStartInfo(start_time_secs=time.time())
        for section in SECTIONS:
            for key, value in asdict(getattr(recipe, section)).items():
                value = json.dumps(value) if isinstance(value, tuple) else value
                kind = "bool" if isinstance(value, bool) else "string"
                kind = "number" if isinstance(value, int | float) and kind != "bool" else kind
                started.hparams[f"{section}.{key}"].CopyFrom(Value(**{f"{kind}_value": value}))
        started.group_name = f"{recipe.name}, seed {recipe.train.seed}"
        self._say("session_start_info", HParamsPluginData(session_start_info=started))

    def finish(self, update: int, values: dict[str, float]) -> None:
        """The final metrics of a run that came to its end, for the same page."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._note(update, scalars)
        if self._wandb:
            self._wandb.finish(values)
        ended = SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time())
        self._say("session_end_info", HParamsPluginData(session_end_info=ended))

    def _say(self, name: str, content: HParamsPluginData) -> None:
        plugin = SummaryMetadata.PluginData(
            plugin_name="hparams", content=content.SerializeToString()
        )
        value = Summary.Value(
            tag=f"_hparams_/{name}",
            metadata=SummaryMetadata(plugin_data=plugin),
            tensor=TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto()),
        )
        self._note(0, [value])

    def _note(self, update: int, values: list[Summary.Value]) -> None:
        event = Event(wall_time=time.time(), step=update, summary=Summary(value=values))
        self._events.write(event.SerializeToString())
        self._events.flush()

    def close(self) -> None:
        self._lines.close()
        self._events.close()
        if self._wandb:
            self._wandb.close()


def _text(said: Said) -> Summary.Value:
    """A clip's caption as TensorBoard's page of texts has it, in Markdown."""
    references = "".join(f"\n- {text}" for text in said.references)
    text = f"**{said.caption}**\n\npeople wrote:\n{references}".encode()
    plugin = SummaryMetadata.PluginData(plugin_name="text")
    return Summary.Value(
        tag=f"captions/{said.name}",
        metadata=SummaryMetadata(plugin_data=plugin),
        tensor=TensorProto(
            dtype=DT_STRING,
            string_val=[text],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        ),
    )


def _take_back(path: Path, update: int) -> None:
    """Drop a file's lines after `update`."""
    if not path.is_file():
        return
    kept = [line for line in _read(path) if line["update"] <= update]
    with published(path) as draft:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept)
        draft.write_text(text, encoding="utf-8")


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a last line that a crash cut short is left out."""
    return _read(run / NAME)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = []
    for line in read_bytes(path).split(b"\n"):  # a caption may hold other line breaks
        try:
            noted = parse_json(line.decode())
        except ValueError:
            break
        if not isinstance(noted, dict) or type(noted.get("update")) is not int:
            break
        lines.append(noted)
    return lines


def _events_file(folder: Path, *, first_step: int) -> RecordWriter:
    """A new events file; TensorBoard forgets what older files say from `first_step` on."""
    folder.mkdir(exist_ok=True)
    now = time.time()
    name = f"events.out.tfevents.{time.time_ns()}.{platform.node()}"
    writer = RecordWriter((folder / name).open("wb"))
    start = SessionLog(status=SessionLog.START)
    for event in (
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=first_step, session_log=start),
    ):
        writer.write(event.SerializeToString())
    return writer
