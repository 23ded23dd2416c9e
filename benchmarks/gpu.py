"""What one GPU does on all three roads: `python -m benchmarks gpu`, about six minutes.

It needs no network and no real data: where TAGBART_REAL_DATA names no folder with AudioCaps'
captions, the demo's grammar writes them (benchmarks/gpu_pack.sh packs code, wheels and captions for
such a machine). Each part is a process of its own with a limit of its own, so one that fails costs
only what it had not measured yet. Prints each part's lines, then a table; gpu.json holds every
figure.

    python -m benchmarks gpu
    python -m benchmarks.gpu --out figures.json updates captions     some of them
    python -m benchmarks.gpu --tiny                                  tries it out on a CPU
"""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.gpu_parts import PARTS, prepare
from benchmarks.machine import header
from features.common.command import run_app
from features.common.console import new_app
from features.common.errors import ConfigError
from features.common.publish import write_json
from features.common.version import version_text

LAST_S = 430  # of the whole: no part is begun with less than LEAST_S left
LEAST_S = 25
ROWS = (  # part, figure, what it says, unit
    ("tests", "passed", "tests marked gpu that passed", ""),
    ("updates", "median_ms", "an update of bart-large's shape, batch 8, bf16, median", "ms"),
    ("updates", "fastest_ms", "the same, fastest twentieth", "ms"),
    ("updates", "ready_s", "compiling and recording, once", "s"),
    ("updates", "validation_s", "a validation", "s"),
    ("updates", "saving_s", "a save, while training waits", "s"),
    ("updates", "paper_min", "24,000 updates, all in all", "min"),
    ("plain updates", "median_ms", "an update without compiled layers", "ms"),
    ("optimiser", "in_place_ms", "AdamW and the norm alone, gradients read where they are", "ms"),
    ("optimiser", "copied_ms", "the same, gradients copied first", "ms"),
    ("published", "float32_ms", "an update of the published way, float32", "ms"),
    ("published", "bf16_ms", "the same, bf16", "ms"),
    ("captions", "bf16_s", "957 captions of bart-large's shape, bf16", "s"),
    ("captions", "bf16_first_s", "the same, the first time in a process", "s"),
    ("captions", "bf16_plain_s", "the same without graphs", "s"),
    ("captions", "float32_s", "957 captions in float32", "s"),
    ("captions", "float32_plain_s", "the same without graphs", "s"),
    ("extraction tf32", "clips_per_s", "10 s clips to shards of three streams, tf32", "clips/s"),
    ("extraction tf32", "tail_s", "of it, after the last file was heard", "s"),
    ("extraction bf16", "clips_per_s", "the same, bf16", "clips/s"),
    ("extraction bf16", "tail_s", "of it, after the last file was heard", "s"),
)

app = new_app("All three roads on one GPU.", several=False)


def main() -> None:
    """Every part, as `python -m benchmarks gpu` does it."""
    measure(list(PARTS), Path("gpu.json"), tiny=False)


@app.command()
def command(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(PARTS)}; all when none.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File for the figures.")] = Path("gpu.json"),
    tiny: Annotated[bool, typer.Option(help="Small shapes on a CPU: tries the bench out.")] = False,
    one: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure, print, and write the figures.

    Example: python -m benchmarks.gpu updates captions
    """
    unknown = [part for part in parts or () if part not in PARTS]
    if unknown:
        raise ConfigError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if one is not None:  # in a part's own process
        assert parts is not None
        part = PARTS[parts[0]]
        faulthandler.dump_traceback_later(part.limit_s - 5)  # where it hangs, if it does
        found: dict[str, Any] = {}
        for more in part.run(one, tiny):
            found |= more
            write_json(out, found)
        return
    print(header("gpu"), flush=True)
    measure(parts or list(PARTS), out, tiny=tiny)


def measure(parts: list[str], out: Path, *, tiny: bool) -> None:
    """Run the parts one after the other; the file holds what is known after each.

    Args:
        parts: names out of PARTS.
        out: JSON file, by part: figures, seconds, and what went wrong if something did.
        tiny: small shapes, on a CPU.
    """
    figures: dict[str, Any] = {"versions": version_text(), "date": time.strftime("%Y-%m-%d")}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tagbart-gpu-") as name:
        work = Path(name)
        environment = os.environ | prepare(work, tiny) | {"TAGBART_TRACES": str(out.parent)}
        for part in parts:
            left = LAST_S - (time.monotonic() - begun)
            if left < LEAST_S:
                figures[part] = {"failed": "no time was left"}
            else:
                print(f"\n{part} (after {time.monotonic() - begun:.0f} s)", flush=True)
                limit = min(PARTS[part].limit_s, left)
                figures[part] = _in_own_process(part, work, environment, limit, tiny)
            write_json(out, figures)
    print(f"\n{table(figures)}\n{out}: every figure", flush=True)


def _in_own_process(
    part: str, work: Path, environment: dict[str, str], limit_s: float, tiny: bool
) -> dict[str, Any]:
    """A part's figures, or why there are none; its lines go to stdout as they come."""
    answer, begun = work / "answer.json", time.monotonic()
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu", part, "--one", work, "--out", answer]
    found: dict[str, Any] = {}
    with subprocess.Popen(
        [*map(str, command), *(["--tiny"] if tiny else [])],
        env=environment,
        start_new_session=True,  # so that its own children end with it
    ) as child:
        try:
            code = child.wait(limit_s)
            if code:
                found["failed"] = f"exit code {code}"
        except subprocess.TimeoutExpired:
            found["failed"] = f"took more than {limit_s:.0f} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    if answer.is_file():
        found |= json.loads(answer.read_text(encoding="utf-8"))
    if "failed" in found:
        print(f"  FAILED: {found['failed']}", flush=True)
    return found | {"seconds": round(time.monotonic() - begun, 1)}


def table(figures: dict[str, Any]) -> str:
    """Rows for the README: what was measured, and what could not be."""
    lines = ["| what | measured |", "|---|--:|"]
    for part, figure, what, unit in ROWS:
        of_part = figures.get(part)
        if of_part is None:
            continue
        value = of_part.get(figure)
        shown = of_part.get("failed", "–") if value is None else f"{value:,.4g} {unit}".strip()
        lines.append(f"| {what} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_app(app, "benchmarks.gpu")
