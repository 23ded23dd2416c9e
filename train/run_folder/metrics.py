"""metrics.jsonl and TensorBoard events: the same numbers, for programs and for eyes."""

import json
import platform
import time
from pathlib import Path
from typing import Any

# Not torch.utils.tensorboard: it imports TensorFlow wherever that is installed, which is slow and
# takes the GPU's memory.
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from features.common.publish import published

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

    def close(self) -> None:
        self._lines.close()
        self._events.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl; a last line that a crash cut short is left out."""
    path = run / NAME
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
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
