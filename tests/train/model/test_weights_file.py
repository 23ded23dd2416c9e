"""What stands in a model folder fits its model exactly, or is refused by name; none is run."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartForConditionalGeneration, BartModel

from features.common.errors import ConfigError, RunError
from tests.train.model.test_pretrained import TINY, recipe_for
from tests.train.test_run import job
from train.model.pretrained import build_model, load_tokenizer
from train.recipes.config import ModelConfig
from train.run import train
from train.run_folder.checkpoint import load_run

POINTER = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 557709915\n"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a small BART that was saved as transformers saves it."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("bart")
    bart = BartForConditionalGeneration(BartConfig(**TINY))
    bart.bfloat16().float().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of it to damage."""
    return Path(shutil.copytree(whole, tmp_path / "bart"))


@pytest.fixture(scope="module")
def whole_run(toy_features, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    train(job(toy_features, out, optim__max_updates=1))
    return out


@pytest.fixture
def run(whole_run, tmp_path):
    """A copy of a run folder to damage."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


def built(folder) -> dict[str, torch.Tensor]:
    return build_model(recipe_for(folder), vocab=300, audio_width=0).bart.state_dict()


def changed(path: Path, change) -> None:
    """Rewrite a file of weights by a function from its tensors to others."""
    save_file(change(load_file(path)), path, {"format": "pt"})


def without(state, part):
    return {key: value for key, value in state.items() if part not in key}


def first_of(state, value) -> dict:
    """Every tensor replaced by a function where the name ends in fc1.weight."""
    return {k: value(v) if k.endswith("fc1.weight") else v for k, v in state.items()}


DAMAGED = {
    "another's prefix": (lambda s: {f"module.{k}": s[k] for k in s}, "missing: .* surplus:"),
    "missing": (lambda s: without(s, ".fc1."), r"missing: .*fc1\.(weight|bias)"),
    "no embeddings": (lambda s: without(s, "shared"), r"missing: .*shared\.weight"),
    "surplus": (lambda s: s | {"classification_head.dense.weight": torch.zeros(2)},
                r"surplus: classification_head\.dense\.weight"),
    "misshaped": (lambda s: first_of(s, lambda v: v[:, :3].contiguous()),
                  r"misshaped: .*fc1\.weight (32x3 where 32x16|64x3 where 64x32) belongs"),
    "transposed": (lambda s: first_of(s, lambda v: v.T.contiguous()), "misshaped"),
    "broadcast": (lambda s: first_of(s, lambda v: v[:1].contiguous()), "misshaped"),
    "NaN": (lambda s: first_of(s, lambda v: v * float("nan")), r"not finite: .*fc1\.weight"),
    "infinite": (lambda s: first_of(s, lambda v: v + float("inf")), r"not finite: .*fc1\.weight"),
    "int8": (lambda s: first_of(s, lambda v: v.to(torch.int8)),
             r"not floating point: .*fc1\.weight int8"),
    "float8": (lambda s: first_of(s, lambda v: v.to(torch.float8_e4m3fn)),
               r"not floating point: .*fc1\.weight float8_e4m3fn"),
    "bool": (lambda s: first_of(s, lambda v: v > 0), "not floating point: .*bool"),
    "none": (lambda s: {"x": torch.zeros(1)}, "missing: .* surplus: x"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_pretrained_weights_that_do_not_fit_are_refused_by_name(what, folder):
    change, words = DAMAGED[what]
    changed(folder / "model.safetensors", change)
    with pytest.raises(ConfigError, match=words) as caught:
        built(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["another's prefix", "missing", "NaN"])
def test_a_runs_weights_that_do_not_fit_are_refused_by_name(what, run):
    change, words = DAMAGED[what]
    changed(run / "model.safetensors", change)
    with pytest.raises(RunError, match=words) as caught:
        load_run(run)
    assert str(run) in str(caught.value) and "\n" not in str(caught.value)


def test_a_runs_missing_dense_layer_is_refused_by_name(run):
    changed(run / "model.safetensors", lambda s: without(s, "dense"))
    with pytest.raises(RunError, match=r"missing: dense\.weight, dense\.bias|dense\.bias"):
        load_run(run)


FILES = {
    "pointer": (lambda data: POINTER.encode(), "is a Git LFS pointer of 134 bytes.*git lfs pull"),
    "html": (lambda data: b"\n<!DOCTYPE html><html>Too many requests</html>", "is a web page"),
    "text": (lambda data: b"Entry not found", "is a text that begins 'Entry not found'"),
    "empty": (lambda data: b"", "is empty"),
    "cut": (lambda data: data[:-100], r"is cut: [\d,]+ of [\d,]+ bytes are there"),
    "header only": (lambda data: data[:50], "is cut"),
    "zeros": (lambda data: bytes(len(data)), "is cut, damaged, or of another kind"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_damaged_file_of_weights_is_named_with_what_it_is(what, folder, run):
    change, words = FILES[what]
    for load, where in ((built, folder), (load_run, run)):
        path = where / "model.safetensors"
        path.write_bytes(change(path.read_bytes()))
        with pytest.raises((ConfigError, RunError), match=rf"model\.safetensors: {words}"):
            load(where)


@pytest.mark.parametrize("what", [name for name in FILES if name != "header only"])
def test_a_damaged_pickle_is_named_and_its_code_is_not_advised(what, folder):
    change, words = FILES[what]
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    path.write_bytes(change(path.read_bytes()))
    words = "is cut" if what == "cut" else words
    with pytest.raises(ConfigError, match=rf"pytorch_model\.bin: {words}") as caught:
        built(folder)
    assert "weights_only" not in str(caught.value)


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_a_pickle_with_code_is_refused_and_not_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"model.shared.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin"):
        built(folder)
    assert not (tmp_path / "pwned").exists()


def as_pickle(folder, state):
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def in_parts(folder, state):
    (folder / "model.safetensors").unlink()
    names = sorted(state)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: state[name] for name in some}, folder / file, {"format": "pt"})
    places = {name: file for file, some in parts.items() for name in some}
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def tied_twice(folder, state):
    """As old releases have them: tied weights under every name, and counters."""
    shared = state["model.shared.weight"]
    more = {name: shared.clone() for name in
            ("lm_head.weight", "model.encoder.embed_tokens.weight")}  # fmt: skip
    more["model.encoder.version"] = torch.full((1,), 3.0)
    save_file(state | more, folder / "model.safetensors", {"format": "pt"})


def without_a_head(folder, state):
    """As transformers saves the bare BartModel: other names, no bias of the output layer."""
    BartModel.from_pretrained(folder).save_pretrained(folder)


def in_half_and_double(folder, state):
    types = [torch.float64, torch.bfloat16]  # the fixture's values are bf16's
    mixed = {name: value.to(types[i % 2]) for i, (name, value) in enumerate(state.items())}
    save_file(mixed, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    "form", [None, as_pickle, in_parts, tied_twice, without_a_head, in_half_and_double]
)
def test_every_form_of_a_release_gives_the_weights_that_transformers_reads(form, folder, whole):
    expected = BartForConditionalGeneration.from_pretrained(whole).state_dict()
    if form:
        form(folder, load_file(folder / "model.safetensors"))
    torch.use_deterministic_algorithms(True)  # memory that nobody filled holds NaN then
    try:
        found = built(folder)
    finally:
        torch.use_deterministic_algorithms(False)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(
    "content", [[torch.ones(1)], {"model": {"fc1.weight": torch.ones(1)}, "epoch": 3}]
)
def test_a_pickle_of_something_else_than_tensors_by_name_is_refused(content, folder):
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(
        ConfigError, match=r"pytorch_model\.bin: holds .*, expected tensors by name"
    ):
        built(folder)


def test_one_tensor_with_two_values_is_refused(folder):
    changed(
        folder / "model.safetensors",
        lambda s: s | {"lm_head.weight": s["model.shared.weight"] + 1},
    )
    with pytest.raises(ConfigError, match=r"different.*shared\.weight|lm_head\.weight"):
        built(folder)


@pytest.mark.parametrize("place", ["../secret.safetensors", "/etc/passwd", 3])
def test_an_index_names_files_beside_it_only(place, folder):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"model.shared.weight": place}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"index\.json"):
        built(folder)


CONFIGS = {
    "another architecture": ({"model_type": "mbart"}, "model_type is 'mbart', expected 'bart'"),
    "a kernel": ({"attn_implementation": "org/kernel"}, "attn_implementation is 'org/kernel'"),
    "a package": ({"_attn_implementation": "flash_attention_2"}, "'flash_attention_2'"),
    "types": ({"d_model": "16"}, "d_model is '16'"),
    "tokens": ({"decoder_start_token_id": 7}, "decoder_start_token_id is 7, BART's is 2"),
    "activation": ({"activation_function": "evil"}, "activation_function is 'evil'"),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_config_that_asks_for_more_than_bart_is_refused(what, folder):
    more, words = CONFIGS[what]
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    with pytest.raises(ConfigError, match=words):
        built(folder)


@pytest.mark.parametrize("what", ["a kernel", "tokens"])
def test_a_runs_config_that_asks_for_more_than_bart_is_refused(what, run):
    more, words = CONFIGS[what]
    path = run / "config.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"bart": raw["bart"] | more}))
    with pytest.raises(RunError, match=words):
        load_run(run)


@pytest.mark.parametrize(
    "more",
    [
        {"model_type": "bart"},
        {"attn_implementation": "org/kernel"},
        {"tags": 1},
        *({"audio_width": width} for width in (-1, 1 << 31, "6", 6.0, True, [6], [6, 0], [6, [6]])),
        {"tags": False, "audio_width": 0},  # it would read nothing
    ],
)
def test_a_runs_config_that_train_does_not_write_is_refused(more, run):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    with pytest.raises(RunError, match=r"config\.json: "):
        load_run(run)


def test_unknown_keys_of_a_config_are_not_followed(folder, whole):
    path = folder / "config.json"
    more = {
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "auto_map": {"AutoConfig": "evil.Config"},
        "transformers_weights": "other.safetensors",
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    expected = built(whole)
    for name, value in built(folder).items():
        assert torch.equal(value, expected[name])


@pytest.mark.parametrize("name", ["config.json", "streams.json", "tokenizer.json",
                                  "tokenizer_config.json", "recipe.toml"])  # fmt: skip
def test_a_damaged_file_beside_the_weights_ends_in_one_line(name, run):
    for text in (
        POINTER,
        "{",
        "{}",
        "[1]",
        '{"a":' * 100_000,
        "a = " + "[" * 100_000,
        "\x00",
        "<html>",
    ):
        (run / name).write_text(text)
        with pytest.raises(RunError) as caught:
            load_run(run)
        assert str(run) in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (POINTER, "is a Git LFS pointer of .*git lfs pull"),
        ("<html></html>", "is a web page"),
        ("", "is empty; get it again"),
    ],
)
def test_a_runs_damaged_recipe_is_said_to_be_what_it_is(text, words, run):
    (run / "recipe.toml").write_text(text)
    with pytest.raises(RunError, match=f"recipe.toml: .*{words}"):
        load_run(run)


def test_a_tokenizer_that_is_not_there_is_said(run, whole, toy_tokenizer, tmp_path):
    (run / "tokenizer.json").unlink()
    with pytest.raises(RunError, match=r"holds no tokenizer; expected tokenizer\.json, or vocab"):
        load_run(run)
    folder = Path(shutil.copytree(whole, tmp_path / "bare"))
    toy_tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="holds no tokenizer; expected"):
        load_tokenizer(ModelConfig(pretrained=str(folder)))
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds no tokenizer; expected"):
        load_tokenizer(ModelConfig(pretrained=str(folder)))
    (folder / "merges.txt").write_text("<html>429</html>")
    with pytest.raises(ConfigError, match=r"merges\.txt: is a web page of 16 bytes, not the file"):
        load_tokenizer(ModelConfig(pretrained=str(folder)))


def test_a_tokenizer_with_code_of_its_own_is_refused_and_not_run(
    whole, toy_tokenizer, tmp_path, monkeypatch
):
    folder = Path(shutil.copytree(whole, tmp_path / "code"))
    toy_tokenizer.save_pretrained(folder)
    (folder / "evil.py").write_text("open('pwned', 'w')\nclass Evil: pass\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}})
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ConfigError, match=r"code of the folder's own .auto_map., which is never"):
        load_tokenizer(ModelConfig(pretrained=str(folder)))
    assert not (tmp_path / "pwned").exists()


def test_a_hub_name_for_a_run_says_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"hf download some/tagbart-demo --local-dir tagbart-demo"):
        load_run(Path("some/tagbart-demo"))
    for address in ("https://huggingface.co/some/demo", "hf://some/demo", "some/demo/"):
        with pytest.raises(RunError, match=r"hf download some/demo --local-dir demo,"):
            load_run(Path(address))
    with pytest.raises(RunError, match=r"hf download some/demo --revision v1 --local-dir demo,"):
        load_run(Path("some/demo@v1"))
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(RunError, match=r"a\.safetensors: is a file; RUN is the folder"):
        load_run(tmp_path / "a.safetensors")
    with pytest.raises(RunError, match=r"absent: no such run folder$"):
        load_run(tmp_path / "absent")


def test_a_run_whose_tokenizer_has_no_special_tokens_is_refused_by_name(run):
    (run / "tokenizer_config.json").unlink()
    with pytest.raises(RunError, match=r"run: .*ids of BOS, padding and EOS are \(None"):
        load_run(run)


def test_a_run_whose_decoding_is_no_table_is_refused_by_name(run):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decoding": "greedy"}))
    with pytest.raises(RunError, match=r"config\.json: .*decoding"):
        load_run(run)


def test_a_config_of_endless_layers_is_refused_before_they_are_built(run):
    path = run / "config.json"
    raw = json.loads(path.read_text())
    raw["bart"]["encoder_layers"] = 10**8
    path.write_text(json.dumps(raw))
    with pytest.raises(
        RunError, match=r"config\.json: bart\.encoder_layers is 100000000, expected 1 to 256"
    ):
        load_run(run)
