"""From examples to batches of token ids, masks and labels."""

from __future__ import annotations

import copy
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AddedToken, PreTrainedTokenizerBase

from peftlab.tasks import Example
from peftlab.tasks.template import ANSWER, SLOT

IGNORED = -100  # a label that the loss leaves out: transformers' and torch's convention


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], max_length: int = 128
) -> list[dict[str, Any]]:
    """Token ids, masks and labels, not yet padded.

    Where the tokens have labels, they stand in these places:

    - Tagging: the label of a word is on its first token.
    - A text that is written: a decoder gets the text, a space, the first reference and the end
      token. The labels are on the reference and the end token.
    - A gap "[Y]", with a decoder: it gets the text before the gap and the first reference. The
      labels are on the reference.
    - A gap "[Y]", where the tokenizer has a mask token: the gap becomes as many masks as the first
      reference has tokens. The labels are on the masks.

    P-Tuning puts slots "[P]" into a text. They become the ids -1, -2, and so on.

    Args:
        tokenizer: of the backbone.
        examples: of one task.
        max_length: longer inputs are cut on the right; a text before an answer is cut on the left.

    Returns:
        For each example a dictionary of lists of numbers; "labels" is among them, and is one number
        where the whole text has a label.

    Raises:
        ValueError: a label would have no place: the tokenizer makes nothing of its word, it has no
            end token, or `max_length` leaves no room for the masks or slots. Or the subject of a
            cloze stands after "[Y]", where a decoder does not see it; or a word of a verbalizer is
            not a single token.
    """
    choice_ids(tokenizer, examples)
    if any(example.slots for example in examples):
        tokenizer = _Slots(tokenizer)
    rows = []
    for example in examples:
        if example.references:
            masked = ANSWER in example.text and tokenizer.mask_token_id is not None
            rows.append((_masked if masked else _continued)(tokenizer, example, max_length))
            continue
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


def _continued(
    tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int
) -> dict[str, Any]:
    """The text that a decoder reads, and the answer that it is to continue with."""
    text, gap, _ = _joined(example).partition(ANSWER)
    if not gap and tokenizer.eos_token_id is None:
        raise ValueError("the tokenizer has no end token to stop at; set tokenizer.eos_token")
    if gap and (not text.strip() or example.tags.get("subject", "") not in text):
        raise ValueError(
            f"a decoder reads from left to right and fills the {ANSWER} of {example.text!r} before "
            f"it sees the subject; give a prompt that has [X] before {ANSWER}, or use an encoder"
        )
    prompt = tokenizer(text.rstrip(), verbose=False).input_ids  # it is cut further down
    if prompt[-1] == tokenizer.eos_token_id:  # some tokenizers close every text
        prompt.pop()
    answer = answer_ids(tokenizer, example.references[0])
    if not gap:
        answer.append(tokenizer.eos_token_id)
    answer = answer[: max_length - 1]
    if (over := len(prompt) + len(answer) - max_length) > 0:
        # a start token that the tokenizer put there stays
        first = 1 if prompt[0] == tokenizer.bos_token_id else 0
        if any(i < 0 for i in prompt[first : first + over]):
            raise ValueError(_lost(text, max_length))
        del prompt[first : first + over]
    ids = prompt + answer
    return {
        "input_ids": ids,
        "attention_mask": [1] * len(ids),
        "labels": [IGNORED] * len(prompt) + answer,
    }


def _masked(
    tokenizer: PreTrainedTokenizerBase, example: Example, max_length: int
) -> dict[str, Any]:
    """The text that an encoder reads, with masks where its answer is to stand."""
    before, _, after = _joined(example).partition(ANSWER)
    space = " " if before[-1:].isspace() else ""
    answer = tokenizer(space + example.references[0], add_special_tokens=False).input_ids
    # no space before a mask: RoBERTa's takes it in, and byte-level BPE has it in the word's token
    text = before.rstrip() + tokenizer.mask_token * len(answer) + after
    row = tokenizer(text, truncation=True, max_length=max_length)
    masks = [i == tokenizer.mask_token_id for i in row["input_ids"]]
    if sum(masks) != len(answer):
        raise ValueError(
            f"{len(answer)} tokens are to be filled into {example.text!r}, but its first "
            f"{max_length} tokens have {sum(masks)} masks; give a larger max_length"
        )
    fill = iter(answer)
    labels = [next(fill) if mask else IGNORED for mask in masks]
    return {k: row[k] for k in tokenizer.model_input_names if k in row} | {"labels": labels}


def _joined(example: Example) -> str:
    return " ".join(text for text in (example.text, example.text_pair) if text)


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """The tokens of an answer that follows a text, with a space in between.

    Args:
        tokenizer: of the backbone.
        answer: a text.

    Returns:
        Its token ids, without special tokens.
    """
    return tokenizer(f" {answer.strip()}", add_special_tokens=False).input_ids


def choice_ids(tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example]) -> list[int] | None:
    """The tokens among which the answers of a cloze are chosen.

    Args:
        tokenizer: of the backbone.
        examples: of one task.

    Returns:
        The ids of all choices, with and without a space before them; None where any token may be
        the answer.

    Raises:
        ValueError: a choice is not a single token, or two choices are the same token.
    """
    found: dict[int, str] = {}
    for choice in dict.fromkeys(choice for example in examples for choice in example.choices):
        forms = [
            tokenizer(text, add_special_tokens=False).input_ids for text in (f" {choice}", choice)
        ]
        single = {ids[0] for ids in forms if len(ids) == 1} - {tokenizer.unk_token_id}
        if not single:
            raise ValueError(
                f"the word {choice!r} is no single token of this tokenizer; "
                "the words of a verbalizer have to be"
            )
        if taken := [found[i] for i in single if i in found]:
            raise ValueError(f"{choice!r} and {taken[0]!r} are the same token of this tokenizer")
        found |= dict.fromkeys(single, choice)
    return sorted(found) or None


class _Slots:
    """A tokenizer that knows the slots of a template: the first [P] of a text is -1, the next -2.

    It works on a copy, since a token that was added to a tokenizer cannot be taken out again.

    Args:
        tokenizer: of the backbone; it stays as it is.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self._tokenizer = copy.deepcopy(tokenizer)
        self._tokenizer.add_tokens(AddedToken(SLOT, lstrip=True, special=True, normalized=False))
        self._slot = self._tokenizer.convert_tokens_to_ids(SLOT)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, *args: Any, **options: Any) -> Any:
        row = self._tokenizer(text, *args, **options)
        numbers = itertools.count(1)
        row["input_ids"] = [-next(numbers) if i == self._slot else i for i in row["input_ids"]]
        if next(numbers) <= text.count(SLOT):
            raise ValueError(_lost(text, len(row["input_ids"])))
        return row


def _lost(text: str, length: int) -> str:
    return (
        f"{text[:60]!r}... is cut to {length} tokens and loses slots of its template; give a "
        "larger max_length, or shorter texts"
    )


class LengthBuckets(torch.utils.data.Sampler):
    """Batches of similar lengths, in an order that seed and epoch decide.

    The examples are shuffled, and sorted by length within pools of 20 batches. The pools are cut
    into batches, and the batches are shuffled. So there is little padding, and in each epoch other
    examples come together.

    Args:
        lengths: the number of tokens of each example.
        batch_size: the examples of each batch; the last batch may be smaller.
        seed: decides the order.
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
    tokenizer: PreTrainedTokenizerBase, padding_side: str | None = None
) -> Callable[[list[dict[str, Any]]], dict[str, Tensor]]:
    """A function that pads encoded examples to one length, labels included.

    Args:
        tokenizer: knows the padding token.
        padding_side: "right" or "left"; None for the tokenizer's own.

    Returns:
        A function from encoded examples to a batch of tensors.
    """

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        inputs = [{k: v for k, v in row.items() if k != "labels"} for row in rows]
        side = padding_side or tokenizer.padding_side
        batch = dict(tokenizer.pad(inputs, padding_side=side, return_tensors="pt"))
        labels = [row["labels"] for row in rows]
        if isinstance(labels[0], list):
            width = batch["input_ids"].shape[1]
            fill = [[IGNORED] * (width - len(label)) for label in labels]
            labels = [f + v if side == "left" else v + f for f, v in zip(fill, labels, strict=True)]
        return batch | {"labels": torch.tensor(labels)}

    return collate
