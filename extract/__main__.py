"""`python -m extract …`."""

from extract.cli import app
from features.console import run_app

if __name__ == "__main__":
    run_app(app, "extract")
