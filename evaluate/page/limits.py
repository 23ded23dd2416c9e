"""What the page accepts: how large a file, how long a sound."""

import math
from dataclasses import dataclass

from features.common.errors import ConfigError

# A longer sound is listed, with files to take home, and not drawn.
PICTURED_S = 60.0
MB = 1 << 20  # what Gradio means when it says how large a file may be


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the page accepts."""

    max_mb: float
    max_seconds: float

    def __post_init__(self) -> None:
        for name in ("max_mb", "max_seconds"):
            if not 0 < getattr(self, name) < math.inf:  # NaN is not
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is {getattr(self, name)}, expected more than 0")

    @property
    def longest(self) -> str:
        """The longest recording, for people."""
        if self.max_seconds < 3600:
            return f"{self.max_seconds:g} s"
        return f"{self.max_seconds / 3600:g} h"
