"""What the page accepts: how large a file, how long a sound."""

import math
from dataclasses import dataclass

from features.common.errors import ConfigError

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
