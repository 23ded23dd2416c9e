"""metrics.jsonl and TensorBoard's events hold the same numbers, also after an interruption."""

import json

import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from train.recipes.files import load_recipe
from train.run_folder.metrics import CAPTIONS_NAME, EVENTS_FOLDER, NAME, Metrics, read_metrics
from train.run_folder.samples import Said, Sample


def events(run) -> list[list[Event]]:
    """The events of every file, in the files' order."""
    found = []
    for path in sorted((run / EVENTS_FOLDER).iterdir()):
        reader, file = PyRecordReader_New(str(path)), []
        while True:
            try:
                reader.GetNext()
            except Exception:  # the stub's own end-of-file error
                break
            file.append(Event.FromString(reader.record()))
        found.append(file)
    return found


def numbers(event: Event) -> dict[str, float]:
    return {value.tag: value.simple_value for value in event.summary.value}


def test_a_line_and_an_event_hold_the_same_numbers(tmp_path):
    metrics = Metrics(tmp_path, 0)
    metrics.write(3, {"train_loss": 1.5, "epoch": 0.25})
    metrics.write(4, {"val_loss": 1.25, "val_captions": 30})
    metrics.close()
    assert read_metrics(tmp_path) == [
        {"update": 3, "train_loss": 1.5, "epoch": 0.25},
        {"update": 4, "val_loss": 1.25, "val_captions": 30},
    ]
    [(version, start, *written)] = events(tmp_path)
    assert version.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (1, SessionLog.START)
    assert [(event.step, numbers(event)) for event in written] == [
        (3, {"train_loss": 1.5, "epoch": 0.25}),
        (4, {"val_loss": 1.25, "val_captions": 30}),
    ]


def test_a_resumed_run_takes_back_what_was_logged_after_its_state(tmp_path):
    first = Metrics(tmp_path, 0)
    for update in (1, 2, 3):
        first.write(update, {"train_loss": float(update)})
    first.close()
    again = Metrics(tmp_path, 2)
    again.write(3, {"train_loss": 30.0})
    again.close()
    assert [line["train_loss"] for line in read_metrics(tmp_path)] == [1.0, 2.0, 30.0]
    _, (_, start, written) = events(tmp_path)
    # TensorBoard forgets what older files say from this step on.
    assert (start.step, start.session_log.status) == (3, SessionLog.START)
    assert numbers(written) == {"train_loss": 30.0}


@pytest.mark.parametrize("rest", [b'{"update": 2, "tra', b"\0\0\0", b'{"caf\xc3', b"[1]\n"])
def test_a_last_line_that_a_crash_cut_short_is_left_out(tmp_path, rest):
    whole = json.dumps({"update": 1, "train_loss": 2.0}) + "\n"
    (tmp_path / NAME).write_bytes(whole.encode() + rest)
    assert read_metrics(tmp_path) == [{"update": 1, "train_loss": 2.0}]


def test_captions_with_other_line_breaks_than_a_files_are_kept_where_a_run_goes_on(tmp_path):
    said = Said(clip="a", caption="rain\u2028falls", references=("wind\x85blows",))
    for update in (1, 2):
        metrics = Metrics(tmp_path, update)
        metrics.sample(Sample(update=update, captions=(said,), clips=1, cider_d=None))
        metrics.close()
    lines = (tmp_path / CAPTIONS_NAME).read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["update"] for line in lines[:-1]] == [1, 2]


def test_tensorboard_gets_the_recipe_and_the_final_metrics_as_hparams(tmp_path):
    """Read as TensorBoard's own plugin reads them."""
    metrics = Metrics(tmp_path, 0)
    metrics.begin(load_recipe("demo", ["train.seed=3", "optim.learning_rate=0.5"]))
    metrics.finish(7, {"best_val_loss": 1.25})
    metrics.close()
    [[*_, start, final, end]] = events(tmp_path)
    told = {}
    for event in (start, end):
        [value] = event.summary.value
        assert value.metadata.plugin_data.plugin_name == "hparams"
        content = HParamsPluginData.FromString(value.metadata.plugin_data.content)
        told[value.tag] = content
    begun = told["_hparams_/session_start_info"].session_start_info
    assert begun.group_name == "demo, seed 3"
    assert begun.hparams["optim.learning_rate"].number_value == 0.5
    assert begun.hparams["model.pretrained"].string_value == "none"
    assert begun.hparams["train.deterministic"].bool_value is False
    assert told["_hparams_/session_end_info"].session_end_info.status == STATUS_SUCCESS
    assert numbers(final) == {"best_val_loss": 1.25} and final.step == 7
