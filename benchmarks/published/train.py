"""Training as the published code runs it, written again for comparison.

One pickled file per caption is read, its tags drawn, its text tokenised and padded sample by
sample in the training process. Prompts are padded to 128 tokens, captions to 64, and padding counts
in the loss. A token's audio goes through the dense layer by itself, zeros included. Batches of 2,
gradients added up over 4. AdamW walks over the tensors one by one: so did transformers' own of
2021, so does torch's with foreach=False. BART itself is today's transformers with its fast
attention, which the published code did not have.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import BartConfig, BartForConditionalGeneration

from features.reader import Features
from train.data.prompts import SEPARATOR, clean_name

PROMPT_TOKENS, CAPTION_TOKENS = 128, 64
BATCH, ACCUMULATION = 2, 4
LEARNING_RATE, CLIP_NORM = 1e-5, 1.0


def write_pickles(features: Features, folder: Path, captions: int) -> list[Path]:
    """One file per caption: float32 scores at YAMNet's native hop, PANNs' embedding, text."""
    folder.mkdir(parents=True)
    paths: list[Path] = []
    for index in range(len(features)):
        clip = features[index]
        logits = clip.streams["yamnet"].astype(np.float32)
        scores = np.repeat(1 / (1 + np.exp(-logits)), 2, axis=0)  # every second row is dropped
        for text in clip.captions[: captions - len(paths)]:
            sample = {
                "scores": scores,
                "embedding": clip.streams["panns"].astype(np.float32),
                "caption": text,
            }
            paths.append(folder / f"{len(paths):06d}.pkl")
            paths[-1].write_bytes(pickle.dumps(sample))
        if len(paths) == captions:
            break
    return paths


@dataclass(kw_only=True)
class PickledCaptions(Dataset):
    """One sample per file: input_ids and attention_mask [128], audio [128, D], labels [64]."""

    paths: list[Path]
    tokenizer: Any
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._separator = self.tokenizer(SEPARATOR, add_special_tokens=False)["input_ids"][0]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        sample = pickle.loads(self.paths[index].read_bytes())
        scores = sample["scores"][0::2].astype(np.float64)
        tags = [self._rng.choice(len(row), p=row / row.sum()) for row in scores]
        text = ". ".join(clean_name(self.classes[tag]) for tag in tags) + SEPARATOR
        # The published code does not cut prompts; a batch of unequal lengths would end it.
        prompt = self.tokenizer(
            text, padding="max_length", truncation=True, max_length=PROMPT_TOKENS
        )
        target = self.tokenizer(
            sample["caption"], padding="max_length", truncation=True, max_length=CAPTION_TOKENS
        )
        return {
            "input_ids": torch.tensor(prompt["input_ids"]),
            "attention_mask": torch.tensor(prompt["attention_mask"]),
            "audio": self._audio(prompt["input_ids"], sample["embedding"]),
            "labels": torch.tensor(target["input_ids"]),
        }

    def _audio(self, tokens: list[int], embedding: np.ndarray) -> torch.Tensor:
        """The clip's audio at every token of a tag, zeros elsewhere, [128, D]."""
        audio = torch.zeros(len(tokens), embedding.shape[1])
        special = set(self.tokenizer.all_special_ids)
        row = 0
        for place, token in enumerate(tokens):
            if token == self._separator:
                row += 1
            elif token not in special:
                window = min(row // 10, len(embedding) - 1)
                audio[place] = torch.from_numpy(embedding[window])
        return audio


def loader(data: PickledCaptions) -> DataLoader:
    """Shuffled batches of 2, made in the training process as its trainer did by default."""
    return DataLoader(data, batch_size=BATCH, shuffle=True)


class PublishedModel(nn.Module):
    """BART and the dense layer; the names of its weights are TagBart's."""

    def __init__(self, config: BartConfig, audio_width: int) -> None:
        super().__init__()
        self.bart = BartForConditionalGeneration(config)
        self.dense = nn.Linear(audio_width, int(self.bart.model.shared.embedding_dim))

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        audio: torch.Tensor,
        labels: torch.Tensor,
    ) -> torch.Tensor:
        """Cross-entropy averaged over all 64 labels of each sample, padding counted."""
        embeds = self.bart.get_input_embeddings()(input_ids) + self.dense(audio)
        return self.bart(inputs_embeds=embeds, attention_mask=attention_mask, labels=labels).loss


class PublishedTraining:
    """A run under way; `update` is one step of the optimiser, 8 captions."""

    def __init__(
        self, model: PublishedModel, data: PickledCaptions, device: str, *, bf16: bool = False
    ) -> None:
        self.model = model.to(device).train()
        self._device, self._bf16 = device, bf16
        self._batches = self._endless(loader(data))
        self._optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, foreach=False, fused=False
        )

    def update(self) -> None:
        for _ in range(ACCUMULATION):
            batch = {name: part.to(self._device) for name, part in next(self._batches).items()}
            with torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
                loss = self.model(**batch)
            (loss / ACCUMULATION).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad()

    @staticmethod
    def _endless(batches: DataLoader) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield from batches
