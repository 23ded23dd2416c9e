"""`python -m train …`."""

from features.machine import wait_briefly

wait_briefly()  # before torch comes with the commands

from features.console import run_app  # noqa: E402
from train.cli import app  # noqa: E402

if __name__ == "__main__":
    run_app(app, "train")
