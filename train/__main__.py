"""`python -m train …`."""

from features.common.machine import let_threads_sleep

let_threads_sleep()  # read once, when the commands below import torch

from features.common.command import run_app  # noqa: E402
from train.cli import app  # noqa: E402

if __name__ == "__main__":
    run_app(app, "train")
