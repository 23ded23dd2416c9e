"""CLAP's text tower: captions in the space in which the features' `clap` stream has its sound.

Wu et al. 2023 (arXiv 2211.06687); the network is transformers' ClapModel.

As a worker, since scoring does without torch: `python -m evaluate.metrics.clap_text`. In: one line,
{"folder": …, "texts": […]}. Out: one line, {"width": D, "vectors": base64 of float32}.
"""

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ClapModel

from evaluate.metrics.child import answers_alone
from extract.networks.pretrained import load_folder
from features.common.errors import TagbartError, WeightsError
from train.model.pretrained import read_tokenizer

_TOGETHER = 128  # texts


class ClapText(nn.Module):
    """Texts to unit vectors.

    Args:
        model: of which the text tower and its projection are taken.
        tokenizer: the model's own.
    """

    def __init__(self, model: ClapModel, tokenizer: Any) -> None:
        super().__init__()
        self.text_model = model.text_model
        self.text_projection = model.text_projection
        self._tokenizer = tokenizer
        config: Any = model.config.text_config
        # Roberta counts its positions from behind the padding token's number.
        places = config.max_position_embeddings - config.pad_token_id - 1
        self._most_tokens = int(min(places, tokenizer.model_max_length))

    @classmethod
    def read(cls, folder: Path) -> "ClapText":
        """From a folder as transformers saves it, its tokenizer included; in eval mode.

        Raises:
            WeightsError: if it holds no CLAP, not all of its weights, or no tokenizer that fits.
        """
        tokenizer = read_tokenizer(folder)
        model = load_folder(ClapModel, folder)
        config: Any = model.config.text_config
        if len(tokenizer) > config.vocab_size or tokenizer.pad_token_id != config.pad_token_id:
            raise WeightsError(
                f"{folder}: its tokenizer has {len(tokenizer):,} tokens and pads with "
                f"{tokenizer.pad_token_id}, its text tower knows {config.vocab_size:,} and "
                f"{config.pad_token_id}; get the folder again"
            )
        return cls(model, tokenizer).eval()

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str]) -> Tensor:
        """float32 [N, D], each of length 1, on the tower's device.

        A text's vector does not depend on the others, but for rounding. What is longer than the
        tower reads (512 tokens in LAION's) is cut.
        """
        device = self.text_projection.linear1.weight.device
        made = self._tokenizer(list(texts), truncation=True, max_length=self._most_tokens)
        ids = made["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        found = torch.empty(len(ids), self.text_projection.linear2.out_features, device=device)
        for start in range(0, len(order), _TOGETHER):
            members = order[start : start + _TOGETHER]
            batch = self._tokenizer.pad(
                {"input_ids": [ids[i] for i in members]}, return_tensors="pt"
            )
            read = self.text_model(**batch.to(device)).pooler_output
            rows = nn.functional.normalize(self.text_projection(read), dim=-1)
            found[torch.tensor(members, device=device)] = rows
        return found


def main() -> None:
    """Answer one request; what the folder lacks is said in one line."""
    answers = answers_alone()
    asked = json.loads(sys.stdin.readline())
    try:
        vectors = ClapText.read(Path(asked["folder"])).vectors(asked["texts"]).numpy()
    except TagbartError as error:
        sys.exit(str(error))
    data = base64.b64encode(vectors.tobytes()).decode()
    print(json.dumps({"width": vectors.shape[1], "vectors": data}), file=answers)


if __name__ == "__main__":
    main()
