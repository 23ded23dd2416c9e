"""`python -m evaluate …`."""

from evaluate.cli import app
from features.console import run_app

if __name__ == "__main__":
    run_app(app, "evaluate")
