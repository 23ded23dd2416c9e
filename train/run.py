"""From a features folder and a recipe to a run folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from features.console import log
from features.errors import FormatError, RunError
from features.publish import write_json
from features.reader import Features
from features.spec import EMBEDDING, TAG_LOGITS, StreamSpec
from features.verify import verify
from train.batches import InputBuilder
from train.checkpoint import FINISHED_NAME, Run, begin_run, reopen_run
from train.config import TRAIN_TOKENIZER, Recipe
from train.data import SplitData, caption_texts
from train.loader import Loader
from train.loop import Trainer
from train.model import trainable_parameters
from train.optim import make_optimizer
from train.pretrained import build_model, load_tokenizer, quiet_transformers, train_tokenizer
from train.prompts import clean_name
from train.recipe import FILE_NAME as RECIPE_NAME
from train.state import NAME as STATE_NAME
from train.state import Progress, load_state

SPLITS = ("train", "val")


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


def train(job: Job) -> Progress:
    """Train a recipe on a features folder.

    Raises:
        RunError: if the run folder cannot be used so, or training breaks off.
        FormatError: if the features are damaged, or lack a split, stream or captions.
        ConfigError: if the recipe's weights or tokenizer cannot be had.
    """
    quiet_transformers()
    begun = (job.out / RECIPE_NAME).is_file()
    if (job.out / FINISHED_NAME).is_file():
        raise RunError(f"{job.out}: holds a finished run; name another --out to train again")
    if begun and not job.resume:
        raise RunError(
            f"{job.out}: already holds a run; go on with it by --resume, or name another --out"
        )
    torch.manual_seed(job.recipe.train.seed)
    if job.recipe.train.deterministic:
        torch.use_deterministic_algorithms(True)
    splits = _open_splits(job.features, job.recipe)
    run = reopen_run(job.out) if begun else _new_run(job, splits["train"])
    trainer = _trainer(job, run, splits)
    if begun and (job.out / STATE_NAME).is_file():
        trainer.progress = load_state(job.out, trainer.model, trainer.optimizer)
    _announce(trainer)
    with _alone(job.out):
        trainer.run()
        _finish(job, trainer)
    return trainer.progress


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep a second process out of a run folder; the kernel frees the lock however we end."""
    with (out / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{out}: another process is training this run; wait for it") from error
        yield


def _open_splits(root: Path, recipe: Recipe) -> dict[str, Features]:
    """Both splits, every shard's checksum compared and every stream there."""
    splits = {name: Features(root, name) for name in SPLITS}
    problems = verify(root, splits=list(SPLITS))
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


def _trainer(job: Job, run: Run, splits: dict[str, Features]) -> Trainer:
    recipe, device = run.recipe, torch.device(job.device)
    builder = InputBuilder.create(recipe.inputs, run.streams, run.tokenizer)
    train_data, val_data = (SplitData.load(splits[name], builder, run.tokenizer) for name in SPLITS)
    loader = Loader(
        data=train_data,
        builder=builder,
        batch_size=recipe.optim.batch_size,
        decoder_start=run.model.config.bart.decoder_start_token_id,
        pad_labels_to=recipe.inputs.max_caption_tokens if recipe.optim.loss_on_padding else 0,
        bucket_batches=recipe.train.bucket_batches,
    )
    model = run.model
    model.to(device)  # type: ignore[arg-type]  # transformers' wrapper confuses mypy
    return Trainer(
        path=run.path,
        recipe=recipe,
        model=model,
        optimizer=make_optimizer(model, recipe.optim),
        train=loader,
        val=loader.of(val_data),
        device=device,
    )


def _announce(trainer: Trainer) -> None:
    data = trainer.train.data
    log(
        f"{trainer.recipe.name}: {trainable_parameters(trainer.model):,} trainable parameters, "
        f"{len(data):,} captions of {len(data.features):,} clips, {trainer.updates:,} updates, "
        f"validation on {len(trainer.val.data):,} captions, {trainer.device}"
    )
    if trainer.progress.update:
        log(f"going on after update {trainer.progress.update:,}")


def _finish(job: Job, trainer: Trainer) -> None:
    """Write what the run came to; its presence says that the run is finished."""
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
