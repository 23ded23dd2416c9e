"""Files of weights: what is taken, what is refused, and what the refusal says."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from extract.weights.state_dicts import (
    fit,
    load_network,
    read_checkpoint,
    read_class_names,
    read_metadata,
    read_npz,
    save_network,
)
from features.common.errors import WeightsError


class Small(nn.Module):
    """One dense layer, a norm and a computed table."""

    COMPUTED = ("table",)

    def __init__(self, *, width: int = 2) -> None:
        super().__init__()
        self.dense = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("table", torch.arange(4.0))


PATH = Path("weights/small.pth")


def test_missing_surplus_and_misshaped_keys_are_named_with_the_file():
    state = Small().state_dict()
    del state["dense.bias"]
    state["dense.weight"] = torch.zeros(5, 3)
    state["extra.weight"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        fit(Small(), state, PATH, partial=False)
    message = str(caught.value)
    assert "weights/small.pth" in message
    assert "missing: dense.bias" in message
    assert "surplus: extra.weight" in message
    assert "misshaped: dense.weight 5x3 where 2x3 belongs" in message
    assert "\n" not in message


def test_many_missing_keys_are_counted_not_listed():
    with pytest.raises(WeightsError, match="and 3 more"):
        fit(Small(), {}, PATH, partial=False)  # 7 keys but the counter, which may be absent


def test_a_refused_state_changes_no_weight():
    module = Small()
    before = module.dense.weight.clone()
    state = Small().state_dict() | {"surplus": torch.zeros(1)}
    with pytest.raises(WeightsError):
        fit(module, state, PATH, partial=False)
    assert torch.equal(module.dense.weight, before)


def test_a_release_must_hold_computed_values_and_our_format_need_not():
    state = {key: value for key, value in Small().state_dict().items() if key != "table"}
    fit(Small(), state, PATH, partial=True)
    with pytest.raises(WeightsError, match="missing: table"):
        fit(Small(), state, PATH, partial=False)


def test_our_format_brings_back_network_config_and_classes(tmp_path: Path):
    path, module = tmp_path / "small.safetensors", Small(width=5)
    names = ["Speech", "Bee, wasp, etc.", "Vehicle ü"]
    save_network(
        path, module, network="Small demo", config={"width": 5}, classes=names, source_sha256="ab"
    )
    loaded = load_network(path, Small)
    assert loaded.network == "Small demo"
    assert loaded.classes == tuple(names)
    assert read_metadata(path)["source_sha256"] == "ab"
    for key, value in module.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[key], value)


def test_half_precision_files_are_read_as_float32(tmp_path: Path):
    path, module = tmp_path / "small.safetensors", Small()
    save_network(path, module.half(), network="Small", config={})
    loaded = load_network(path, Small).module
    assert loaded.dense.weight.dtype == torch.float32
    assert torch.equal(loaded.dense.weight, module.dense.weight.float())


def test_a_config_of_another_class_is_refused(tmp_path: Path):
    path = tmp_path / "small.safetensors"
    save_network(path, Small(), network="Small", config={"height": 5})
    with pytest.raises(WeightsError, match=r"small\.safetensors.*height"):
        load_network(path, Small)


def test_a_truncated_file_is_refused_whatever_its_format(tmp_path: Path):
    save_network(tmp_path / "a.safetensors", Small(), network="Small", config={})
    torch.save(Small().state_dict(), tmp_path / "a.pth")
    np.savez(tmp_path / "a.npz", kernel=np.zeros(1000))
    readers = {".safetensors": lambda path: load_network(path, Small)}
    readers |= {".pth": read_checkpoint, ".npz": read_npz}
    for suffix, read in readers.items():
        path = tmp_path / f"a{suffix}"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(WeightsError, match=f"a{suffix}: cannot be read"):
            read(path)


def test_a_checkpoint_may_hold_numpy_arrays_pickled_by_numpy_1(tmp_path: Path):
    held = {"model": {"weight": torch.ones(2)}, "sampler": [np.arange(3), np.float64(0.5)]}
    path = tmp_path / "checkpoint.pth"
    # The older file format is a plain pickle, in which numpy 2's module name can be put back.
    torch.save(held, path, _use_new_zipfile_serialization=False)
    older = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in older
    path.write_bytes(older)
    read = read_checkpoint(path)
    np.testing.assert_array_equal(read["sampler"][0], [0, 1, 2])
    assert torch.equal(read["model"]["weight"], torch.ones(2))


def test_code_in_a_checkpoint_is_refused_and_never_runs(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "checkpoint.pth"
    torch.save({"model": Trap()}, path, pickle_module=pickle)
    with pytest.raises(WeightsError, match=r"checkpoint\.pth"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_missing_class_map_says_what_to_put_where(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"yamnet_class_map\.csv: absent.*extract fetch"):
        read_class_names(tmp_path / "yamnet_class_map.csv")


def test_a_class_map_without_the_column_is_refused(tmp_path: Path):
    path = tmp_path / "map.csv"
    path.write_text("index,name\n0,Speech\n")
    with pytest.raises(WeightsError, match="display_name"):
        read_class_names(path)


@pytest.mark.parametrize("value", [torch.ones(2, 3).to(torch.int8), torch.full((2, 3), np.nan)])
def test_values_that_are_no_weights_are_refused_by_their_key(value):
    state = Small().state_dict() | {"dense.weight": value}
    with pytest.raises(WeightsError, match=r"small.pth.*NaN or infinite: dense.weight"):
        fit(Small(), state, PATH, partial=False)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (b"0,/m/1,Speech\n1,/m/2\n", r"class 1 is \['1', '/m/2', None\]"),
        (
            b"1,/m/2,Dog\n0,/m/1,Speech\n",
            r"class 0 is \['1', '/m/2', 'Dog'\], expected .* in order",
        ),
        (b"0,/m/1,Caf\xe9\n", r"can't decode byte 0xe9.*in UTF-8"),
    ],
)
def test_a_class_map_that_would_give_wrong_names_is_refused(tmp_path: Path, rows, said):
    path = tmp_path / "yamnet_class_map.csv"
    path.write_bytes(b"index,mid,display_name\n" + rows)
    with pytest.raises(WeightsError, match=said):
        read_class_names(path)
