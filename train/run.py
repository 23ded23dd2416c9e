"""From a features folder and a recipe to a run folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from features.console import log
from features.errors import ConfigError, FormatError, RunError
from features.memory import keep_freed_memory
from features.publish import write_json
from features.reader import Features
from features.spec import EMBEDDING, TAG_LOGITS, StreamSpec
from features.verify import verify
from train.card import write_model_card
from train.checkpoint import FINISHED_NAME, Run, begin_run, check_streams, reopen_run
from train.config import TRAIN_TOKENIZER, Recipe
from train.data import SplitData, caption_texts
from train.distributed import Processes, joined_processes
from train.inputs import InputBuilder
from train.loader import Loader
from train.loop import Trainer
from train.memory import memory_watched
from train.model import trainable_parameters
from train.optim import make_optimizer
from train.pretrained import build_model, load_tokenizer, quiet_transformers, train_tokenizer
from train.prompts import clean_name
from train.recipe import FILE_NAME as RECIPE_NAME
from train.resident import fits, with_resident_audio
from train.state import NAME as STATE_NAME
from train.state import Progress, load_state

SPLITS = ("train", "val")
# Lengths are padded to multiples of these: a GPU's tensor cores want it, and fewer shapes.
_LENGTH_MULTIPLE = {"cpu": 1, "cuda": 8}
# Captions in a pass of validation, at least: it keeps nothing for a backward pass, and few of them
# leave a GPU idle.
_VALIDATION_BATCH = {"cpu": 1, "cuda": 32}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What `python -m train run` was asked to do.

    Attributes:
        features: the features folder, with splits train and val.
        out: the run folder.
        recipe: every setting.
        device: "cpu" or "cuda".
        resume: go on with what the run folder holds, if it holds anything.
    """

    features: Path
    out: Path
    recipe: Recipe
    device: str = "cpu"
    resume: bool = False


def train(job: Job) -> Progress | None:
    """Train a recipe on a features folder, alone or as one of torchrun's processes.

    Returns:
        Where the run ended; None in other processes than the first.

    Raises:
        RunError: if the run folder cannot be used so, or training breaks off.
        FormatError: if the features are damaged, or lack a split, stream or captions.
        ConfigError: if the recipe's weights or tokenizer cannot be had.
    """
    quiet_transformers()
    keep_freed_memory()
    with joined_processes(job.device) as processes, _deterministic(job.recipe), ExitStack() as lock:
        with processes.first_before_others():
            splits, run = _opened(job, processes)
            if processes.first:
                lock.enter_context(_alone(job.out))
        with memory_watched("loading the model and its data", job.recipe, processes.device):
            trainer = _trainer(run, splits, processes)
            if (job.out / STATE_NAME).is_file():
                trainer.progress = load_state(job.out, trainer.model, trainer.optimizer)
        if processes.first:
            _announce(trainer)
        trainer.run()
        if processes.first:
            _finish(job, trainer)
    return trainer.progress if processes.first else None


def _opened(job: Job, processes: Processes) -> tuple[dict[str, Features], Run]:
    """Features and run folder; the first process checks and makes what the others find."""
    if processes.first:
        _check_start(job, processes.world)
    splits = _open_splits(job.features, job.recipe, compare=processes.first)
    if not (job.out / RECIPE_NAME).is_file():
        torch.manual_seed(job.recipe.train.seed)
        return splits, _new_run(job, splits["train"])
    run = reopen_run(job.out)
    for features in splits.values():
        check_streams(run, features.streams, job.features)
    return splits, run


def _check_start(job: Job, world: int) -> None:
    """Refuse what so many processes cannot do, and a run folder that is not free."""
    recipe = job.recipe
    if recipe.optim.batch_size < world:
        raise ConfigError(
            f"optim.batch_size is {recipe.optim.batch_size}, over all processes together, "
            f"but torchrun started {world}: raise it, or start fewer"
        )
    if world > 1 and recipe.train.cuda_graphs:
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


@contextmanager
def _deterministic(recipe: Recipe) -> Iterator[None]:
    """Refuse operations whose result may differ from run to run, where the recipe says so."""
    before = torch.are_deterministic_algorithms_enabled()
    if recipe.train.deterministic:
        # cuBLAS reads this when it starts; without it torch refuses to multiply.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second process out of a run folder; the kernel frees the lock however we end."""
    with (out / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{out}: another process is training this run; wait for it") from error
        yield


def _open_splits(root: Path, recipe: Recipe, *, compare: bool) -> dict[str, Features]:
    """Both splits with every stream there; `compare` checks every shard's checksum first."""
    splits = {name: Features(root, name) for name in SPLITS}
    problems = verify(root, splits=list(SPLITS)) if compare else []
    if problems:
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        raise FormatError(
            f"{problems[0]}{more}; `python -m features verify {root}` lists all: delete the files "
            "named and run the same extraction again, which redoes those only"
        )
    for features in splits.values():
        for name, kind in ((recipe.inputs.tags, TAG_LOGITS), (recipe.inputs.audio, EMBEDDING)):
            if name:
                features.stream(name, kind)
    return splits


def _new_run(job: Job, features: Features) -> Run:
    """Tokenizer, model and run folder of a run that begins."""
    recipe = job.recipe
    names = [name for name in (recipe.inputs.tags, recipe.inputs.audio) if name]
    streams = {name: features.streams[name] for name in names}
    tokenizer = (
        _learn_tokenizer(job, streams)
        if recipe.model.tokenizer == TRAIN_TOKENIZER
        else load_tokenizer(recipe.model)
    )
    width = streams[recipe.inputs.audio].width if recipe.inputs.audio else 0
    model = build_model(recipe, vocab=len(tokenizer), audio_width=width)
    run = Run(path=job.out, model=model, tokenizer=tokenizer, recipe=recipe, streams=streams)
    begin_run(run)
    return run


def _learn_tokenizer(job: Job, streams: dict[str, StreamSpec]):
    """A tokenizer of the training captions and the tags' names."""

    def texts():
        yield from caption_texts(job.features, "train")
        for spec in streams.values():
            yield ". ".join(map(clean_name, spec.classes)) + "."

    return train_tokenizer(texts(), job.recipe.bart.vocab_size)


def _trainer(run: Run, splits: dict[str, Features], processes: Processes) -> Trainer:
    recipe = run.recipe
    builder = InputBuilder.create(recipe.inputs, run.streams, run.tokenizer)
    train_data, val_data = (SplitData.load(splits[name], builder, run.tokenizer) for name in SPLITS)
    if recipe.inputs.audio and all(
        fits(data, recipe.inputs.audio, processes.device) for data in (train_data, val_data)
    ):
        train_data, val_data = (
            with_resident_audio(data, recipe.inputs.audio, processes.device)
            for data in (train_data, val_data)
        )
    loader = Loader(
        data=train_data,
        builder=builder,
        batch_size=recipe.optim.batch_size,
        decoder_start=run.model.config.bart.decoder_start_token_id,
        pad_labels_to=recipe.inputs.max_caption_tokens if recipe.optim.loss_on_padding else 0,
        bucket_batches=recipe.train.bucket_batches,
        length_multiple=_LENGTH_MULTIPLE[processes.device.type],
        rank=processes.rank,
        world=processes.world,
    )
    model = run.model
    model.to(processes.device)  # type: ignore[arg-type]  # transformers' wrapper confuses mypy
    return Trainer(
        path=run.path,
        recipe=recipe,
        model=model,
        optimizer=make_optimizer(model, recipe.optim),
        train=loader,
        val=replace(
            loader.of(val_data),
            batch_size=max(recipe.optim.batch_size, _VALIDATION_BATCH[processes.device.type]),
        ),
        processes=processes,
    )


def _announce(trainer: Trainer) -> None:
    data = trainer.train.data
    log(
        f"{trainer.recipe.name}: {trainable_parameters(trainer.model):,} trainable parameters, "
        f"{len(data):,} captions of {len(data.features):,} clips, {trainer.updates:,} updates, "
        f"validation on {len(trainer.val.data):,} captions, "
        f"{trainer.processes.world} x {trainer.processes.device}"
    )
    if trainer.progress.update:
        log(f"going on after update {trainer.progress.update:,}")


def _finish(job: Job, trainer: Trainer) -> None:
    """Write what the run came to, whose presence says that it is finished, and the model card."""
    progress = trainer.progress
    if not trainer.recipe.train.keep_state:
        (job.out / STATE_NAME).unlink(missing_ok=True)
    trained = min(progress.update, trainer.updates)
    write_json(
        job.out / FINISHED_NAME,
        {
            **asdict(progress),
            "features": str(job.features),
            "clips": len(trainer.train.data.features),
            "captions": len(trainer.train.data),
            "trainable_parameters": trainable_parameters(trainer.model),
            "epochs": trained / trainer.updates_per_epoch,
        },
    )
    write_model_card(job.out)
