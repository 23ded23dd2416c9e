"""Measurements: our way and the published way, side by side in one run."""
