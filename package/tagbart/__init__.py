"""Automated audio captioning: BART fine-tuned with AudioSet tags and audio embeddings.

    from tagbart import Captioner
    captioner = Captioner("runs/yamnet-panns")
    captioner("dog.wav").text

`tagbart --help` shows the commands. docs/python.md in the project says more.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tagbart.evaluate.captions import Captioner

__all__ = ["Captioner"]


def __getattr__(name: str) -> Any:
    # Scoring needs no torch: it is imported when a captioner is asked for, not before.
    if name == "Captioner":
        from tagbart.evaluate.captions import Captioner

        return Captioner
    raise AttributeError(f"module 'tagbart' has no attribute {name!r}")
