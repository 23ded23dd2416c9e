"""Options that every command which scores shares: the metrics that need more than `make setup`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

scored = partial(typer.Option, rich_help_panel="Metrics")
WithSpice = Annotated[bool, scored("--spice/--no-spice", help="SPICE and SPIDEr too: minutes.")]
Cache = Annotated[
    bool,
    scored("--cache/--no-cache", help="Keep SPICE's parses on disk, use those that are there."),
]
WithFense = Annotated[
    bool | None,
    scored(
        "--fense/--no-fense",
        help="FENSE, its similarity and error rate, SPIDEr-FL; --fense insists on them.",
        show_default="where they are there",
    ),
]
SpiderMax = Annotated[
    bool,
    scored("--spider-max/--no-spider-max", help="SPIDEr-max, where clips have n-best lists."),
]
LongCaptions = Annotated[
    bool,
    scored("--long-captions", help="SPICE for captions of more than 200 words too: minutes each."),
]
Clap = Annotated[
    Path | None,
    scored(
        help="Folder of the CLAP that made the features' stream; its text tower is used.",
        show_default="weights/clap",
    ),
]
