"""`python -m features …`."""

from features.cli import app
from features.common.command import run_app

if __name__ == "__main__":
    run_app(app, "features")
