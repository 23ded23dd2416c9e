"""CTranslate2's beam search with the bench's model: what people take for BART on a CPU today."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import BartForConditionalGeneration

Captions = list[tuple[int, ...]]
Decode = Callable[[Sequence[np.ndarray], int], Captions]

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # BART's first four


def decoder(bart: BartForConditionalGeneration, folder: Path, kind: str, tokens: int) -> Decode:
    """A function from prompts' tokens, and how many go together, to captions of 4 beams.

    Args:
        bart: in float32; its vocabulary has BART's special tokens first.
        folder: gets CTranslate2's form of it, which is used again if it is there.
        kind: CTranslate2's compute type, `float32` or `int8`.
        tokens: in every caption. It ends a search sooner than transformers does, so captions that
            end where they like would be other work.

    Raises:
        ImportError: without the package (the lock's part bench).
    """
    import ctranslate2
    from ctranslate2.converters.transformers import BartLoader

    words = [*SPECIAL, *(f"t{token}" for token in range(len(SPECIAL), bart.config.vocab_size))]
    if not folder.exists():
        config: Any = bart.config
        config.normalize_before, config.normalize_embedding = False, True
        config.add_final_layer_norm = False
        loader = BartLoader()
        spec = loader.get_model_spec(bart)
        loader.set_vocabulary(spec, words)
        names = SimpleNamespace(
            bos_token=SPECIAL[0],
            eos_token=SPECIAL[2],
            unk_token=SPECIAL[3],
            convert_ids_to_tokens=words.__getitem__,
        )
        loader.set_config(spec.config, bart, names)
        spec.validate()
        spec.optimize()
        folder.mkdir(parents=True)
        spec.save(str(folder))
    number = {word: token for token, word in enumerate(words)}
    translator = ctranslate2.Translator(
        str(folder),
        device="cpu",
        compute_type=kind,
        inter_threads=1,
        intra_threads=torch.get_num_threads(),
    )

    def decode(prompts: Sequence[np.ndarray], batch_size: int) -> Captions:
        found = translator.translate_batch(
            [[words[token] for token in prompt] for prompt in prompts],
            target_prefix=[[SPECIAL[0]]] * len(prompts),
            beam_size=4,
            max_batch_size=batch_size,
            min_decoding_length=tokens,
            max_decoding_length=tokens,
        )
        return [tuple(number[word] for word in item.hypotheses[0]) for item in found]

    return decode
