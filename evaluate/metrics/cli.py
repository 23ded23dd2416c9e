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

    A break is no loss: the same command goes on where it stopped. CoreNLP's jars go to
    $TAGBART_SPICE_LIB, or to tagbart/spice in the user's cache folder.

    Example: python -m evaluate fetch
    """
    from evaluate.metrics import fense, spice_jars
    from evaluate.metrics.fetch import fetch_corenlp, fetch_fense

    for part in parts or [Part.spice]:
        if part is Part.spice:
            if spice_jars.missing():
                fetch_corenlp(spice_jars.corenlp_folder())
            log(f"SPICE: CoreNLP's jars are in {spice_jars.folder_in_use()}")
        else:
            fetch_fense()
            log(f"FENSE: {fense.missing() or 'package and weights are there'}")
