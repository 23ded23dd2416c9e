"""metrics.jsonl and TensorBoard events: the same numbers, for programs and for eyes."""

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
from tensorboard.compat.proto.types_pb2 import DT_FLOAT
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.summary.writer.record_writer import RecordWriter

from features.common.publish import published
from features.common.reading import parse_json, read_text
from train.recipes.config import SECTIONS, Recipe

NAME = "metrics.jsonl"
EVENTS_FOLDER = "tensorboard"


class Metrics:
    """Writes a run's numbers. A resumed run takes back what was logged after its state.

    A line is {"update": …} and either epoch, train_loss, learning_rate, gradient_norm,
    captions_per_s, or val_loss, val_captions.
    """

    def __init__(self, run: Path, update: int) -> None:
        """Open the files in the run folder; drop lines after `update`."""
        path = run / NAME
        kept = [line for line in read_metrics(run) if line["update"] <= update]
        with published(path) as draft:
            draft.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._lines = path.open("a", encoding="utf-8")
        self._events = _events_file(run / EVENTS_FOLDER, first_step=update + 1)

    def write(self, update: int, values: dict[str, Any]) -> None:
        """Append a line and the same values as events."""
        self._lines.write(json.dumps({"update": update, **values}) + "\n")
        self._lines.flush()
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        event = Event(wall_time=time.time(), step=update, summary=Summary(value=scalars))
        self._events.write(event.SerializeToString())
        self._events.flush()

    def begin(self, recipe: Recipe) -> None:
        """Tell TensorBoard the recipe, so that its HParams page sets runs side by side."""
        started = SessionStartInfo(start_time_secs=time.time())
        for section in SECTIONS:
            for key, value in asdict(getattr(recipe, section)).items():
                kind = "bool" if isinstance(value, bool) else "string"
                kind = "number" if isinstance(value, int | float) and kind != "bool" else kind
                started.hparams[f"{section}.{key}"].CopyFrom(Value(**{f"{kind}_value": value}))
        started.group_name = f"{recipe.name}, seed {recipe.train.seed}"
        self._say("session_start_info", HParamsPluginData(session_start_info=started))

    def finish(self, update: int, values: dict[str, float]) -> None:
        """The final metrics of a run that came to its end, for the same page."""
        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        event = Event(wall_time=time.time(), step=update, summary=Summary(value=scalars))
        self._events.write(event.SerializeToString())
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
        event = Event(wall_time=time.time(), summary=Summary(value=[value]))
        self._events.write(event.SerializeToString())
        self._events.flush()

    def close(self) -> None:
        self._lines.close()
        self._events.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a last line that a crash cut short is left out."""
    path = run / NAME
    if not path.is_file():
        return []
    lines = []
    for text in read_text(path).splitlines():
        try:
            lines.append(parse_json(text))
        except ValueError:
            break
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
