"""Where a run's tokenizer and first weights come from: the hub, a folder, or nothing."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BartConfig, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from features.common.console import log
from features.common.damaged import read_json, seen_in, what_is
from features.common.errors import ConfigError, WeightsError, first_line
from train.model.config_file import (
    model_type,
    read_bart_config,
    read_decoding,
    read_tagbart_config,
)
from train.model.hub import model_folder
from train.model.tagbart import TagBart, TagBartConfig, freeze_decoder
from train.model.weights_file import fit_weights, read_weights
from train.recipes.config import NO_PRETRAINED, BartShape, ModelConfig, Recipe

# BART's special tokens; <mask> is its last id.
_FIRST_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]
_MASK = "<mask>"
_TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
_TOKENIZER_JSON = ("config.json", "tokenizer_config.json", "tokenizer.json")
# Follow from the recipe, so a checkpoint's own values do not count.
_RECIPE_DECIDES = {
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "encoder_layerdrop",
    "decoder_layerdrop",
}


def load_tokenizer(model: ModelConfig) -> Any:
    """The tokenizer that a recipe names, from a folder or the hub.

    Raises:
        ConfigError: if it cannot be had here, or its special tokens are not BART's.
    """
    setting = "model.tokenizer" if model.tokenizer else "model.pretrained"
    name = model.tokenizer or model.pretrained
    revision = "" if model.tokenizer else model.revision
    folder = model_folder(setting, name, revision, weights=False)
    try:
        tokenizer = read_tokenizer(folder)
    except WeightsError as error:
        raise ConfigError(_not_loadable(setting, name, error)) from error
    try:
        check_special_tokens(tokenizer, folder)
    except WeightsError as error:
        raise ConfigError(f"{setting}: {error}") from error
    return tokenizer


def check_special_tokens(tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer whose special tokens are not BART's.

    Raises:
        WeightsError: naming the folder that it came from.
    """
    ids = (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id)
    if ids != (0, 1, 2):
        raise WeightsError(
            f"{folder}: the tokenizer's ids of BOS, padding and EOS are {ids}, expected "
            "(0, 1, 2) as BART has them; name a folder with a tokenizer of BART's kind"
        )


def read_tokenizer(folder: Path, *, kind: Any = AutoTokenizer) -> Any:
    """The tokenizer in a folder, by transformers' own code alone.

    Args:
        folder: with tokenizer.json, or vocab.json and merges.txt.
        kind: transformers' class to read it with.

    Raises:
        WeightsError: if a file is damaged or absent, or the folder wants to run code of its own.
    """
    for name in _TOKENIZER_JSON:
        path = folder / name
        if path.is_file() and "AutoTokenizer" in str(read_json(path, WeightsError).get("auto_map")):
            raise WeightsError(
                f"{path}: names a tokenizer that is code of the folder's own (auto_map), which is "
                "never run; use a tokenizer of BART's kind"
            )
    whole = [names for names in _TOKENIZERS if all((folder / name).is_file() for name in names)]
    if not whole:
        either = ", or ".join(" and ".join(names) for names in _TOKENIZERS)
        raise WeightsError(f"{folder}: holds no tokenizer; expected {either}")
    for path in (folder / name for name in whole[0]):
        if "not the file itself" in what_is(path, binary=False):
            raise WeightsError(f"{path}: {seen_in(path, binary=False)}")
    try:
        return kind.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever the libraries raise over a strange file
        raise WeightsError(
            f"{folder}: holds no tokenizer that can be loaded ({first_line(error)}); looked at "
            "tokenizer.json, or vocab.json and merges.txt, and tokenizer_config.json"
        ) from error


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """Learn a byte-level BPE tokenizer with BART's special tokens from some texts.

    Args:
        texts: captions and tag names.
        vocab_size: most entries, specials included, at least 261; few texts may give fewer.
    """
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=_FIRST_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    learner.add_special_tokens([_MASK])
    learner.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), add_prefix_space=False
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=learner,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token=_MASK,
    )


def build_model(recipe: Recipe, *, vocab: int, audio_width: int | Sequence[int]) -> TagBart:
    """The model that a run starts from, float32 on the CPU, frozen as the recipe asks.

    Random weights follow torch's generator: seed it first.

    Args:
        recipe: which weights, and BART's shape and dropouts.
        vocab: entries of the tokenizer.
        audio_width: columns of the audio stream, 0 for none, or of each of several.

    Raises:
        ConfigError: if pretrained weights cannot be had, or do not fit the recipe or tokenizer.
    """
    folder: Path | None = None
    decoding: dict[str, Any] = {}
    if recipe.model.pretrained == NO_PRETRAINED:
        config = bart_config(recipe.bart, vocab)
    else:
        folder, config, decoding = _pretrained(recipe)
    if config.vocab_size < vocab - 1:  # <mask>, the last entry, is in no caption
        raise ConfigError(
            f"the tokenizer has {vocab} entries, BART {config.vocab_size}: model.tokenizer does "
            f"not belong to {recipe.model.pretrained}"
        )
    for name in ("max_prompt_tokens", "max_caption_tokens"):
        asked = getattr(recipe.inputs, name)
        if asked > config.max_position_embeddings:
            raise ConfigError(
                f"inputs.{name} is {asked}, BART has {config.max_position_embeddings} positions "
                "(bart.max_position_embeddings)"
            )
    tags = bool(recipe.inputs.tags)
    model = TagBart(
        TagBartConfig(bart=config, tags=tags, audio_width=audio_width, decoding=decoding)
    )
    if folder is not None:
        _fill(model, folder, recipe)
    if recipe.model.freeze_decoder:
        freeze_decoder(model)
    return model


def meta_model(recipe: Recipe) -> TagBart:
    """The recipe's model without storage, for counting parameters: no network, no memory."""
    with torch.device("meta"):
        model = TagBart(
            TagBartConfig(
                bart=bart_config(recipe.bart, recipe.bart.vocab_size),
                tags=bool(recipe.inputs.tags),
                audio_width=recipe.inputs.audio_widths,
            )
        )
    if recipe.model.freeze_decoder:
        freeze_decoder(model)
    return model


def bart_config(shape: BartShape, vocab: int) -> BartConfig:
    """BART's configuration for random weights, with the tokenizer's number of entries."""
    return BartConfig(**{**vars(shape), "vocab_size": vocab})


def quiet_transformers() -> None:
    """No progress bars for reading and writing weights."""
    transformers_logging.disable_progress_bar()


def _pretrained(recipe: Recipe) -> tuple[Path, BartConfig, dict[str, Any]]:
    """The folder with pretrained weights, a BART's or a run's, BART's configuration there with the
    recipe's dropouts, and how the weights ask to be decoded."""
    setting, name = "model.pretrained", recipe.model.pretrained
    folder = model_folder(setting, name, recipe.model.revision, weights=True)
    try:
        if _is_run(folder):
            earlier = read_tagbart_config(folder)
            config, decoding = earlier.bart, earlier.decoding
        else:
            config, decoding = read_bart_config(folder), read_decoding(folder)
    except WeightsError as error:
        raise ConfigError(_not_loadable(setting, name, error)) from error
    _check_shape(config, recipe)
    for key in _RECIPE_DECIDES:
        setattr(config, key, getattr(recipe.bart, key))
    return folder, config, decoding


def _fill(model: TagBart, folder: Path, recipe: Recipe) -> None:
    """Pretrained weights in float32 whatever the file holds: bart-large's is half precision, which
    stops learning. A run brings the dense layer, too."""
    try:
        path, state = read_weights(folder)
        filled, base = (model, "") if _is_run(folder) else (model.bart, "model.")
        fit_weights(filled, state, path, base=base)
    except WeightsError as error:
        name = recipe.model.pretrained
        raise ConfigError(_not_loadable("model.pretrained", name, error)) from error


def _is_run(folder: Path) -> bool:
    return model_type(folder) == TagBartConfig.model_type


def _check_shape(config: BartConfig, recipe: Recipe) -> None:
    for key, wanted in vars(recipe.bart).items():
        found = getattr(config, key)
        if key == "vocab_size" and found != wanted:
            log(f"{recipe.model.pretrained} has {found} tokens, the recipe says {wanted}")
        elif key not in _RECIPE_DECIDES | {"vocab_size", "init_std"} and found != wanted:
            raise ConfigError(
                f"{recipe.model.pretrained} has {key} {found}, the recipe's bart.{key} is "
                f"{wanted}: use a recipe of that shape, or --set bart.{key}={found}"
            )


def _not_loadable(setting: str, name: str, error: Exception) -> str:
    reason = first_line(error)
    return f"{setting}: {'' if reason.startswith(name) else f'{name}: '}{reason}"
