"""Imported by the server process that `start_warm` forks from: all that a start would import."""

import torch

import extract.run  # noqa: F401
from extract.networks.panns import SAMPLE_RATE_HZ, panns_models
from extract.sound.resample import resample

torch.set_num_threads(1)
panns_models()
# resampy compiles itself at its first call.
resample(torch.zeros(100), 16_000, SAMPLE_RATE_HZ)
