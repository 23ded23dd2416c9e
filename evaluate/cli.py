"""`python -m evaluate`: every command, each defined beside its own subject.

A command imports what it needs when it runs: `score` must load no torch.
"""

from evaluate.caption_cli import caption_command
from evaluate.dataset_cli import dataset_command
from evaluate.decode_cli import run_command
from evaluate.demo_cli import demo_command
from evaluate.fetch_cli import fetch_command
from evaluate.paper_cli import paper_command
from evaluate.report.cli import report_command
from evaluate.score_cli import score_command
from evaluate.serve_cli import serve_command
from evaluate.tables_cli import human_command, table_command
from features.console import new_app

app = new_app("Captions by beam search, scores, tables.")
app.command("run")(run_command)
app.command("caption")(caption_command)
app.command("score")(score_command)
app.command("human")(human_command)
app.command("table")(table_command)
app.command("paper")(paper_command)
app.command("demo")(demo_command)
app.command("report")(report_command)
app.command("fetch")(fetch_command)
app.command("dataset")(dataset_command)
app.command("serve")(serve_command)
