"""`python -m evaluate score`."""

from dataclasses import replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evaluate.scores.cli_options import (
    Cache,
    Clap,
    LongCaptions,
    SpiderMax,
    WithFense,
    WithSpice,
    scored,
)
from features.common.console import json_text, log, say
from features.common.errors import ConfigError
from features.common.options import AsJson
from features.common.publish import EVALUATION, check_writable

if TYPE_CHECKING:
    from evaluate.scores.predictions import PredictionSets
    from evaluate.scores.results import Origin, Scores

Files = Annotated[
    list[Path],
    typer.Argument(metavar="PREDICTIONS …", help="One or more files, same clips in each."),
]
References = Annotated[
    Path | None,
    typer.Option(help="Captions file: the references of candidates that come without."),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder for scores.json and scores.csv; made when absent.")
]


def score_command(
    files: Files,
    out: Out = None,
    references: References = None,
    spice: WithSpice = True,
    fense: WithFense = None,
    spider_max: SpiderMax = True,
    cache: Cache = True,
    long_captions: LongCaptions = False,
    features: Annotated[
        Path | None,
        scored(help="Features of these clips: CLAPScore too, by their stream clap."),
    ] = None,
    split: Annotated[str, scored(help="Split of the features.")] = "test",
    clap: Clap = None,
    as_json: AsJson = False,
) -> None:
    """Score predictions: BLEU-1…4, METEOR, ROUGE-L, CIDEr-D; SPICE, SPIDEr, FENSE where possible.

    A line of a predictions file is {"clip": …, "candidate": …, "references": [… at least one]}.
    With --references (any captions file that extract reads, or COCO annotations) files may be those
    of other systems: COCO results (.json), DCASE's file_name,caption_predicted (.csv), one text a
    line in the references' order (.txt), or ours without references (.jsonl). OUT gets them as
    predictions.jsonl, for `evaluate report`.
    Several files caption the same clips (other seeds, other models) and are scored against the
    same references: each gets its folder OUT/NAME, and OUT/scores.json their mean and standard
    deviation. A folder of `evaluate run` may be OUT for its own predictions.jsonl only, to score
    that again.

    Example: python -m evaluate score runs/a/test/predictions.jsonl --out scores
    """
    from evaluate.metrics.clap import ClapSource, default_folder
    from evaluate.scores import kept
    from evaluate.scores.foreign import read_foreign_sets
    from evaluate.scores.score import Wanted, new_scorer

    if clap and features is None:
        raise ConfigError("--clap scores by the stream of features; name them by --features")
    names = short_names(files)
    if out is not None:
        check_writable(out, EVALUATION)
    record = None if out is None else kept.record(out, names, files)
    sets = read_foreign_sets(files, references) if references else _own_sets(files)
    folders = kept.replaceable(out, names, files) if out and references else []
    wanted = Wanted(
        spice=spice,
        fense=fense,
        cache=cache,
        long_captions=long_captions,
        spider_max=spider_max,
        clap=None
        if features is None
        else ClapSource(
            folder=clap or default_folder(), features=features, split=split, required=True
        ),
    )
    with new_scorer(wanted) as scorer:
        log(f"scoring {len(files)} × {len(sets.clips):,} captions; METEOR takes some 10 s to start")
        scores = scorer.score(sets)
    if folders:
        told = zip(scores, kept.keep(sets, folders), strict=True)
        scores = [replace(item, predictions_sha256=sha256) for item, sha256 in told]
    named = dict(zip(names, scores, strict=True))
    paths = dict(zip(names, map(str, files), strict=True))
    if out is not None:
        _write(out, named, paths, record)
    if as_json:
        print(json_text(_as_json(named, paths)))
    else:
        say(score_table(named))


def score_table(named: "dict[str, Scores]") -> str:
    """Scores × 100 with their intervals, a file per row; what is not available stands below.

    Args:
        named: scores by the name to print; several get their mean and standard deviation.
    """
    from evaluate.scores.layout import aligned, percent, span, terminal_width
    from evaluate.scores.results import METRICS, mean_and_std

    first = next(iter(named.values()))
    columns = [name for name in METRICS if any(name in item.corpus for item in named.values())]
    rows = [["", *(METRICS[name] for name in columns)]]
    for label, scores in named.items():
        rows.append([label, *(percent(scores.corpus.get(name, nan)) for name in columns)])
        bounds = [scores.intervals.get(name, (nan, nan)) for name in columns]
        rows.append(["  95 %", *map(span, bounds)])
    if len(named) > 1:
        mean, std = mean_and_std([scores.corpus for scores in named.values()])
        rows.append(["mean", *(percent(mean.get(name, nan)) for name in columns)])
        rows.append(["std", *(percent(std.get(name, nan)) for name in columns)])
    size = f"{len(first.clips):,} clips, scores × 100"
    worded = wording_table(named)
    parts = [size, aligned(rows, terminal_width()), *not_available(named)]
    return "\n".join([*parts, *(["", worded] if worded else [])])


def wording_table(named: "dict[str, Scores]") -> str:
    """Vocabulary, diversity and length with their intervals, and those of the references; "" where
    they are not known.

    Args:
        named: scores by the name to print.
    """
    from evaluate.metrics.wording import intervals
    from evaluate.scores.layout import aligned, terminal_width

    known = {label: scores for label, scores in named.items() if scores.wording}
    if not known:
        return ""
    shares = [f"{kind}_div{order}" for kind in ("corpus", "sents") for order in (1, 2, 3)]
    columns = ["vocab_len", "new_words", "sent_len", *shares]
    orders = ("distinct-1", "-2", "-3")
    rows = [["", "words", "in no reference", "words each", *orders, *(f"own {o}" for o in orders)]]

    def cell(name: str, value: float) -> str:
        if "_div" in name:
            return f"{100 * value:.1f}"
        return f"{value:.1f}" if "sent" in name else f"{value:,.0f}"

    for label, scores in known.items():
        rows.append([label, *(cell(name, scores.wording[name]) for name in columns)])
        bounds = intervals(scores.wording, scores.wording_without)
        spans = [
            f"{cell(name, low)}–{cell(name, high)}" if name in bounds else ""
            for name in columns
            for low, high in [bounds.get(name, (nan, nan))]
        ]
        rows.append(["  95 %", *spans])
    theirs = next(iter(known.values())).wording
    cells = ["–" if name == "new_words" else cell(name, theirs[f"ref_{name}"]) for name in columns]
    rows.append(["references", *cells])
    return "\n".join(["How captions are worded", aligned(rows, terminal_width())])


def not_available(named: "dict[str, Scores]") -> list[str]:
    """A line per metric that one or more lack, with why; a file is named where only it lacks it."""
    from evaluate.scores.results import METRICS

    lines: dict[str, list[str]] = {}
    for label, scores in named.items():
        for name, reason in scores.not_available.items():
            lines.setdefault(f"{METRICS[name]}: not available ({reason})", []).append(label)
    return [
        line if len(labels) == len(named) else f"{', '.join(labels)}: {line}"
        for line, labels in lines.items()
    ]


def short_names(files: list[Path]) -> list[str]:
    """The shortest tails of the paths, without suffix, that tell the files apart."""
    parts = [file.resolve().with_suffix("").parts for file in files]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]).strip("/") for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{names[index]}-{index + 1}" for index in range(len(names))]


def _own_sets(files: list[Path]) -> "PredictionSets":
    from evaluate.scores.predictions import PredictionsError, read_sets

    try:
        return read_sets(files)
    except PredictionsError as error:
        if all(file.suffix.lower() in (".jsonl", ".ndjson") for file in files):
            raise
        raise PredictionsError(f"{error}; captions of other systems need --references") from error


def _write(
    out: Path, named: "dict[str, Scores]", paths: dict[str, str], record: "Origin | None"
) -> None:
    from evaluate.scores.kept import folders_of
    from evaluate.scores.results import JSON_NAME, write_results
    from features.common.publish import write_json

    for folder, (name, scores) in zip(folders_of(out, named), named.items(), strict=True):
        write_results(folder, scores, predictions=paths[name], evaluation=record)
    if len(named) > 1:
        write_json(out / JSON_NAME, _as_json(named, paths))


def _as_json(named: "dict[str, Scores]", paths: dict[str, str]) -> dict[str, Any]:
    from evaluate.scores.results import as_result, summary_to_json, to_json

    results = {name: as_result(scores, paths[name]) for name, scores in named.items()}
    if len(results) == 1:
        return to_json(next(iter(results.values())))
    return summary_to_json(results)
