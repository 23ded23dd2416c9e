"""`python -m train …`."""

from features.console import run_app
from train.cli import app

if __name__ == "__main__":
    run_app(app, "train")
