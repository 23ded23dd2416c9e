"""A trained run and features, or sound, come in; captions by beam search go out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluate.captions.captioner import Captioner

__all__ = ["Captioner"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: the commands that import this room's options need no torch.
    if name == "Captioner":
        from evaluate.captions.captioner import Captioner

        return Captioner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
