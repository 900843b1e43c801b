"""Predicting every example: labels, tags, fillings of a gap, or texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab import anatomy
from peftlab.attach import attachment_of
from peftlab.refuse import require_number
from peftlab.tasks import Evaluation, Example
from peftlab.tasks.template import ANSWER
from peftlab.training.batches import IGNORED, answer_ids, choice_ids, collator, encode
from peftlab.training.forward import answered


@torch.no_grad()
def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    batch_size: int = 32,
    max_length: int = 128,
) -> Evaluation:
    """Predict every example, in eval mode; the model's mode is put back afterwards.

    Where texts answer, a decoder writes the likeliest token each time. It stops at its end token,
    or 8 tokens after the length of the longest reference. A gap "[Y]" is filled with as many
    tokens as its answer has: an encoder fills that many masks, and a decoder continues the text
    before the gap. Where examples have choices, the likeliest choice is the answer.

    Args:
        model: with the head that the examples need; `load_backbone(name, task)` gives one.
        tokenizer: of the same backbone.
        examples: at least one.
        batch_size: how many examples go through the model at a time, at least 1.
        max_length: longer inputs are cut, see `train`.

    Returns:
        The prediction for each example, in the order of the examples, and the mean loss.

    Raises:
        ValueError: `examples` is empty, or does not fit the tokenizer (see `batches.encode`)
            or the model's head; a number is out of range; or virtual tokens leave no room for a
            text.
    """
    if not examples:
        raise ValueError("there is nothing to evaluate: the split is empty")
    for name, value in (("batch_size", batch_size), ("max_length", max_length)):
        require_number(name, value, 1, integer=True)
    writing = anatomy.head_of(model) in ("causal_lm", "masked_lm")
    if writing != bool(examples[0].references):
        raise ValueError(
            f"{type(model).__name__} cannot answer these examples, which ask for "
            f"{'texts' if examples[0].references else 'labels'}; "
            "load the model with load_backbone(name, task)"
        )
    max_length = fitting_length(model, max_length)
    encoded = encode(tokenizer, examples, max_length)
    with eval_mode(model):
        loss, answers = _answers(model, tokenizer, examples, encoded, batch_size)
        if not examples[0].references:
            predictions = answers
        elif _writes(model, examples):
            predictions = _written(model, tokenizer, examples, encoded, batch_size)
        else:
            predictions = [
                example.references[0]  # by its tokens: decoding may not give back case and spaces
                if list(answer) == _labelled(row)
                else tokenizer.decode(answer).strip()
                for example, answer, row in zip(examples, answers, encoded, strict=True)
            ]
    return Evaluation(tuple(examples), tuple(predictions), loss)


def fitting_length(model: PreTrainedModel, max_length: int) -> int:
    """Cut a length to what the model has positions for.

    Args:
        model: with or without a method attached.
        max_length: the length asked for, in tokens of the input.

    Returns:
        Tokens of the input; virtual tokens are not among them.

    Raises:
        ValueError: the virtual tokens leave fewer than two positions.
    """
    room = _room(model, max(2, max_length))
    if room < 2:
        attachment = attachment_of(model)
        P = attachment.virtual_tokens if attachment else 0
        raise ValueError(
            f"{P} virtual tokens leave {room} of the model's {room + P} positions, too few for a "
            "text; choose a shorter prompt or prefix"
        )
    return min(max_length, room)


def _room(model: PreTrainedModel, otherwise: int) -> int:
    """The tokens of the input that have a position beside the virtual tokens.

    Where the model has no limit, this is what the caller gives as `otherwise`.
    """
    room = anatomy.position_room(model.config)
    if room is None:
        room = getattr(model.config, "max_position_embeddings", None)
    if room is None:
        return otherwise
    attachment = attachment_of(model)
    return room - (attachment.virtual_tokens if attachment else 0)


def _writes(model: PreTrainedModel, examples: Sequence[Example]) -> bool:
    """Whether the model writes its answers, instead of giving labels or filling a gap."""
    free = bool(examples[0].references) and ANSWER not in examples[0].text
    return free and anatomy.head_of(model) == "causal_lm"


@torch.no_grad()
def look(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    batch_size: int,
    max_length: int,
) -> dict[str, float]:
    """Measure accuracy and loss while training.

    Where a decoder would have to write its answers, which is slow, the share of tokens that it
    predicts right stands for the accuracy.

    Args:
        model: with or without a method attached.
        tokenizer: of the same backbone.
        examples: at least one.
        batch_size: examples at a time.
        max_length: longer inputs are cut, in tokens.

    Returns:
        "accuracy" from 0 to 1 and "loss", the mean.
    """
    if not _writes(model, examples):
        found = evaluate(model, tokenizer, examples, batch_size, max_length)
        return {"accuracy": found.accuracy, "loss": found.loss}
    encoded = encode(tokenizer, examples, max_length)
    with eval_mode(model):
        loss, answers = _answers(model, tokenizer, examples, encoded, batch_size)
    wanted = [token for row in encoded for token in _labelled(row)]
    given = [token for answer in answers for token in answer]
    right = sum(w == g for w, g in zip(wanted, given, strict=True))
    return {"accuracy": right / len(wanted), "loss": loss}


def _answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    encoded: Sequence[dict[str, Any]],
    batch_size: int,
) -> tuple[float, list[Any]]:
    """Mean loss, and the likeliest label of each example or of each of its labelled tokens."""
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]["input_ids"]))
    collate, device = collator(tokenizer, "right"), next(model.parameters()).device
    writes = anatomy.head_of(model) == "causal_lm"
    choices = choice_ids(tokenizer, examples)
    answers: list[Any] = [None] * len(encoded)
    loss_sum, label_count = 0.0, 0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = {
            name: tensor.to(device) for name, tensor in collate([encoded[i] for i in rows]).items()
        }
        loss, logits, labels = answered(model, batch, writes)
        counted = int((labels != IGNORED).sum())
        loss_sum, label_count = loss_sum + loss.item() * counted, label_count + counted
        if choices is None:
            best = logits.argmax(-1).cpu()  # (B,), (B, T) or (B, n)
        else:
            best = torch.tensor(choices)[logits[..., choices].argmax(-1).cpu()]  # (B, T) or (B, n)
        for i, answer, label in zip(rows, best, labels.cpu(), strict=True):
            if answer.ndim == 0:
                answers[i] = answer.item()
            else:
                answers[i] = tuple(answer[label != IGNORED].tolist())
    return loss_sum / max(1, label_count), answers


def _written(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    encoded: Sequence[dict[str, Any]],
    batch_size: int,
) -> list[str]:
    """Greedy continuations of the prompts, which are padded on the left."""
    prompts = [row["input_ids"][: row["labels"].count(IGNORED)] for row in encoded]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    longest = max(len(answer_ids(tokenizer, text)) for e in examples for text in e.references)
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        unpadded = [
            {"input_ids": prompts[i], "attention_mask": [1] * len(prompts[i])} for i in rows
        ]
        inputs = tokenizer.pad(unpadded, padding_side="left", return_tensors="pt")
        width = inputs["input_ids"].shape[1]
        written = model.generate(
            input_ids=inputs["input_ids"].to(model.device),
            attention_mask=inputs["attention_mask"].to(model.device),
            max_new_tokens=min(longest + 8, _room(model, width + longest + 8) - width),
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for i, tokens in zip(rows, written[:, width:], strict=True):
            texts[i] = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return texts


@contextmanager
def eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Switch dropout off for the length of a `with` block.

    Args:
        model: its mode is put back afterwards.

    Yields:
        Nothing.
    """
    mode = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(mode)


def _labelled(row: dict[str, Any]) -> list[int]:
    return [label for label in row["labels"] if label != IGNORED]
