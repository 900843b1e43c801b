"""What is left of a model when the adapters of some layers are taken away, for every choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from peftlab.insight import adapters_by_layer, without_adapters
from peftlab.tasks import Task
from peftlab.training import evaluate

SHOWN = 6  # sentences in the panel
LONGEST = 128  # tokens, as in training
SWITCHES = 6  # of the panel at most: there are two choices for each, 64 in all


def switches(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: Task, tested: int
) -> dict[str, Any]:
    """Take away the adapters of every choice of switches, and look at the test split each time.

    A switch is a layer, or several neighbours, see `switched`.

    Args:
        model: with trained adapters; it has them all afterwards.
        tokenizer: of the same backbone.
        data: the task of the model's head.
        tested: how many of the test examples.

    Returns:
        "sentences", places in the test split of the `SHOWN` sentences whose right answer is lost
        most often; "tested", how many were; "scores", by the switches that are off (see `named`):
        "accuracy" and "loss", and "right", the probability of the right label of each of those
        sentences.
    """
    groups = switched(len(adapters_by_layer(model)))
    examples, found = data.test[:tested], {}
    for off in _choices(len(groups)):
        with without_adapters(model, _layers(groups, off)):
            found[off] = evaluate(model, tokenizer, examples)
    whole = found[()]

    right = [i for i, one in enumerate(examples) if whole.predictions[i] == one.label]
    right = right or [*range(len(examples))]
    lost = {
        i: sum(one.predictions[i] != examples[i].label for one in found.values()) for i in right
    }
    shown = sorted(right, key=lost.__getitem__, reverse=True)[:SHOWN]
    texts = [examples[i].text for i in shown]
    batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=LONGEST)
    labels = torch.tensor([[examples[i].label] for i in shown])
    scores = {}
    for off, one in found.items():
        with without_adapters(model, _layers(groups, off)), torch.no_grad():
            chances = model(**batch).logits.softmax(-1).gather(1, labels)[:, 0]
        scores[named(off)] = {
            "accuracy": one.accuracy,
            "loss": one.loss,
            "right": chances.tolist(),
        }
    return {"sentences": shown, "tested": len(examples), "scores": scores}


def switched(depth: int) -> list[list[int]]:
    """Spread layers over switches, neighbours together.

    Args:
        depth: how many layers, at least 1.

    Returns:
        The layers of each switch, counted from 0; at most `SWITCHES` of them.
    """
    return [own.tolist() for own in np.array_split(range(depth), min(depth, SWITCHES))]


def named(off: Sequence[int]) -> str:
    """Name a choice of switches, as `switches` keeps it.

    Args:
        off: places of the switches that are off, in their order.

    Returns:
        The name, such as "0 3"; empty for none.
    """
    return " ".join(map(str, off))


def _choices(count: int) -> Iterable[tuple[int, ...]]:
    return chain.from_iterable(combinations(range(count), n) for n in range(count + 1))


def _layers(groups: Sequence[Sequence[int]], off: Sequence[int]) -> list[int]:
    return [layer for i in off for layer in groups[i]]
