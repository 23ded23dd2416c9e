"""Measurements: our way and the published way, side by side in one run."""

from features.machine import wait_briefly

wait_briefly()  # both ways, as our commands do
