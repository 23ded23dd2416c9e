"""`python -m evaluate`: every command, each defined beside its own subject.

A command imports what it needs when it runs: `score` must load no torch.
"""

from evaluate.captions.cli import caption_command
from evaluate.choose_weight_cli import choose_weight_command
from evaluate.demo_cli import demo_command
from evaluate.metrics.cli import fetch_command
from evaluate.page.cli import serve_command
from evaluate.paper_cli import paper_command
from evaluate.report.cli import report_command
from evaluate.report.dataset_cli import dataset_command
from evaluate.run_cli import run_command
from evaluate.sample_cli import sample_command
from evaluate.scores.cli import score_command
from evaluate.scores.tables_cli import human_command, table_command
from features.common.console import new_app

app = new_app("Stage three: captions by beam search, their scores, and pages to look at.")
for _name, _command, _panel in (
    ("run", run_command, "Captions"),
    ("caption", caption_command, "Captions"),
    ("sample", sample_command, "Captions"),
    ("score", score_command, "Scores"),
    ("human", human_command, "Scores"),
    ("table", table_command, "Scores"),
    ("choose-weight", choose_weight_command, "Scores"),
    ("paper", paper_command, "Scores"),
    ("report", report_command, "To look at"),
    ("dataset", dataset_command, "To look at"),
    ("serve", serve_command, "To look at"),
    ("demo", demo_command, "To begin with"),
    ("fetch", fetch_command, "To begin with"),
):
    app.command(_name, rich_help_panel=_panel)(_command)
