"""The paper's experiments: recipes with several seeds, trained, captioned, scored, put into tables.

OUT/<recipe>/<seed>/         a run folder (train/run_folder/checkpoint.py)
OUT/<recipe>/<seed>/test/    predictions.jsonl, scores.json, scores.csv
OUT/tables.txt .md .csv      the paper's two tables with all of these beside its own rows

What is finished is not done again, what was interrupted goes on. All predictions are scored at the
end, in one go, since SPICE then parses the references once instead of once per run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluate.captions.options import DecodingOptions
from evaluate.evaluation import EvaluationJob, caption_split, note_scores, origin, score_folders
from evaluate.scores import table
from evaluate.scores.paper import TABLES
from evaluate.scores.results import PREDICTIONS_NAME, is_scored
from evaluate.scores.score import Wanted
from features.common.console import log, say
from features.common.damaged import read_json
from features.common.errors import ConfigError, RunError, TagbartError
from features.common.publish import published
from train.recipes.config import Recipe
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.recipes.files import load_recipe, read_resolved
from train.run import Job, train
from train.run_folder.checkpoint import FINISHED_NAME

SPLIT = "test"
FORMS = {"txt": table.as_text, "md": table.as_markdown, "csv": table.as_csv}


@dataclass(frozen=True, kw_only=True)
class Experiments:
    """What `python -m evaluate paper` was asked for.

    Attributes:
        features: with splits train, val and test.
        out: gets a folder per recipe and seed, and the tables.
        recipes: as `load_recipe` takes them.
        seeds: of every recipe.
        settings: section.key=value, on top of every recipe.
        device: "cpu" or "cuda".
        wanted: the metrics.
    """

    features: Path
    out: Path
    recipes: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: tuple[str, ...] = ()
    device: str = "cpu"
    wanted: Wanted = field(default_factory=Wanted)


def paper_recipes() -> tuple[str, ...]:
    """The recipes that repeat a row of the paper's tables, in the tables' order."""
    rows = [row for each in TABLES for row in each.rows]
    return tuple(dict.fromkeys(row.recipe for row in rows if row.recipe))


def run_experiments(asked: Experiments) -> dict[str, str]:
    """Do every run that is not done yet, score, write the tables and print them as text.

    Returns:
        Why runs failed, by folder; the others are in the tables.

    Raises:
        TagbartError: if the recipes cannot be used, every run failed, or scoring fails.
    """
    runs = list(_runs(asked))
    failed: dict[str, str] = {}
    for number, (path, recipe) in enumerate(runs, start=1):
        log(f"run {number} of {len(runs)}: {recipe.name}, seed {recipe.train.seed}")
        try:
            _train(asked, path, recipe)
            _caption(_evaluation(asked, path))
        except TagbartError as error:
            log(f"{path} failed, going on with the others: {error}")
            failed[str(path)] = str(error)
    done = [path for path, _ in runs if str(path) not in failed]
    if not done:
        raise TagbartError(f"every run failed, the first with: {next(iter(failed.values()))}")
    _score([_evaluation(asked, path) for path in done], asked.wanted)
    _write_tables(asked, done)
    return failed


def _runs(asked: Experiments) -> Iterator[tuple[Path, Recipe]]:
    """Run folders with their recipes, every recipe's first seed before any second."""
    for seed in asked.seeds:
        seen: set[str] = set()
        for name in asked.recipes:
            recipe = load_recipe(name, [*asked.settings, f"train.seed={seed}"])
            if recipe.name in seen:
                raise ConfigError(f"two of the recipes are called {recipe.name!r}; name each once")
            seen.add(recipe.name)
            yield asked.out / recipe.name / str(seed), recipe


def _train(asked: Experiments, path: Path, recipe: Recipe) -> None:
    begun = path / RECIPE_NAME
    if begun.is_file() and read_resolved(begun) != recipe:
        raise RunError(
            f"{begun}: the run was begun with other settings than those asked for now; delete "
            f"{path} or name another --out"
        )
    finished = path / FINISHED_NAME
    if not finished.is_file():
        train(
            Job(features=asked.features, out=path, recipe=recipe, device=asked.device, resume=True)
        )
        return
    learnt_from = read_json(finished, RunError).get("features")
    if Path(str(learnt_from)).resolve() != asked.features.resolve():
        log(
            f"{path}: kept, but it was trained on {learnt_from}, not on {asked.features}; unless "
            "that is the same folder moved, name another --out"
        )


def _evaluation(asked: Experiments, path: Path) -> EvaluationJob:
    return EvaluationJob(
        run=path,
        features=asked.features,
        split=SPLIT,
        out=path / SPLIT,
        device=asked.device,
        options=DecodingOptions(),
        exports=(),
        wanted=asked.wanted,
        as_json=False,
    )


def _caption(evaluation: EvaluationJob) -> None:
    if not (evaluation.out / PREDICTIONS_NAME).is_file() and not caption_split(evaluation):
        raise TagbartError(f"{evaluation.features}: no clip of split {SPLIT} has a caption")


def _score(evaluations: Sequence[EvaluationJob], wanted: Wanted) -> None:
    """Score what has no scores yet."""
    origins = {item.out: origin(item) for item in evaluations if not is_scored(item.out)}
    if origins:
        log(f"scoring the captions of {len(origins)} runs; METEOR takes some 10 s to start")
        score_folders(origins, wanted)
        for folder, made in origins.items():
            note_scores(folder, made)


def _write_tables(asked: Experiments, runs: Sequence[Path]) -> None:
    ours = table.gather([path / SPLIT for path in runs])
    changed = f"\n\nOurs with --set {' '.join(asked.settings)}" if asked.settings else ""
    texts = {form: write(ours) + changed * (form != "csv") for form, write in FORMS.items()}
    for form, text in texts.items():
        with published(asked.out / f"tables.{form}") as draft:
            draft.write_text(text + "\n", encoding="utf-8")
    say(texts["txt"])
