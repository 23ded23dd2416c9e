"""Several features folders as one set: weights, clips that stay apart, clips that are left out."""

import json
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from features.common.errors import ConfigError, FormatError, RunError
from features.reader import Features
from tests.train import toy
from tests.train.test_resume import Killed, killed_in
from tests.train.test_run import command, job, set_options, validation_losses
from tests.train.toy import ToyClip, random_clips, write_features
from train.data.loader import Loader
from train.data.sources import Source, parse_source, read_ids
from train.data.split import SplitData
from train.run import train
from train.run_folder import state
from train.run_folder.checkpoint import load_run


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """20 training clips under ids that the first folder has, too, with other captions; no val."""
    clips = [ToyClip(id=f"clip1_{n}", captions=(f"rain number {n}",)) for n in range(20)]
    return write_features(tmp_path_factory.mktemp("other"), {"train": clips})


@pytest.fixture
def joined(toy_features, other, make_toy):
    """A function from weights and ids to the training data of both folders."""
    toy = make_toy()

    def load(*weights: float, without=frozenset()) -> tuple[SplitData, Loader]:
        parts = [Features(toy_features, "train"), Features(other, "train")]
        data = SplitData.load(parts, toy.builder, toy.tokenizer, weights=weights, without=without)
        loader = toy.loader(data)
        return data, loader

    return load


def read_in(loader: Loader, epoch: int) -> Counter:
    return Counter(int(s) for piece in loader.epoch(0, epoch) for s in piece.samples)


def test_a_weight_is_how_often_an_epoch_reads_each_caption(joined):
    data, loader = joined(2.0, 1.0)
    seen = read_in(loader, 0)
    assert [seen[sample] for sample in range(len(data))] == [2] * 45 + [1] * 20
    assert data.per_epoch == 110 and loader.batches_per_epoch == 28


def test_a_fraction_reads_another_part_every_epoch_and_in_the_end_all_alike(joined):
    _, loader = joined(1.0, 0.25)
    epochs = [read_in(loader, epoch) for epoch in range(40)]
    assert all(sum(seen.values()) == 50 for seen in epochs)
    assert all(seen[sample] == 1 for seen in epochs for sample in range(45))
    times = sum(epochs, Counter())
    later = [times[sample] for sample in range(45, 65)]
    assert sum(later) == 40 * 5
    assert max(later) < 25 and min(later) > 1  # 10 expected, standard deviation 2.7


def test_each_copy_of_a_caption_gets_tags_of_its_own(joined):
    _, loader = joined(2.0, 1.0)
    prompts: dict[int, list[bytes]] = {}
    for piece in loader.epoch(0, 0):
        for row, sample in enumerate(piece.samples.tolist()):
            ids = piece.batch.input_ids[row]
            prompts.setdefault(sample, []).append(ids[ids != 1].numpy().tobytes())
    twice = [found for found in prompts.values() if len(found) == 2]
    assert len(twice) == 45
    assert sum(one != other for one, other in twice) > 30  # a clip of one row may repeat itself


def test_clips_of_one_id_stay_apart(joined, toy_features, other, make_toy):
    data, _ = joined(1.0, 1.0)
    assert len(set(data.keys.tolist())) == len(data) == 65
    for sample, root in ((3, toy_features), (45 + 3, other)):
        tags, _ = data.rows(np.array([sample]), make_toy().builder)
        assert (tags.values == Features(root, "train")["clip1_3"].streams["yamnet"]).all()
    assert data.clip_names(np.array([3, 48])) == [f"{toy_features}: clip1_3", f"{other}: clip1_3"]


def test_clips_on_the_list_are_in_no_epoch(joined):
    data, loader = joined(1.0, 1.0, without=frozenset({"clip1_0", "clip1_44", "absent"}))
    assert (len(data), data.left_out) == (62, 3)
    names = {name.rpartition(": ")[2] for name in data.clip_names(np.arange(62))}
    assert not names & {"clip1_0", "clip1_44"}
    assert len(read_in(loader, 0)) == 62
    with pytest.raises(FormatError, match="no captions but those of clips to leave out"):
        joined(1.0, 1.0, without=frozenset(f"clip1_{number}" for number in range(45)))


def test_one_folder_alone_is_read_as_ever(toy_data):
    expected = np.random.Generator(np.random.Philox(key=[0, 0], counter=[0, 0, 0, 0]))
    found = np.random.Generator(np.random.Philox(key=[0, 0], counter=[0, 0, 0, 0]))
    assert toy_data.epoch(found).tolist() == expected.permutation(45).tolist()


def test_the_command_trains_on_both_says_the_count_and_goes_on(
    toy_features, other, tmp_path, capsys
):
    out, ids = tmp_path / "run", tmp_path / "ids.txt"
    ids.write_text("clip1_0\nclip2_1\nelsewhere\n")
    arguments = ["run", f"{toy_features}=2", other, "--out", out, "--without", ids]
    command(*arguments, *set_options(optim__epochs=1), "--json")
    shown = capsys.readouterr()
    assert json.loads(shown.out)["updates"] == 27  # (2 x 44 + 19) / 4
    assert "of 3 ids to leave out, 2 clips of train and 1 of val are left out" in shown.err
    assert (
        json.loads((out / "finished.json").read_text())["features"] == f"{toy_features}=2 {other}"
    )
    command(*arguments, *set_options(optim__epochs=1))
    assert len(validation_losses(out)) == 1


def test_a_state_goes_on_with_the_same_folders_alone(toy_features, other, tmp_path, monkeypatch):
    changes = {"optim__epochs": 1, "train__save_every": 2}
    with monkeypatch.context() as patch:
        killed_in(7, patch)
        with pytest.raises(Killed):
            train(job(toy_features, tmp_path / "run", **changes))
    both = (Source(folder=toy_features), Source(folder=other))
    with pytest.raises(RunError, match=r"was begun on 45 captions of 45 clips x 1; .*, now there"):
        train(job(both, tmp_path / "run", resume=True, **changes))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_state_does_not_go_on_with_other_words_for_the_same_clips(split, toy_features, tmp_path):
    changes = {"optim__epochs": 1, "train__save_every": 2}
    with pytest.MonkeyPatch.context() as patch:
        killed_in(7, patch)
        with pytest.raises(Killed):
            train(job(toy_features, tmp_path / "run", **changes))
    clips = {"train": random_clips(45, seed=1), "val": random_clips(6, captions=5, seed=2)}
    last = clips[split][-1]
    clips[split][-1] = replace(last, captions=("rain", *last.captions[1:]))
    changed = write_features(tmp_path / "changed", clips)
    with pytest.raises(RunError, match=r"go on with the same features and --without"):
        train(job(changed, tmp_path / "run", resume=True, **changes))


def test_a_state_that_notes_no_fingerprints_goes_on(toy_features, tmp_path):
    changes = {"optim__epochs": 1, "train__save_every": 2}
    with pytest.MonkeyPatch.context() as patch:
        killed_in(7, patch)
        patch.setattr(state, "asdict", lambda p: asdict(replace(p, data=p.data.partition(";")[0])))
        with pytest.raises(Killed):
            train(job(toy_features, tmp_path / "run", **changes))
    assert train(job(toy_features, tmp_path / "run", resume=True, **changes)).update == 12


def test_each_clip_begins_with_the_task_of_its_folder(toy_features, other, tmp_path, make_toy):
    tasks = '["first", "second"]'
    both = (Source(folder=toy_features), Source(folder=other))
    train(job(both, tmp_path / "run", optim__epochs=1, inputs__tasks=tasks))
    run = load_run(tmp_path / "run")

    def begins(loader: Loader, name: str) -> list[int]:
        start = torch.tensor(run.tokenizer(f"{name}.", add_special_tokens=False)["input_ids"])
        return sorted(
            sample
            for piece in [*loader.epoch(0, 0), *loader.evaluation()]
            for sample, ids in zip(piece.samples.tolist(), piece.batch.input_ids, strict=True)
            if torch.equal(ids[1 : 1 + len(start)], start)
        )

    parts = [Features(folder, "train") for folder in (toy_features, other)]
    data = SplitData.load(parts, run.builder, run.tokenizer)
    loader = Loader(data=data, builder=run.builder, batch_size=4, decoder_start=2, threads=0)
    twice = [sample for sample in range(65) for _ in range(2)]
    assert begins(loader, "first") == twice[:90] and begins(loader, "second") == twice[90:]
    # A split that only the second folder has keeps the second's task.
    alone = SplitData.load(parts[1], run.builder, run.tokenizer, numbers=[1])
    assert begins(loader.of(alone), "second") == twice[:40]


def test_tasks_are_one_for_each_folder(toy_features, tmp_path):
    with pytest.raises(ConfigError, match=r"names 2 \(first, second\), expected one for each"):
        train(job(toy_features, tmp_path / "run", inputs__tasks='["first", "second"]'))
    assert not (tmp_path / "run").exists()


def test_folders_that_were_not_extracted_alike_are_refused(toy_features, tmp_path, monkeypatch):
    real = toy.stream_specs()
    monkeypatch.setattr(toy, "stream_specs", lambda: [replace(s, network="x") for s in real])
    strange = write_features(tmp_path / "strange", {"train": random_clips(3)})
    both = (Source(folder=toy_features), Source(folder=strange))
    with pytest.raises(FormatError, match=rf"{strange}: stream 'yamnet' has network x, .* has toy"):
        train(job(both, tmp_path / "run"))


def test_a_weight_is_a_number_above_0(tmp_path):
    assert parse_source("a=b=0.5") == Source(folder=parse_source("a=b=0.5").folder, weight=0.5)
    assert str(parse_source("x/y").folder) == "x/y"
    (tmp_path / "odd=2").mkdir()
    assert parse_source(f"{tmp_path}/odd=2").weight == 1
    for text in ("a=0", "a=-1", "a=nan", "a=inf", "a=much"):
        with pytest.raises(ConfigError, match="a="):
            parse_source(text)
    with pytest.raises(ConfigError, match=r"--without .*cannot be read"):
        read_ids(tmp_path / "absent")
