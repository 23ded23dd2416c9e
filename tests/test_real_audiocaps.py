"""Eight real AudioCaps clips, from audio files to captions, by the commands that users type."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from features.reader import Features

pytestmark = pytest.mark.real_data

ROOT = Path(__file__).parent.parent


def run_module(*arguments: object, status: int = 0) -> str:
    """Run `python -m …` offline as a user would; returns what it prints on stdout."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["float32", "float16"])
def extracted(request, real_data, tmp_path_factory) -> tuple[Features, str]:
    out = tmp_path_factory.mktemp(request.param) / "features"
    run_module(
        "extract", "run", real_data / "audiocaps", "--out", out, "--split", "test",
        "--weights", real_data / "weights", "--streams", "yamnet", "--dtype", request.param,
    )  # fmt: skip
    return Features(out, "test"), request.param


def test_stored_logits_give_the_reference_scores(extracted, real_data):
    clips, dtype = extracted
    tolerance = {"float32": 5e-4, "float16": 8e-4}[dtype]  # resampled as in 2021
    with np.load(real_data / "golden" / "audiocaps_yamnet_scores_2021.npz") as golden:
        names = {name.removesuffix(".wav") for name in golden.files}
        assert set(clips.ids) <= names
        for clip in clips.ids:
            expected = golden[clip if clip in golden.files else f"{clip}.wav"]
            logits = clips[clip].streams["yamnet"].astype(np.float64)
            scores = 1 / (1 + np.exp(-logits))
            assert scores.shape == expected.shape
            np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance)


def test_eight_of_975_clips_are_there_and_the_rest_is_listed(extracted):
    clips, _ = extracted
    assert len(clips) == 8
    assert (clips.entry.clips_listed, clips.entry.clips_missing) == (975, 967)
    with (clips.root / "failures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["clip"] for row in rows}) == 967
    assert all(row["reason"].startswith("missing") for row in rows)


def test_the_siren_clip_is_tagged_as_an_emergency_vehicle(extracted):
    clips, _ = extracted
    (siren,) = [clip for clip in map(clips.__getitem__, clips.ids) if _tells_of_siren(clip)]
    classes = clips.streams["yamnet"].classes
    tags = [classes[tag] for tag in siren.streams["yamnet"].argmax(axis=1)]
    assert "Emergency vehicle" in tags


def _tells_of_siren(clip) -> bool:
    return sum("siren" in caption.lower() for caption in clip.captions) >= 3


@pytest.fixture(scope="module")
def memorised(real_data, tmp_path_factory) -> Path:
    """The eight clips with one caption each, as train and as val; trained on until known."""
    folder = tmp_path_factory.mktemp("memorised")
    dump = folder / "dump"
    dump.mkdir()
    rows = _one_caption_each(real_data)
    for split in ("train", "val"):
        with (dump / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    for path in (real_data / "audiocaps" / "clips").iterdir():
        (dump / path.name).symlink_to(path)
    run_module(
        "extract", "run", dump, "--out", folder / "features", "--streams", "yamnet",
        "--weights", real_data / "weights",
    )  # fmt: skip
    settings = {
        "model.pretrained": "none",
        "model.tokenizer": real_data / "bpe",
        "bart.d_model": 64,
        "bart.encoder_layers": 1,
        "bart.decoder_layers": 1,
        "bart.encoder_ffn_dim": 128,
        "bart.decoder_ffn_dim": 128,
        "bart.encoder_attention_heads": 4,
        "bart.decoder_attention_heads": 4,
        "bart.dropout": 0.0,
        "optim.learning_rate": 3e-3,
        "optim.epochs": 400,
        "train.validate_every": 100,
        "train.sample_clips": 0,
    }
    overrides = [item for key, value in settings.items() for item in ("--set", f"{key}={value}")]
    run_module(
        "train", "run", folder / "features", "--out", folder / "run", "--recipe", "yamnet",
        *overrides,
    )  # fmt: skip
    return folder


def _one_caption_each(real_data: Path) -> list[dict[str, str]]:
    names = {path.stem for path in (real_data / "audiocaps" / "clips").iterdir()}
    first: dict[str, dict[str, str]] = {}
    with (real_data / "audiocaps" / "captions" / "test.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            clip = f"{row['youtube_id']}_{row['start_time']}"
            if clip in names:
                first.setdefault(clip, row)
    assert len(first) == 8
    return list(first.values())


def test_training_on_eight_clips_returns_their_captions_word_for_word(memorised, real_data):
    out = memorised / "evaluation"
    run_module(
        "evaluate", "run", memorised / "run", memorised / "features", "--split", "val", "--out", out
    )
    lines = (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    found = {record["clip"]: record["candidate"] for record in map(json.loads, lines)}
    expected = {
        f"{row['youtube_id']}_{row['start_time']}": row["caption"]
        for row in _one_caption_each(real_data)
    }
    assert found == expected
    scores = json.loads((out / "scores.json").read_text())
    assert "bleu_4" in json.dumps(scores)


def test_a_real_clip_has_the_rate_and_length_that_the_dump_tells(extracted, real_data):
    clips, _ = extracted
    for clip in clips.ids:
        info = soundfile.info(real_data / "audiocaps" / clips[clip].path)
        assert clips[clip].duration_s == info.frames / info.samplerate
