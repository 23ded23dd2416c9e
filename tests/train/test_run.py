"""Whole runs of a small model: what they learn, leave behind, refuse and survive."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from features.common.errors import ConfigError, FormatError, RunError
from tests.train.toy import STILL, ToyClip, random_clips, settings, write_features
from train.cli import app
from train.loop import Trainer
from train.recipes.files import load_recipe
from train.run import Job, train
from train.run_folder.checkpoint import check_streams, load_run
from train.run_folder.metrics import read_metrics
from train.run_folder.state import NAME as STATE_NAME
from train.updates import Updater

ROOT = Path(__file__).parents[2]


def job(features: Path, out: Path, *, resume: bool = False, **changes) -> Job:
    recipe = load_recipe("yamnet-panns", settings(**changes))
    return Job(features=features, out=out, recipe=recipe, resume=resume)


def command(*arguments: object) -> None:
    """`python -m train …` in this process; our errors come through as they are."""
    app([str(argument) for argument in arguments], standalone_mode=False)


def set_options(**changes) -> list[str]:
    return [part for setting in settings(**changes) for part in ("--set", setting)]


def validation_losses(run: Path) -> list[tuple[int, float]]:
    return [(line["update"], line["val_loss"]) for line in read_metrics(run) if "val_loss" in line]


def test_a_finished_run_holds_all_that_is_needed_and_no_pickle(toy_features, tmp_path, capsys):
    out = tmp_path / "run"
    command("run", toy_features, "--out", out, "--json", *set_options(optim__epochs=2))
    result = json.loads(capsys.readouterr().out)
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert names == {
        "model.safetensors", "config.json", "generation_config.json", "tokenizer.json",
        "tokenizer_config.json", "recipe.toml", "streams.json", "metrics.jsonl", "tensorboard",
        "finished.json", "README.md", "curves.png",
    }  # fmt: skip
    losses = validation_losses(out)
    assert result["updates"] == losses[-1][0] == 2 * 12
    assert result["val_loss"] == min(loss for _, loss in losses)


def test_training_says_how_many_tags_found_no_room_and_how_many_captions_are_cut(
    toy_features, tmp_path, capsys
):
    most = {"inputs__max_prompt_tokens": 12, "inputs__max_caption_tokens": 3}
    changes = {"optim__epochs": 1, **most}
    command("run", toy_features, "--out", tmp_path / "run", *set_options(**changes))
    assert "tags (" in (said := capsys.readouterr().err) and "were dropped" in said
    # Two words at least, of which a token and BOS and EOS are kept: all of 45 and 6 x 5.
    assert "75 captions are cut: they are longer than inputs.max_caption_tokens, 3 with" in said


def test_a_finished_run_loads_and_reads_clips(toy_features, tmp_path):
    from features.reader import Features

    train(job(toy_features, tmp_path / "run", optim__epochs=1))
    run = load_run(tmp_path / "run")
    features = Features(toy_features, "val")
    check_streams(run, features.streams, toy_features)
    batch = run.builder.batch([features[0].streams, features[1].streams])
    embeds, mask = run.model.encoder_inputs(batch)
    ids = run.model.bart.generate(inputs_embeds=embeds, attention_mask=mask, max_length=8)
    assert ids.shape[0] == 2
    assert not run.model.training and run.recipe.name == "yamnet-panns"


def test_the_validation_loss_is_the_mean_over_all_tokens_of_all_captions(toy_features, tmp_path):
    from features.reader import Features
    from train.data.loader import Loader
    from train.data.split import SplitData

    train(job(toy_features, tmp_path / "run", optim__epochs=1))
    run = load_run(tmp_path / "run")
    data = SplitData.load(Features(toy_features, "val"), run.builder, run.tokenizer)
    loader = Loader(data=data, builder=run.builder, batch_size=1, decoder_start=2, threads=0)
    with torch.inference_mode():
        parts = [(run.model(p.batch).item(), p.labels) for p in loader.evaluation()]
    assert len(parts) == 30
    expected = sum(loss for loss, _ in parts) / sum(labels for _, labels in parts)
    [(_, found)] = validation_losses(tmp_path / "run")
    assert found == pytest.approx(expected, rel=1e-5)


def test_two_clips_with_equal_tags_learn_different_captions_from_their_audio(tmp_path):
    logits = np.full((3, 5), -9.0, np.float16)
    logits[:, 0] = 4.0
    captions = {"loud": "a dog barks loudly", "rain": "rain falls on the roof"}
    clips = [
        ToyClip(
            id=name,
            captions=(text,),
            streams={"yamnet": logits, "panns": np.full((1, 6), sign, np.float16)},
        )
        for (name, text), sign in zip(captions.items(), (1.0, -1.0), strict=True)
    ]
    features = write_features(tmp_path / "features", {"train": clips, "val": clips})
    changes = STILL | {"optim__epochs": 150, "optim__learning_rate": 3e-3}
    train(job(features, tmp_path / "run", **changes))
    run = load_run(tmp_path / "run")
    batch = run.builder.batch(
        [{"yamnet": logits, "panns": clip.streams["panns"]} for clip in clips]
    )
    embeds, mask = run.model.encoder_inputs(batch)
    ids = run.model.bart.generate(inputs_embeds=embeds, attention_mask=mask)
    assert run.tokenizer.batch_decode(ids, skip_special_tokens=True) == list(captions.values())


INTERRUPTED = {
    "optim__epochs": 3,
    "optim__grad_accumulation": 2,
    "train__validate_every": 5,
    "train__save_every": 3,
    "train__log_every": 1,
    "train__keep_state": True,
}


@pytest.fixture(scope="module")
def unbroken(toy_features, tmp_path_factory):
    """A run with dropout that was never interrupted: 18 updates, 6 an epoch."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    train(job(toy_features, out, **INTERRUPTED))
    return out


def assert_same_end(found: Path, expected: Path) -> None:
    for name in ("model.safetensors", STATE_NAME):
        one, other = load_file(found / name), load_file(expected / name)
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key]), f"{name}: {key}"
    assert validation_losses(found) == validation_losses(expected)
    lines = [
        [(line["update"], line.get("train_loss"), line.get("gradient_norm")) for line in lines]
        for lines in (read_metrics(found), read_metrics(expected))
    ]
    assert lines[0] == lines[1]


def test_a_run_killed_at_a_random_update_and_resumed_ends_the_same(
    unbroken, toy_features, tmp_path
):
    update = int(np.random.default_rng().integers(3, 17))
    print("killed in update", update)
    out = tmp_path / "run"
    options = set_options(**INTERRUPTED)
    code = (
        "import os, signal, sys, torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"
        "import train.updates as updates\n"
        "def limit(model, longest, real=updates.limit_gradient, count=[0]):\n"
        "    count[0] += 1\n"
        f"    if count[0] > {update}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(model, longest)\n"
        "updates.limit_gradient = limit\n"
        "from train.cli import app\n"
        "app(sys.argv[1:])\n"
    )
    arguments = ["run", str(toy_features), "--out", str(out), *options]
    killed = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "finished.json").exists()
    command("run", toy_features, "--out", out, "--resume")
    assert_same_end(out, unbroken)


@pytest.fixture
def without_nohup():
    """A closed terminal counts, though the tests may run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_stop_signal_saves_first_and_resuming_ends_the_same(
    name, unbroken, toy_features, tmp_path, monkeypatch, without_nohup
):
    real = Updater.launch

    def signalled(self, number, pieces):
        if number == 7:
            signal.raise_signal(name)
        return real(self, number, pieces)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Updater, "launch", signalled)
        with pytest.raises(KeyboardInterrupt):
            train(job(toy_features, out, **INTERRUPTED))
    # Update 8 heard of it; the host, which waits for no update to be done, had launched the next.
    assert [line["update"] for line in read_metrics(out)][-1] == 9
    train(job(toy_features, out, resume=True, **INTERRUPTED))
    assert_same_end(out, unbroken)


@pytest.mark.parametrize(
    "changes",
    # A layer that was left out has taken fewer steps of AdamW than the others; in bf16 what learns
    # are the masters.
    [{"bart__encoder_layerdrop": 0.5, "bart__decoder_layerdrop": 0.5},
     {"train__precision": "bf16", "optim__weight_decay": 0.1}],
    ids=["layers left out at random", "bf16"],
)  # fmt: skip
def test_resuming_is_exact(toy_features, tmp_path, changes):
    changes = INTERRUPTED | changes
    train(job(toy_features, tmp_path / "whole", **changes))
    real = Updater.launch

    def stopped(self, number, pieces):
        self.asked = number == 4
        return real(self, number, pieces)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Updater, "launch", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(job(toy_features, tmp_path / "parts", **changes))
    train(job(toy_features, tmp_path / "parts", resume=True, **changes))
    assert_same_end(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("bucket", [1, 2])
def test_accumulated_forward_passes_learn_as_one_batch_of_their_sum(toy_features, tmp_path, bucket):
    # Clipped, so that the gradients' lengths must agree too.
    still = STILL | {"train__bucket_batches": bucket, "optim__epochs": 1, "train__log_every": 1,
                     "optim__clip_norm": 0.01}  # fmt: skip
    train(job(toy_features, tmp_path / "one", optim__batch_size=8, **still))
    train(
        job(toy_features, tmp_path / "parts", optim__batch_size=2, optim__grad_accumulation=4,
            **still)
    )  # fmt: skip
    for what in ("train_loss", "gradient_norm"):
        one, parts = (
            [line[what] for line in read_metrics(tmp_path / name) if what in line]
            for name in ("one", "parts")
        )
        assert len(one) == 6
        assert one == pytest.approx(parts, rel=1e-4), what


def test_a_run_begun_with_another_loss_is_not_gone_on_with(toy_features, tmp_path):
    stopped = {"optim__epochs": 1, "train__keep_state": True}
    train(job(toy_features, tmp_path / "run", **stopped))
    (tmp_path / "run" / "finished.json").unlink()
    path = tmp_path / "run" / "state.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata() | {"version": "1"}
    save_file(load_file(path), path, header)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match=r"state version is 1.*the loss.* into another folder"):
        train(job(toy_features, tmp_path / "run", resume=True, **stopped))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_a_compiled_model_has_the_losses_of_the_plain_one(toy_features, tmp_path, monkeypatch):
    # The real back end needs a minute a shape on a CPU; this one traces the forward pass only.
    traced = functools.partial(torch.compile, backend="eager")
    still = STILL | {"optim__max_updates": 1, "train__log_every": 1}
    train(job(toy_features, tmp_path / "plain", **still))
    monkeypatch.setattr(torch, "compile", traced)
    train(job(toy_features, tmp_path / "compiled", train__compile=True, **still))
    losses = [
        [line.get("train_loss", line.get("val_loss")) for line in read_metrics(tmp_path / name)]
        for name in ("plain", "compiled")
    ]
    assert len(losses[0]) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_folder_that_holds_a_run_is_refused_unless_resumed(toy_features, tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(job(toy_features, out))
    with pytest.raises(RunError, match="already holds a run; go on with it by --resume"):
        train(job(toy_features, out))
    with pytest.raises(RunError, match=r"begun with other settings \(optim.batch_size\)"):
        command("run", toy_features, "--out", out, "--resume", *set_options(),
                "--set", "optim.batch_size=2")  # fmt: skip
    command("run", toy_features, "--out", out, "--resume")
    with pytest.raises(RunError, match="holds a finished run"):
        train(job(toy_features, out))


def test_a_run_is_not_written_among_features(toy_features):
    before = sorted(toy_features.rglob("*"))
    with pytest.raises(ConfigError, match=r"holds features \(features\.json\), with which a run"):
        train(job(toy_features, toy_features))
    assert sorted(toy_features.rglob("*")) == before


def test_resuming_on_features_of_another_network_is_refused(toy_features, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(job(toy_features, tmp_path / "run"))
    streams = json.loads((tmp_path / "run" / "streams.json").read_text())
    streams["panns"]["network"] = "another"
    (tmp_path / "run" / "streams.json").write_text(json.dumps(streams))
    with pytest.raises(FormatError, match=r"'panns' has network toy, but .* trained with another"):
        train(job(toy_features, tmp_path / "run", resume=True))


def test_a_loss_that_is_not_finite_stops_and_names_the_clips(toy_features, tmp_path):
    out = tmp_path / "run"
    wild = {"optim__learning_rate": 1e30, "optim__clip_norm": 0.0, "train__save_every": 1}
    with pytest.raises(RunError) as caught:
        train(job(toy_features, out, **wild))
    message = str(caught.value)
    assert "nan" in message or "inf" in message
    named = [word.strip(",.") for word in message.split() if word.startswith("clip1_")]
    assert len(named) == 4
    for value in load_file(out / STATE_NAME).values():
        assert torch.isfinite(value).all()


def test_a_validation_loss_that_is_not_finite_stops_and_names_the_clips(
    toy_features, tmp_path, monkeypatch
):
    real = Updater.loss

    def loss(self, piece, *others):
        broken = not self.model.training and 0 in piece.samples  # a caption of the first clip
        return real(self, piece, *others) * (torch.nan if broken else 1)

    monkeypatch.setattr(Updater, "loss", loss)
    with pytest.raises(RunError, match=r"validation after update 3: loss is nan.* clip2_0"):
        train(job(toy_features, tmp_path / "run", train__validate_every=3))


def test_an_update_that_is_refused_leaves_the_weights_and_so_do_those_after_it(
    toy_features, tmp_path, monkeypatch
):
    real, kept = Updater.launch, []

    def launch(self, number, pieces):
        if number == 2:
            kept.extend(weight.clone() for weight in self.model.parameters())
            self.model.dense.bias.register_hook(lambda gradient: gradient * torch.inf)
        launched = real(self, number, pieces)
        if number >= 2:
            for before, now in zip(kept, self.model.parameters(), strict=True):
                assert torch.equal(before, now)
        return launched

    monkeypatch.setattr(Updater, "launch", launch)
    with pytest.raises(RunError, match=r"update 3: loss is .* gradient norm (inf|nan)"):
        train(job(toy_features, tmp_path / "run"))  # the fourth update is under way by then
    assert kept


def test_out_of_memory_says_which_setting_to_lower(toy_features, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Updater, "_loss", full)
    with pytest.raises(RunError, match=r"batch_size=2 --set optim\.grad_accumulation=2"):
        train(job(toy_features, tmp_path / "run"))


def test_a_damaged_shard_stops_before_training(tmp_path):
    clips = random_clips(9)
    root = write_features(tmp_path / "features", {"train": clips, "val": clips})
    path = root / "train" / "00001.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"train/00001\.h5: damaged"):
        train(job(root, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_stream_that_the_shards_lack_is_refused(toy_features, tmp_path):
    with pytest.raises(FormatError, match=r"has no stream 'clap'; it holds"):
        train(job(toy_features, tmp_path / "run", inputs__audio="clap"))


def test_features_without_a_validation_split_are_refused(tmp_path):
    root = write_features(tmp_path / "features", {"train": random_clips(3)})
    with pytest.raises(FormatError, match="has no split 'val'"):
        train(job(root, tmp_path / "run"))


def test_features_whose_validation_split_has_no_captions_are_refused(tmp_path):
    splits = {"train": random_clips(3), "val": [ToyClip(id="a", captions=())]}
    root = write_features(tmp_path / "features", splits)
    with pytest.raises(FormatError, match="split 'val' has no captions"):
        train(job(root, tmp_path / "run"))


def test_recipes_are_listed_with_their_trainable_parameters(capsys):
    command("recipes", "--json")
    counts = {
        row["name"]: row["trainable_parameters"] for row in json.loads(capsys.readouterr().out)
    }
    assert counts["yamnet-panns"] == 408_389_632
