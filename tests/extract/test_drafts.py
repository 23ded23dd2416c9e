"""A run that is ended in the midst of a shard leaves a draft, and the next one goes on with it."""

import io
import signal
import tarfile

import pytest
import torch

import extract.sound.decode
from extract.running.encoder import Encoder
from features.verify import verify
from tests.extract.command import options, run_small, start_warm_and_die, write_clips

CLIPS, SHARD_CLIPS, BATCH_CLIPS = 13, 11, 3
STREAMS = "yamnet,vggish"
DAMAGED = 4  # this clip has no sound
# Before the batch of this number is encoded the run ends, and the one before is on its way: of
# 3 + 3 + 1 clips (the damaged one) the rows are here.
ENDED_AT, HEARD = 4, 7


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Thirteen clips, one of them damaged."""
    folder = tmp_path_factory.mktemp("files")
    write_clips(folder, CLIPS)
    (folder / f"c{DAMAGED:03d}.wav").write_bytes(b"RIFF of old")
    return folder


@pytest.fixture(scope="module")
def tars(files, tmp_path_factory):
    """The same clips in a tar."""
    folder = tmp_path_factory.mktemp("tars")
    with tarfile.open(folder / "0.tar", "w") as tar:
        for path in sorted(files.iterdir()):
            for name, content in ((path.name, path.read_bytes()), (f"{path.stem}.txt", b"A dog.")):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return folder


@pytest.fixture
def run(tiny_weights):
    """Run the command on a dump into a folder; small batches, no workers."""

    def start(dump, out, **others):
        chosen = {"streams": STREAMS, "shard_clips": SHARD_CLIPS, "workers": 0} | others
        return run_small(dump, out, tiny_weights, batch_clips=BATCH_CLIPS, **chosen)

    return start


@pytest.fixture
def decoded(monkeypatch):
    """The paths that are decoded, as they are."""
    paths = []
    by = extract.sound.decode.clip_by

    def counting(load, dump, path):
        paths.append(path)
        return by(load, dump, path)

    monkeypatch.setattr(extract.sound.decode, "clip_by", counting)
    return paths


def ending_at(batch: int, streams: int, error: BaseException) -> pytest.MonkeyPatch:
    """Raise `error` in place of encoding a batch, counted from 1."""
    left = (batch - 1) * streams
    encode = Encoder.encode

    def until(self, waveforms):
        nonlocal left
        if left == 0:
            raise error
        left -= 1
        return encode(self, waveforms)

    patch = pytest.MonkeyPatch()
    patch.setattr(Encoder, "encode", until)
    return patch


def end_early(run, dump, out, *, error=None, **others):
    """A run that ends when its fourth batch is encoded."""
    count = len(others.get("streams", STREAMS).split(","))
    patch = ending_at(ENDED_AT, count, error or KeyboardInterrupt())
    try:
        return run(dump, out, **others)
    finally:
        patch.undo()


def everything(out) -> dict[str, bytes]:
    """Every file of a features folder but the lock."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def drafts(out) -> list[str]:
    return sorted(path.name for path in out.rglob("*.draft"))


BOTH_FILES = [".00000.h5.draft", ".00000.json.draft"]


@pytest.mark.parametrize("kind", ["files", "tars"])
@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (torch.OutOfMemoryError("CUDA out of memory"), 2)],
    ids=["Ctrl-C", "full GPU"],
)
def test_the_next_run_hears_the_rest_only_and_makes_the_same_bytes(
    kind, error, code, request, run, decoded, tmp_path
):
    dump = request.getfixturevalue(kind)
    assert run(dump, tmp_path / "whole").code == 1  # one clip is damaged
    ended = end_early(run, dump, tmp_path / "out", error=error)
    assert ended.code == code and "6 clips gathered of it are kept" in ended.stderr
    assert drafts(tmp_path / "out") == BOTH_FILES
    decoded.clear()
    done = run(dump, tmp_path / "out")
    assert done.code == 1 and "goes on after 6 clips" in done.stderr
    assert len(decoded) == CLIPS - HEARD
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    assert verify(tmp_path / "out") == []


def test_a_run_may_be_ended_again_and_again(files, run, decoded, tmp_path):
    assert run(files, tmp_path / "whole").code == 1
    heard = []
    for _ in range(20):
        decoded.clear()
        patch = ending_at(3, 2, KeyboardInterrupt())
        code = run(files, tmp_path / "out").code
        patch.undo()
        heard.append(len(decoded))
        if code != 130:
            break
    # Home come clips 0 to 2, then 3 to 6, then 7 to 9; the last of the first shard is on its way
    # when the batch after it fails.
    assert code == 1 and len(heard) == 4 and heard[-1] == CLIPS - SHARD_CLIPS + 1
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def test_a_stream_added_to_a_shard_goes_on_too(files, run, decoded, tmp_path):
    for out in ("whole", "out"):
        assert run(files, tmp_path / out, streams="yamnet").code == 1
    assert run(files, tmp_path / "whole", streams="vggish").code == 1
    before = everything(tmp_path / "out")["all/00000.h5"]
    ended = end_early(run, files, tmp_path / "out", streams="vggish")
    assert ended.code == 130 and everything(tmp_path / "out")["all/00000.h5"] == before
    decoded.clear()
    assert run(files, tmp_path / "out", streams="vggish").code == 1
    assert len(decoded) == CLIPS - 1 - 6  # the damaged one is known, six are in the draft
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    assert drafts(tmp_path / "out") == []


def cut_short(path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("change", ["streams", "precision of storing", "clips", "bytes", "mark"])
def test_a_draft_that_does_not_fit_is_not_used(change, files, run, decoded, tmp_path):
    dump, out, others = tmp_path / "dump", tmp_path / "out", {}
    dump.mkdir()
    for path in files.iterdir():
        (dump / path.name).symlink_to(path)
    assert end_early(run, dump, out).code == 130 and drafts(out) == BOTH_FILES
    if change == "streams":
        others = {"streams": "vggish"}
    elif change == "precision of storing":
        others = {"dtype": "float32"}
    elif change == "clips":
        (dump / "c000.wav").rename(dump / "another.wav")
    else:
        cut_short(out / "all" / BOTH_FILES[change == "mark"])
    decoded.clear()
    done = run(dump, out, **others)
    assert done.code == 1 and "it is not used" in done.stderr
    assert len(decoded) == CLIPS and drafts(out) == []
    assert run(dump, tmp_path / "whole", **others).code == 1
    assert everything(out) == everything(tmp_path / "whole")


def test_a_part_goes_on_with_its_own_draft(files, run, decoded, tmp_path):
    out = tmp_path / "out"
    assert run(files, tmp_path / "whole").code == 1
    assert end_early(run, files, out, part="1/2").code == 130 and drafts(out) == BOTH_FILES
    assert run(files, out, part="2/2").code == 0
    assert drafts(out) == BOTH_FILES  # another's
    decoded.clear()
    assert run(files, out, part="1/2").code == 1
    assert len(decoded) == SHARD_CLIPS - HEARD and drafts(out) == []
    found = {k: v for k, v in everything(out).items() if not k.startswith((".lock", ".precision"))}
    assert found == everything(tmp_path / "whole")


def test_kills_while_a_tar_is_extracted_change_nothing(tars, run, tiny_weights, tmp_path):
    out, chosen = tmp_path / "out", {"streams": STREAMS, "shard_clips": 5, "workers": 0}
    assert run(tars, tmp_path / "whole", **chosen).code == 1
    arguments = options(out, tiny_weights, batch_clips=BATCH_CLIPS, **chosen)
    for step in (8, 18):  # in the midst of writing the first shard, and a later one
        child = start_warm_and_die(tmp_path / "log", out, step, "run", tars, *arguments)
        child.join()
        assert child.exitcode == -signal.SIGKILL, (tmp_path / "log").read_text()
    last = run(tars, out, **chosen)
    assert last.code == 1 and "3 shards, 1 of them finished before" in last.stderr
    assert everything(out) == everything(tmp_path / "whole")
