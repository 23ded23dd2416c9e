"""The arithmetic of a folder: as asked, as begun, or the device's own; one for all machines."""

import json

import pytest
import torch

import extract.asked
import extract.run
from extract.asked import Extraction
from extract.precision import own_precision, settled
from extract.shards import ShardTask
from extract.sound.decode import Settings
from features.common.errors import ConfigError
from features.spec import Index
from tests.extract.command import only_error, run_small, write_clips


@pytest.fixture(scope="module")
def dump(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dump")
    write_clips(folder, 4, seconds=0.1)
    return folder


@pytest.fixture
def ran(dump, tiny_weights, tmp_path):
    """A function from options to how an extraction into `tmp_path / "out"` ended."""
    return lambda **given: run_small(dump, tmp_path / "out", tiny_weights, **given)


def made_in(out) -> dict[str, str]:
    return {name: attrs["precision"] for name, attrs in Index.read(out).streams.items()}


def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine take itself for one with a GPU, and compute as it can."""
    monkeypatch.setattr(extract.run, "own_precision", lambda device, engine: "tf32")
    for module in (extract.run, extract.asked):
        monkeypatch.setattr(module, "NEEDS_A_GPU", frozenset())


def test_the_default_is_float32_on_a_cpu_and_tf32_on_gpus_that_have_it(monkeypatch):
    for capability, precision in (((7, 5), "float32"), ((8, 0), "tf32"), ((9, 0), "tf32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, of=capability: of)
        assert own_precision("cuda", "local") == precision
    assert own_precision("cpu", "local") == own_precision("cpu", "ray") == "float32"
    # The machine that starts a cluster's work may have no GPU.
    assert own_precision("cuda", "ray") == "tf32"


def test_shards_say_what_they_were_made_in_and_tags_are_float32(ran, tmp_path, monkeypatch):
    as_on_a_gpu(monkeypatch)
    done = ran()
    assert done.code == 0 and "networks compute in tf32" in done.stderr
    expected = {"yamnet": "float32", "vggish": "tf32", "panns": "tf32"}
    assert made_in(tmp_path / "out") == expected


@pytest.mark.parametrize("begun", ["float32", "bf16"])
def test_a_folder_goes_on_with_the_precision_that_it_was_begun_in(
    ran, tmp_path, monkeypatch, begun
):
    assert ran(shard_clips=2, precision=begun, streams="yamnet,vggish").code == 0
    as_on_a_gpu(monkeypatch)
    (tmp_path / "out" / "all" / "00001.json").unlink()
    assert ran(shard_clips=2, streams="yamnet,vggish").code == 0
    assert ran(shard_clips=2).code == 0  # with a stream more
    assert made_in(tmp_path / "out") == {"yamnet": "float32", "vggish": begun, "panns": begun}


def test_a_draft_counts_as_begun(ran, tmp_path):
    out = tmp_path / "out"
    assert ran(streams="vggish", precision="bf16").code == 0
    (out / "all" / "00000.h5").rename(out / "all" / ".00000.h5.draft")
    (out / "all" / "00000.json").rename(out / "all" / ".00000.json.draft")
    task = ShardTask("all", 0, [], 2000)
    assert settled(None, out, [task], parts=1, own="tf32") == "bf16"


def test_one_that_knows_float32_alone_says_nothing_of_the_others(ran, tmp_path):
    assert ran(streams="yamnet").code == 0
    task = ShardTask("all", 0, [], 2000)
    assert settled(None, tmp_path / "out", [task], parts=1, own="tf32") == "tf32"


def test_the_parts_of_a_run_settle_it_before_any_of_them_has_a_shard(tmp_path):
    assert settled(None, tmp_path, [], parts=3, own="tf32") == "tf32"
    # A part on a machine of another kind, and one that says the same.
    assert settled(None, tmp_path, [], parts=3, own="float32") == "tf32"
    assert settled("tf32", tmp_path, [], parts=3, own="float32") == "tf32"
    with pytest.raises(ConfigError, match=r"begun in tf32 .* now asked for bf16; use --precision"):
        settled("bf16", tmp_path, [], parts=3, own="tf32")
    assert [path.name for path in tmp_path.iterdir()] == [".precision"]


def test_tf32_on_a_cpu_is_refused(ran, tmp_path, monkeypatch):
    line = only_error(ran(precision="tf32"))
    assert "--precision is tf32, which only NVIDIA GPUs have" in line and "float32" in line
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        as_on_a_gpu(patch)
        assert ran(streams="vggish").code == 0
    record = out / "all" / "00000.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"planned": "others"}))
    line = only_error(ran(streams="vggish"))
    assert f"{out} was begun in tf32, which only NVIDIA GPUs have" in line


def test_an_unknown_precision_is_refused_with_those_there_are(tmp_path):
    folders = {"dump": tmp_path, "out": tmp_path, "weights": tmp_path}
    with pytest.raises(ConfigError, match=r"float32.*tf32.*bf16"):
        Extraction(**folders, precision="fp16")
    Extraction(**folders, precision="tf32", engine="ray", settings=Settings(device="cuda"))
