"""`python -m evaluate fetch`."""

from typing import Annotated

import typer

from features.common.console import log
from features.common.errors import ConfigError

PARTS = ("spice", "fense")


def fetch_command(
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Of spice, fense; spice when left out."),
    ] = None,
) -> None:
    """Fetch what further metrics need: CoreNLP's jars for SPICE (384 MB), the weights of FENSE.

    A break is no loss: the same command goes on where it stopped. CoreNLP's jars are taken where
    they lie: in $TAGBART_SPICE_LIB if that is set, else in tagbart/spice in your cache folder, in
    the local Maven repository or in pycocoevalcap. If they are nowhere, Maven (mvn) gets them, and
    without it their makers' archive. `make setup-spice` does the same.

    Example: python -m evaluate fetch
    """
    unknown = [part for part in parts or () if part not in PARTS]
    if unknown:
        raise ConfigError(
            f"nothing to fetch is called {unknown[0]!r}; there are {', '.join(PARTS)}"
        )
    from evaluate.metrics import fense
    from evaluate.metrics.spice.fetch import fetch_corenlp

    for part in parts or ["spice"]:
        if part == "spice":
            log(f"SPICE: CoreNLP's jars are in {fetch_corenlp()}")
        else:
            fense.fetch_fense()
            log(f"FENSE: {fense.missing() or 'package and weights are there'}")
