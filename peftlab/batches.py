"""From examples to batches of token ids, masks and labels."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from peftlab.tasks import Example

IGNORED = -100  # a label that the loss leaves out: transformers' and torch's convention


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int = 128
) -> list[dict[str, Any]]:
    """Token ids, masks and labels, not yet padded; a word's label is on its first token.

    Raises:
        ValueError: the tokenizer makes nothing of a word, so that its label has no place to be.
    """
    rows = []
    for example in examples:
        words = isinstance(example.text, tuple)
        text = list(example.text) if words else example.text
        row = tokenizer(
            text,
            example.text_pair,
            truncation=True,
            max_length=max_length,
            is_split_into_words=words,
        )
        label: Any = example.label
        if words:
            ids = row.word_ids()
            kept = {i for i in ids if i is not None}
            if lost := set(range(max(kept, default=-1))) - kept:
                raise ValueError(
                    f"the tokenizer makes nothing of the word {text[min(lost)]!r} "
                    f"in {' '.join(text)!r}; take it and its label out"
                )
            first = [i is not None and i not in ids[:t] for t, i in enumerate(ids)]
            label = [
                example.label[i] if new else IGNORED for i, new in zip(ids, first, strict=True)
            ]
        rows.append(
            {name: row[name] for name in tokenizer.model_input_names if name in row}
            | {"labels": label}
        )
    return rows


class LengthBuckets(torch.utils.data.Sampler):
    """Batches of similar lengths, in an order that seed and epoch decide.

    Shuffled examples are sorted by length within pools of 20 batches, cut into batches, and the
    batches are shuffled: little padding, and still another batch composition in each epoch.

    Args:
        lengths: tokens of each example.
        batch_size: examples a batch; the last batch may be smaller.
        seed: of the order.
    """

    drop_last = False

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return math.ceil(len(self.lengths) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        draw = random.Random(f"{self.seed}-{self.epoch}")
        order = draw.sample(range(len(self.lengths)), len(self.lengths))
        pool = 20 * self.batch_size
        for start in range(0, len(order), pool):
            order[start : start + pool] = sorted(
                order[start : start + pool], key=self.lengths.__getitem__
            )
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        return iter(draw.sample(batches, len(batches)))


def collator(
    tokenizer: PreTrainedTokenizerBase,
) -> Callable[[list[dict[str, Any]]], dict[str, Tensor]]:
    """A function that pads encoded examples to one length, labels included, on either side."""

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        inputs = [{k: v for k, v in row.items() if k != "labels"} for row in rows]
        batch = dict(tokenizer.pad(inputs, return_tensors="pt"))
        labels = [row["labels"] for row in rows]
        if isinstance(labels[0], list):
            width, left = batch["input_ids"].shape[1], tokenizer.padding_side == "left"
            fill = [[IGNORED] * (width - len(label)) for label in labels]
            labels = [f + v if left else v + f for f, v in zip(fill, labels, strict=True)]
        return batch | {"labels": torch.tensor(labels)}

    return collate
