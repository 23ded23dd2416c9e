"""`python -m evaluate`: every command, each defined beside its own subject.

Commands import what they need when they run: `score` must load no torch.
"""

from evaluate.score_cli import score_command
from features.console import new_app

app = new_app("Captions by beam search, scores, tables.")


@app.callback()
def _group() -> None:
    """Captions by beam search, scores, tables."""


app.command("score")(score_command)
