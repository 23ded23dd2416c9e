"""`train.tracker = "wandb"`: numbers and captions through Weights & Biases' own library, too."""

import importlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.common.errors import ConfigError
from train.recipes.config import SECTIONS, WANDB, Recipe
from train.run_folder.samples import Sample

PROJECT = "tagbart"


def require_tracker(recipe: Recipe) -> None:
    """Refuse a recipe whose tracker is not installed.

    Raises:
        ConfigError: saying how to get it.
    """
    if recipe.train.tracker != WANDB:
        return
    try:
        found = hasattr(importlib.import_module(WANDB), "init")  # a folder of that name has none
    except ImportError:
        found = False
    if not found:
        raise ConfigError(
            f'train.tracker is "{WANDB}", which is not installed here; add it with '
            "`make setup-wandb`, or leave the setting out: TensorBoard's files are always written"
        )


class Wandb:
    """One run of theirs for one run of ours; a run that goes on is the same one there.

    Offline unless WANDB_MODE says otherwise: RUN/wandb holds what `wandb sync` sends.
    """

    def __init__(self, run: Path, recipe: Recipe) -> None:
        """Begin, or go on, with the recipe as its configuration."""
        os.environ.setdefault("WANDB_SILENT", "true")
        os.environ.setdefault("WANDB_CONSOLE", "off")  # our bar is our own
        library = importlib.import_module(WANDB)
        settings = {section: asdict(getattr(recipe, section)) for section in SECTIONS}
        self._table = library.Table
        self._run = library.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=f"{recipe.name}, seed {recipe.train.seed}",
            group=recipe.name,
            id=_own_id(run),
            resume="allow",
            dir=str(run),
            config={"recipe": recipe.name, **settings},
            mode=os.environ.get("WANDB_MODE", "offline"),
        )
        # Captions come later than numbers of later updates; their own count of steps only grows.
        self._run.define_metric("*", step_metric="update")

    def write(self, update: int, values: dict[str, Any]) -> None:
        """Numbers after an update."""
        self._run.log({"update": update, **values})

    def sample(self, sample: Sample) -> None:
        """Captions after an update, as a table."""
        rows = [[said.name, said.caption, " | ".join(said.references)] for said in sample.captions]
        columns = ["clip", "caption", "references"]
        self.write(sample.update, {"captions": self._table(columns=columns, data=rows)})

    def finish(self, values: dict[str, float]) -> None:
        """The final metrics of a run that came to its end."""
        self._run.summary.update(values)

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()


def _own_id(run: Path) -> str:
    """The name of their run, kept in ours."""
    note = run / "wandb.id"
    if not note.is_file():
        note.write_text(os.urandom(6).hex() + "\n", encoding="utf-8")
    return note.read_text(encoding="utf-8").strip()
