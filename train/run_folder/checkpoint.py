"""A run folder: the best weights, what they need to be used, and how they came about.

RUN/model.safetensors       weights with the lowest validation loss, or as train.best says
RUN/config.json, generation_config.json, tokenizer.json, tokenizer_config.json
RUN/recipe.toml             every setting
RUN/streams.json            the feature streams that it reads: networks, clocks, tag names
RUN/metrics.jsonl           a line per logged update and validation; RUN/tensorboard/ the same
RUN/captions.jsonl          captions of validation clips and their CIDEr-D, as training went on
RUN/state.safetensors       what resuming needs (state.py); gone when the run is finished
RUN/curves.png, README.md   the losses as a picture; the model card of a finished run
RUN/finished.json           what the run came to
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from features.common.damaged import read_json
from features.common.errors import ConfigError, FormatError, RunError, WeightsError
from features.common.publish import published, told_of, write_json
from features.spec import StreamSpec
from train.data.inputs import InputBuilder
from train.model.config_file import NAME as CONFIG_NAME
from train.model.config_file import read_tagbart_config
from train.model.hub import if_on_a_hub
from train.model.pretrained import check_special_tokens, quiet_transformers, read_tokenizer
from train.model.tagbart import TagBart, freeze_decoder
from train.model.weights_file import fit_weights, read_weights, with_memory
from train.recipes.config import Recipe
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.recipes.files import read_resolved, write_resolved

WEIGHTS_NAME = "model.safetensors"
STREAMS_NAME = "streams.json"
FINISHED_NAME = "finished.json"

# For runs that did not note what their checkpoint says, as far as known.
_DECODING: dict[str, dict[str, Any]] = {
    "facebook/bart-large-cnn": {"max_length": 142, "length_penalty": 2.0},
    "facebook/bart-large-xsum": {"max_length": 62, "length_penalty": 2.0},
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trained captioner, ready to use.

    Attributes:
        path: the run folder.
        model: in evaluation mode.
        tokenizer: of captions and tags.
        recipe: every setting it was trained with.
        streams: the feature streams that it reads, by name, as they were in training.
        task: which of the recipe's inputs.tasks its prompts begin with; "" for the first.
    """

    path: Path
    model: TagBart
    tokenizer: Any
    recipe: Recipe
    streams: dict[str, StreamSpec]
    task: str = ""

    @cached_property
    def builder(self) -> InputBuilder:
        """What turns feature rows into the model's inputs.

        Raises:
            ConfigError: if the run knows no such task.
        """
        builder = InputBuilder.create(self.recipe.inputs, self.streams, self.tokenizer)
        return builder.for_task(self.task)


def load_run(path: Path, device: str = "cpu") -> Run:
    """Load a run folder's best weights.

    Raises:
        RunError: if the folder holds no run, or no weights yet.
    """
    quiet_transformers()
    require_run(path)
    run = open_unfilled(path)
    with _as_run_error(path):
        weights, state = read_weights(path)
        fit_weights(run.model, state, weights, base="")
    run.model.eval().to(device)  # type: ignore[arg-type]  # transformers' wrapper confuses mypy
    return run


def own_decoding(path: Path) -> dict[str, Any]:
    """What the checkpoint that a run began with says of its decoding, by transformers' names.

    Raises:
        RunError: if the folder holds no run.
    """
    _require_files(path, (RECIPE_NAME, "config.json"))
    with _as_run_error(path):
        noted = read_tagbart_config(path).decoding
    return noted or _DECODING.get(read_resolved(path / RECIPE_NAME).model.pretrained, {})


def check_streams(run: Run, streams: dict[str, StreamSpec], where: Path) -> None:
    """Refuse features that are not what the run was trained on.

    Raises:
        FormatError: if a stream is absent, or of another network, filter, width, clock or set of
            classes.
    """
    for name, trained in run.streams.items():
        found = streams.get(name)
        if found is None:
            raise FormatError(
                f"{where}: has no stream {name!r}, which {run.path} reads; it holds {list(streams)}"
            )
        for key in ("kind", "network", "weights_sha256", "resampler", "width", "hop_s", "classes"):
            if getattr(found, key) != getattr(trained, key):
                raise FormatError(
                    f"{where}: stream {name!r} has {key} {_short(getattr(found, key))}, but "
                    f"{run.path} was trained with {_short(getattr(trained, key))}"
                )


def begin_run(run: Run) -> None:
    """Write what a run folder holds besides weights and metrics; the recipe comes last.

    Raises:
        OSError: naming the folder or the file, if the system refuses to write.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    folder = run.path / ".begun.part"
    try:
        with told_of(run.path, folder):
            run.tokenizer.save_pretrained(folder)
            run.model.config.save_pretrained(folder)
            generation_config(run.recipe).save_pretrained(folder)
        for whole in folder.iterdir():
            with published(run.path / whole.name) as draft:
                whole.replace(draft)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    streams = {name: asdict(spec) for name, spec in run.streams.items()}
    write_json(run.path / STREAMS_NAME, streams)
    write_resolved(run.recipe, run.path / RECIPE_NAME)


def reopen_run(path: Path) -> Run:
    """An interrupted run with the model's shape, its weights still to be filled.

    Raises:
        RunError: if the folder holds no run.
    """
    run = open_unfilled(path)
    with_memory(run.model)
    if run.recipe.model.freeze_decoder:
        freeze_decoder(run.model)
    return run


def save_weights(
    model: TagBart, path: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Publish weights and config; a reader sees the old file or the new one, never a part.

    Args:
        model: whose.
        path: the run folder.
        weights: the model's own, tied ones once, as they were when copied; its present ones if
            not given.
    """
    with published(path / WEIGHTS_NAME) as draft:
        folder = draft.with_suffix(".d")
        own = None if weights is None else dict(weights)  # save_pretrained takes entries out
        try:
            model.save_pretrained(folder, max_shard_size="1TB", state_dict=own)
            # It notes what the model computes in; the file is float32 whatever that is.
            model.config.dtype = model.config.bart.dtype = torch.float32
            model.config.save_pretrained(folder)
            (folder / WEIGHTS_NAME).replace(draft)
            # safetensors lets only the owner read; a run folder is there to be shared.
            draft.chmod((path / RECIPE_NAME).stat().st_mode)
            (folder / "config.json").replace(path / "config.json")
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # on a full disk it would take what is left


def generation_config(recipe: Recipe) -> GenerationConfig:
    """Beam search as our default has it, every setting spelled out (paper.md, Decoding)."""
    return GenerationConfig(
        num_beams=4,
        do_sample=False,
        length_penalty=1.0,
        early_stopping=False,
        max_length=recipe.inputs.max_caption_tokens,
        min_length=0,
        no_repeat_ngram_size=0,
        repetition_penalty=1.0,
        forced_bos_token_id=0,
        forced_eos_token_id=2,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
    )


def require_run(path: Path) -> None:
    """Look whether a folder can hold a trained run, at no cost.

    Raises:
        RunError: if it does not exist, or lacks a file.
    """
    _require_files(path, (RECIPE_NAME, STREAMS_NAME, WEIGHTS_NAME, CONFIG_NAME))


def _require_files(path: Path, names: tuple[str, ...]) -> None:
    if not path.is_dir():
        if path.is_file():
            raise RunError(f"{path}: is a file; RUN is the folder that train wrote")
        raise RunError(f"{path}: no such run folder{if_on_a_hub(path)}")
    for name in names:
        if not (path / name).is_file():
            raise RunError(
                f"{path}: found no {name}, so this is no run with trained weights; train one "
                f"with: python -m train run FEATURES --out {path}"
            )


def open_unfilled(path: Path) -> Run:
    """What a run folder holds, the model on the device "meta", without weights.

    Raises:
        RunError: if the folder holds no run, or is damaged.
    """
    _require_files(path, (RECIPE_NAME, STREAMS_NAME, CONFIG_NAME))
    with _as_run_error(path):
        config = read_tagbart_config(path)
        recipe = read_resolved(path / RECIPE_NAME)
        with torch.device("meta"):
            model = TagBart(config)
        model.bart.generation_config = generation_config(recipe)
        tokenizer = read_tokenizer(path, kind=PreTrainedTokenizerFast)
        check_special_tokens(tokenizer, path)
        streams = _read_streams(path / STREAMS_NAME)
        run = Run(path=path, model=model, tokenizer=tokenizer, recipe=recipe, streams=streams)
        _check_parts(run)
        return run


def _check_parts(run: Run) -> None:
    """Refuse a folder whose files do not belong together."""
    config = run.model.config
    try:
        builder = run.builder
    except FormatError as error:
        raise RunError(
            f"{run.path}: {RECIPE_NAME} and {STREAMS_NAME} do not belong together ({error})"
        ) from error
    reads = (bool(run.recipe.inputs.tags), builder.audio_widths)
    if reads != (config.tags, config.audio_widths):
        raise RunError(
            f"{run.path}: config.json says that the model reads tags: {config.tags}, audio of "
            f"width {config.audio_width}; {RECIPE_NAME} and {STREAMS_NAME} say otherwise: {reads}"
        )
    if len(run.tokenizer) - 1 > config.bart.vocab_size:  # <mask> is in no caption
        raise RunError(
            f"{run.path}: its tokenizer has {len(run.tokenizer)} entries, its model "
            f"{config.bart.vocab_size}: they do not belong together"
        )


@contextmanager
def _as_run_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (WeightsError, ConfigError, FormatError) as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise RunError(f"{where}{error}") from error


def _read_streams(path: Path) -> dict[str, StreamSpec]:
    streams = {}
    for name, record in read_json(path, RunError).items():
        try:
            streams[name] = spec = StreamSpec(**{**record, "classes": tuple(record["classes"])})
            for item in fields(spec):
                value, kind = getattr(spec, item.name), cast(type, item.type)
                if item.name != "classes" and not isinstance(value, kind):
                    raise TypeError(f"{item.name} is {value!r}")
        except (TypeError, KeyError, AttributeError, FormatError) as error:
            raise RunError(
                f"{path}: stream {name!r} is not as train wrote it ({error}); get the run folder "
                "again from where it came from"
            ) from error
    return streams


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
