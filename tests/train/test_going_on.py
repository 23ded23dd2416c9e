"""model.pretrained names a run folder: training goes on from its weights on other features."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from features.common.errors import ConfigError, FormatError
from tests.train.test_run import command, job, set_options, validation_losses
from train.run import train


@pytest.fixture(scope="module")
def earlier(toy_features, tmp_path_factory):
    """A run that has learnt something."""
    out = tmp_path_factory.mktemp("earlier") / "run"
    train(job(toy_features, out, optim__epochs=2))
    return out


def going_on(earlier, **changes) -> dict:
    return {
        "model__pretrained": str(earlier), "model__tokenizer": "", "optim__max_updates": 1,
        "optim__learning_rate": 1e-12, **changes,
    }  # fmt: skip


def test_a_run_goes_on_from_all_weights_and_the_tokenizer_of_another(
    earlier, toy_features, tmp_path
):
    out = tmp_path / "run"
    command("run", toy_features, "--out", out, *set_options(**going_on(earlier)))
    before, after = load_file(earlier / "model.safetensors"), load_file(out / "model.safetensors")
    assert before.keys() == after.keys() and "dense.weight" in before
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9)
    assert (out / "tokenizer.json").read_text() == (earlier / "tokenizer.json").read_text()
    best = min(loss for _, loss in validation_losses(earlier))
    assert validation_losses(out)[0][1] == pytest.approx(best, rel=1e-5)


def test_dropouts_and_what_is_frozen_are_the_recipes(earlier, toy_features):
    from tests.train.test_run import load_recipe, settings
    from train.model.pretrained import build_model, load_tokenizer

    changes = going_on(earlier, bart__dropout=0.3, model__freeze_decoder=True)
    recipe = load_recipe("yamnet-panns", settings(**changes))
    vocab = len(load_tokenizer(recipe.model))
    model = build_model(recipe, vocab=vocab, audio_width=6)
    assert model.bart.model.decoder.layers[0].dropout == 0.3
    assert not model.bart.model.decoder.layers[0].fc1.weight.requires_grad


def test_other_inputs_or_another_shape_than_the_runs_are_refused(earlier, toy_features, tmp_path):
    for changes, words in (
        ({"inputs__audio": "vggish"}, r"reads inputs\.audio = 'panns', the recipe says 'vggish'"),
        ({"bart__d_model": 64}, r"has d_model 32, the recipe's bart\.d_model is 64"),
    ):
        with pytest.raises(ConfigError, match=words):
            train(job(toy_features, tmp_path / "run", **going_on(earlier, **changes)))
    assert not (tmp_path / "run").exists()


def test_features_of_another_network_than_the_runs_are_refused(earlier, toy_features, tmp_path):

    copy = shutil.copytree(earlier, tmp_path / "copy")
    streams = json.loads((copy / "streams.json").read_text())
    streams["panns"]["weights_sha256"] = "1" * 64
    (copy / "streams.json").write_text(json.dumps(streams))
    with pytest.raises(FormatError, match=r"'panns' has weights_sha256 0000.* trained with 1111"):
        train(job(toy_features, tmp_path / "run", **going_on(copy)))


def test_a_run_without_weights_or_with_other_ones_is_refused(earlier, toy_features, tmp_path):

    copy = shutil.copytree(earlier, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="holds no weights"):
        train(job(toy_features, tmp_path / "run", **going_on(copy)))
