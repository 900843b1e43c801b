"""A prefix in a real model, taken apart: attention without it, what its rows say, and the gate.

Axes: B batch, H heads, T queries, S keys of tokens, P rows, d head width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from peftlab.attach import Attachment
from peftlab.training.evaluate import eval_mode

FUNCTION = "sdpa"  # which models attend with unless asked otherwise


def gated_and_whole(attachment: Attachment, batch: Mapping[str, Tensor]) -> list[dict[str, float]]:
    """Compute the attention of every layer in two ways: with the prefix, and as a gated sum.

    (1 - lambda) attention(q, K, V) + lambda softmax(q P_k^T / sqrt(d)) P_v, where lambda is what
    the rows get of the softmax over rows and tokens.

    Args:
        attachment: of a prefix, on a model that attends with torch's own function.
        batch: inputs of the model, with an attention mask.

    Returns:
        For each layer "layer", "gate", the mean of lambda, and "apart", the largest difference of
        the two outputs over the largest output; both of real tokens alone, padding left out.

    Raises:
        ValueError: the model's attention is computed by another function.
    """
    found: list[dict[str, float]] = []
    P = attachment.method.prefix_length
    real = batch["attention_mask"].bool()  # (B, T)

    def note(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, out: Tensor) -> None:
        sums = _gated(query, key, value, mask, P)
        whole, own, share = (x[real] for x in (out, *(y.transpose(1, 2) for y in sums)))
        apart = (own - whole).abs().max() / whole.abs().max()
        found.append({"layer": len(found) + 1, "gate": share.mean().item(), "apart": apart.item()})

    with torch.no_grad(), eval_mode(attachment.model), _shown(note):
        attachment.model(**batch)
    if not found:
        raise ValueError(
            f"the model does not attend with {FUNCTION!r}; load it with attn_implementation="
            f"{FUNCTION!r}"
        )
    return found


def _gated(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, P: int
) -> tuple[Tensor, Tensor]:
    """The gated sum (B, H, T, d), and lambda (B, H, T, 1); the first P keys are the rows."""
    share_of = query.shape[1] // key.shape[1]  # queries that share keys
    key, value = (x.repeat_interleave(share_of, 1) for x in (key, value))
    scores = query @ key.mT / query.shape[-1] ** 0.5  # (B, H, T, P + S)
    if mask is not None:
        scores = (
            scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        )
    rows, tokens = scores[..., :P], scores[..., P:]
    share = scores.softmax(-1)[..., :P].sum(-1, keepdim=True)
    without = tokens.softmax(-1) @ value[..., P:, :]
    return (1 - share) * without + share * (rows.softmax(-1) @ value[..., :P, :]), share


@contextmanager
def _shown(note: Any) -> Iterator[None]:
    """Let `note` see what each call of the attention function is given, and what it gives."""
    base = ALL_ATTENTION_FUNCTIONS[FUNCTION]

    def watched(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **settings: Any):
        found = base(module, query, key, value, mask, **settings)
        note(query, key, value, mask, found[0])
        return found

    ALL_ATTENTION_FUNCTIONS[FUNCTION] = watched
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS[FUNCTION] = base
