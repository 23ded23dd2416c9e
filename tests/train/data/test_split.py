"""Captions as tokens and targets, rows from the right clip."""

import os

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from features.common.errors import FormatError
from features.file_rows import FileRows
from features.reader import Features
from tests.train.toy import ToyClip, random_clips, write_features
from train.data.batches import IGNORED
from train.data.split import Captions, SplitData, encode_captions


def test_a_caption_keeps_bos_and_eos_and_a_cut_one_too(toy_tokenizer):
    texts = ["a dog", " a dog barks loudly while rain falls \n"]
    flat, length = encode_captions(toy_tokenizer, texts, max_tokens=6)
    first, second = np.split(flat, [length[0]])
    assert length[1] == len(toy_tokenizer(texts[1].strip())["input_ids"])
    assert first.tolist() == toy_tokenizer("a dog")["input_ids"]
    whole = toy_tokenizer("a dog barks loudly while rain falls")["input_ids"]
    assert len(whole) > 6
    assert second.tolist() == [*whole[:5], 2]


def captions_of(*tokens: list[int]) -> Captions:
    length = np.array([len(part) for part in tokens])
    return Captions(tokens=np.concatenate(tokens), start=np.cumsum(length) - length, length=length)


def test_the_decoder_reads_its_start_token_and_then_the_caption_one_step_behind():
    captions = captions_of([0, 7, 8, 2], [0, 9, 2])
    decoder_ids, labels = captions.targets(np.array([1, 0]), pad=1, decoder_start=2)
    assert labels.tolist() == [[0, 9, 2, IGNORED], [0, 7, 8, 2]]
    assert decoder_ids.tolist() == [[2, 0, 9, 2], [2, 0, 7, 8]]


def test_with_loss_on_padding_labels_are_padding_up_to_the_full_length():
    captions = captions_of([0, 7, 8, 2], [0, 9, 2])
    decoder_ids, labels = captions.targets(np.array([1]), pad=1, decoder_start=2, pad_to=6)
    assert labels.tolist() == [[0, 9, 2, 1, 1, 1]]
    assert decoder_ids.tolist() == [[2, 0, 9, 2, 1, 1]]


def test_every_caption_is_a_sample_of_its_own_clip(tmp_path, make_toy):
    toy = make_toy()
    clips = [ToyClip(id="a", captions=("a dog", "rain")), ToyClip(id="b", captions=()),
             ToyClip(id="c", captions=("bees",))]  # fmt: skip
    features = Features(write_features(tmp_path, {"val": clips}, shard=2), "val")
    data = SplitData.load(features, toy.builder, toy.tokenizer)
    assert data.clip.tolist() == [0, 0, 2]
    assert len(set(data.keys.tolist())) == 3
    tags, audio = data.rows(np.array([2, 0]), toy.builder)
    expected = [features["c"].streams, features["a"].streams]
    assert (tags.values == np.concatenate([clip["yamnet"] for clip in expected])).all()
    assert (audio.values == np.concatenate([clip["panns"] for clip in expected])).all()
    assert tags.counts.tolist() == [len(clip["yamnet"]) for clip in expected]
    assert data.clip_names(np.array([2, 0, 1])) == ["c", "a"]


def test_words_that_a_tokenizer_does_not_know_are_counted(tmp_path, make_toy, toy_tokenizer):
    clips = [ToyClip(id=name, captions=(f"a dog {name}",)) for name in ("barks", "yaps")]
    write_features(tmp_path, {"train": clips})
    known = dict.fromkeys(("<s>", "<pad>", "</s>", "<unk>", "a", "dog", "barks"))
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(known)}, "<unk>"))
    words.pre_tokenizer = Whitespace()
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **names)
    features, builder = Features(tmp_path, "train"), make_toy().builder
    assert SplitData.load(features, builder, tokenizer).unknown == 1
    assert SplitData.load(features, builder, toy_tokenizer).unknown == 0


def test_clips_of_one_id_in_two_splits_are_counted(tmp_path, make_toy):
    clips = random_clips(9, captions=2)
    write_features(
        tmp_path, {"train": clips[:6], "val": [*clips[4:], ToyClip(id="a", captions=("b",))]}
    )
    toy = make_toy()
    train, val = (
        SplitData.load(Features(tmp_path, name), toy.builder, toy.tokenizer)
        for name in ("train", "val")
    )
    assert val.shared_with(train) == train.shared_with(val) == 2


def test_a_split_without_captions_is_refused(tmp_path, make_toy):
    toy = make_toy()
    clips = [ToyClip(id="a", captions=())]
    features = Features(write_features(tmp_path, {"val": clips}), "val")
    with pytest.raises(FormatError, match=r"split 'val' has no captions"):
        SplitData.load(features, toy.builder, toy.tokenizer)


def test_loading_reads_no_features_and_keeps_no_texts(tmp_path, make_toy):
    toy = make_toy()
    features = Features(write_features(tmp_path, {"train": random_clips(20)}), "train")
    data = SplitData.load(features, toy.builder, toy.tokenizer)
    assert all("_tables" not in vars(shard) for shard in data.features.shards[1:])
    for stream in data.streams.values():
        assert all(isinstance(part, FileRows) for part in stream.parts)


def test_a_shard_that_is_shortened_in_use_is_named(tmp_path, make_toy):
    toy = make_toy()
    features = Features(write_features(tmp_path, {"train": random_clips(20)}), "train")
    data = SplitData.load(features, toy.builder, toy.tokenizer)
    everything = np.arange(len(data))
    data.rows(everything, toy.builder)
    path = features.shards[1].path
    os.truncate(path, 1000)
    with pytest.raises(FormatError, match=rf"{path}: was shortened while it was in use .now 1,000"):
        data.rows(everything, toy.builder)
