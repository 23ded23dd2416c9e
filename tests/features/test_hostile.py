"""Features folders made to mislead: refused by whoever opens them, found by verify."""

import errno
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from features.common.checksum import sha256_of
from features.common.errors import FormatError
from features.reader import Features
from features.spec import Index
from features.verify import verify
from tests.features.test_features import folder  # noqa: F401


def listed_anew(root: Path, change=lambda index: None) -> None:
    """Let features.json tell the shards' present sizes and checksums, and change it further."""
    path = root / "features.json"
    index = json.loads(path.read_text())
    for split in index["splits"].values():
        for shard in split["shards"]:
            file = root / shard["file"]
            shard |= {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
    change(index)
    path.write_text(json.dumps(index))


def read_everything(root: Path) -> None:
    clips = Features(root, "test")
    for clip in clips.ids:
        assert clips[clip].streams


def outside(file: h5py.File, where: str, dtype: str, shape: tuple) -> None:
    """Put a table in the place of one that lies in another file."""
    secret = Path(file.filename).parents[1] / "secret"
    secret.write_bytes(b"top secret" * 100)
    del file[where]
    file.create_dataset(where, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def linked(file: h5py.File, where: str, link: object) -> None:
    del file[where]
    file[where] = link


def replaced(file: h5py.File, where: str, values: object, **options) -> None:
    del file[where]
    file.create_dataset(where, data=values, **options)


def virtual(file: h5py.File, where: str) -> None:
    shape, dtype = file[where].shape, file[where].dtype
    source = h5py.VirtualSource("../../elsewhere.h5", where, shape=shape, dtype=dtype)
    layout = h5py.VirtualLayout(shape=shape, dtype=dtype)
    layout[:] = source
    del file[where]
    file.create_virtual_dataset(where, layout)


def declared(file: h5py.File, where: str, shape: tuple, dtype: object) -> None:
    """A table of a size that nobody wrote: chunks that are not there take no bytes."""
    del file[where]
    file.create_dataset(where, shape, dtype, chunks=True)


def swapped_file(file: h5py.File, where: str) -> None:
    file[where][...] = file[where][::-1]


TEXT = h5py.string_dtype("utf-8")
# Of a shard with two clips: tag rows 1 and 2, captions 0 and 1, rows of audio 1 and 1.
ATTACKS = {
    "captions of another file": lambda f: outside(f, "captions/text", "S10", (1,)),
    "ids of another file": lambda f: outside(f, "clips/id", "S10", (2,)),
    "values of another file": lambda f: outside(f, "streams/panns/values", "<f4", (2, 2)),
    "external link": lambda f: linked(f, "captions", h5py.ExternalLink("x.h5", "/captions")),
    "external link to ids": lambda f: linked(f, "clips/id", h5py.ExternalLink("x.h5", "/ids")),
    "soft link": lambda f: linked(f, "streams/panns/values", h5py.SoftLink("/clips/id")),
    "dangling link": lambda f: linked(f, "captions/offset", h5py.SoftLink("/nowhere")),
    "a stream behind a link": lambda f: linked(f, "streams/panns", h5py.SoftLink("/clips")),
    "virtual values": lambda f: virtual(f, "streams/yamnet/values"),
    "virtual offsets": lambda f: virtual(f, "captions/offset"),
    "absolute path": lambda f: replaced(f, "clips/path", ["/etc/passwd", "a"], dtype=TEXT),
    "path upwards": lambda f: replaced(f, "clips/path", ["a/../../b", "a"], dtype=TEXT),
    "offsets swapped": lambda f: replaced(f, "streams/yamnet/offset", [0, 3, 1]),
    "offsets negative": lambda f: replaced(f, "captions/offset", [-1, 0, 1]),
    "offsets from the second row": lambda f: replaced(f, "streams/yamnet/offset", [1, 2, 3]),
    "offsets beyond the end": lambda f: replaced(f, "streams/yamnet/offset", [0, 1, 4]),
    "offsets before the end": lambda f: replaced(f, "captions/offset", [0, 0, 0]),
    "offsets too few": lambda f: replaced(f, "captions/offset", [0, 1]),
    "offsets of 2**64 - 1": lambda f: replaced(
        f, "captions/offset", np.array([0, 2**64 - 1, 1], np.uint64)
    ),
    "offsets as floats": lambda f: replaced(f, "captions/offset", [0.0, 0.0, 1.0]),
    "a clip without rows": lambda f: replaced(f, "streams/yamnet/offset", [0, 0, 3]),
    "durations too few": lambda f: replaced(f, "clips/duration_s", [1.0]),
    "durations that are none": lambda f: replaced(f, "clips/duration_s", [np.nan, 1.0]),
    "paths too few": lambda f: replaced(f, "clips/path", ["a"], dtype=TEXT),
    "paths as numbers": lambda f: replaced(f, "clips/path", [1, 2]),
    "ids of two dimensions": lambda f: replaced(f, "clips/id", [["a"], ["b"]], dtype=TEXT),
    "big-endian values": lambda f: replaced(f, "streams/panns/values", np.ones((2, 2), ">f4")),
    "values of float64": lambda f: replaced(f, "streams/panns/values", np.ones((2, 2))),
    "values of one dimension": lambda f: replaced(f, "streams/panns/values", np.ones(4, "<f4")),
    "values of three dimensions": lambda f: replaced(
        f, "streams/panns/values", np.ones((2, 2, 1), "<f4")
    ),
    "compressed values": lambda f: replaced(
        f, "streams/panns/values", np.ones((2, 2), "<f4"), compression="gzip"
    ),
    "a table for a group": lambda f: replaced(f, "captions", [1, 2]),
    "a group for a table": lambda f: (f.__delitem__("clips/id"), f.create_group("clips/id")),
    "no captions": lambda f: f.__delitem__("captions"),
    "an empty dataspace": lambda f: replaced(f, "clips/duration_s", h5py.Empty("f8")),
    "a trillion clips": lambda f: declared(f, "clips/id", (10**12,), TEXT),
    "a trillion offsets": lambda f: declared(f, "captions/offset", (10**12,), "i8"),
    "classes too few": lambda f: replaced(f, "streams/yamnet/classes", ["Dog"], dtype=TEXT),
    "version true": lambda f: f.attrs.__setitem__("version", True),
    "version 1.0": lambda f: f.attrs.__setitem__("version", 1.0),
    "version as an array": lambda f: f.attrs.__setitem__("version", [1, 1]),
    "format as an array": lambda f: f.attrs.__setitem__("format", ["a", "b"]),
    "split as an array": lambda f: f.attrs.__setitem__("split", [1, 2]),
    "another split": lambda f: f.attrs.__setitem__("split", "train"),
    "kind as an array": lambda f: f["streams/panns"].attrs.__setitem__("kind", [1, 2]),
    "no kind": lambda f: f["streams/panns"].attrs.__delitem__("kind"),
    "hop of zero": lambda f: f["streams/panns"].attrs.__setitem__("hop_s", 0.0),
    "hop that is none": lambda f: f["streams/panns"].attrs.__setitem__("hop_s", np.nan),
    "another network": lambda f: f["streams/panns"].attrs.__setitem__("network", "other"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_shard_that_misleads_is_refused_by_readers_and_found_by_verify(attack, folder):  # noqa: F811
    shard = folder / "test" / "00000.h5"
    with h5py.File(shard, "a") as file:
        ATTACKS[attack](file)
    listed_anew(folder)
    with pytest.raises(FormatError, match=r"test/00000\.h5: ") as refusal:
        read_everything(folder)
    assert "secret" not in str(refusal.value).replace("top secret", "")
    problems = verify(folder)
    assert {problem.file for problem in problems} == {shard}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f["streams/panns/values"].__setitem__((1, 1), np.inf), "no numbers"),
        (lambda f: f["streams/yamnet/values"].__setitem__((0, 0), np.nan), "no numbers"),
        (lambda f: replaced(f, "clips/id", ["c", "c"], dtype=TEXT), "have the id of another"),
        (lambda f: replaced(f, "clips/id", ["x", "c"], dtype=TEXT), "clips are in"),
        (
            lambda f: replaced(f, "streams/yamnet/classes", ["Bee", "Dog", "Cat"], dtype=TEXT),
            "its classes are not",
        ),
    ],
)
def test_verify_looks_at_values_ids_and_classes(change, words, folder):  # noqa: F811
    with h5py.File(folder / "test" / "00000.h5", "a") as file:
        change(file)
    listed_anew(folder)
    assert any(words in str(problem) for problem in verify(folder))


def test_a_clip_that_stands_twice_has_no_references_of_the_other(folder):  # noqa: F811
    with h5py.File(folder / "test" / "00000.h5", "a") as file:
        replaced(file, "clips/id", ["c", "a"], dtype=TEXT)
    listed_anew(folder)
    with pytest.raises(FormatError, match="holds clip 'c', which split 'test' has"):
        _ = Features(folder, "test").ids


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw["splits"]["test"]["shards"][0].update(file="/etc/passwd"),
        lambda raw: raw["splits"]["test"]["shards"][0].update(file="test/../../x.h5"),
        lambda raw: raw["splits"]["test"]["shards"][0].update(file="a\0b"),
        lambda raw: raw["splits"]["test"]["shards"][0].update(file=3),
        lambda raw: raw["splits"]["test"]["shards"][0].update(clips=-1),
        lambda raw: raw["splits"]["test"]["shards"][0].update(clips="2"),
        lambda raw: raw["splits"]["test"]["shards"][0].update(bytes=1.5),
        lambda raw: raw["splits"]["test"]["shards"][0].update(clips=10**30),
        lambda raw: raw["splits"]["test"]["shards"][0].pop("sha256"),
        lambda raw: raw["splits"]["test"].update(shards=7),
        lambda raw: raw["splits"]["test"].update(clips_missing=True),
        lambda raw: raw["splits"].update({"../up": raw["splits"]["test"]}),
        lambda raw: raw.update(splits=[1]),
        lambda raw: raw.update(streams={"yamnet": 3}),
        lambda raw: raw["streams"]["yamnet"].pop("hop_s"),
        lambda raw: raw["streams"]["yamnet"].update(width=1e9),
        lambda raw: raw["streams"]["yamnet"].update(network=3),
        lambda raw: raw["streams"]["yamnet"].update(hop_s=-1.0),
        lambda raw: raw["streams"]["yamnet"].update(window_s=1e400),
        lambda raw: raw["splits"]["test"].update(original=3),
        lambda raw: raw.update(version=True),
        lambda raw: raw.update(version=1.0),
        lambda raw: raw.update(format=["tagbart-features"]),
        lambda raw: raw.update(format="tagbart-run"),
    ],
)
def test_an_index_that_is_not_as_we_write_it_is_refused_by_name(change, folder):  # noqa: F811
    listed_anew(folder, change)
    with pytest.raises(FormatError, match=r"features\.json: "):
        Index.read(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "\0", "1" * 5000, "[]", "nul"])
def test_an_index_that_is_no_json_of_ours_is_refused_by_name(text, folder):  # noqa: F811
    (folder / "features.json").write_text(text)
    with pytest.raises(FormatError, match=r"features\.json: "):
        Index.read(folder)


def test_a_shard_that_is_listed_twice_is_found(folder):  # noqa: F811
    (folder / "test" / "00001.h5").unlink()
    os.link(folder / "test" / "00000.h5", folder / "test" / "00001.h5")
    listed_anew(folder, lambda raw: raw["splits"]["test"]["shards"][1].update(clips=2))
    assert any("twice" in str(problem) for problem in verify(folder))


@pytest.mark.parametrize("name", ["features.json", "test/00000.h5"])
def test_a_pipe_is_refused_and_not_waited_for(name, folder):  # noqa: F811
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(FormatError, match="no ordinary file"):
        read_everything(folder)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EAGAIN, errno.EIO])
def test_it_is_no_advice_to_remove_a_shard_that_cannot_be_opened_now(number, folder, monkeypatch):  # noqa: F811
    shard = folder / "test" / "00000.h5"
    opened = Path.open

    def refuse(path, *arguments, **options):
        if path == shard:
            raise OSError(number, os.strerror(number), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FormatError, match="cannot be opened now") as refusal:
        read_everything(folder)
    assert "delete" not in str(refusal.value)
    assert any("cannot be" in str(problem) for problem in verify(folder))


def test_a_shard_of_another_size_than_listed_is_refused_before_it_is_used(folder):  # noqa: F811
    shard = folder / "test" / "00001.h5"
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(FormatError, match="too long"):
        read_everything(folder)


@pytest.mark.parametrize(
    "number, size",
    [(0, 0), (0, 8), (1, 2**64 - 16), (1, 2**64 - 1), (1, 2**40)],
    ids=["free, of nothing", "free, less than its header", "around to 0", "over 2^64", "too far"],
)
def test_texts_on_which_hdf5_would_go_round_for_ever_are_refused(folder, number, size):  # noqa: F811
    shard = folder / "test" / "00000.h5"
    data = bytearray(shard.read_bytes())
    first = data.index(b"GCOL") + 16  # the first object of the first heap of texts
    data[first : first + 2] = number.to_bytes(2, "little")
    data[first + 8 : first + 16] = size.to_bytes(8, "little")
    shard.write_bytes(data)
    listed_anew(folder)
    with pytest.raises(FormatError, match=r"00000\.h5: .*a heap of texts at byte"):
        read_everything(folder)


def test_heaps_of_texts_that_lie_in_one_another_are_not_all_walked(folder):  # noqa: F811
    shard = folder / "test" / "00000.h5"
    data = bytearray(shard.read_bytes())
    heap = data.index(b"GCOL")
    for at in range(heap, heap + 4000, 64):  # each of one object, up to the file's end
        size = (len(data) - at - 32) // 8 * 8
        data[at + 8 : at + 16] = (size + 32).to_bytes(8, "little")
        data[at : at + 8] = data[heap : heap + 8]
        data[at + 16 : at + 24] = (1).to_bytes(8, "little")
        data[at + 24 : at + 32] = size.to_bytes(8, "little")
    shard.write_bytes(data)
    listed_anew(folder)
    with pytest.raises(FormatError, match=r"00000\.h5: .*lie in one another"):
        read_everything(folder)
