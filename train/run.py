"""From a features folder and a recipe to a run folder."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

import torch

from features.common.console import log
from features.common.damaged import read_json
from features.common.errors import RunError
from features.common.memory import keep_freed_memory
from features.common.publish import write_json
from features.reader import Features
from train.data.inputs import InputBuilder
from train.data.loader import Loader
from train.data.resident import fits, with_resident_audio
from train.data.split import SplitData
from train.distributed import Processes, joined_processes
from train.flat_adamw import FlatAdamW
from train.loop import Trainer
from train.memory import memory_watched
from train.model.attention import do_without_cudnn_attention
from train.model.pretrained import quiet_transformers
from train.model.tagbart import trainable_parameters
from train.opening import SPLITS, Job, begin_or_reopen
from train.optim import make_optimizer
from train.recipes.config import Recipe
from train.run_folder.card import NAME as CARD_NAME
from train.run_folder.card import write_model_card
from train.run_folder.checkpoint import FINISHED_NAME, WEIGHTS_NAME, Run, save_weights
from train.run_folder.samples import Samples
from train.run_folder.state import NAME as STATE_NAME
from train.run_folder.state import Progress, has_state, load_state, weights
from train.run_folder.tracker import require_tracker

# Lengths are padded to multiples of these: a GPU's tensor cores want it, and fewer shapes.
_LENGTH_MULTIPLE = {"cpu": 1, "cuda": 16}
# Captions in a pass of validation, at least: it keeps nothing for a backward pass, and few of them
# leave a GPU idle.
_VALIDATION_BATCH = {"cpu": 1, "cuda": 32}


def train(job: Job) -> Progress | None:
    """Train a recipe on a features folder, alone or as one of torchrun's processes.

    Returns:
        Where the run ended; None in other processes than the first.

    Raises:
        RunError: if the run folder cannot be used so, or training breaks off.
        FormatError: if the features are damaged, or lack a split, stream or captions.
        ConfigError: if the recipe's weights, tokenizer or tracker cannot be had.
    """
    require_tracker(job.recipe)
    quiet_transformers()
    keep_freed_memory()
    do_without_cudnn_attention()
    with joined_processes(job.device) as processes, _deterministic(job.recipe), ExitStack() as lock:
        # In a function of its own: the model goes before the processes part (train/distributed.py).
        return _train(job, processes, lock)


def _train(job: Job, processes: Processes, lock: ExitStack) -> Progress | None:
    if job.resume and (job.out / FINISHED_NAME).is_file():
        return _finished_before(job) if processes.first else None
    with processes.first_before_others():
        splits, run = begin_or_reopen(job, processes, lock)
    with memory_watched("loading the model and its data", job.recipe, processes.device):
        trainer = _trainer(job, run, splits, processes)
        if has_state(job.out):
            _go_on(trainer, processes)
    if processes.first:
        _announce(trainer)
    trainer.run()
    if not processes.first:
        return None
    trainer.train.builder.say_dropped()
    _finish(job, trainer)
    return trainer.progress


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


def _trainer(
    job: Job, run: Run, splits: dict[str, list[Features]], processes: Processes
) -> Trainer:
    recipe = run.recipe
    builder = InputBuilder.create(recipe.inputs, run.streams, run.tokenizer)
    weights = {"train": [source.weight for source in job.sources], "val": []}
    folders = [source.folder for source in job.sources]
    train_data, val_data = (
        SplitData.load(
            splits[name],
            builder,
            run.tokenizer,
            weights=weights[name],
            numbers=[folders.index(part.root) for part in splits[name]],
            without=job.without,
        )
        for name in SPLITS
    )
    if job.without and processes.first:
        log(
            f"of {len(job.without):,} ids to leave out, {train_data.left_out:,} clips of train and "
            f"{val_data.left_out:,} of val are left out"
        )
    # What learning and measuring depend on: a state goes on with the same alone.
    data = f"{len(train_data):,} captions of " + ", ".join(
        f"{len(part):,} clips x {source.weight:g}"
        for part, source in zip(splits["train"], job.sources, strict=True)
    )
    data += f"; fingerprint {train_data.fingerprint}, of val {val_data.fingerprint}"
    if all(fits(data, builder, processes.device) for data in (train_data, val_data)):
        train_data, val_data = (
            with_resident_audio(data, recipe.inputs.audio_streams, processes.device)
            for data in (train_data, val_data)
        )
    loader = Loader(
        data=train_data,
        builder=builder,
        batch_size=recipe.optim.batch_size,
        passes=recipe.optim.grad_accumulation,
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
        optimizer=make_optimizer(
            model,
            recipe.optim,
            recipe.train.precision,
            adds_up=recipe.optim.grad_accumulation > 1 or processes.world > 1,
        ),
        train=loader,
        val=replace(
            loader.of(val_data),
            batch_size=max(recipe.optim.batch_size, _VALIDATION_BATCH[processes.device.type]),
        ),
        processes=processes,
        progress=Progress(data=data),
        samples=Samples(run, val_data, device=processes.device.type)
        if processes.first and recipe.train.sample_clips
        else None,
    )


def _announce(trainer: Trainer) -> None:
    data = trainer.train.data
    log(
        f"{trainer.recipe.name}: {trainable_parameters(trainer.model):,} trainable parameters, "
        f"{len(data):,} captions of {len(data.features):,} clips, {trainer.updates:,} updates, "
        f"validation on {len(trainer.val.data):,} captions, "
        f"{trainer.processes.world} x {trainer.processes.device}"
    )
    if cut := data.too_long + trainer.val.data.too_long:
        most = trainer.recipe.inputs.max_caption_tokens
        log(
            f"{cut:,} captions are cut: they are longer than inputs.max_caption_tokens, {most} "
            "with BOS and EOS"
        )
    if data.unknown:
        log(
            f"{data.unknown:,} of {len(data.captions.tokens):,} tokens of the split's "
            "captions are <unk>: model.tokenizer does not know these words"
        )
    if twice := trainer.val.data.shared_with(data):
        log(
            f"{twice:,} clips of val have ids that clips of train have: if they are the same "
            "sounds, the validation loss is too low; name each in the captions of one split only"
        )
    if trainer.progress.update:
        log(f"going on after update {trainer.progress.update:,}")


def _go_on(trainer: Trainer, processes: Processes) -> None:
    """Fill model, optimiser and progress from the saved state.

    If the best weights are the state's own, they are published again: the state is written before
    them, so a kill in between has left none, or older ones.
    """
    data = trainer.progress.data
    progress = load_state(trainer.path, trainer.model, trainer.optimizer)
    # Earlier programs noted no fingerprints, or nothing.
    if progress.data and not f"{data};".startswith(f"{progress.data};"):
        raise RunError(
            f"{trainer.path}: was begun on {progress.data}, now there are {data}: go on with the "
            "same features and --without, or name another --out"
        )
    trainer.progress = replace(progress, data=data)
    if isinstance(trainer.optimizer, FlatAdamW):
        trainer.optimizer.narrow()
    if processes.first and progress.update and progress.best_update == progress.update:
        save_weights(trainer.model, trainer.path, weights(trainer.model, trainer.optimizer))


def _finish(job: Job, trainer: Trainer) -> None:
    """Write what the run came to, whose presence says that it is finished, and the model card."""
    progress = trainer.progress
    trained = min(progress.update, trainer.updates)
    write_json(
        job.out / FINISHED_NAME,
        {
            **asdict(progress),
            "features": job.learns_from,
            "clips": len(trainer.train.data.features),
            "captions": len(trainer.train.data),
            "trainable_parameters": trainable_parameters(trainer.model),
            "epochs": trained / trainer.updates_per_epoch,
        },
    )
    _tidy(job)


def _tidy(job: Job) -> None:
    """What follows the mark of a finished run, and may be done again after a kill."""
    if not job.recipe.train.keep_state:
        (job.out / STATE_NAME).unlink(missing_ok=True)
    write_model_card(job.out)


def _finished_before(job: Job) -> Progress:
    """Where a finished run ended.

    Raises:
        RunError: if its weights are gone, or it learnt from other features.
    """
    finished = read_json(job.out / FINISHED_NAME, RunError)
    learnt_from = str(finished.get("features"))
    same = Path(learnt_from).resolve() == Path(job.learns_from).resolve()
    if not same:
        raise RunError(
            f"{job.out}: holds a finished run, trained on {learnt_from}, not on {job.learns_from}; "
            "name another --out to train again"
        )
    if not (job.out / WEIGHTS_NAME).is_file():
        raise RunError(
            f"{job.out}: {FINISHED_NAME} says that the run is finished, but {WEIGHTS_NAME} is "
            "gone; bring it back, or name another --out to train again"
        )
    known = {item.name: finished[item.name] for item in fields(Progress) if item.name in finished}
    if not (job.out / CARD_NAME).is_file():  # what is written last
        _tidy(job)
    log(f"{job.out}: is finished; name another --out to train again")
    return Progress(**known)
