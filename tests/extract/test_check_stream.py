"""`check-stream` finds a stream that breaks what extraction and training rely on."""

from dataclasses import replace

import pytest
import torch

from extract import check_stream as checking
from extract.check_stream import failed
from extract.streams import load_encoders


class Spoilt:
    """A sound encoder, its rows changed on their way out."""

    def __init__(self, encoder, change, **spec):
        self.inner, self.change = encoder, change
        self.spec = replace(encoder.spec, **spec)

    def encode(self, waveforms):
        return self.change(self.inner.encode(waveforms))


def together(rows):
    """Every clip hears its neighbours."""
    mean = torch.cat(rows).mean(dim=0)
    return [part + mean for part in rows]


@pytest.fixture(scope="module")
def encoder(tiny_weights):
    return load_encoders(["vggish"], tiny_weights)["vggish"]


def broken(monkeypatch, encoder):
    monkeypatch.setattr(checking, "load_encoders", lambda *args, **named: {"it": encoder})
    monkeypatch.setattr(checking, "LONG_S", 20.0)
    return [
        check.name for check in checking.check_stream("it", None, device="cpu") if not check.kept
    ]


def test_a_sound_stream_keeps_every_promise(monkeypatch, encoder):
    assert broken(monkeypatch, encoder) == []


@pytest.mark.parametrize(
    ("change", "spec", "promise"),
    [
        (together, {}, "a clip's rows do not depend on the clips beside it"),
        (lambda rows: rows, {"hop_s": 0.48, "window_s": 0.48}, "there is a row each 0.48 s"),
        (lambda rows: [part * float("nan") for part in rows], {}, "silence has finite rows"),
        (lambda rows: [part[:, :3] for part in rows], {}, "rows are [T, D] of finite float32"),
        (lambda rows: [part[:12] for part in rows], {}, "a long clip has rows to its end"),
    ],
)
def test_a_broken_promise_is_named(monkeypatch, encoder, change, spec, promise):
    assert promise in broken(monkeypatch, Spoilt(encoder, change, **spec))


def test_the_command_ends_with_what_is_broken(monkeypatch, encoder):
    monkeypatch.setattr(
        checking, "load_encoders", lambda *a, **n: {"it": Spoilt(encoder, together)}
    )
    monkeypatch.setattr(checking, "LONG_S", 20.0)
    told = failed(checking.check_stream("it", None, device="cpu"))
    assert "1 of 7 promises are not kept" in str(told)
