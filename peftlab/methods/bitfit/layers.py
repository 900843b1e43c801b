"""The layers that BitFit needs where training an existing bias will not do.

GPT-2 keeps the biases of query, key and value in one tensor: to train some of them, a vector is
added beside it (`PartialBias`). The paper's controls train scalars at random places instead of
biases (`scattered`, `lines`): they are added to a frozen weight (`SparseUpdate`).

Axes: B batch, T tokens, D width, N number of scalars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.attach import Addition


class PartialBias(Addition):
    """A frozen fused map with an additional bias for some of its parts.

    Args:
        base: the frozen map of D -> total * D.
        parts: by role, the position among the fused maps.
        total: number of fused maps.

    Shape:
        (B, T, D) -> (B, T, total * D), as `base`.
    """

    def __init__(self, base: nn.Module, parts: Mapping[str, int], total: int = 3):
        super().__init__()
        self.base, self.total, self.position = base, total, dict(parts)
        width = base.bias.shape[0] // total
        zeros = {role: base.bias.new_zeros(width) for role in parts}
        self.shift = nn.ParameterDict(zeros)

    def forward(self, x: Tensor) -> Tensor:
        """The frozen map, and the shift of each part in its own columns."""
        zero = torch.zeros_like(self.base.bias[: len(self.base.bias) // self.total])
        roles = {position: role for role, position in self.position.items()}
        shifts = [self.shift[roles[i]] if i in roles else zero for i in range(self.total)]
        return self.base(x) + torch.cat(shifts)  # (B, T, total * D)


class SparseUpdate(Addition):
    """A frozen linear map of whose weight some scalars train.

    Args:
        base: the frozen map.
        index: (N,), places in the flattened weight, all different.

    Shape:
        (B, T, d_in) -> (B, T, d_out), as `base`.
    """

    def __init__(self, base: nn.Module, index: Tensor):
        super().__init__()
        self.base = base
        self.register_buffer("index", index.to(base.weight.device), persistent=False)
        self.values = nn.Parameter(base.weight.new_zeros(len(index)))

    def merged_weight(self) -> Tensor:
        """The weight with the trained scalars added, in the layout of `base`."""
        flat = self.base.weight.flatten().index_add(0, self.index, self.values)
        return flat.view_as(self.base.weight)

    def forward(self, x: Tensor) -> Tensor:
        """The map with the changed weight."""
        weight = self.merged_weight()
        weight = weight if isinstance(self.base, nn.Linear) else weight.T  # (d_out, d_in)
        return F.linear(x, weight, self.base.bias)

    @property
    def weight(self) -> Tensor:
        """The frozen weight; T5 looks at its dtype."""
        return self.base.weight


def scattered(shapes: Sequence[torch.Size], count: int, seed: int) -> list[Tensor]:
    """Draw places in weights, each place as likely as any other.

    Args:
        shapes: of the weights.
        count: how many places, at most as many as there are.
        seed: decides the places.

    Returns:
        For each weight the chosen places in it, flattened and in order.
    """
    sizes = [shape.numel() for shape in shapes]
    draw = torch.Generator().manual_seed(seed)
    places = torch.randperm(sum(sizes), generator=draw, device="cpu")[:count].sort().values
    return [
        places[(places >= end - size) & (places < end)] - (end - size)
        for end, size in zip(accumulate(sizes), sizes, strict=True)
    ]


def lines(shapes: Sequence[torch.Size], count: int, seed: int) -> list[Tensor]:
    """Draw whole rows and columns of weights, each of them as likely as any other.

    The last one drawn is cut, so that there are exactly as many places as asked for.

    Args:
        shapes: of the weights, which are matrices.
        count: see `scattered`.
        seed: see `scattered`.

    Returns:
        See `scattered`.
    """
    draw = torch.Generator().manual_seed(seed)
    every = [(i, j) for i, shape in enumerate(shapes) for j in range(sum(shape))]
    chosen: list[set[int]] = [set() for _ in shapes]
    left = count
    for k in torch.randperm(len(every), generator=draw, device="cpu").tolist():
        i, j = every[k]
        rows, columns = shapes[i]
        if j < rows:
            line = range(j * columns, (j + 1) * columns)
        else:
            line = range(j - rows, rows * columns, columns)
        new = [place for place in line if place not in chosen[i]][:left]
        chosen[i].update(new)
        left -= len(new)
        if not left:
            break
    return [torch.tensor(sorted(own), dtype=torch.long, device="cpu") for own in chosen]
