"""The layers of LoRA (Hu et al., 2021, arXiv 2106.09685v2), beside any frozen linear map.

    h = W0 x + (alpha / r) B A x          (section 4.1)

W0 stays as it is; A and B are the low-rank factors of its *update*. B starts at zero, so that the
model starts exactly where the backbone was.

Axes: B batch, T tokens, R rank; the factors are A (R, d_in) and B (d_out, R).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peftlab.attach import Addition, check_linear


class LowRankUpdate(nn.Module):
    """A linear map of low rank, (alpha / r) B A x (Hu et al., 2021, section 4.1, arXiv 2106.09685).

    Args:
        d_in: input features.
        d_out: output features.
        rank: r, from 1 to the smaller dimension. The paper uses 1 to 64, typically 4 or 8.
        alpha: numerator of the scaling. The paper sets it once and does not tune it.
        dropout: probability of dropping an input of this branch.
        init: "kaiming" draws A from U(-1/sqrt(d_in), 1/sqrt(d_in)), as the authors' code does;
            "gaussian" draws it from N(0, 1/r^2). B is zero. Draws come from torch's global
            generator.
        device: where the factors stand.

    Shape:
        (B, T, d_in) -> (B, T, d_out), in the dtype and on the device of the input.
    """

    def __init__(
        self,
        d_in: int,
        d_out: int,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        init: str = "kaiming",
        device: torch.device | None = None,
    ):
        super().__init__()
        self.lora_A = nn.Parameter(torch.empty(rank, d_in, device=device))
        self.lora_B = nn.Parameter(torch.zeros(d_out, rank, device=device))
        self.scaling = alpha / rank
        self.dropout = nn.Dropout(dropout)
        if init == "kaiming":
            nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        else:
            nn.init.normal_(self.lora_A, std=1 / rank)

    def forward(self, x: Tensor) -> Tensor:
        """(alpha / r) B A x, with dropout on x."""
        a = F.linear(self.dropout(x).to(self.lora_A.dtype), self.lora_A)  # (B, T, R)
        return F.linear(a * self.scaling, self.lora_B).to(x.dtype)  # (B, T, d_out)

    def delta_weight(self) -> Tensor:
        """The update as a matrix, (alpha / r) B A, of shape (d_out, d_in)."""
        return self.scaling * self.lora_B @ self.lora_A

    def extra_repr(self) -> str:
        """What `print(model)` says of it."""
        return f"rank={self.lora_A.shape[0]}, scaling={self.scaling:g}"


class LoRALinear(Addition):
    """A frozen linear map with a low-rank update beside it: W0 x + (alpha / r) B A x.

    Args:
        base: the frozen `nn.Linear`, or transformers' `Conv1D`, whose weight is stored transposed.
        rank: r, see `LowRankUpdate`.
        alpha: see `LowRankUpdate`.
        dropout: see `LowRankUpdate`.
        init: see `LowRankUpdate`.

    Shape:
        (B, T, d_in) -> (B, T, d_out), as `base`.

    Raises:
        TypeError: `base` is another module, or its weight is not of floating point.
    """

    def __init__(
        self, base: nn.Module, rank: int, alpha: float, dropout: float = 0.0, init: str = "kaiming"
    ):
        super().__init__()
        check_linear(base, "base", floating=True)
        d_out, d_in = as_linear(base, base.weight).shape
        self.base = base
        self.update = LowRankUpdate(d_in, d_out, rank, alpha, dropout, init, base.weight.device)

    def forward(self, x: Tensor) -> Tensor:
        """W0 x + (alpha / r) B A x."""
        return self.base(x) + self.update(x)  # (B, T, d_out)

    def delta_weight(self) -> Tensor:
        """The update as a matrix, (d_out, d_in)."""
        return self.update.delta_weight()

    def merged_weight(self) -> Tensor:
        """W0 plus the update, in the layout of `base`."""
        return merged(self.base, self.delta_weight())

    @property
    def weight(self) -> Tensor:
        """The frozen weight; T5 looks at its dtype."""
        return self.base.weight


class LoRAFusedLinear(Addition):
    """A frozen map of query, key and value at once, with separate updates for some of them.

    GPT-2 keeps the three in one `Conv1D` of D -> 3D. With q and v updated, columns 0..D-1 and
    2D..3D-1 of the output each get their own B A x, and the key columns get exactly nothing. One
    shared A for all three would have the same parameter count but another, less expressive update.

    Args:
        base: the frozen fused map.
        parts: by role, the position among the fused maps and the update.
        total: number of fused maps.

    Shape:
        (B, T, D) -> (B, T, total * D), as `base`.

    Raises:
        TypeError: `base` is another module, or its weight is not of floating point.
    """

    def __init__(
        self, base: nn.Module, parts: dict[str, tuple[int, LowRankUpdate]], total: int = 3
    ):
        super().__init__()
        check_linear(base, "base", floating=True)
        self.base = base
        self.total = total
        self.position = {role: position for role, (position, _) in parts.items()}
        self.parts = nn.ModuleDict({role: update for role, (_, update) in parts.items()})

    def forward(self, x: Tensor) -> Tensor:
        """The fused map, with the updates added to their own columns."""
        chunks = list(self.base(x).chunk(self.total, dim=-1))  # total times (B, T, D)
        for role, update in self.parts.items():
            position = self.position[role]
            chunks[position] = chunks[position] + update(x)
        return torch.cat(chunks, dim=-1)  # (B, T, total * D)

    def delta_weight(self) -> Tensor:
        """The update of the fused map, (total * D, D); a part without update has zero rows."""
        first = next(iter(self.parts.values())).delta_weight()
        rows = [torch.zeros_like(first) for _ in range(self.total)]
        for role, update in self.parts.items():
            rows[self.position[role]] = update.delta_weight()
        return torch.cat(rows)

    def merged_weight(self) -> Tensor:
        """W0 plus the update, in the layout of `base`."""
        return merged(self.base, self.delta_weight())


def merged(base: nn.Module, delta_weight: Tensor) -> Tensor:
    """Add an update to the weight of a frozen map.

    Args:
        base: the frozen map.
        delta_weight: the update, (d_out, d_in).

    Returns:
        The sum, in the layout and dtype of `base`.
    """
    return base.weight + as_linear(base, delta_weight).to(base.weight.dtype)


def as_linear(base: nn.Module, weight: Tensor) -> Tensor:
    """Turn a weight from the layout of `base` to that of `nn.Linear`, or back.

    Args:
        base: `nn.Linear`, or `Conv1D`, which stores the transposed weight.
        weight: in one of the two layouts.

    Returns:
        The weight, transposed if `base` is a Conv1D.
    """
    return weight if isinstance(base, nn.Linear) else weight.T
