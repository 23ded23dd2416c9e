"""Order, draws and shares of training do not depend on how they are computed."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from train.data.batches import IGNORED
from train.data.resident import fits, with_resident_audio


@pytest.fixture
def loader(toy_data, make_toy):
    return make_toy().loader(toy_data, bucket_batches=3)


def tensors(piece) -> dict[str, torch.Tensor]:
    return vars(piece.batch)


def prompts_by_sample(pieces) -> dict[int, tuple[int, ...]]:
    """Each sample's prompt tokens without padding."""
    found = {}
    for piece in pieces:
        for row, sample in enumerate(piece.samples.tolist()):
            mask = piece.batch.attention_mask[row].bool()
            found[sample] = tuple(piece.batch.input_ids[row][mask].tolist())
    return found


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_change_nothing(loader, threads):
    alone = list(loader.epoch(3, 1))
    shared = list(replace(loader, threads=threads).epoch(3, 1))
    assert len(alone) == len(shared) == 12  # 45 captions by 4
    for one, other in zip(alone, shared, strict=True):
        assert (one.samples == other.samples).all()
        for name, value in tensors(one).items():
            assert torch.equal(value, tensors(other)[name]), name


def test_batch_size_and_buckets_change_no_draw(loader):
    expected = prompts_by_sample(loader.epoch(3, 1))
    for batch_size, bucket in ((1, 1), (7, 2), (45, 64)):
        other = replace(loader, batch_size=batch_size, bucket_batches=bucket)
        assert prompts_by_sample(other.epoch(3, 1)) == expected


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_torch_dataloader_with_worker_processes_gives_the_same_prompts(loader):
    class Epoch(torch.utils.data.IterableDataset):
        def __iter__(self):
            worker = torch.utils.data.get_worker_info()
            share = replace(loader, rank=worker.id, world=worker.num_workers) if worker else loader
            for piece in share.epoch(3, 1):
                mine = piece.samples[share.rank :: share.world]
                yield replace(piece, samples=mine)

    expected = prompts_by_sample(loader.epoch(3, 1))
    for workers in (0, 1, 4):
        pieces = torch.utils.data.DataLoader(Epoch(), batch_size=None, num_workers=workers)
        assert prompts_by_sample(pieces) == expected


def test_the_next_epoch_draws_other_tags_in_another_order(loader):
    first, second = list(loader.epoch(3, 0)), list(loader.epoch(3, 1))
    orders = [np.concatenate([piece.samples for piece in epoch]) for epoch in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(45))
    assert (orders[0] != orders[1]).any()
    before, after = prompts_by_sample(first), prompts_by_sample(second)
    assert sum(before[sample] != after[sample] for sample in before) > 20


def test_skipping_gives_the_rest_of_the_epoch(loader):
    whole = list(loader.epoch(0, 0))
    for skip in (0, 1, 3, 5, 11):
        rest = list(loader.epoch(0, 0, skip=skip))
        assert [p.samples.tolist() for p in rest] == [p.samples.tolist() for p in whole[skip:]]


def test_batches_hold_samples_of_similar_length(toy_data, loader):
    def padding(pieces) -> float:
        labels = [piece.batch.labels for piece in pieces]
        return sum((label == IGNORED).sum().item() for label in labels)

    buckets = replace(loader, bucket_batches=64)
    unsorted = replace(loader, bucket_batches=1)
    assert padding(buckets.epoch(0, 0)) < 0.3 * padding(unsorted.epoch(0, 0))


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_every_batch_and_no_sample_twice(loader, world):
    whole = list(loader.epoch(0, 0))
    shares = [list(replace(loader, rank=rank, world=world).epoch(0, 0)) for rank in range(world)]
    for number, piece in enumerate(whole):
        parts = [share[number] for share in shares]
        assert all(part.labels == piece.labels for part in parts)
        counted = sum((part.batch.labels != IGNORED).sum().item() for part in parts)
        assert counted == piece.labels


def test_a_small_last_batch_leaves_a_process_with_nothing_that_counts(loader):
    # 45 = 11 x 4 + 1: of three processes two have no share of the last batch.
    shares = [list(replace(loader, rank=rank, world=3).epoch(0, 0)) for rank in range(3)]
    lengths = {len(share) for share in shares}
    assert lengths == {12}
    single = [number for number in range(12) if len(shares[0][number].samples) == 1]
    assert len(single) == 1
    counted = [(share[single[0]].batch.labels != IGNORED).any().item() for share in shares]
    assert counted == [True, False, False]


@pytest.mark.parametrize("world", [1, 2, 5])
def test_validation_counts_every_caption_exactly_once(toy_data, loader, world):
    seen = Counter()
    for rank in range(world):
        for piece in replace(loader, rank=rank, world=world).evaluation():
            assert len(piece.batch.labels) == len(piece.samples)
            seen.update(piece.samples.tolist())
    assert seen == Counter(range(45))


def test_validation_takes_the_likeliest_tags(loader):
    prompts = prompts_by_sample(loader.evaluation())
    features = loader.data.features
    for sample, tokens in prompts.items():
        clip = features[int(loader.data.clip[sample])]
        batch = loader.builder.batch([clip.streams])
        assert tuple(batch.input_ids[0].tolist()) == tokens


@pytest.mark.parametrize("tags", ["yamnet", ""])
@pytest.mark.parametrize("audio", ["vggish", "panns", '["vggish", "panns"]'])
def test_rows_looked_up_on_the_device_are_those_that_the_host_gathers(
    toy_features, make_toy, tags, audio
):
    toy = make_toy(inputs__tags=tags, inputs__audio=audio)
    data = toy.data(toy_features)
    host = toy.loader(data)
    streams = toy.recipe.inputs.audio_streams
    device = host.of(with_resident_audio(data, streams, torch.device("cpu")))
    pairs = [(host.epoch(0, 1), device.epoch(0, 1)), (host.evaluation(), device.evaluation())]
    for expected, found in pairs:
        for one, other in zip(expected, found, strict=True):
            assert other.batch.audio.shape[-1] == len(streams)  # numbers only
            for name, value in vars(one.on("cpu")).items():
                there = getattr(other.on("cpu"), name)
                assert value is there is None or torch.equal(value, there), name


def test_rows_that_are_pooled_stay_on_the_host(toy_features, make_toy, monkeypatch):
    memory = SimpleNamespace(total_memory=2**40)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    for audio, fitting in (('["vggish", "panns"]', True), ('["panns", "vggish"]', False)):
        toy = make_toy(inputs__tags="", inputs__audio=audio)
        data = toy.data(toy_features)
        assert fits(data, toy.builder, torch.device("cuda")) is fitting


@pytest.mark.parametrize("tags", ["yamnet", ""])
def test_lengths_padded_to_a_multiple_change_shapes_and_no_loss(toy_features, make_toy, tags):
    toy = make_toy(inputs__tags=tags, inputs__max_caption_tokens=13)
    plain = toy.loader(toy.data(toy_features))
    padded = replace(plain, length_multiple=8)
    for one, other in zip(plain.epoch(0, 0), padded.epoch(0, 0), strict=True):
        assert other.batch.attention_mask.shape[1] % 8 == 0
        assert other.batch.labels.shape[1] in (8, 13)  # never longer than the recipe's longest
        assert one.labels == other.labels
        with torch.inference_mode():
            assert torch.allclose(toy.model(one.batch), toy.model(other.batch), rtol=1e-5)
