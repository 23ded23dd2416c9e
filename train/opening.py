"""What a run begins or goes on with: checks, features, the run folder, tokenizer and model."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from features.common.errors import ConfigError, FormatError, RunError
from features.common.locks import locked
from features.common.publish import RUN, check_writable
from features.reader import Features
from features.spec import EMBEDDING, TAG_LOGITS, Index, StreamSpec
from features.verify import verify
from train.data.prompts import clean_name
from train.data.sources import Source, check_alike
from train.data.split import caption_texts
from train.distributed import Processes
from train.model.pretrained import build_model, load_tokenizer, train_tokenizer
from train.recipes.config import ALWAYS, TRAIN_TOKENIZER, Recipe
from train.recipes.files import FILE_NAME as RECIPE_NAME
from train.run_folder.checkpoint import (
    FINISHED_NAME,
    WEIGHTS_NAME,
    Run,
    begin_run,
    check_streams,
    reopen_run,
)
from train.run_folder.earlier import check_earlier
from train.run_folder.metrics import read_metrics
from train.run_folder.state import NAME as STATE_NAME
from train.run_folder.state import has_state

SPLITS = ("train", "val")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What `python -m train run` was asked to do.

    Attributes:
        features: the features folder, with splits train and val; or several, the split val in one
            of them at least.
        out: the run folder.
        recipe: every setting.
        device: "cpu" or "cuda".
        resume: go on with what the run folder holds, if it holds anything.
        without: ids of clips to leave out of training and validation.
    """

    features: Path | Sequence[Source]
    out: Path
    recipe: Recipe
    device: str = "cpu"
    resume: bool = False
    without: frozenset[str] = frozenset()

    @property
    def sources(self) -> tuple[Source, ...]:
        """The features folders with their weights."""
        if isinstance(self.features, Path):
            return (Source(folder=self.features),)
        return tuple(self.features)

    @property
    def learns_from(self) -> str:
        """The features folders as the command names them."""
        return " ".join(map(str, self.sources))


def begin_or_reopen(
    job: Job, processes: Processes, lock: ExitStack
) -> tuple[dict[str, list[Features]], Run]:
    """The features and the run, a new one or one to go on with.

    The first process checks, and makes the run folder; the others find it.

    Args:
        job: what was asked for.
        processes: this process among those of the run.
        lock: gets what keeps other commands out of the run folder until it is closed.

    Returns:
        Both splits by name, of each folder that has it; the run, its weights still to be filled
        if it was begun before.

    Raises:
        RunError: if the run folder cannot be used so.
        FormatError: if the features are damaged, lack a split or stream, or are not the run's.
        ConfigError: if the recipe's weights or tokenizer cannot be had, or so many processes
            cannot do what it asks.
    """
    if processes.first:
        _check_start(job, processes.world)
    splits = _open_splits(job, compare=processes.first)
    begun = (job.out / RECIPE_NAME).is_file()
    if begun:
        run = reopen_run(job.out)
        for features in chain(*splits.values()):
            check_streams(run, features.streams, features.root)
    # A run that was stopped before anything of it was saved begins anew. Other processes than the
    # first take the weights from it.
    new = not begun or (processes.first and not has_state(job.out))
    if new:
        torch.manual_seed(job.recipe.train.seed)
        run = _new_run(job, splits["train"][0])
    if processes.first:
        # Only now, so that what cannot begin leaves no folder behind.
        lock.enter_context(_only_process(job.out))
        if not begun and (job.out / RECIPE_NAME).is_file():
            raise RunError(
                f"{job.out}: another command began a run here meanwhile; name another --out"
            )
        if new:
            begin_run(run)
    return splits, run


@contextmanager
def _only_process(out: Path) -> Iterator[None]:
    """Keep a second command out of a run folder; the kernel frees the lock however we end.

    Raises:
        RunError: if another one holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a") as file:
        if not locked(file, out):
            raise RunError(f"{out}: another process is training this run; wait for it")
        yield


def _check_start(job: Job, world: int) -> None:
    """Refuse what so many processes cannot do, and a run folder that is not free."""
    check_writable(job.out, RUN)
    recipe = job.recipe
    if recipe.optim.batch_size < world:
        raise ConfigError(
            f"optim.batch_size is {recipe.optim.batch_size}, over all processes together, "
            f"but torchrun started {world}: raise it, or start fewer"
        )
    if world > 1 and recipe.train.cuda_graphs == ALWAYS:
        raise ConfigError("train.cuda_graphs is for one process; torchrun started several")
    if world > 1 and (recipe.bart.encoder_layerdrop or recipe.bart.decoder_layerdrop):
        raise ConfigError(
            "bart.encoder_layerdrop and bart.decoder_layerdrop must be 0 with several "
            "processes, whose gradients would no longer belong to the same layers"
        )
    if (job.out / FINISHED_NAME).is_file():
        raise RunError(f"{job.out}: holds a finished run; name another --out to train again")
    if (job.out / RECIPE_NAME).is_file() and not job.resume:
        raise RunError(
            f"{job.out}: already holds a run; go on with it by --resume, or name another --out"
        )
    tasks = recipe.inputs.tasks
    if tasks and len(tasks) != len(job.sources):
        raise ConfigError(
            f"inputs.tasks names {len(tasks)} ({', '.join(tasks)}), expected one for each features "
            f"folder, {len(job.sources)}: {job.learns_from}"
        )
    _check_nothing_is_lost(job)


def _check_nothing_is_lost(job: Job) -> None:
    """Refuse to begin anew in a folder where training has got further than can be gone on from."""
    if has_state(job.out):
        return
    if (job.out / WEIGHTS_NAME).is_file():
        raise RunError(
            f"{job.out}: holds trained weights ({WEIGHTS_NAME}), but neither {STATE_NAME} to go on "
            f"from nor {FINISHED_NAME}: they are kept as they are; name another --out"
        )
    settings = job.recipe.train
    every = settings.save_every or settings.validate_every
    lines = read_metrics(job.out)
    # The first state is whole before the second is begun.
    if lines and lines[-1]["update"] > 2 * every:
        raise RunError(
            f"{job.out}: {STATE_NAME} is gone, though {lines[-1]['update']:,} updates were done "
            f"and a state saved every {every:,}; bring it back, or name another --out"
        )


def _open_splits(job: Job, *, compare: bool) -> dict[str, list[Features]]:
    """Both splits with every stream there, of each folder that has it; `compare` checks every
    shard's checksum first."""
    splits: dict[str, list[Features]] = {name: [] for name in SPLITS}
    several = len(job.sources) > 1
    for root in (source.folder for source in job.sources):
        there = Index.read(root).splits
        own = [name for name in SPLITS if name == "train" or not several or name in there]
        for name in own:
            splits[name].append(Features(root, name))
        _verify(root, own if compare else [])
    if not splits["val"]:
        raise FormatError(f"{job.learns_from}: none has a split 'val' to measure training by")
    inputs = job.recipe.inputs
    for features in chain(*splits.values()):
        for stream in inputs.streams:
            features.stream(stream, TAG_LOGITS if stream == inputs.tags else EMBEDDING)
    check_alike(list(chain(*splits.values())), inputs.streams)
    return splits


def _verify(root: Path, splits: Sequence[str]) -> None:
    problems = verify(root, splits=list(splits)) if splits else []
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise FormatError(
            f"{problems[0]}{more}; `python -m features verify {root}` lists all: delete the shards "
            "that are wrong and run the same extraction again, which redoes those only; what only "
            "cannot be read may be whole"
        )


def _new_run(job: Job, features: Features) -> Run:
    """Tokenizer and model of a run that begins."""
    recipe = job.recipe
    streams = {name: features.streams[name] for name in recipe.inputs.streams}
    check_earlier(recipe, streams, features.root)
    tokenizer = (
        _learn_tokenizer(job, streams)
        if recipe.model.tokenizer == TRAIN_TOKENIZER
        else load_tokenizer(recipe.model)
    )
    widths = [streams[name].width for name in recipe.inputs.audio_streams]
    model = build_model(recipe, vocab=len(tokenizer), audio_width=widths)
    return Run(path=job.out, model=model, tokenizer=tokenizer, recipe=recipe, streams=streams)


def _learn_tokenizer(job: Job, streams: dict[str, StreamSpec]) -> Any:
    """A tokenizer of the training captions and the tags' names."""

    def texts() -> Iterator[str]:
        for source in job.sources:
            yield from caption_texts(source.folder, "train")
        for spec in streams.values():
            yield ". ".join(map(clean_name, spec.classes)) + "."

    return train_tokenizer(texts(), job.recipe.bart.vocab_size)
