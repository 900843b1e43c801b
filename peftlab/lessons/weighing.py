"""Wrong ways from scores to weights, which the exercises about attention know by name.

weights = softmax(scores / sqrt(d), over the keys, -infinity where the mask is 0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Weigh = Callable[[Tensor, Tensor, int], Tensor]


def weigh(scores: Tensor, mask: Tensor, d: int) -> Tensor:
    """Turn scores into weights, the right way.

    Args:
        scores: q k^T, one line for each query and one column for each key.
        mask: 1 where a key is seen, 0 where it is hidden; of the same shape, or broadcast to it.
        d: width of a head.

    Returns:
        Weights that sum to 1 over the keys.
    """
    return _hidden(scores / d**0.5, mask).softmax(-1)


def _hidden(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(mask == 0, -torch.inf)


WRONG_WAYS: Mapping[str, Weigh] = {
    "the scale is missing: scores are divided by the root of the head's width": (
        lambda scores, mask, d: _hidden(scores, mask).softmax(-1)
    ),
    "scores are divided by the head's width; it is the root of it": (
        lambda scores, mask, d: _hidden(scores / d, mask).softmax(-1)
    ),
    "scores are multiplied by the root of the head's width; they are divided by it": (
        lambda scores, mask, d: _hidden(scores * d**0.5, mask).softmax(-1)
    ),
    "scores are divided by the root of the number of keys; it is the root of the head's width": (
        lambda scores, mask, d: _hidden(scores / scores.shape[-1] ** 0.5, mask).softmax(-1)
    ),
    "the weights are divided by the root of the head's width; divide the scores, before softmax": (
        lambda scores, mask, d: _hidden(scores, mask).softmax(-1) / d**0.5
    ),
    "the softmax is missing: weights are positive and sum to 1 over the keys": (
        lambda scores, mask, d: (scores / d**0.5).masked_fill(mask == 0, 0)
    ),
    "the mask is added to the scores as it is: ones and zeros hide nothing; put minus infinity "
    "where it is 0 (or give torch's own attention a mask of True and False)": (
        lambda scores, mask, d: (scores / d**0.5 + mask).softmax(-1)
    ),
    "the scores are multiplied by the mask: a score of 0 still gets a weight; put minus infinity "
    "where the mask is 0": lambda scores, mask, d: (scores / d**0.5 * mask).softmax(-1),
    "the weights are multiplied by the mask after softmax, so that they no longer sum to 1; put "
    "minus infinity into the scores before it": (
        lambda scores, mask, d: (scores / d**0.5).softmax(-1) * mask
    ),
}
