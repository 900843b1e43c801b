"""A forward pass that computes the logits of the vocabulary only where a label asks for them.

Of a sentence of 30 tokens before an answer of one, a language model with 49,152 words would give
1.5 million logits, and the loss reads 49,152 of them.

Axes: B batch, T tokens, V vocabulary, n places of labels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.training.batches import IGNORED


class Answered(NamedTuple):
    """What a model says to a batch.

    Attributes:
        loss: mean over the labels.
        logits: (B, classes) where a whole text has a label; (B, T, classes) where tokens have; of a
            decoder that writes (B, n, V), of the tokens before those that some text has a label on.
        labels: of the logits, (B,), (B, T) or (B, n).
    """

    loss: Tensor
    logits: Tensor
    labels: Tensor


def answered(model: nn.Module, batch: dict[str, Tensor], writes: bool) -> Answered:
    """Call a model with a batch.

    Args:
        model: with its head, or what accelerate made of it.
        batch: inputs, and "labels".
        writes: the model is a decoder whose tokens each predict the next.

    Returns:
        Loss, logits, and the labels in the places of the logits.
    """
    if not writes:
        output = model(**batch)
        return Answered(output.loss, output.logits, batch["labels"])
    inputs = {name: own for name, own in batch.items() if name != "labels"}
    labels = batch["labels"][:, 1:]  # (B, T - 1)
    kept = (labels != IGNORED).any(0).nonzero()[:, 0]  # (n,)
    logits, labels = model(**inputs, logits_to_keep=kept).logits, labels[:, kept]
    loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    return Answered(loss, logits, labels)
