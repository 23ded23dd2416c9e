"""The trainer's losses against those of a loop without any of its speed.

The plain loop takes the same samples, tags and first weights, and goes through transformers' own
loss and an optimiser that walks over the tensors one by one, all in float32.
"""

import shutil
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import torch

from features.reader import Features
from train.data.inputs import InputBuilder
from train.data.loader import Loader
from train.data.split import SplitData
from train.model.pretrained import build_model, load_tokenizer
from train.model.tagbart import TagBart
from train.optim import learning_rate
from train.recipes.config import Recipe
from train.run import Job, train
from train.run_folder.metrics import read_metrics

UPDATES = 20


def largest_difference(folder: Path, recipe: Recipe, device: str, updates: int = UPDATES) -> float:
    """Of the trainer's losses from the plain loop's, relative, over the first updates.

    Args:
        folder: holds `features`; gets a run folder for a moment.
        recipe: what to train; dropouts are set to 0 here.
        device: for both.
        updates: how many.
    """
    recipe = replace(
        recipe,
        bart=replace(recipe.bart, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0),
        optim=replace(recipe.optim, epochs=updates, max_updates=updates),
        train=replace(recipe.train, log_every=1),
    )
    out = folder / "run-losses"
    train(Job(features=folder / "features", out=out, recipe=recipe, device=device))
    fast = [row["train_loss"] for row in read_metrics(out) if "train_loss" in row]
    shutil.rmtree(out)
    plain = plain_losses(folder / "features", recipe, device)
    return max(abs(a - b) / b for a, b in zip(fast, plain, strict=True))


def random_model(recipe: Recipe, features: Path) -> TagBart:
    """The model that a run of this recipe starts from, random weights."""
    torch.manual_seed(recipe.train.seed)
    streams = Features(features, "train").streams
    return build_model(
        recipe,
        vocab=len(load_tokenizer(recipe.model)),
        audio_width=[streams[name].width for name in recipe.inputs.audio_streams],
    )


def plain_losses(features: Path, recipe: Recipe, device: str) -> list[float]:
    """Losses per label of the first `optim.max_updates` updates."""
    settings, split = recipe.optim, Features(features, "train")
    tokenizer = load_tokenizer(recipe.model)
    builder = InputBuilder.create(recipe.inputs, split.streams, tokenizer)
    loader = Loader(
        data=SplitData.load(split, builder, tokenizer),
        builder=builder,
        batch_size=settings.batch_size,
        decoder_start=2,
        bucket_batches=recipe.train.bucket_batches,
        threads=0,
    )
    model = random_model(recipe, features).train()
    model.to(torch.device(device))  # type: ignore[arg-type]  # transformers' wrapper confuses mypy
    optimizer = torch.optim.AdamW(
        model.parameters(),
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        weight_decay=0.0,
        foreach=False,
        fused=False,
    )
    losses = []
    places = settings.batch_size * recipe.inputs.max_caption_tokens
    pieces = (piece for epoch in count() for piece in loader.epoch(recipe.train.seed, epoch))
    for update, piece in enumerate(islice(pieces, settings.max_updates)):
        batch = piece.batch.to(device)
        embeds, mask = model.encoder_inputs(batch)
        assert batch.labels is not None
        loss = model.bart(
            inputs_embeds=embeds,
            attention_mask=mask,
            decoder_input_ids=batch.decoder_ids,
            labels=batch.labels.contiguous(),
        ).loss
        (loss * (piece.labels / places)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, update, settings.max_updates)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
