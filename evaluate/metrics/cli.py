"""`python -m evaluate fetch`."""

from enum import StrEnum
from typing import Annotated

import typer

from features.common.console import log


class Part(StrEnum):
    """What can be fetched."""

    spice = "spice"
    fense = "fense"


def fetch_command(
    parts: Annotated[
        list[Part] | None, typer.Argument(metavar="[spice] [fense]", help="SPICE's when left out.")
    ] = None,
) -> None:
    """Fetch what further metrics need: CoreNLP's jars for SPICE (384 MB), the weights of FENSE.

    A break is no loss: the same command goes on where it stopped. CoreNLP's jars are taken where
    they lie: in $TAGBART_SPICE_LIB if that is set, else in tagbart/spice in your cache folder, in
    the local Maven repository or in pycocoevalcap. If they are nowhere, Maven (mvn) gets them, and
    without it their makers' archive. `make setup-spice` does the same.

    Example: python -m evaluate fetch
    """
    from evaluate.metrics import fense
    from evaluate.metrics.fetch import fetch_fense
    from evaluate.metrics.spice.fetch import fetch_corenlp

    for part in parts or [Part.spice]:
        if part is Part.spice:
            log(f"SPICE: CoreNLP's jars are in {fetch_corenlp()}")
        else:
            fetch_fense()
            log(f"FENSE: {fense.missing() or 'package and weights are there'}")
