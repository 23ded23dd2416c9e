"""A run to go on from: model.pretrained names a run folder instead of a BART."""

import json
from pathlib import Path

from features.common.console import log
from features.common.errors import ConfigError, RunError
from features.spec import StreamSpec
from train.recipes.config import Recipe
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.run_folder.checkpoint import STREAMS_NAME, check_streams, open_unfilled


def check_earlier(recipe: Recipe, streams: dict[str, StreamSpec], features: Path) -> None:
    """If a recipe goes on from a run, refuse what does not belong to that run; else nothing.

    Args:
        recipe: whose model.pretrained may be a run folder. Its best weights, dense layer and
            tokenizer are taken, its state is not.
        streams: of the features.
        features: where they are, for messages.

    Raises:
        ConfigError: if the folder holds no whole run, or the recipe reads other streams.
        FormatError: if the features are not what that run was trained on.
    """
    name = recipe.model.pretrained
    folder = Path(name)
    if not any((folder / file).is_file() for file in (RECIPE_NAME, STREAMS_NAME)):
        return
    try:
        run = open_unfilled(folder)
    except RunError as error:
        raise ConfigError(f"model.pretrained: {error}") from error
    for key in ("tags", "audio"):
        own, asked = getattr(run.recipe.inputs, key), getattr(recipe.inputs, key)
        if own != asked:
            raise ConfigError(
                f"model.pretrained: {name} reads inputs.{key} = {own!r}, the recipe says "
                f"{asked!r}: --set 'inputs.{key}={json.dumps(own)}'"
            )
    check_streams(run, streams, features)
    log(f"going on from the weights of {name}, with its tokenizer; AdamW begins anew")
