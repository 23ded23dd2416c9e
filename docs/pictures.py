"""Makes docs/clip.webp and docs/terminal.svg, README's pictures, from a finished `make demo`.

.venv/bin/python docs/pictures.py [DEMO]     seconds; needs Chromium and `make setup-development`
"""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

DOCS = Path(__file__).parent
# As the demo picks a good clip, a middling one and a bad one: by CIDEr-D, of all clips.
SHARES = (0.9, 0.5, 0.1)
SHOWN = 0.5
COLUMNS = 100
VIEW = {"width": 1180, "height": 1010}


def main(demo: Path) -> None:
    """Make both pictures."""
    clips = _clips(demo / "evaluation")
    _terminal(demo, [demo / "dump" / "test" / f"{clip}.wav" for clip in clips.values()])
    _page(demo, clips[SHOWN])
    for name in ("clip.webp", "terminal.svg"):
        print(f"{DOCS / name}: {(DOCS / name).stat().st_size / 1000:.0f} kB")


def _clips(evaluation: Path) -> dict[float, str]:
    with (evaluation / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["cider_d"]))
    return {share: rows[round(share * (len(rows) - 1))]["clip"] for share in SHARES}


def _terminal(demo: Path, sounds: list[Path]) -> None:
    """What two commands print, as a terminal of COLUMNS shows it."""
    width = os.environ | {"COLUMNS": str(COLUMNS)}
    weights = ["--weights", "extract/demo_weights"]
    told = Console(record=True, width=COLUMNS, file=StringIO())
    for words in (
        ["evaluate", "caption", demo / "run", *sounds, *weights],
        ["evaluate", "table", demo / "evaluation"],
    ):
        line = shlex.join(["python", "-m", *map(str, words)])
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            check=True,
            env=width,
            stdout=subprocess.PIPE,
            text=True,
        )
        told.print(Text("$ ", "bold green") + Text(line, "bold"))
        told.print(Text(done.stdout.rstrip() + "\n"))
    # rich's own form fetches a font from elsewhere.
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code", "ui-monospace, Menlo, Consolas")
    picture = told.export_svg(title="tagbart", theme=MONOKAI, code_format=form, unique_id="t")
    (DOCS / "terminal.svg").write_text(picture, encoding="utf-8")


def _page(demo: Path, clip: str) -> None:
    """The top of a clip's page, in light colours."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("no Chromium on this machine: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report, shot = Path(folder, "report"), Path(folder, "clip.png")
        words = ["report", demo / "evaluation", "--out", report]
        words += ["--features", demo / "features", "--audio", demo / "dump"]
        subprocess.run([sys.executable, "-m", "evaluate", *map(str, words)], check=True)
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=VIEW, color_scheme="light")
        page.goto((report / "index.html").as_uri())
        page.get_by_role("link", name=clip, exact=True).first.click()
        page.locator(".caption").first.wait_for()
        page.locator("audio").first.evaluate(  # how long it is
            "audio => new Promise(done => { audio.onloadedmetadata = () => done(1);"
            " audio.preload = 'metadata'; audio.load(); })"
        )
        page.screenshot(path=shot)
        browser.close()
        Image.open(shot).convert("RGB").save(DOCS / "clip.webp", quality=80, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
