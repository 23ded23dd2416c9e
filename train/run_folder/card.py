"""RUN/README.md: a model card in the layout of Hugging Face, from what the run folder holds.

Everything in it is read from the folder's own files; what they do not say, the card says is
unknown. `python -m train card RUN` writes it again, for instance after scoring.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.common.checksum import sha256_of
from features.common.damaged import read_json
from features.common.errors import RunError
from features.common.publish import published, write_json
from features.spec import heard_test_clips
from train.recipes.config import CIDER_D, NO_PRETRAINED, SECTIONS, Recipe
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.recipes.files import read_resolved
from train.run_folder.checkpoint import FINISHED_NAME, STREAMS_NAME
from train.run_folder.curves import NAME as CURVES_NAME

NAME = "README.md"
EVALUATIONS_NAME = "evaluations.json"


def write_model_card(run: Path) -> None:
    """Publish a finished run's model card.

    Raises:
        RunError: if the folder holds no finished run, or its files are damaged.
    """
    if not (run / FINISHED_NAME).is_file():
        raise RunError(
            f"{run}: found no {FINISHED_NAME}, so there is no finished run to describe; go on with "
            f"it by: python -m train run FEATURES --out {run} --resume"
        )
    recipe = read_resolved(run / RECIPE_NAME)
    finished = read_json(run / FINISHED_NAME, RunError)
    streams = read_json(run / STREAMS_NAME, RunError)
    try:
        parts = [
            _header(recipe),
            f"# {recipe.name}\n\n{recipe.description or 'No description in the recipe.'}\n\n"
            "Automated audio captioning: BART fine-tuned on AudioSet tags and audio embeddings, "
            "after Gontier, Serizel and Cerisara (DCASE 2021). Trained with tagbart.",
            _use(run, recipe),
            _training(run, recipe, finished),
            _features(streams),
            _scores(run, finished["features"]),
            _unknown(recipe),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{run}: {FINISHED_NAME}, {STREAMS_NAME} or {EVALUATIONS_NAME} is not as train writes "
            f"it ({error}); get the run folder again from where it came from"
        ) from error
    with published(run / NAME) as draft:
        draft.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _header(recipe: Recipe) -> str:
    """The YAML that a model hub reads; strings as JSON, which is YAML, too."""
    lines = ["library_name: tagbart", "tags:"]
    lines += [f"- {tag}" for tag in ("audio", "audio-captioning", "bart", "safetensors")]
    name = recipe.model.pretrained
    if name != NO_PRETRAINED and not Path(name).exists():
        lines.append(f"base_model: {json.dumps(name)}")
    return "\n".join(["---", *lines, "---"])


def _use(run: Path, recipe: Recipe) -> str:
    streams = " and ".join(recipe.inputs.streams)
    first, *others = recipe.inputs.tasks or ("",)
    wording = f" It speaks in the wording of {first}; `--task` has: {', '.join(others)}."
    return (
        "## Use\n\nIn tagbart's folder, with the weights of the networks below in its weights "
        f"folder:\n\n```sh\npython -m evaluate caption {run} clip.wav{_weights(run)}\n```\n\n"
        f"The captioner reads what {streams} made of a clip; their networks and checksums must be "
        f"those below, which the command checks.{wording if others else ''} In Python, "
        "`evaluate.captions.Captioner` says the same of files and samples (docs/python.md), and "
        "`train.model.tagbart.TagBart.from_pretrained` opens the weights alone."
    )


def _training(run: Path, recipe: Recipe, finished: dict[str, Any]) -> str:
    rows = [
        ("features", f"`{finished['features']}`, split `train`"),
        ("clips, captions", f"{finished['clips']:,}, {finished['captions']:,}"),
        ("trainable parameters", f"{finished['trainable_parameters']:,}"),
        ("updates", f"{finished['update']:,} ({finished['epochs']:.3g} epochs)"),
        *_best(recipe, finished),
        ("time", f"{finished['seconds'] / 3600:.2f} h"),
        ("seed, precision", f"{recipe.train.seed}, {recipe.train.precision}"),
    ]
    text = "## Training\n\n" + _table(("", ""), rows)
    if (run / CURVES_NAME).is_file():
        text += f"\n\n![Losses]({CURVES_NAME})"
    changed = _changed(recipe)
    text += f"\n\nSettings that differ from the defaults (all are in `{RECIPE_NAME}`):\n\n"
    return text + (_table(("setting", "value", "default"), changed) if changed else "none.")


def _best(recipe: Recipe, finished: dict[str, Any]) -> list[tuple[str, str]]:
    loss, score = f"{finished['best_loss']:.4f} nats per label", finished.get("best_cider_d")
    rows = [("lowest validation loss", loss)]
    if recipe.train.best == CIDER_D:
        clips = f"{recipe.train.sample_clips:,} validation clips at most"
        found = "unknown" if score is None else f"{100 * score:.1f}"
        rows = [(f"highest CIDEr-D × 100, of {clips}", found), ("validation loss", loss)]
    return [*rows, ("of these weights", f"after update {finished['best_update']:,}")]


def _changed(recipe: Recipe) -> list[tuple[str, str, str]]:
    """Settings that are not as train/recipes/config.py has them: name, value, default."""
    rows = []
    for section in SECTIONS:
        own, usual = asdict(getattr(recipe, section)), asdict(getattr(Recipe(), section))
        rows += [
            (f"{section}.{key}", f"`{json.dumps(value)}`", f"`{json.dumps(usual[key])}`")
            for key, value in own.items()
            if value != usual[key]
        ]
    return rows


def _features(streams: dict[str, Any]) -> str:
    heading = ("stream", "network", "weights' SHA-256", "input", "window, hop", "width",
               "resampler", "precision, stored as")  # fmt: skip
    rows = [
        (
            name,
            stream["network"],
            f"`{stream['weights_sha256']}`",
            f"{stream['sample_rate_hz']} Hz",
            f"{stream['window_s']:g} s, {stream['hop_s']:g} s",
            str(stream["width"]),
            stream["resampler"],
            f"{stream['precision']}, {stream['dtype']}",
        )
        for name, stream in streams.items()
    ]
    heard = heard_test_clips(streams.values())
    return (
        f"## Features\n\n{_table(heading, rows)}\n\n"
        f"Networks have heard the test clips (AudioCaps'): {heard}."
    )


def _scores(run: Path, features: str) -> str:
    """Scores of every evaluation in the run folder, or noted there, fractions × 100."""
    parts = ["## Scores"]
    for folder in evaluations(run):
        path = folder / "scores.json"
        try:
            parts.append(_scores_of(folder, read_json(path, RunError)))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise RunError(
                f"{path}: a record is missing or wrong ({error}); score again"
            ) from error
    if len(parts) == 1:
        features = features if Path(features).is_dir() else "FEATURES"  # of several folders
        parts.append(
            f"Unknown: not measured yet. `python -m evaluate run {run} {features} --split test "
            f"--out {run}/test` measures them, and writes them here."
        )
    return "\n\n".join(parts)


def _scores_of(folder: Path, scores: dict[str, Any]) -> str:
    """One evaluation's scores, if they are those of the captions beside them."""
    predictions, scored = folder / "predictions.jsonl", scores.get("sha256", {}).get("predictions")
    if scored and predictions.is_file() and sha256_of(predictions) != scored:
        return f"`{folder.name}`: unknown, since its captions changed after they were scored."
    rows = [
        (name, f"{100 * value:.1f}", _interval(scores["intervals"].get(name)))
        for name, value in scores["corpus"].items()
    ]
    rows += [(name, "–", f"not measured: {why}") for name, why in
             scores["not_available"].items()]  # fmt: skip
    return (
        f"`{folder.name}`, {scores['clips']:,} clips, × 100, with 95 % intervals over "
        "clips:\n\n" + _table(("metric", "score", "interval"), rows) + _listening(folder, scored)
    )


def _listening(folder: Path, scored: str | None) -> str:
    """A line of the listen-check of the captions that were scored; "" where there is none."""
    path = folder / "listen-check.json"
    check = read_json(path, RunError) if path.is_file() else {}
    if not scored or check.get("sha256", {}).get("predictions") != scored:
        return ""
    metric = "spider" if "spider" in check["own"]["corpus"] else "cider_d"
    values = [f"as it is {100 * check['own']['corpus'][metric]:.1f}"]
    values += [
        f"{item['audio']} {100 * item['corpus'][metric]:.1f} "
        f"({_interval(item['intervals'][metric])})"
        for item in check["conditions"].values()
    ]
    return f"\n\nDoes it listen? {metric} with other audio: {', '.join(values)}."


def evaluations(run: Path) -> list[Path]:
    """Folders with a run's scores: those in the run folder, then those that it notes."""
    inside = sorted(path.parent for path in run.glob("*/scores.json"))
    noted = run / EVALUATIONS_NAME
    elsewhere = (
        [run / name for name in read_json(noted, RunError)["folders"]] if noted.is_file() else []
    )
    return [*inside, *(folder for folder in elsewhere if (folder / "scores.json").is_file())]


def note_evaluation(run: Path, folder: Path) -> None:
    """Keep in the run folder where scores of it are, so that its card lists them, too."""
    if folder.resolve().parent == run.resolve():
        return
    noted = run / EVALUATIONS_NAME
    known = read_json(noted, RunError)["folders"] if noted.is_file() else []
    name = os.path.relpath(folder.resolve(), run.resolve())
    write_json(noted, {"folders": list(dict.fromkeys([*known, name]))})


def _weights(run: Path) -> str:
    """The option that names the demo's weights, where a run listens with its networks."""
    networks = [stream["network"] for stream in read_json(run / STREAMS_NAME, RunError).values()]
    return " --weights extract/demo_weights" if any(" demo " in name for name in networks) else ""


def _interval(bounds: list[float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"


def _unknown(recipe: Recipe) -> str:
    lines = [
        "the data set's name, version, language and licence: features do not carry them;",
        "a licence for these weights: it depends on the data's, the networks' and, where there "
        "was one, the base model's;",
        "how the captions hold up on sounds unlike the training clips.",
    ]
    name = recipe.model.pretrained
    if name != NO_PRETRAINED and Path(name).exists():
        lines.append(f"where the base model or earlier run in `{name}` came from.")
    return "## Not known to tagbart\n\n" + "\n".join(f"- {line}" for line in lines)


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
