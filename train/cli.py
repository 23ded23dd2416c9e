"""`python -m train`: train a recipe, list recipes, describe a run."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.common.console import json_text, new_app, say
from features.common.errors import RunError
from features.common.options import AsJson
from train.recipes.config import TRAIN_TOKENIZER, Recipe

if TYPE_CHECKING:
    from train.run_folder.state import Progress

experiment = partial(typer.Option, rich_help_panel="The experiment")
computing = partial(typer.Option, rich_help_panel="Computing")

_DEFAULT = "yamnet-panns"

app = new_app("Fine-tune BART on cached features.")


@app.command("run")
def run_command(
    features: Annotated[
        list[str],
        typer.Argument(
            metavar="FEATURES …",
            help="Folder with features.json and the splits train and val; or several, extracted "
            "alike, as FOLDER=WEIGHT: how many times an epoch reads each caption, 1 by default.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="RUN", help="Run folder to make, or to go on with.")
    ],
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with what RUN holds, exactly, with its own settings; begin if it holds "
            "nothing. The same command again goes on without it.",
        ),
    ] = False,
    recipe: Annotated[
        str | None,
        experiment(
            metavar="NAME|FILE",
            help="Experiment: a name of python -m train recipes, or a TOML file.",
            show_default=f"{_DEFAULT}, with --resume RUN's own",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        experiment(
            "--set",
            metavar="KEY=VALUE",
            help="A setting over the recipe's; may be repeated. E.g. optim.batch_size=16 (captions "
            "a forward pass, over all processes), optim.grad_accumulation=2 (passes an update), "
            "optim.epochs=4, optim.learning_rate=1e-5, train.seed=1, train.precision=bf16, "
            "train.deterministic=true, train.validate_every=1000 (updates). docs/recipes.md has "
            "all.",
            show_default="the recipe's",
        ),
    ] = None,
    without: Annotated[
        Path | None,
        experiment(
            metavar="IDS",
            help="A file with a clip id a line: these are in no training and no validation. For "
            "clips of one set that another one is tested on.",
            show_default="none",
        ),
    ] = None,
    device: Annotated[
        str | None,
        computing(
            metavar="cpu|cuda",
            help="What the model trains on.",
            show_default="cuda where there is one",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a recipe on a features folder.

    Ctrl-C saves and stops; the same command goes on. Then: python -m evaluate run RUN FEATURES
    --out RUN/test

    Several GPUs: torchrun --standalone --nproc-per-node 4 -m train run … (docs/recipes.md).

    Example: python -m train run features-audiocaps --out runs/first --set train.seed=1
    """
    from train.data.sources import parse_source, read_ids
    from train.model.device import own_device  # torch and transformers: not for --help
    from train.run import Job, train

    wanted, begun = _recipe(out, recipe, settings or [], resume)
    job = Job(
        features=tuple(parse_source(text) for text in features),
        out=out,
        recipe=wanted,
        device=own_device(device),
        resume=resume or begun,
        without=read_ids(without) if without else frozenset(),
    )
    progress = train(job)
    if progress and as_json:
        result = {"run": str(out), "updates": progress.update, "val_loss": progress.best_loss}
        print(json.dumps(result))
    elif progress:
        folder = parse_source(features[0]).folder
        say(
            f"{out}: {progress.update:,} updates in {progress.seconds / 60:.1f} min, "
            f"{_best(progress)} after update {progress.best_update:,}\n"
            f"next: python -m evaluate run {out} {folder} --split test --out {out}/test"
        )


@app.command("recipes")
def recipes_command(
    as_json: AsJson = False,
) -> None:
    """List every recipe with its trainable parameters.

    Example: python -m train recipes --json
    """
    from train.model.pretrained import meta_model
    from train.model.tagbart import trainable_parameters
    from train.recipes.files import load_recipe, recipe_names

    rows: list[dict[str, Any]] = []
    for name in recipe_names():
        recipe = load_recipe(name)
        rows.append(
            {
                "name": name,
                "trainable_parameters": trainable_parameters(meta_model(recipe)),
                "pretrained": recipe.model.pretrained,
                "at_most": recipe.model.tokenizer == TRAIN_TOKENIZER,
                "description": recipe.description,
            }
        )
    if as_json:
        print(json_text(rows))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        # A tokenizer that is learnt may need fewer entries than it may have.
        count = "≤ " * row["at_most"] + f"{row['trainable_parameters']:,}"
        say(f"{row['name']:{width}}  {count:>13}  {row['description']}")


@app.command("card")
def card_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
) -> None:
    """Write RUN/README.md again, the model card, with the scores in RUN/<split>/ by now.

    Example: python -m train card runs/yamnet-panns
    """
    from train.run_folder.card import write_model_card

    write_model_card(run)
    say(str(run / "README.md"))


def _recipe(out: Path, name: str | None, settings: list[str], resume: bool) -> tuple[Recipe, bool]:
    """The recipe asked for, and whether RUN was begun with it: the same command goes on there.

    Raises:
        RunError: if RUN was begun with other settings.
    """
    from train.recipes.files import FILE_NAME, load_recipe, read_resolved

    begun = out / FILE_NAME
    if not begun.is_file():
        return load_recipe(name or _DEFAULT, settings), False
    own = read_resolved(begun)
    if resume and name is None and not settings:
        return own, True
    asked = load_recipe(name or (str(begun) if resume else _DEFAULT), settings)
    if asked != own:
        raise RunError(
            f"{out}: was begun with other settings ({', '.join(_differences(own, asked))}); "
            "go on with it by --resume without --recipe and --set, or name another --out"
        )
    return own, True


def _best(progress: "Progress") -> str:
    if progress.best_cider_d is not None:
        return f"highest CIDEr-D of the sample {100 * progress.best_cider_d:.1f}"
    return f"lowest validation loss {progress.best_loss:.3f}"


def _differences(own: Recipe, asked: Recipe) -> list[str]:
    found = []
    for section, values in asdict(own).items():
        other = asdict(asked)[section]
        if isinstance(values, dict):
            found += [f"{section}.{key}" for key in values if values[key] != other[key]]
        elif values != other:
            found.append(section)
    return found
