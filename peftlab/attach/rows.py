"""Rows put between the padding and the text of a batch, and taken out again: the index arithmetic.

A worked example: two virtual tokens P before the text `a b`, which is padded to four places.

    input           pad pad  a   b
    with rows       pad pad  P   P   a   b      insert(rows, values, at=2)
    attention mask   0   0   1   1   1   1
    position         0   0   0   1   2   3      only the padding on the left is skipped
    states           s0  s1  s2  s3  s4  s5     what the layers make of it
    output           s4  s4  s4  s5             take_out(states, 2, at=2): padding repeats `a`

Axes: B batch, T tokens, D width, P rows.
"""

from __future__ import annotations

import torch
from torch import Tensor


def insert(rows: Tensor, values: Tensor, at: Tensor | None) -> Tensor:
    """Put rows into the values of each example, in front of an index of its own.

    Args:
        rows: what to put in, (B, P, ...).
        values: what to put it into, (B, T, ...).
        at: the index of the first row in each example, (B,); None puts all rows in front.

    Shape:
        (B, P, ...), (B, T, ...), (B,) -> (B, P + T, ...)

    Returns:
        Both, (B, P + T, ...).
    """
    both = torch.cat([rows, values], dim=1)  # (B, P + T, ...)
    if at is None:
        return both
    P, n = rows.shape[1], at[:, None]
    j = torch.arange(both.shape[1], device=both.device)[None]
    order = torch.where(j < n, P + j, torch.where(j < n + P, j - n, j))  # (B, P + T)
    return both.gather(1, _over(order, both))


def take_out(values: Tensor, P: int, at: Tensor | None) -> Tensor:
    """Undo `insert`; padding on the left gets the value of the text's first token.

    So a head that reads the first place reads that token, not padding.

    Args:
        values: of rows and text, (B, P + T, ...).
        P: rows.
        at: see `insert`.

    Shape:
        (B, P + T, ...), (B,) -> (B, T, ...)

    Returns:
        The values of the text, (B, T, ...).
    """
    if at is None:
        return values[:, P:]
    t = torch.arange(values.shape[1] - P, device=values.device)[None]
    return values.gather(1, _over(P + torch.maximum(t, at[:, None]), values))


def leading(mask: Tensor | None) -> Tensor | None:
    """Count how much padding each text has on its left.

    A text of nothing but padding counts as one without.

    Args:
        mask: (B, T), zero where there is padding; or None.

    Returns:
        Tokens of padding, (B,); None where no text has any.
    """
    if mask is None:
        return None
    pads = (mask.cumsum(1) == 0).sum(1)
    pads = pads.masked_fill(pads == mask.shape[1], 0)
    return pads if pads.any() else None


def positions(counts: Tensor, P: int, at: Tensor | None) -> Tensor:
    """Number the places of rows and text from 0: first the rows, then each token that counts.

    A token that does not count has the number of the token before it.

    Args:
        counts: (B, T), nonzero for each token of the text that counts.
        P: rows.
        at: see `insert`.

    Shape:
        (B, T), (B,) -> (B, P + T)

    Returns:
        (B, P + T), whole numbers.
    """
    rows = torch.arange(P, device=counts.device).expand(len(counts), -1)
    return insert(rows, (P - 1 + counts.cumsum(1)).clamp(min=0), at)


def _over(index: Tensor, values: Tensor) -> Tensor:
    """An index (B, T) for `gather` on values with more axes."""
    more = values.ndim - 2
    return index.reshape(*index.shape, *[1] * more).expand(*index.shape, *values.shape[2:])
