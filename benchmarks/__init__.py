"""Measurements: our way and the published way, side by side in one run."""

from features.common.machine import let_threads_sleep

let_threads_sleep()  # both ways, as our commands do
